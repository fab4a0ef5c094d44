//! The field mask of a PATCH that gives none: what its body names (AIP-134).

use super::fault::Fault;
use super::rules::{Binding, Body};
use super::schema::{Content, Field, Message, Schema};
use bytes::Bytes;
use prost_reflect::{DynamicMessage, Kind, Value};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Sets the mask to the fields that the body names, unless there is one or the
/// method has none. The body has been read as a message before.
///
/// # Errors
/// When the body is no JSON object.
pub(super) fn imply(
    schema: &Schema,
    rule: &Binding,
    body: &Bytes,
    message: &mut DynamicMessage,
) -> Result<(), Fault> {
    let Some(mask) = rule.mask.as_ref().filter(|mask| !message.has_field(mask) && !body.is_empty()) else {
        return Ok(());
    };
    let Some(target) = target(schema, rule) else { return Ok(()) };
    let Kind::Message(kind) = mask.kind() else { return Ok(()) };
    let given: Option<BTreeMap<Cow<'_, str>, IgnoredAny>> =
        serde_json::from_slice(body).map_err(|error| Fault::json(error.to_string()))?;
    let given = given.unwrap_or_default();
    let named = given.keys().filter_map(|name| target.field(name)).filter(|field| changes(rule, field));
    let paths: Vec<_> = named.map(|field| Value::String(field.descriptor.name().to_owned())).collect();
    if paths.is_empty() {
        return Ok(());
    }
    let mut value = DynamicMessage::new(kind);
    value.set_field_by_name("paths", Value::List(paths));
    message.set_field(mask, Value::Message(value));
    Ok(())
}

/// The message whose fields the body gives.
fn target<'s>(schema: &'s Schema, rule: &Binding) -> Option<&'s Message> {
    match &rule.body {
        Body::All => Some(schema.message(rule.root)),
        Body::Field(Field { content: Content::Message(id), .. }) => Some(schema.message(*id)),
        Body::Field(_) | Body::Nothing | Body::Bytes(_) => None,
    }
}

/// A field that says which, or that only the platform sets, is none to change.
fn changes(rule: &Binding, field: &Field) -> bool {
    let name = field.descriptor.name();
    let which = rule.variables.iter().any(|path| path.rsplit('.').next() == Some(name));
    !field.output_only && !which
}
