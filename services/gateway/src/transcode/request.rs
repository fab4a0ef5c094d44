//! The request message of a REST call: body first, then the query, then the
//! path, which has the last word.

use super::fault::Fault;
use super::query::{self, FieldPath, Taken};
use super::routes::Found;
use super::rules::{Binding, Body};
use super::schema::Schema;
use super::{json, mask};
use bytes::Bytes;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};

/// How much of what a request may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How deep JSON may be nested.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: 64 }
    }
}

/// What of a request is not in its path.
#[derive(Debug, Clone, Default)]
pub struct Parts<'r> {
    /// The query, without the question mark.
    pub query: &'r str,
    /// The body.
    pub body: Bytes,
}

pub(super) fn build(
    schema: &Schema,
    limits: &Limits,
    found: &Found<'_, Binding>,
    parts: &Parts<'_>,
) -> Result<Bytes, Fault> {
    let rule = found.rule;
    let mut message = from_body(schema, limits, rule, &parts.body)?;
    match &rule.body {
        Body::All => refuse_query(parts.query)?,
        other => {
            let by_body = match other {
                Body::Field(field) => Some(field.descriptor.name()),
                Body::Bytes(field) => Some(field.name()),
                Body::All | Body::Nothing => None,
            };
            let taken = Taken { by_path: &rule.variables, by_body };
            query::apply(schema, rule.root, parts.query, &taken, &mut message)?;
        }
    }
    mask::imply(schema, rule, &parts.body, &mut message)?;
    for (field, text) in rule.variables.iter().zip(&found.variables) {
        from_path(schema, rule, field, text, &mut message).map_err(|why| Fault::parameter(field, why))?;
    }
    Ok(message.encode_to_vec().into())
}

/// Makes the later messages of an upload, which hold nothing but bytes.
#[derive(Debug, Clone)]
pub struct PieceMaker {
    input: MessageDescriptor,
    field: FieldDescriptor,
}

impl PieceMaker {
    /// A message with this piece.
    #[must_use]
    pub fn message(&self, bytes: Bytes) -> Bytes {
        let mut message = DynamicMessage::new(self.input.clone());
        // cannot fail: the rule was checked at start, the field is one of bytes
        let _ = message.try_set_field(&self.field, Value::Bytes(bytes));
        message.encode_to_vec().into()
    }
}

impl Binding {
    /// How the pieces of the body are sent, when it is one of bytes.
    #[must_use]
    pub fn pieces(&self) -> Option<PieceMaker> {
        match &self.body {
            Body::Bytes(field) => Some(PieceMaker { input: self.method.input.clone(), field: field.clone() }),
            Body::Nothing | Body::All | Body::Field(_) => None,
        }
    }
}

fn from_body(
    schema: &Schema,
    limits: &Limits,
    rule: &Binding,
    body: &Bytes,
) -> Result<DynamicMessage, Fault> {
    let mut message = DynamicMessage::new(rule.method.input.clone());
    match &rule.body {
        Body::All => return json::message(schema, rule.root, body, limits.max_depth),
        Body::Field(field) => {
            if let Some(value) = json::field(schema, field, body, limits.max_depth)? {
                let set = message.try_set_field(&field.descriptor, value);
                set.map_err(|e| Fault::field(field.descriptor.json_name(), e.to_string()))?;
            }
        }
        Body::Bytes(field) => {
            let set = message.try_set_field(field, Value::Bytes(body.clone()));
            set.map_err(|e| Fault::field(field.json_name(), e.to_string()))?;
        }
        Body::Nothing if body.is_empty() => {}
        Body::Nothing => return Err(Fault::UnexpectedBody),
    }
    Ok(message)
}

/// With `body: "*"` every field but those of the path is in the body.
fn refuse_query(query: &str) -> Result<(), Fault> {
    match query.split('&').find(|pair| !pair.is_empty()) {
        None => Ok(()),
        Some(pair) => {
            let name = pair.split('=').next().unwrap_or(pair);
            Err(Fault::parameter(name, "no query parameters are taken here: put the field into the body"))
        }
    }
}

/// Two different answers to one question are refused: which of them a proxy, a
/// log or a policy has seen must not matter.
fn from_path(
    schema: &Schema,
    rule: &Binding,
    field: &str,
    text: &str,
    message: &mut DynamicMessage,
) -> Result<(), String> {
    let path = FieldPath::resolve(schema, rule.root, field)?;
    let value = query::value(path.leaf, text)?;
    let home = path.home(message)?;
    let leaf = &path.leaf.descriptor;
    if home.has_field(leaf) && *home.get_field(leaf) != value {
        return Err("the body and the path do not say the same".to_owned());
    }
    home.try_set_field(leaf, value).map_err(|e| e.to_string())
}
