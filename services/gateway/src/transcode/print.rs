//! Reply messages as JSON, straight from the wire: one pass to see which fields
//! there are, one over the contract to print them in its order.

use super::layout::{Content, Entry, Layout, LayoutId, Layouts, Shape};
use super::wire::{self, Broken, Fields, Raw};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;

/// How deep replies may be nested.
const MAX_DEPTH: usize = 100;

/// Appends the JSON of a message.
///
/// # Errors
/// Says which field has a value that is no such value, or has no JSON form.
pub(super) fn message(
    layouts: &Layouts,
    id: LayoutId,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    Printer { layouts, out, depth: 0 }.message(id, bytes)
}

struct Printer<'p> {
    layouts: &'p Layouts,
    out: &'p mut Vec<u8>,
    depth: usize,
}

/// A field that is there: its place in the layout and its value.
type Found<'b> = (usize, Raw<'b>);

impl Printer<'_> {
    fn message(&mut self, id: LayoutId, bytes: &[u8]) -> Result<(), String> {
        if self.depth == MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} messages"));
        }
        self.depth += 1;
        let layout = self.layouts.layout(id);
        let found = found(layout, bytes).map_err(text)?;
        let mut rest = found.as_slice();
        self.out.push(b'{');
        for (at, entry) in layout.entries.iter().enumerate() {
            let count = rest.iter().take_while(|(place, _)| *place == at).count();
            let (mine, others) = rest.split_at(count);
            rest = others;
            self.entry(entry, mine).map_err(|why| format!("{}: {why}", entry.key.trim_end_matches(':')))?;
        }
        self.end(b'}');
        self.depth -= 1;
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, found: &[Found<'_>]) -> Result<(), String> {
        if entry.shape == Shape::Present && found.is_empty() {
            return Ok(());
        }
        self.out.extend_from_slice(entry.key.as_bytes());
        match &entry.shape {
            Shape::Always | Shape::Present => self.one(&entry.content, found)?,
            Shape::List => self.list(&entry.content, found)?,
            Shape::Map(key) => self.map(key, &entry.content, found)?,
        }
        self.out.push(b',');
        Ok(())
    }

    /// Closes an object or a list in place of the comma after its last element.
    fn end(&mut self, bracket: u8) {
        if self.out.last() == Some(&b',') {
            self.out.pop();
        }
        self.out.push(bracket);
    }

    /// Of a scalar the last value counts; the pieces of a message are one message.
    fn one(&mut self, content: &Content, found: &[Found<'_>]) -> Result<(), String> {
        match (content, found) {
            (Content::Message(_) | Content::WellKnown(_), [_, _, ..]) => {
                let whole = joined(found).map_err(text)?;
                self.value(content, Some(Raw::Bytes(&whole)))
            }
            (_, found) => self.value(content, found.last().map(|(_, raw)| *raw)),
        }
    }

    fn list(&mut self, content: &Content, found: &[Found<'_>]) -> Result<(), String> {
        self.out.push(b'[');
        for (_, raw) in found {
            match (content, raw) {
                (Content::Scalar(kind), Raw::Bytes(packed)) if is_packable(kind) => {
                    self.packed(content, kind, packed)?;
                }
                (Content::Enum(_), Raw::Bytes(packed)) => self.packed(content, &Kind::Int32, packed)?,
                _ => self.element(content, *raw)?,
            }
        }
        self.end(b']');
        Ok(())
    }

    fn packed(&mut self, content: &Content, kind: &Kind, mut packed: &[u8]) -> Result<(), String> {
        while !packed.is_empty() {
            let raw = match kind {
                Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => wire::fixed64(&mut packed).map(Raw::Fixed64),
                Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => wire::fixed32(&mut packed).map(Raw::Fixed32),
                _ => wire::varint(&mut packed).map(Raw::Varint),
            };
            self.element(content, raw.ok_or(Broken).map_err(text)?)?;
        }
        Ok(())
    }

    fn element(&mut self, content: &Content, raw: Raw<'_>) -> Result<(), String> {
        self.value(content, Some(raw))?;
        self.out.push(b',');
        Ok(())
    }

    /// In the order of the keys as they are printed; the last of two entries with
    /// one key counts.
    fn map(&mut self, key: &Kind, content: &Content, found: &[Found<'_>]) -> Result<(), String> {
        let mut entries = BTreeMap::new();
        for (_, raw) in found {
            let (mut name, mut value) = (None, None);
            for field in Fields::of(bytes_of(*raw)?) {
                match field.map_err(text)? {
                    (1, raw) => name = Some(raw),
                    (2, raw) => value = Some(raw),
                    _ => {}
                }
            }
            entries.insert(map_key(key, name)?, value);
        }
        self.out.push(b'{');
        for (name, value) in entries {
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b':');
            match value {
                None if matches!(content, Content::Message(_) | Content::WellKnown(_)) => {
                    self.element(content, Raw::Bytes(&[]))?;
                }
                value => {
                    self.value(content, value)?;
                    self.out.push(b',');
                }
            }
        }
        self.end(b'}');
        Ok(())
    }

    /// One value; the default of its kind where there is none.
    fn value(&mut self, content: &Content, raw: Option<Raw<'_>>) -> Result<(), String> {
        match content {
            Content::Scalar(kind) => scalar(kind, raw, self.out),
            Content::Json => json(raw.map_or(Ok(&[][..]), bytes_of)?, self.out),
            Content::Enum(names) => {
                let number = int32(varint_of(raw)?);
                match names.get(&number) {
                    Some(name) => self.out.extend_from_slice(name.as_bytes()),
                    None => plain(number, self.out),
                }
                Ok(())
            }
            Content::Message(id) => self.message(*id, raw.map_or(Ok(&[][..]), bytes_of)?),
            Content::WellKnown(descriptor) => {
                well_known(descriptor, raw.map_or(Ok(&[][..]), bytes_of)?, self.out)
            }
        }
    }
}

/// The known fields of a message in the order of the layout, those of one field
/// in the order of the wire.
fn found<'b>(layout: &Layout, bytes: &'b [u8]) -> Result<Vec<Found<'b>>, Broken> {
    let mut found = Vec::new();
    let mut chosen = vec![None; layout.oneofs];
    for field in Fields::of(bytes) {
        let (number, raw) = field?;
        let Some(at) = layout.position(number) else { continue };
        if let Some(oneof) = layout.entries[at].oneof {
            chosen[oneof] = Some(at);
        }
        found.push((at, raw));
    }
    if layout.oneofs > 0 {
        found.retain(|(at, _)| layout.entries[*at].oneof.is_none_or(|oneof| chosen[oneof] == Some(*at)));
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(found)
}

fn joined(found: &[Found<'_>]) -> Result<Vec<u8>, Broken> {
    let pieces: Result<Vec<_>, Broken> = found
        .iter()
        .map(|(_, raw)| match raw {
            Raw::Bytes(bytes) => Ok(*bytes),
            _ => Err(Broken),
        })
        .collect();
    Ok(pieces?.concat())
}

fn is_packable(kind: &Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_))
}

fn scalar(kind: &Kind, raw: Option<Raw<'_>>, out: &mut Vec<u8>) -> Result<(), String> {
    match kind {
        Kind::Int32 => plain(int32(varint_of(raw)?), out),
        Kind::Int64 => in_quotes(varint_of(raw)?.cast_signed(), out),
        Kind::Uint32 => plain(low(varint_of(raw)?), out),
        Kind::Uint64 => in_quotes(varint_of(raw)?, out),
        Kind::Sint32 => plain(zigzag(u64::from(low(varint_of(raw)?))), out),
        Kind::Sint64 => in_quotes(zigzag(varint_of(raw)?), out),
        Kind::Fixed32 => plain(fixed32_of(raw)?, out),
        Kind::Sfixed32 => plain(fixed32_of(raw)?.cast_signed(), out),
        Kind::Fixed64 => in_quotes(fixed64_of(raw)?, out),
        Kind::Sfixed64 => in_quotes(fixed64_of(raw)?.cast_signed(), out),
        Kind::Float => {
            let number = f32::from_bits(fixed32_of(raw)?);
            if number.is_finite() { put(&number, out)? } else { not_finite(number.into(), out) }
        }
        Kind::Double => {
            let number = f64::from_bits(fixed64_of(raw)?);
            if number.is_finite() { put(&number, out)? } else { not_finite(number, out) }
        }
        Kind::Bool => out.extend_from_slice(if varint_of(raw)? == 0 { b"false" } else { b"true" }),
        Kind::Bytes => base64(raw.map_or(Ok(&[][..]), bytes_of)?, out),
        Kind::String | Kind::Message(_) | Kind::Enum(_) => put(text_of(raw)?, out)?,
    }
    Ok(())
}

/// The key of a map entry in quotes.
fn map_key(kind: &Kind, raw: Option<Raw<'_>>) -> Result<String, String> {
    let mut out = Vec::new();
    scalar(kind, raw, &mut out)?;
    let key = String::from_utf8(out).map_err(text)?;
    Ok(if key.starts_with('"') { key } else { format!("\"{key}\"") })
}

/// The bytes as they are, when they are JSON; nothing at all is `null`. Line
/// breaks between tokens become spaces, so that a line of a stream stays a line:
/// inside of strings there are none.
fn json(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    if bytes.is_empty() {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let value: &RawValue = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let begin = out.len();
    out.extend_from_slice(value.get().as_bytes());
    for byte in &mut out[begin..] {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Ok(())
}

/// Timestamps and their kin are printed by the library that defines their mapping.
fn well_known(descriptor: &MessageDescriptor, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    const OPTIONS: SerializeOptions = SerializeOptions::new().skip_default_fields(false);
    let message = DynamicMessage::decode(descriptor.clone(), bytes).map_err(text)?;
    message.serialize_with_options(&mut serde_json::Serializer::new(out), &OPTIONS).map_err(text)
}

fn put<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), String> {
    serde_json::to_writer(out, value).map_err(text)
}

fn plain(number: impl Display, out: &mut Vec<u8>) {
    let _ = write!(out, "{number}"); // a vector takes everything
}

fn in_quotes(number: impl Display, out: &mut Vec<u8>) {
    let _ = write!(out, "\"{number}\"");
}

fn not_finite(number: f64, out: &mut Vec<u8>) {
    let name: &[u8] = match (number.is_nan(), number > 0.0) {
        (true, _) => b"\"NaN\"",
        (_, true) => b"\"Infinity\"",
        (_, false) => b"\"-Infinity\"",
    };
    out.extend_from_slice(name);
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

#[allow(clippy::cast_possible_truncation)] // as the wire format says: the low bits are the value
const fn low(varint: u64) -> u32 {
    varint as u32
}

const fn int32(varint: u64) -> i32 {
    low(varint).cast_signed()
}

/// 0, -1, 1, -2, … for 0, 1, 2, 3, …
const fn zigzag(varint: u64) -> i64 {
    (varint >> 1).cast_signed() ^ -((varint & 1).cast_signed())
}

fn varint_of(raw: Option<Raw<'_>>) -> Result<u64, String> {
    match raw {
        None => Ok(0),
        Some(Raw::Varint(value)) => Ok(value),
        Some(_) => Err(text(Broken)),
    }
}

fn fixed64_of(raw: Option<Raw<'_>>) -> Result<u64, String> {
    match raw {
        None => Ok(0),
        Some(Raw::Fixed64(value)) => Ok(value),
        Some(_) => Err(text(Broken)),
    }
}

fn fixed32_of(raw: Option<Raw<'_>>) -> Result<u32, String> {
    match raw {
        None => Ok(0),
        Some(Raw::Fixed32(value)) => Ok(value),
        Some(_) => Err(text(Broken)),
    }
}

fn bytes_of(raw: Raw<'_>) -> Result<&[u8], String> {
    match raw {
        Raw::Bytes(bytes) => Ok(bytes),
        _ => Err(text(Broken)),
    }
}

fn text_of(raw: Option<Raw<'_>>) -> Result<&str, String> {
    let bytes = raw.map_or(Ok(&[][..]), bytes_of)?;
    std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn text(error: impl Display) -> String {
    error.to_string()
}
