//! Finding the releases and records in a document without reading them yet.
//!
//! A document that breaks off keeps the items before the break; in JSON Lines
//! every line stands for itself.

use crate::domain::json::{Members, Text};
use crate::domain::{Document, Refusals, Rejection, text};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Largest single release, record or line.
pub const MAX_ITEM_BYTES: usize = 16 * 1024 * 1024;

/// Members that make an object a release.
const SECTIONS: [&str; 9] =
    ["ocid", "planning", "tender", "bids", "awards", "contracts", "parties", "buyer", "compiledRelease"];

/// A release or record as it stands in a document.
#[derive(Debug)]
pub struct Item<'a> {
    /// Number of the document.
    pub document: usize,
    /// Line it starts in.
    pub line: u64,
    /// True in JSON Lines: the pointer counts from the line.
    pub in_line: bool,
    /// JSON pointer.
    pub pointer: String,
    /// Its text.
    pub raw: &'a str,
}

/// A release within an item.
#[derive(Debug)]
pub struct Piece<'a> {
    /// JSON pointer.
    pub pointer: String,
    /// Its text.
    pub raw: &'a str,
}

/// Finds the items of a document; what is none of the known shapes is refused.
pub fn split<'a>(
    number: usize,
    document: &Document,
    text: &'a str,
    found: &mut Vec<Item<'a>>,
    refusals: &mut Refusals,
) {
    let mut broken = |line: u64, reason: String| {
        refusals.item(Rejection { document: document.name.clone(), line, field: String::new(), reason });
    };
    if text.trim().is_empty() {
        return broken(0, "the document is empty".to_owned());
    }
    let (top, error) = Top::read(text);
    if error.is_some() && looks_like_lines(text) {
        return split_lines(number, text, found, &mut broken);
    }
    let before = found.len();
    top.items(number, text, found);
    if let Some(error) = error {
        return broken(error.line() as u64, explain(&error));
    }
    if found.len() == before {
        broken(0, top.why_nothing());
    }
    count_lines(text, &mut found[before..]);
}

/// Finds the items of JSON Lines.
fn split_lines<'a>(
    number: usize,
    text: &'a str,
    found: &mut Vec<Item<'a>>,
    broken: &mut impl FnMut(u64, String),
) {
    for (line, raw) in (1..).zip(text.split('\n')).filter(|(_, raw)| !raw.trim().is_empty()) {
        if raw.len() > MAX_ITEM_BYTES {
            broken(line, too_long(raw.len()));
            continue;
        }
        let (top, error) = Top::read(raw);
        let before = found.len();
        if let Some(error) = error {
            broken(line, explain(&error));
            continue;
        }
        top.items(number, raw, found);
        if found.len() == before {
            broken(line, top.why_nothing());
        }
        for item in &mut found[before..] {
            item.line = line;
            item.in_line = true;
        }
    }
}

fn too_long(bytes: usize) -> String {
    format!("the item is {} MiB long; at most {} MiB are read: split it", bytes >> 20, MAX_ITEM_BYTES >> 20)
}

fn explain(error: &serde_json::Error) -> String {
    let what = if error.is_eof() { "the JSON breaks off" } else { "the JSON is broken" };
    format!("{what} at column {}: {}", error.column(), text::clean(&error.to_string(), 150))
}

/// True when lines stand for themselves: one of the first objects that begin a
/// line is whole. (A package with a release a line has commas between them.)
fn looks_like_lines(text: &str) -> bool {
    let mut lines = text.split('\n').filter(|line| !line.trim().is_empty());
    let whole = |line: &str| serde_json::from_str::<IgnoredAny>(line).is_ok();
    let Some(first) = lines.next() else { return false };
    let more = lines.clone().next().is_some();
    let mut objects = lines.filter(|line| line.starts_with('{')).take(3);
    more && (objects.any(whole) || whole(first))
}

/// Tells every item the line it starts in; they are in order of appearance.
fn count_lines(text: &str, items: &mut [Item<'_>]) {
    let start = text.as_ptr() as usize;
    let (mut at, mut line) = (0, 1);
    for item in items {
        let offset = (item.raw.as_ptr() as usize).saturating_sub(start).min(text.len());
        line += text.as_bytes()[at..offset].iter().filter(|b| **b == b'\n').count() as u64;
        at = offset;
        item.line = line;
    }
}

/// The releases of an item with the procedure's id.
///
/// # Errors
/// Says why the item is neither a release nor a record that can be read.
pub fn pieces<'a>(item: &Item<'a>) -> Result<(Option<String>, Vec<Piece<'a>>), String> {
    if item.raw.len() > MAX_ITEM_BYTES {
        return Err(too_long(item.raw.len()));
    }
    let members: Members<'a> = serde_json::from_str(item.raw)
        .map_err(|_| "the item is not an object: a release or a record is expected".to_owned())?;
    let ocid = members.text("ocid").map(|ocid| ocid.trim().to_owned()).filter(|ocid| !ocid.is_empty());
    if let Some(raw) = members.starting("compiledRelease", b'{') {
        let pointer = format!("{}/compiledRelease", item.pointer);
        return Ok((ocid, vec![Piece { pointer, raw }]));
    }
    if let Some(raw) = members.starting("releases", b'[') {
        return embedded(item, raw).map(|pieces| (ocid, pieces));
    }
    if SECTIONS.iter().any(|name| members.get(name).is_some()) {
        return Ok((ocid, vec![Piece { pointer: item.pointer.clone(), raw: item.raw }]));
    }
    Err("the object is neither an OCDS release (it has no ocid, tender, bids, awards or contracts) nor a record"
        .to_owned())
}

/// The releases a record embeds; links to releases elsewhere are not followed.
fn embedded<'a>(item: &Item<'_>, raw: &'a str) -> Result<Vec<Piece<'a>>, String> {
    let releases: Vec<&'a RawValue> =
        serde_json::from_str(raw).map_err(|_| "the record's list of releases is broken".to_owned())?;
    let whole = |raw: &str| {
        serde_json::from_str::<Members<'_>>(raw)
            .is_ok_and(|members| SECTIONS.iter().any(|name| members.get(name).is_some()))
    };
    let pieces: Vec<_> = (0..)
        .zip(releases)
        .filter(|(_, release)| whole(release.get()))
        .map(|(i, release): (usize, _)| Piece {
            pointer: format!("{}/releases/{i}", item.pointer),
            raw: release.get(),
        })
        .collect();
    if pieces.is_empty() {
        return Err(
            "the record has no compiledRelease and only links to its releases: submit the compiled release \
                    or the releases themselves"
                .to_owned(),
        );
    }
    Ok(pieces)
}

/// The top level of a document or line.
#[derive(Debug, Default)]
struct Top<'a> {
    releases: Option<Vec<&'a RawValue>>,
    records: Option<Vec<&'a RawValue>>,
    elements: Option<Vec<&'a RawValue>>,
    is_item: bool,
}

impl<'a> Top<'a> {
    /// Reads as far as it goes.
    fn read(text: &'a str) -> (Self, Option<serde_json::Error>) {
        let mut top = Self::default();
        let mut json = serde_json::Deserializer::from_str(text);
        let read = TopSeed(&mut top).deserialize(&mut json).and_then(|()| json.end());
        (top, read.err())
    }

    fn items(&self, document: usize, text: &'a str, found: &mut Vec<Item<'a>>) {
        let mut push = |pointer: String, raw: &'a str| {
            found.push(Item { document, line: 1, in_line: false, pointer, raw });
        };
        let (list, prefix) = match (&self.records, &self.releases, &self.elements) {
            (Some(records), _, _) => (records, "/records"),
            (None, Some(releases), _) if !self.is_item => (releases, "/releases"),
            (None, None, Some(elements)) => (elements, ""),
            _ if self.is_item => return push(String::new(), text.trim()),
            _ => return,
        };
        for (i, raw) in list.iter().enumerate() {
            push(format!("{prefix}/{i}"), raw.get());
        }
    }

    fn why_nothing(&self) -> String {
        if self.releases.is_some() || self.records.is_some() || self.elements.is_some() {
            return "the package is empty: it holds no releases and no records".to_owned();
        }
        "this is no OCDS: expected a release package, a record package, a release, a record, or JSON Lines of them"
            .to_owned()
    }
}

struct TopSeed<'t, 'a>(&'t mut Top<'a>);

impl<'de> DeserializeSeed<'de> for TopSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TopSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an OCDS package, release or record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            match key.as_ref() {
                "releases" => map.next_value_seed(ListSeed(self.0.releases.insert(Vec::new())))?,
                "records" => map.next_value_seed(ListSeed(self.0.records.insert(Vec::new())))?,
                name => {
                    self.0.is_item |= SECTIONS.contains(&name);
                    map.next_value::<&'de RawValue>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let elements = self.0.elements.insert(Vec::new());
        while let Some(raw) = seq.next_element::<&'de RawValue>()? {
            elements.push(raw);
        }
        Ok(())
    }
}

/// Keeps the elements it could read when the list breaks off.
struct ListSeed<'t, 'a>(&'t mut Vec<&'a RawValue>);

impl<'de> DeserializeSeed<'de> for ListSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of releases or records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element::<&'de RawValue>()? {
            self.0.push(raw);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom("expected a list of releases or records, found an object"))
    }
}
