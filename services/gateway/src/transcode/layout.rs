//! What a reply message looks like in JSON, worked out once at start.

use super::schema::is_json;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use std::collections::HashMap;

/// All messages that replies are made of.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    layouts: Vec<Layout>,
    index: HashMap<String, LayoutId>,
}

/// A message of [`Layouts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayoutId(usize);

/// A message type.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// In the order of the contract, which is the order they are printed in.
    pub(super) entries: Vec<Entry>,
    /// Field numbers in order, each with its place among the entries.
    numbers: Vec<(u32, usize)>,
    /// How many oneofs there are.
    pub(super) oneofs: usize,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Entry {
    /// `"name":`.
    pub(super) key: String,
    pub(super) shape: Shape,
    pub(super) content: Content,
    /// The oneof it belongs to, of which only the last one on the wire counts.
    pub(super) oneof: Option<usize>,
}

/// How many values a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// One that is always printed.
    Always,
    /// One that is printed when it is there.
    Present,
    List,
    /// A map with keys of that kind.
    Map(Kind),
}

/// What the values of a field are; of a map, the values of its entries.
#[derive(Debug)]
pub(super) enum Content {
    Scalar(Kind),
    /// Bytes that are JSON themselves.
    Json,
    /// The names of an enum in quotes, by number.
    Enum(HashMap<i32, String>),
    Message(LayoutId),
    /// A message with a JSON form of its own, such as a timestamp.
    WellKnown(MessageDescriptor),
}

impl Layouts {
    /// The message type, taken in with everything it is made of.
    pub(super) fn take_in(&mut self, descriptor: &MessageDescriptor) -> LayoutId {
        if let Some(known) = self.index.get(descriptor.full_name()) {
            return *known;
        }
        let id = LayoutId(self.layouts.len());
        self.index.insert(descriptor.full_name().to_owned(), id);
        self.layouts.push(Layout::default());
        let entries: Vec<_> = descriptor.fields().map(|field| self.entry(&field)).collect();
        let mut numbers: Vec<_> = (0..).zip(descriptor.fields()).map(|(at, f)| (f.number(), at)).collect();
        numbers.sort_unstable();
        self.layouts[id.0] = Layout { entries, numbers, oneofs: descriptor.oneofs().len() };
        id
    }

    pub(super) fn layout(&self, id: LayoutId) -> &Layout {
        &self.layouts[id.0]
    }

    fn entry(&mut self, field: &FieldDescriptor) -> Entry {
        let (shape, kind) = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                (Shape::Map(entry.map_entry_key_field().kind()), entry.map_entry_value_field().kind())
            }
            kind if field.is_list() => (Shape::List, kind),
            kind if field.supports_presence() => (Shape::Present, kind),
            kind => (Shape::Always, kind),
        };
        let place = |oneof: prost_reflect::OneofDescriptor| {
            field.parent_message().oneofs().position(|other| other == oneof)
        };
        Entry {
            key: format!("{}:", quoted(field.json_name())),
            shape,
            content: if is_json(field) { Content::Json } else { self.content(kind) },
            oneof: field.containing_oneof().and_then(place),
        }
    }

    fn content(&mut self, kind: Kind) -> Content {
        match kind {
            Kind::Message(message) if message.package_name() == "google.protobuf" => {
                Content::WellKnown(message)
            }
            Kind::Message(message) => Content::Message(self.take_in(&message)),
            Kind::Enum(values) => Content::Enum(names(&values)),
            scalar => Content::Scalar(scalar),
        }
    }
}

impl Layout {
    /// The place of the field with a number.
    pub(super) fn position(&self, number: u32) -> Option<usize> {
        let at = self.numbers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.numbers[at].1)
    }
}

/// The first name of a number is the one that is printed.
fn names(values: &EnumDescriptor) -> HashMap<i32, String> {
    let mut names = HashMap::new();
    for value in values.values() {
        names.entry(value.number()).or_insert_with(|| quoted(value.name()));
    }
    names
}

/// Names of fields and enums have no character that JSON escapes.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
