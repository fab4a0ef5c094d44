//! What a request message looks like, looked up once at start: names, kinds and
//! which fields only the platform sets.

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};
use std::collections::HashMap;

/// All messages that requests are made of.
#[derive(Default)]
pub(super) struct Schema {
    messages: Vec<Message>,
    index: HashMap<String, MessageId>,
}

/// A message of a [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageId(usize);

/// A message type.
pub(super) struct Message {
    pub(super) descriptor: MessageDescriptor,
    pub(super) fields: Vec<Field>,
    names: HashMap<String, usize>,
}

/// A field of a message.
#[derive(Clone)]
pub(super) struct Field {
    pub(super) descriptor: FieldDescriptor,
    pub(super) shape: Shape,
    pub(super) content: Content,
    /// Only the platform sets it.
    pub(super) output_only: bool,
}

/// How many values a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    Map,
}

/// What the values of a field are; of a map, the values of its entries.
#[derive(Clone)]
pub(super) enum Content {
    Scalar(Scalar),
    Message(MessageId),
    /// A message with a JSON form of its own, such as a timestamp.
    WellKnown(MessageDescriptor),
}

/// A kind of scalar. The wire format is the descriptor's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar {
    I32,
    I64,
    U32,
    U64,
    F32,
    F64,
    Bool,
    Text,
    Bytes,
    /// Bytes that are JSON text themselves.
    Json,
    Enum(EnumDescriptor),
}

impl Schema {
    /// The message type, taken in with everything it is made of.
    pub(super) fn take_in(&mut self, descriptor: &MessageDescriptor) -> MessageId {
        if let Some(known) = self.index.get(descriptor.full_name()) {
            return *known;
        }
        let id = MessageId(self.messages.len());
        self.index.insert(descriptor.full_name().to_owned(), id);
        self.messages.push(Message {
            descriptor: descriptor.clone(),
            fields: Vec::new(),
            names: HashMap::new(),
        });
        let fields: Vec<_> = descriptor.fields().map(|field| self.field(field)).collect();
        let message = &mut self.messages[id.0];
        for (at, field) in fields.iter().enumerate() {
            message.names.insert(field.descriptor.name().to_owned(), at);
            message.names.insert(field.descriptor.json_name().to_owned(), at);
        }
        message.fields = fields;
        id
    }

    pub(super) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0]
    }

    fn field(&mut self, descriptor: FieldDescriptor) -> Field {
        let (shape, kind) = match descriptor.kind() {
            Kind::Message(entry) if descriptor.is_map() => (Shape::Map, entry.map_entry_value_field().kind()),
            kind if descriptor.is_list() => (Shape::List, kind),
            kind => (Shape::One, kind),
        };
        let output_only = is_output_only(&descriptor);
        let content = if is_json(&descriptor) { Content::Scalar(Scalar::Json) } else { self.content(&kind) };
        Field { descriptor, shape, content, output_only }
    }

    fn content(&mut self, kind: &Kind) -> Content {
        match kind {
            Kind::Message(message) if message.package_name() == "google.protobuf" => {
                Content::WellKnown(message.clone())
            }
            Kind::Message(message) => Content::Message(self.take_in(message)),
            scalar => Content::Scalar(Scalar::of(scalar)),
        }
    }
}

impl Message {
    /// The place of the field with a JSON or proto name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The field with a JSON or proto name.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(self.position(name)?)
    }

    /// The fields a client may name, for error messages.
    pub(super) fn known_names(&self) -> String {
        let open = self.fields.iter().filter(|f| !f.output_only);
        let names: Vec<_> = open.map(|f| f.descriptor.json_name()).collect();
        if names.is_empty() { "it has no fields".to_owned() } else { format!("one of {}", names.join(", ")) }
    }
}

impl Scalar {
    pub(super) fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Self::I32,
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Self::I64,
            Kind::Uint32 | Kind::Fixed32 => Self::U32,
            Kind::Uint64 | Kind::Fixed64 => Self::U64,
            Kind::Float => Self::F32,
            Kind::Double => Self::F64,
            Kind::Bool => Self::Bool,
            Kind::Bytes => Self::Bytes,
            Kind::Enum(values) => Self::Enum(values.clone()),
            Kind::String | Kind::Message(_) => Self::Text,
        }
    }
}

/// The field holds bytes with the option `(probity.common.v1.json) = true`; of a
/// map, its values do.
pub(crate) fn is_json(field: &FieldDescriptor) -> bool {
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    let options = field.options();
    let extension = field.parent_pool().get_extension_by_name("probity.common.v1.json");
    let marked = extension.filter(|ext| options.has_extension(ext));
    kind == Kind::Bytes && marked.is_some_and(|ext| options.get_extension(&ext).as_bool() == Some(true))
}

/// `google.api.field_behavior` holds OUTPUT_ONLY (3).
pub(crate) fn is_output_only(field: &FieldDescriptor) -> bool {
    behaves(field, 3)
}

/// `google.api.field_behavior` holds REQUIRED (2).
pub(crate) fn is_required(field: &FieldDescriptor) -> bool {
    behaves(field, 2)
}

fn behaves(field: &FieldDescriptor, behaviour: i32) -> bool {
    let options = field.options();
    let extension = field.parent_pool().get_extension_by_name("google.api.field_behavior");
    extension.filter(|ext| options.has_extension(ext)).is_some_and(|ext| {
        let behaviours = options.get_extension(&ext);
        let list = behaviours.as_list().unwrap_or_default();
        list.iter().filter_map(Value::as_enum_number).any(|number| number == behaviour)
    })
}
