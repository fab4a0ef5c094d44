//! Messages and enums as JSON Schema 2020-12.
//!
//! A message is described twice when it goes both ways: what a reply prints is
//! whole (`required`), what a request may hold is closed
//! (`additionalProperties: false`), because unknown fields are refused.

use super::comments::Comments;
use crate::transcode::schema::{is_json, is_output_only, is_required};
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Reply,
}

/// The schemas that were referred to.
pub(super) struct Schemas<'p> {
    pub(super) comments: &'p Comments,
    /// Full names that cannot be shortened, because another has the same ending.
    ambiguous: BTreeSet<String>,
    /// Messages that replies are made of.
    replied: BTreeSet<String>,
    made: BTreeMap<String, Value>,
}

impl<'p> Schemas<'p> {
    pub(super) fn new(pool: &DescriptorPool, comments: &'p Comments) -> Self {
        let mut replied = BTreeSet::new();
        for method in pool.services().flat_map(|s| s.methods().collect::<Vec<_>>()) {
            reach(&method.output(), &mut replied);
        }
        Self { comments, ambiguous: ambiguous(pool), replied, made: BTreeMap::new() }
    }

    /// Everything that was referred to, by name.
    pub(super) fn into_value(self) -> Value {
        self.made.into_iter().collect::<Map<_, _>>().into()
    }

    /// A reference to a message.
    pub(super) fn message(&mut self, message: &MessageDescriptor, side: Side) -> Value {
        let mut name = self.short(message.full_name(), message.name(), message.package_name());
        if side == Side::Request && self.replied.contains(message.full_name()) {
            name.push_str("Input");
        }
        if !self.made.contains_key(&name) {
            self.made.insert(name.clone(), Value::Null); // before its fields: it may hold itself
            // What is missing deep inside is for the service to judge: one bad item of
            // a batch must not hold up the others.
            let schema = match side {
                Side::Request => self.fields(message, side, &[], |_| false),
                Side::Reply => self.object(message, side, &[]),
            };
            self.made.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// A message without some of its fields, written out.
    pub(super) fn object(&mut self, message: &MessageDescriptor, side: Side, without: &[String]) -> Value {
        self.fields(message, side, without, |field| match side {
            Side::Request => is_required(field),
            Side::Reply => !field.supports_presence(),
        })
    }

    fn fields(
        &mut self,
        message: &MessageDescriptor,
        side: Side,
        without: &[String],
        always: impl Fn(&FieldDescriptor) -> bool,
    ) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields().filter(|field| !without.iter().any(|name| name == field.name())) {
            let always = always(&field);
            if always {
                required.push(field.json_name().to_owned());
            }
            let schema = self.field(&field, side);
            let schema = if side == Side::Request && !always { or_null(schema) } else { schema };
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut schema = json!({"type": "object", "properties": properties});
        let text = self.comments.at(message.parent_file().name(), message.path());
        if !text.is_empty() {
            schema["description"] = json!(text);
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if side == Side::Request {
            schema["additionalProperties"] = json!(false);
        }
        schema
    }

    /// A field with its comment.
    pub(super) fn field(&mut self, field: &FieldDescriptor, side: Side) -> Value {
        let one = |schemas: &mut Self, field: &FieldDescriptor| match is_json(field) {
            true => json!({}),
            false => schemas.kind(&field.kind(), side),
        };
        let mut schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = entry.map_entry_value_field();
                let inner = if is_json(field) { json!({}) } else { self.kind(&value.kind(), side) };
                json!({"type": "object", "additionalProperties": inner})
            }
            _ if field.is_list() => json!({"type": "array", "items": one(self, field)}),
            _ => one(self, field),
        };
        let text = self.comments.at(field.parent_file().name(), field.path());
        if !text.is_empty() {
            schema["description"] = json!(text);
        }
        if side == Side::Request && is_output_only(field) {
            schema["readOnly"] = json!(true);
        }
        schema
    }

    fn kind(&mut self, kind: &Kind, side: Side) -> Value {
        match kind {
            Kind::Message(message) if message.package_name() == "google.protobuf" => well_known(message),
            Kind::Message(message) => self.message(message, side),
            Kind::Enum(values) => self.enumeration(values, side),
            scalar => self::scalar(scalar, side),
        }
    }

    /// Replies print names; requests may also say numbers.
    fn enumeration(&mut self, values: &EnumDescriptor, side: Side) -> Value {
        let mut name = self.short(values.full_name(), values.name(), values.package_name());
        if side == Side::Request {
            name.push_str("Input");
        }
        if !self.made.contains_key(&name) {
            let file = values.parent_file();
            let mut text = self.comments.at(file.name(), values.path()).to_owned();
            text.push('\n');
            for value in values.values() {
                let about = self.comments.at(file.name(), value.path()).replace('\n', " ");
                text.push_str(&format!("\n- `{}`: {about}", value.name()));
            }
            let names: Vec<_> = values.values().map(|value| value.name().to_owned()).collect();
            let mut schema = json!({"type": "string", "enum": names, "description": text});
            if side == Side::Request {
                let numbers: Vec<_> = values.values().map(|value| value.number()).collect();
                let by_name = json!({"type": "string", "enum": names});
                let by_number = json!({"type": "integer", "enum": numbers});
                schema = json!({"anyOf": [by_name, by_number], "description": text});
            }
            self.made.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// The last name, with the package before it where two have the same.
    fn short(&self, full: &str, last: &str, package: &str) -> String {
        if !self.ambiguous.contains(full) {
            return last.to_owned();
        }
        let package = package.trim_start_matches("probity.").split('.').next().unwrap_or_default();
        let (first, rest) = package.split_at(package.len().min(1));
        format!("{}{rest}{last}", first.to_uppercase())
    }
}

/// In a request `null` is the same as absent.
fn or_null(mut schema: Value) -> Value {
    let Some(fields) = schema.as_object_mut() else { return schema };
    if let Some(kind) = fields.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    } else if let Some(any) = fields.get_mut("anyOf").and_then(Value::as_array_mut) {
        any.push(json!({"type": "null"}));
    } else if let Some(reference) = fields.remove("$ref") {
        fields.insert("anyOf".to_owned(), json!([{"$ref": reference}, {"type": "null"}]));
    }
    schema
}

fn reach(message: &MessageDescriptor, seen: &mut BTreeSet<String>) {
    if !seen.insert(message.full_name().to_owned()) {
        return;
    }
    for field in message.fields() {
        if let Kind::Message(inner) = field.kind() {
            reach(&inner, seen);
        }
    }
}

fn ambiguous(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let messages = pool.all_messages().map(|m| (m.name().to_owned(), m.full_name().to_owned()));
    let enums = pool.all_enums().map(|e| (e.name().to_owned(), e.full_name().to_owned()));
    for (name, full) in messages.chain(enums).filter(|(_, full)| full.starts_with("probity.")) {
        by_name.entry(name).or_default().push(full);
    }
    by_name.into_values().filter(|all| all.len() > 1).flatten().collect()
}

/// A message with a JSON form of its own.
fn well_known(message: &MessageDescriptor) -> Value {
    match message.name() {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => {
            json!({"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$", "examples": ["30s"]})
        }
        "FieldMask" => json!({"type": "string", "examples": ["maxRunning,rate"]}),
        "Empty" | "Struct" => json!({"type": "object"}),
        "ListValue" => json!({"type": "array", "items": {}}),
        _ => json!({}),
    }
}

fn scalar(kind: &Kind, side: Side) -> Value {
    match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Double | Kind::Float => json!({"type": "number", "format": "double"}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
        Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "int32", "minimum": 0}),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => whole(side),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        _ => json!({"type": "string"}),
    }
}

/// 64-bit integers are printed as text, so that no reader rounds them, and read
/// as text or number.
fn whole(side: Side) -> Value {
    let text = json!({"type": "string", "pattern": "^-?[0-9]{1,18}$"});
    match side {
        Side::Reply => json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,20}$"}),
        Side::Request => json!({"anyOf": [text, {"type": "integer", "format": "int64"}]}),
    }
}
