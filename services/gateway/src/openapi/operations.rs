//! One operation: an RPC at one of its routes.

use super::comments::summary;
use super::paths::{Hole, Path, singular};
use super::schemas::{Schemas, Side};
use super::{examples, problems, samples};
use crate::transcode::rules::Route;
use crate::transcode::schema::{is_json, is_output_only};
use crate::transcode::{Parts, Transcoder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_proto::access::{self, MethodAccess};
use probity_types::Role;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage as _,
};
use serde_json::{Map, Value, json};

/// How deep query parameters reach into messages.
const QUERY_DEPTH: usize = 3;

/// What an operation is made of.
pub(super) struct Operation<'o, 'p> {
    pub(super) method: &'o MethodDescriptor,
    pub(super) route: &'o Route,
    /// The how manieth route of the method it is.
    pub(super) number: usize,
    pub(super) path: Path,
    pub(super) schemas: &'o mut Schemas<'p>,
    pub(super) transcoder: &'o Transcoder,
}

/// A parameter of the query.
struct Parameter {
    name: String,
    field: FieldDescriptor,
}

impl Operation<'_, '_> {
    /// The operation.
    ///
    /// # Errors
    /// When its example is no request of the method.
    pub(super) fn describe(mut self) -> Result<Value, String> {
        let access = access::method(&access::path(self.method)).cloned().unwrap_or_default();
        let comment = self.schemas.comments.at(self.method.parent_file().name(), self.method.path());
        let mut example = examples::of(self.method, self.schemas.comments)?;
        self.complete(&mut example);
        let call = self.example(&example, &access)?;
        let service = self.method.parent_service();
        let mut id = format!("{}_{}", service.name(), self.method.name());
        if self.number > 0 {
            id.push_str(&(self.number + 1).to_string());
        }
        let mut operation = json!({
            "operationId": id,
            "tags": [service.name()],
            "summary": summary(comment),
            "description": format!("{comment}\n\n{}", who(&access)),
            "parameters": self.parameters(&example, &access),
            "responses": self.responses(&access),
            "x-codeSamples": call,
        });
        if access.public {
            operation["security"] = json!([]);
        }
        if let Some(body) = self.body(&example) {
            operation["requestBody"] = body;
        }
        Ok(operation)
    }

    /// Path fields that the example leaves open are filled with the resource
    /// that the path speaks of.
    fn complete(&self, example: &mut Map<String, Value>) {
        for hole in &self.path.holes {
            let name = self.json_name(&hole.field);
            if hole.collection.is_empty() {
                example.entry(name).or_insert_with(|| json!(id_of("workflows")));
                continue;
            }
            let fits = example.get(&name).and_then(Value::as_str).is_some_and(|text| {
                text.split('/').nth(hole.at.saturating_sub(1)) == Some(hole.collection.as_str())
            });
            if !fits && hole.at == 1 {
                let value = json!(format!("{}/{}", hole.collection, id_of(&hole.collection)));
                // A field of the body that the path gives too says the same.
                if let Some((outer, inner)) = name.split_once('.')
                    && let Some(Value::Object(fields)) = example.get_mut(outer)
                {
                    fields.insert(inner.to_owned(), value.clone());
                }
                example.insert(name, value);
            }
        }
    }

    fn json_name(&self, field: &str) -> String {
        let found = self.method.input().get_field_by_name(field);
        found.map_or_else(|| field.to_owned(), |field| field.json_name().to_owned())
    }

    /// The names of the fields that the path gives.
    fn in_path(&self) -> Vec<String> {
        self.route.template.variables.iter().map(|v| v.field.clone()).collect()
    }

    fn parameters(&mut self, example: &Map<String, Value>, access: &MethodAccess) -> Value {
        let mut all = Vec::new();
        let holes: Vec<_> = self.path.holes.iter().map(|hole| self.hole(hole, example)).collect();
        all.extend(holes);
        for parameter in self.query() {
            all.push(self.query_parameter(&parameter, example));
        }
        let streams = self.method.is_server_streaming();
        let mut common = vec!["RequestId", "CorrelationId"];
        if !access.read_only {
            common.push("IdempotencyKey");
        } else if !streams && self.route.http == http::Method::GET {
            common.push("IfNoneMatch");
        }
        all.extend(common.iter().map(|name| json!({"$ref": format!("#/components/parameters/{name}")})));
        all.into()
    }

    fn hole(&self, hole: &Hole, example: &Map<String, Value>) -> Value {
        let whole = example.get(&self.json_name(&hole.field)).and_then(Value::as_str).unwrap_or_default();
        let value = if hole.collection.is_empty() { Some(whole) } else { whole.split('/').nth(hole.at) };
        let schema = match examples::pattern(&hole.collection) {
            Some(pattern) => json!({"type": "string", "pattern": pattern}),
            None => json!({"type": "string", "minLength": 1, "maxLength": 200}),
        };
        let about = match hole.collection.as_str() {
            "" => format!("`{}` of the request.", hole.field),
            collection => format!(
                "The id of the {}: what follows `{collection}/` in its name.",
                words(&singular(collection))
            ),
        };
        json!({
            "name": hole.name,
            "in": "path",
            "required": true,
            "description": about,
            "schema": schema,
            "example": value.unwrap_or_default(),
        })
    }

    /// The fields that the query gives: all that neither path nor body have.
    fn query(&self) -> Vec<Parameter> {
        if self.route.body == "*" {
            return Vec::new();
        }
        let mut taken = self.in_path();
        taken.push(self.route.body.clone());
        let mut all = Vec::new();
        flatten(&self.method.input(), "", &taken, QUERY_DEPTH, &mut all);
        all
    }

    fn query_parameter(&mut self, parameter: &Parameter, example: &Map<String, Value>) -> Value {
        let mut schema = self.schemas.field(&parameter.field, Side::Request);
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut out = json!({"name": parameter.name, "in": "query", "schema": schema});
        if let Some(about) = about {
            out["description"] = about;
        }
        if crate::transcode::schema::is_required(&parameter.field) {
            out["required"] = json!(true);
        }
        if let Some(value) = example.get(&parameter.name) {
            out["example"] = value.clone();
        }
        out
    }

    fn body(&mut self, example: &Map<String, Value>) -> Option<Value> {
        if self.route.body.is_empty() {
            return None;
        }
        if let Some(field) = self.body_field().filter(|_| !self.is_upload()) {
            let schema = self.schemas.field(&field, Side::Request);
            let example = example.get(field.json_name()).cloned().unwrap_or_default();
            let content = json!({"schema": schema, "example": example});
            return Some(json!({"required": true, "content": {"application/json": content}}));
        }
        if self.is_upload() {
            return Some(json!({
                "description": "The bytes themselves, in any type; none make an empty document.",
                "content": {"application/octet-stream": {
                    "schema": {"type": "string", "format": "binary"},
                    "example": self.body_text(example).unwrap_or_default(),
                }},
            }));
        }
        let without = self.in_path();
        let input = self.method.input();
        let schema = self.schemas.object(&input, Side::Request, &without);
        let needed = input
            .fields()
            .any(|f| crate::transcode::schema::is_required(&f) && !without.contains(&f.name().to_owned()));
        let example = self.body_fields(example);
        Some(
            json!({"required": needed, "content": {"application/json": {"schema": schema, "example": example}}}),
        )
    }

    /// The one field that is the body, when it is not all of them.
    fn body_field(&self) -> Option<FieldDescriptor> {
        self.method.input().get_field_by_name(&self.route.body)
    }

    /// The body is bytes as they are.
    fn is_upload(&self) -> bool {
        self.body_field().is_some_and(|field| field.kind() == Kind::Bytes && !is_json(&field))
    }

    /// What of the example is in the body.
    fn body_fields(&self, example: &Map<String, Value>) -> Value {
        let path: Vec<_> = self.in_path().iter().map(|field| self.json_name(field)).collect();
        let rest = example.iter().filter(|(name, _)| !path.contains(name));
        rest.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
    }

    /// The body of the example as it is sent.
    fn body_text(&self, example: &Map<String, Value>) -> Option<String> {
        match self.route.body.as_str() {
            "" => None,
            "*" => serde_json::to_string_pretty(&self.body_fields(example)).ok(),
            field if !self.is_upload() => {
                serde_json::to_string_pretty(example.get(&self.json_name(field)).unwrap_or(&json!({}))).ok()
            }
            field => {
                let text = example.get(&self.json_name(field)).and_then(Value::as_str).unwrap_or_default();
                let bytes = STANDARD.decode(text).unwrap_or_default();
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
        }
    }

    /// The example in six languages. It is made into the message it stands for on
    /// the way, by the same transcoder that answers requests.
    fn example(&self, example: &Map<String, Value>, access: &MethodAccess) -> Result<Value, String> {
        let name = self.method.full_name();
        let text = |field: &str| {
            let value = example.get(&self.json_name(field)).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let bare = self.path.fill(text);
        let query: Vec<_> =
            self.query().iter().filter_map(|p| pair(&p.name, example.get(&p.name)?)).collect();
        let query = query.join("&");
        let path = if query.is_empty() { bare.clone() } else { format!("{bare}?{query}") };
        let body = self.body_text(example);
        let found = self.transcoder.find(&self.route.http, &bare);
        let found = found.map_err(|miss| format!("{name}: its example is nowhere: {bare}: {miss:?}"))?;
        let parts = Parts { query: &query, body: body.clone().unwrap_or_default().into() };
        let message = self.transcoder.request(&found, &parts);
        let message = message.map_err(|fault| format!("{name}: its example is refused: {fault:?}"))?;
        let message =
            DynamicMessage::decode(self.method.input(), message).map_err(|e| format!("{name}: {e}"))?;
        let message = grpc_json(&message).and_then(|json| serde_json::to_string_pretty(&json));
        let message = message.map_err(|e| format!("{name}: {e}"))?;
        let rpc = access::path(self.method);
        let key = format!("{}-1", self.method.name());
        Ok(samples::all(&samples::Call {
            http: self.route.http.as_str(),
            path: &path,
            body,
            upload: self.is_upload(),
            public: access.public,
            key: (!access.read_only).then_some(key.as_str()),
            rpc: rpc.trim_start_matches('/'),
            message,
        }))
    }

    fn responses(&mut self, access: &MethodAccess) -> Value {
        let mut all = Map::new();
        all.insert("200".to_owned(), self.success());
        let body = !self.route.body.is_empty();
        let cached = self.route.http == http::Method::GET && !self.method.is_server_streaming();
        if cached {
            all.insert("304".to_owned(), json!({"$ref": "#/components/responses/NotModified"}));
        }
        for failure in problems::ALL.iter().chain([&problems::TIMEOUT]) {
            let applies = match failure.status {
                // A password or a refresh token may be wrong where no token is needed.
                401 => !access.public || !access.read_only,
                403 => !access.public,
                404 => !access.public || !self.path.holes.is_empty(),
                408 | 413 | 415 => body,
                409 | 422 => !access.read_only,
                _ => true,
            };
            if applies {
                let reference = json!({"$ref": format!("#/components/responses/{}", failure.name)});
                all.insert(failure.status.to_string(), reference);
            }
        }
        all.into()
    }

    fn success(&mut self) -> Value {
        let output = self.method.output();
        let reply = self.schemas.message(&output, Side::Reply);
        let comment = self.schemas.comments.at(output.parent_file().name(), output.path());
        let about = if comment.is_empty() { "The answer." } else { comment }.to_owned();
        let mut headers = json!({
            "X-Request-ID": {"$ref": "#/components/headers/RequestId"},
            "X-Correlation-ID": {"$ref": "#/components/headers/CorrelationId"},
        });
        if !self.method.is_server_streaming() && self.route.http == http::Method::GET {
            headers["ETag"] = json!({"$ref": "#/components/headers/ETag"});
        }
        let content = if self.method.is_server_streaming() {
            stream(&reply, is_file(&output))
        } else {
            json!({"application/json": {"schema": reply}})
        };
        json!({"description": about, "headers": headers, "content": content})
    }
}

/// A message in the JSON that grpcurl reads: field masks are messages to it.
fn grpc_json(message: &DynamicMessage) -> serde_json::Result<Value> {
    let mut json = serde_json::to_value(message)?;
    for field in message.descriptor().fields().filter(|field| message.has_field(field)) {
        if matches!(field.kind(), Kind::Message(m) if m.full_name() == "google.protobuf.FieldMask") {
            let mask = message.get_field(&field);
            let paths = mask.as_message().and_then(|mask| mask.get_field_by_name("paths"));
            let paths = paths.iter().filter_map(|paths| paths.as_list()).flatten();
            let paths: Vec<_> = paths.filter_map(|path| path.as_str()).collect();
            json[field.json_name()] = json!({"paths": paths});
        }
    }
    Ok(json)
}

/// A stream of nothing but bytes is handed out as a file.
fn is_file(output: &MessageDescriptor) -> bool {
    let only = output.fields().next().filter(|_| output.fields().len() == 1);
    only.is_some_and(|field| field.kind() == Kind::Bytes && !field.is_list())
}

fn stream(reply: &Value, file: bool) -> Value {
    let line = json!({"oneOf": [
        {"type": "object", "required": ["result"], "properties": {"result": reply}},
        {"type": "object", "required": ["error"], "properties": {"error": {"$ref": "#/components/schemas/Problem"}}},
    ]});
    let mut content = json!({
        "application/x-ndjson": {"schema": line},
        "text/event-stream": {"schema": {"type": "string", "description": "`data:` lines with a message each; a failure is an event `error` with a problem document."}},
    });
    if file {
        content["application/octet-stream"] = json!({"schema": {"type": "string", "format": "binary"}});
    }
    content
}

fn flatten(
    message: &MessageDescriptor,
    prefix: &str,
    without: &[String],
    depth: usize,
    out: &mut Vec<Parameter>,
) {
    for field in message.fields() {
        if is_output_only(&field) || (prefix.is_empty() && without.iter().any(|name| name == field.name())) {
            continue;
        }
        let name = format!("{prefix}{}", field.json_name());
        match field.kind() {
            Kind::Message(inner) if inner.package_name() != "google.protobuf" => {
                if depth > 1 && !field.is_list() && !field.is_map() {
                    flatten(&inner, &format!("{name}."), without, depth - 1, out);
                }
            }
            _ => out.push(Parameter { name, field }),
        }
    }
}

/// A query parameter, percent-encoded.
fn pair(name: &str, value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => return None,
        other => other.to_string(),
    };
    let encoded = text.bytes().fold(String::new(), |mut out, b| {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(b))
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
        out
    });
    Some(format!("{name}={encoded}"))
}

fn who(access: &MethodAccess) -> String {
    if access.public {
        return "No token needed.".to_owned();
    }
    let roles = access.roles.iter().filter_map(|number| Role::from_number(*number));
    let mut names: Vec<_> = roles.map(|role| format!("`{}`", role.as_str())).collect();
    if !names.iter().any(|name| name == "`admin`") {
        names.push("`admin`".to_owned());
    }
    format!("Roles: {}.", names.join(", "))
}

fn id_of(collection: &str) -> &'static str {
    examples::RESOURCES.iter().find(|(name, _)| *name == collection).map_or("1", |(_, id)| *id)
}

/// `deadLetter` → `dead letter`.
pub(super) fn words(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
