//! What `google.api.http` says about a method, made ready for use.

use super::layout::{LayoutId, Layouts};
use super::query::FieldPath;
use super::reply::Form;
use super::schema::{Content, Field, MessageId, Scalar, Schema, Shape, is_json};
use super::template::{Template, Variable};
use http::uri::PathAndQuery;
use probity_proto::pb::google::api::{HttpRule, http_rule::Pattern};
use prost_reflect::prost::Message as _;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use std::sync::Arc;

/// What is known of an RPC before it is called.
#[derive(Debug)]
pub struct Method {
    /// Its HTTP/2 path, `/package.Service/Method`.
    pub path: PathAndQuery,
    /// The package of its service.
    pub package: String,
    /// The request message.
    pub input: MessageDescriptor,
    /// How its replies are printed.
    pub(super) form: Form,
    /// The client sends a stream.
    pub client_streaming: bool,
    /// The server answers with a stream.
    pub server_streaming: bool,
    /// The only field of the reply, when that is `bytes`: such a reply can be
    /// handed out as it is.
    pub bytes_reply: Option<FieldDescriptor>,
}

/// What a rule does with the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// There must be none.
    Nothing,
    /// It is JSON.
    Json,
    /// It is the value of one `bytes` field, as it is.
    Bytes,
}

/// A route of a method.
pub struct Binding {
    /// The method.
    pub method: Arc<Method>,
    pub(super) root: MessageId,
    /// The fields of the path, in the order of the template.
    pub(super) variables: Vec<String>,
    pub(super) body: Body,
    /// The field mask of a PATCH, which is made of the body where nobody gives one.
    pub(super) mask: Option<FieldDescriptor>,
}

pub(super) enum Body {
    Nothing,
    All,
    Field(Field),
    Bytes(FieldDescriptor),
}

impl Method {
    pub(super) fn read(descriptor: &MethodDescriptor, layouts: Arc<Layouts>, id: LayoutId) -> Self {
        let output = descriptor.output();
        let only = output.fields().next().filter(|_| output.fields().len() == 1);
        let bytes_reply = only.filter(|f| f.kind() == Kind::Bytes && !f.is_list() && !is_json(f));
        let path = probity_proto::access::path(descriptor);
        Self {
            path: PathAndQuery::try_from(path).unwrap_or_else(|_| PathAndQuery::from_static("/")),
            package: descriptor.parent_service().package_name().to_owned(),
            input: descriptor.input(),
            bytes_reply,
            form: Form { layouts, id },
            client_streaming: descriptor.is_client_streaming(),
            server_streaming: descriptor.is_server_streaming(),
        }
    }
}

impl Binding {
    /// What becomes of the body.
    #[must_use]
    pub fn body_rule(&self) -> BodyRule {
        match self.body {
            Body::Nothing => BodyRule::Nothing,
            Body::All | Body::Field(_) => BodyRule::Json,
            Body::Bytes(_) => BodyRule::Bytes,
        }
    }
}

/// The rules of a method, additional bindings included; none for a method
/// without the option.
///
/// # Errors
/// When the option cannot be read.
pub(super) fn of(method: &MethodDescriptor) -> Result<Vec<HttpRule>, String> {
    let options = method.options();
    let extension = method.parent_pool().get_extension_by_name("google.api.http");
    let Some(extension) = extension.filter(|ext| options.has_extension(ext)) else {
        return Ok(Vec::new());
    };
    let value = options.get_extension(&extension);
    let bytes = value.as_message().map(|m| m.encode_to_vec()).unwrap_or_default();
    let mut first = HttpRule::decode(bytes.as_slice())
        .map_err(|e| format!("{}: google.api.http cannot be read: {e}", method.full_name()))?;
    let more = std::mem::take(&mut first.additional_bindings);
    Ok(std::iter::once(first).chain(more).collect())
}

/// A route of a method as its contract spells it.
pub(crate) struct Route {
    /// The HTTP method.
    pub(crate) http: http::Method,
    /// The path.
    pub(crate) template: Template,
    /// What the body is: nothing, `*`, or the name of a field.
    pub(crate) body: String,
}

/// The routes of a method, for those who describe them.
///
/// # Errors
/// When a rule cannot be read.
pub(crate) fn routes(method: &MethodDescriptor) -> Result<Vec<Route>, String> {
    let route = |rule: HttpRule| {
        let (http, template) = pattern(&rule)?;
        Ok(Route { http, template: Template::parse(template)?, body: rule.body.clone() })
    };
    of(method)?.into_iter().map(route).collect()
}

/// The routes of a method as people write them, `GET /v1/{name=cases/*}`.
///
/// # Errors
/// When a rule cannot be read.
pub(crate) fn spelled(method: &MethodDescriptor) -> Result<Vec<String>, String> {
    let rules = of(method)?;
    rules.iter().map(|rule| pattern(rule).map(|(http, path)| format!("{http} {path}"))).collect()
}

/// Makes a rule ready.
///
/// # Errors
/// Says what in it cannot be carried out.
pub(super) fn bind(
    rule: &HttpRule,
    method: &Arc<Method>,
    descriptor: &MethodDescriptor,
    schema: &mut Schema,
) -> Result<(http::Method, Template, Binding), String> {
    if !rule.response_body.is_empty() || !rule.additional_bindings.is_empty() {
        return Err("response_body and nested additional_bindings are not understood".to_owned());
    }
    let (http, template) = pattern(rule)?;
    let template = Template::parse(template)?;
    let root = schema.take_in(&descriptor.input());
    let variables: Result<Vec<_>, _> = template.variables.iter().map(|v| variable(schema, root, v)).collect();
    let body = body(schema, root, &rule.body)?;
    if matches!(http, http::Method::GET | http::Method::DELETE) && !matches!(body, Body::Nothing) {
        return Err(format!("{http} takes no body"));
    }
    if method.client_streaming && !matches!(body, Body::Bytes(_)) {
        return Err("a client stream needs a bytes field as its body".to_owned());
    }
    if method.client_streaming && method.server_streaming {
        return Err("streams in both directions have no REST form".to_owned());
    }
    let mask = mask(&descriptor.input()).filter(|_| http == http::Method::PATCH);
    let binding = Binding { method: method.clone(), root, variables: variables?, body, mask };
    Ok((http, template, binding))
}

/// The field that says what an update changes (AIP-134).
fn mask(input: &MessageDescriptor) -> Option<FieldDescriptor> {
    let is_mask =
        |kind: &Kind| matches!(kind, Kind::Message(m) if m.full_name() == "google.protobuf.FieldMask");
    input.get_field_by_name("update_mask").filter(|field| is_mask(&field.kind()) && !field.is_list())
}

fn pattern(rule: &HttpRule) -> Result<(http::Method, &str), String> {
    match rule.pattern.as_ref() {
        Some(Pattern::Get(path)) => Ok((http::Method::GET, path)),
        Some(Pattern::Put(path)) => Ok((http::Method::PUT, path)),
        Some(Pattern::Post(path)) => Ok((http::Method::POST, path)),
        Some(Pattern::Delete(path)) => Ok((http::Method::DELETE, path)),
        Some(Pattern::Patch(path)) => Ok((http::Method::PATCH, path)),
        Some(Pattern::Custom(_)) => Err("custom HTTP methods are not understood".to_owned()),
        None => Err("the rule has no path".to_owned()),
    }
}

/// The canonical path of the field a variable fills: one scalar.
fn variable(schema: &Schema, root: MessageId, variable: &Variable) -> Result<String, String> {
    let path = FieldPath::resolve(schema, root, &variable.field)?;
    match path.leaf.content {
        Content::Scalar(Scalar::Json) => Err(format!("{} is JSON, which no path can hold", variable.field)),
        Content::Scalar(_) if path.leaf.shape == Shape::One => Ok(path.canonical()),
        _ => Err(format!("{} is no single scalar field", variable.field)),
    }
}

fn body(schema: &Schema, root: MessageId, name: &str) -> Result<Body, String> {
    match name {
        "" => Ok(Body::Nothing),
        "*" => Ok(Body::All),
        name => {
            let field =
                schema.message(root).field(name).ok_or_else(|| format!("no field {name} for the body"))?;
            let raw = field.shape == Shape::One && matches!(field.content, Content::Scalar(Scalar::Bytes));
            Ok(if raw { Body::Bytes(field.descriptor.clone()) } else { Body::Field(field.clone()) })
        }
    }
}
