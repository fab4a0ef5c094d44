//! JSON into a message, driven by the schema. Every refusal names the path of
//! the field, such as `entries[3].detail`.

use super::fault::{Fault, name, quote};
use super::scan::{self, Bad};
use super::schema::{Content, Field, Message, MessageId, Scalar, Schema, Shape};
use bytes::Bytes;
use prost_reflect::{DeserializeOptions, DynamicMessage, Kind, MapKey, MessageDescriptor, Value};
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// Most values one list or map may hold.
const MAX_ELEMENTS: usize = 200_000;

/// Reads the body as a message of that type. No body at all is the empty one.
///
/// # Errors
/// What is wrong with the text or with one field.
pub(super) fn message(
    schema: &Schema,
    id: MessageId,
    body: &[u8],
    max_depth: usize,
) -> Result<DynamicMessage, Fault> {
    if body.is_empty() {
        return Ok(DynamicMessage::new(schema.message(id).descriptor.clone()));
    }
    let mut walk = Walk { schema, path: Vec::new() };
    read(body, max_depth, &mut walk, |walk, from| MessageSeed { walk, id }.deserialize(from))
}

/// Reads the body as the value of one field; `None` for `null`.
///
/// # Errors
/// As [`message`].
pub(super) fn field<'s>(
    schema: &'s Schema,
    field: &'s Field,
    body: &[u8],
    max_depth: usize,
) -> Result<Option<Value>, Fault> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut walk = Walk { schema, path: vec![Step::Name(field.descriptor.json_name())] };
    read(body, max_depth, &mut walk, |walk, from| FieldSeed { walk, field }.deserialize(from))
}

type Json<'b> = serde_json::Deserializer<serde_json::de::StrRead<'b>>;

fn read<'b, 's, T>(
    body: &'b [u8],
    max_depth: usize,
    walk: &mut Walk<'s>,
    seed: impl FnOnce(&mut Walk<'s>, &mut Json<'b>) -> Result<T, serde_json::Error>,
) -> Result<T, Fault> {
    let text = scan::text(body, max_depth).map_err(|bad| match bad {
        Bad::TooDeep(at) => Fault::json(format!("nested deeper than {max_depth} levels at byte {at}")),
        Bad::NotUtf8(at) => Fault::json(format!("not UTF-8 at byte {at}")),
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = seed(walk, &mut json).map_err(|error| blame(walk, &error))?;
    json.end().map_err(|error| Fault::json(sentence(&error)))?;
    Ok(value)
}

/// A mistake in the data belongs to the field where the walk stopped; one in
/// the text belongs to its line and column.
fn blame(walk: &Walk<'_>, error: &serde_json::Error) -> Fault {
    let path = walk.to_string();
    match error.classify() {
        serde_json::error::Category::Data if !path.is_empty() => Fault::field(path, sentence(error)),
        _ => Fault::json(sentence(error)),
    }
}

/// What is wrong, with its place at the end.
fn sentence(error: &serde_json::Error) -> String {
    let (text, line, column) = (error.to_string(), error.line(), error.column());
    let bare = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    let short: String = bare.chars().take(240).collect();
    format!("{short} (line {line}, column {column})")
}

/// Where in the message the reader is.
struct Walk<'s> {
    schema: &'s Schema,
    path: Vec<Step<'s>>,
}

enum Step<'s> {
    Name(&'s str),
    Unknown(String),
    Index(usize),
    Key(String),
}

impl fmt::Display for Walk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.path.iter().enumerate() {
            match step {
                Step::Name(name) => dotted(f, at, name)?,
                Step::Unknown(name) => dotted(f, at, name)?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => write!(f, "[{}]", quote(key))?,
            }
        }
        Ok(())
    }
}

fn dotted(f: &mut fmt::Formatter<'_>, at: usize, name: &str) -> fmt::Result {
    let dot = if at == 0 { "" } else { "." };
    write!(f, "{dot}{name}")
}

struct MessageSeed<'w, 's> {
    walk: &'w mut Walk<'s>,
    id: MessageId,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_, '_> {
    type Value = DynamicMessage;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<DynamicMessage, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_, '_> {
    type Value = DynamicMessage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DynamicMessage, A::Error> {
        let message = self.walk.schema.message(self.id);
        let mut out = DynamicMessage::new(message.descriptor.clone());
        let mut seen = vec![false; message.fields.len()];
        while let Some(key) = map.next_key_seed(Key)? {
            let field = admit(message, &key, &mut seen, self.walk)?;
            if field.output_only {
                map.next_value::<IgnoredAny>()?;
            } else if let Some(value) = map.next_value_seed(FieldSeed { walk: self.walk, field })? {
                put(&mut out, field, value)?;
            }
            self.walk.path.pop();
        }
        Ok(out)
    }
}

/// The field of a name, once per object. The path points at it afterwards.
fn admit<'s, E: Error>(
    message: &'s Message,
    key: &str,
    seen: &mut [bool],
    walk: &mut Walk<'s>,
) -> Result<&'s Field, E> {
    let Some(at) = message.position(key) else {
        walk.path.push(Step::Unknown(name(key)));
        return Err(E::custom(format!("no such field; {}", message.known_names())));
    };
    let field = &message.fields[at];
    walk.path.push(Step::Name(field.descriptor.json_name()));
    if std::mem::replace(&mut seen[at], true) {
        return Err(E::custom("given twice"));
    }
    Ok(field)
}

fn put<E: Error>(out: &mut DynamicMessage, field: &Field, value: Value) -> Result<(), E> {
    if let Some(oneof) = field.descriptor.containing_oneof()
        && let Some(other) = oneof.fields().find(|other| out.has_field(other))
    {
        return Err(E::custom(format!("cannot be given together with {}", other.json_name())));
    }
    out.try_set_field(&field.descriptor, value).map_err(E::custom)
}

/// A key of an object, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Cow<'de, str>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct FieldSeed<'w, 's> {
    walk: &'w mut Walk<'s>,
    field: &'s Field,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_, '_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<Value>, D::Error> {
        let takes_null = matches!(&self.field.content, Content::WellKnown(m) if m.name() == "Value")
            && self.field.shape == Shape::One;
        if takes_null { self.visit_some(from) } else { from.deserialize_option(self) }
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_, '_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<Value>, D::Error> {
        let (walk, content) = (self.walk, &self.field.content);
        let value = match self.field.shape {
            Shape::One => ContentSeed { walk, content }.deserialize(from)?,
            Shape::List => from.deserialize_seq(ListVisitor { walk, content })?,
            Shape::Map => {
                let key = map_key(self.field);
                from.deserialize_map(MapVisitor { walk, content, key })?
            }
        };
        Ok(Some(value))
    }
}

fn map_key(field: &Field) -> Scalar {
    match field.descriptor.kind() {
        Kind::Message(entry) => Scalar::of(&entry.map_entry_key_field().kind()),
        _ => Scalar::Text,
    }
}

struct ContentSeed<'w, 's> {
    walk: &'w mut Walk<'s>,
    content: &'s Content,
}

impl<'de> DeserializeSeed<'de> for ContentSeed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        match self.content {
            Content::Scalar(Scalar::Json) => exact(from),
            Content::Scalar(scalar) => from.deserialize_any(ScalarVisitor { scalar }),
            Content::Message(id) => {
                MessageSeed { walk: self.walk, id: *id }.deserialize(from).map(Value::Message)
            }
            Content::WellKnown(descriptor) => well_known(descriptor, from).map(Value::Message),
        }
    }
}

/// The text of a value as it stands in the body: no digit is lost.
fn exact<'de, D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
    let text = <&RawValue>::deserialize(from)?.get();
    Ok(Value::Bytes(Bytes::copy_from_slice(text.as_bytes())))
}

/// Timestamps and their kin are read by the library that defines their mapping.
fn well_known<'de, D: Deserializer<'de>>(
    descriptor: &MessageDescriptor,
    from: D,
) -> Result<DynamicMessage, D::Error> {
    const OPTIONS: DeserializeOptions = DeserializeOptions::new();
    DynamicMessage::deserialize_with_options(descriptor.clone(), from, &OPTIONS)
}

struct ListVisitor<'w, 's> {
    walk: &'w mut Walk<'s>,
    content: &'s Content,
}

impl<'de> Visitor<'de> for ListVisitor<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            self.walk.path.push(Step::Index(values.len()));
            if values.len() > MAX_ELEMENTS {
                return Err(A::Error::custom(format!("a list may have at most {MAX_ELEMENTS} elements")));
            }
            let seed = ContentSeed { walk: self.walk, content: self.content };
            let next = seq.next_element_seed(seed)?;
            self.walk.path.pop();
            match next {
                Some(value) => values.push(value),
                None => return Ok(Value::List(values)),
            }
        }
    }
}

struct MapVisitor<'w, 's> {
    walk: &'w mut Walk<'s>,
    content: &'s Content,
    key: Scalar,
}

impl<'de> Visitor<'de> for MapVisitor<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values: HashMap<MapKey, Value> = HashMap::new();
        while let Some(text) = map.next_key_seed(Key)? {
            self.walk.path.push(Step::Key(name(&text)));
            let key = self.key.key(&text).map_err(A::Error::custom)?;
            let seed = ContentSeed { walk: self.walk, content: self.content };
            let value = map.next_value_seed(seed)?;
            if values.insert(key, value).is_some() {
                return Err(A::Error::custom("given twice"));
            }
            if values.len() > MAX_ELEMENTS {
                return Err(A::Error::custom(format!("a map may have at most {MAX_ELEMENTS} entries")));
            }
            self.walk.path.pop();
        }
        Ok(Value::Map(values))
    }
}

struct ScalarVisitor<'s> {
    scalar: &'s Scalar,
}

impl Visitor<'_> for ScalarVisitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scalar.expected())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.scalar.read_bool(value).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        self.scalar.read_integer(number.into()).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        self.scalar.read_integer(number.into()).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        self.scalar.read_float(number).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.scalar.parse(text).map_err(E::custom)
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        match self.scalar {
            Scalar::Text => Ok(Value::String(text)),
            _ => self.visit_str(&text),
        }
    }
}
