//! Query parameters into the fields of a message: `pageSize=10`, `kind=…`,
//! `filter.from=…`, repeated ones for lists.

use super::fault::{Fault, quote};
use super::percent::{Plus, decode};
use super::schema::{Content, Field, MessageId, Schema, Shape};
use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, MessageDescriptor, Value};
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as Plain;

/// How deep a parameter may reach into nested messages.
const MAX_STEPS: usize = 16;

/// The way to a field: the messages it is nested in, then the field.
pub(super) struct FieldPath<'s> {
    pub(super) parents: Vec<&'s Field>,
    pub(super) leaf: &'s Field,
}

impl<'s> FieldPath<'s> {
    /// Finds `a.b.c`, by proto or JSON names.
    ///
    /// # Errors
    /// Says which name is unknown, or which field has no fields of its own.
    pub(super) fn resolve(schema: &'s Schema, root: MessageId, text: &str) -> Result<Self, String> {
        let mut message = schema.message(root);
        let mut parents = Vec::new();
        let mut names = text.split('.').peekable();
        while let Some(name) = names.next() {
            let field = message
                .field(name)
                .ok_or_else(|| format!("no such field {}; {}", quote(name), message.known_names()))?;
            if names.peek().is_none() {
                return Ok(Self { parents, leaf: field });
            }
            message = match field.content {
                Content::Message(id) if field.shape == Shape::One && parents.len() < MAX_STEPS => {
                    schema.message(id)
                }
                _ => return Err(format!("{} has no fields that can be named here", quote(name))),
            };
            parents.push(field);
        }
        Err("a field must be named".to_owned())
    }

    /// The path in proto names, one text for each field.
    pub(super) fn canonical(&self) -> String {
        let steps = self.parents.iter().copied().chain([self.leaf]);
        let names: Vec<_> = steps.map(|field| field.descriptor.name()).collect();
        names.join(".")
    }

    pub(super) fn is_output_only(&self) -> bool {
        self.leaf.output_only || self.parents.iter().any(|field| field.output_only)
    }

    /// The message the field is in, made where it is missing.
    ///
    /// # Errors
    /// Names the other field of a oneof that is set already.
    pub(super) fn home<'m>(&self, root: &'m mut DynamicMessage) -> Result<&'m mut DynamicMessage, String> {
        let mut message = root;
        for parent in &self.parents {
            alone(message, &parent.descriptor)?;
            message = message
                .get_field_mut(&parent.descriptor)
                .as_message_mut()
                .ok_or_else(|| "is no message".to_owned())?;
        }
        Ok(message)
    }
}

/// Refuses a field whose oneof holds another one.
fn alone(message: &DynamicMessage, field: &FieldDescriptor) -> Result<(), String> {
    let Some(oneof) = field.containing_oneof() else { return Ok(()) };
    match oneof.fields().find(|other| other != field && message.has_field(other)) {
        Some(other) => Err(format!("cannot be given together with {}", other.json_name())),
        None => Ok(()),
    }
}

/// Which fields a query cannot set, and why.
pub(super) struct Taken<'r> {
    /// Canonical paths that the URL path gives.
    pub(super) by_path: &'r [String],
    /// The field that the body gives.
    pub(super) by_body: Option<&'r str>,
}

/// Sets what the query says.
///
/// # Errors
/// Names the first parameter that cannot be used.
pub(super) fn apply(
    schema: &Schema,
    root: MessageId,
    query: &str,
    taken: &Taken<'_>,
    out: &mut DynamicMessage,
) -> Result<(), Fault> {
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name, Plus::Space, false).map_err(Fault::Encoding)?;
        let text = decode(text, Plus::Space, false).map_err(|why| Fault::parameter(&name, why))?;
        set(schema, root, &name, &text, taken, &mut seen, out).map_err(|why| Fault::parameter(&name, why))?;
    }
    Ok(())
}

fn set(
    schema: &Schema,
    root: MessageId,
    name: &str,
    text: &str,
    taken: &Taken<'_>,
    seen: &mut Vec<String>,
    out: &mut DynamicMessage,
) -> Result<(), String> {
    let path = FieldPath::resolve(schema, root, name)?;
    let canonical = path.canonical();
    taken.check(&canonical)?;
    if path.is_output_only() {
        return Ok(());
    }
    let leaf = &path.leaf.descriptor;
    let value = value(path.leaf, text)?;
    let home = path.home(out)?;
    alone(home, leaf)?;
    if path.leaf.shape == Shape::List {
        home.get_field_mut(leaf).as_list_mut().ok_or("is no list")?.push(value);
        return Ok(());
    }
    if seen.contains(&canonical) {
        return Err("given twice".to_owned());
    }
    seen.push(canonical);
    home.try_set_field(leaf, value).map_err(|e| e.to_string())
}

impl Taken<'_> {
    fn check(&self, canonical: &str) -> Result<(), String> {
        if self.by_path.iter().any(|field| field == canonical) {
            return Err("is given by the path already".to_owned());
        }
        let first = canonical.split('.').next();
        if self.by_body.is_some() && self.by_body == first {
            return Err("belongs into the body".to_owned());
        }
        Ok(())
    }
}

/// One value of a field from text.
///
/// # Errors
/// Says what was expected.
pub(super) fn value(field: &Field, text: &str) -> Result<Value, String> {
    match &field.content {
        _ if field.shape == Shape::Map => Err("a map cannot be given in a URL".to_owned()),
        Content::Scalar(scalar) => scalar.parse(text),
        Content::WellKnown(descriptor) => well_known(descriptor, text).map(Value::Message),
        Content::Message(_) => {
            Err(format!("is an object: name its fields, as in {}.field=…", field.descriptor.json_name()))
        }
    }
}

fn well_known(descriptor: &MessageDescriptor, text: &str) -> Result<DynamicMessage, String> {
    const OPTIONS: DeserializeOptions = DeserializeOptions::new();
    let of = descriptor.clone();
    let read: Result<_, Plain> = match (descriptor.name(), text) {
        ("BoolValue", "true" | "false") => {
            DynamicMessage::deserialize_with_options(of, (text == "true").into_deserializer(), &OPTIONS)
        }
        _ => DynamicMessage::deserialize_with_options(of, text.into_deserializer(), &OPTIONS),
    };
    read.map_err(|e| e.to_string())
}
