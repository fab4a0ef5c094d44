//! The documentation of the REST API as OpenAPI 3.1, made from the contracts:
//! paths from `google.api.http`, schemas from the messages, texts from the
//! comments, roles from the access option, examples from the example option.
//!
//! **Architecture invariant:** a pure function of the descriptor set. Nothing
//! here is written by hand about one operation, so nothing can fall behind.

mod comments;
pub mod examples;
mod operations;
mod paths;
mod problems;
mod samples;
mod schemas;

use crate::transcode::{Transcoder, rules};
use comments::Comments;
use operations::Operation;
use paths::Path;
use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use schemas::Schemas;
use serde_json::{Map, Value, json};

const ABOUT: &str = "The REST door of a self-hosted integrity case platform. Everything here is answered by the \
    same services over gRPC on the same port, with the same rights and the same errors.\n\n\
    Calls carry `Authorization: Bearer TOKEN`; `POST /v1/tokens` issues tokens. A call that changes something may be \
    repeated with the same `Idempotency-Key`: it has its effect once. Lists come in pages (`pageSize`, `pageToken`). \
    64-bit integers are text in answers and may be text or numbers in requests. Unknown fields are refused by name. \
    Failures are problem documents (RFC 9457) with a stable `code`.";

/// The document.
///
/// # Errors
/// Names the method whose route or example cannot be used.
pub fn document(pool: &DescriptorPool, transcoder: &Transcoder, version: &str) -> Result<Value, String> {
    let comments = Comments::of(pool);
    let mut schemas = Schemas::new(pool, &comments);
    let (mut paths, mut tags) = (Map::new(), Vec::new());
    for service in pool.services() {
        let mut any = false;
        for method in service.methods() {
            any |= describe(&method, transcoder, &mut schemas, &mut paths)?;
        }
        if any {
            tags.push(tag(&service, &comments));
        }
    }
    let mut components = common();
    components["responses"] = problems::responses();
    components["responses"]["NotModified"] =
        json!({"description": "It is what `If-None-Match` says the caller has."});
    components["schemas"] = schemas.into_value();
    components["schemas"]["Problem"] = problems::schema();
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Probity",
            "version": version,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This platform."}],
        "security": [{"bearer": []}],
        "tags": tags,
        "paths": paths,
        "components": components,
    }))
}

/// Adds the operations of a method; false when it has no REST form.
fn describe(
    method: &MethodDescriptor,
    transcoder: &Transcoder,
    schemas: &mut Schemas<'_>,
    paths: &mut Map<String, Value>,
) -> Result<bool, String> {
    let routes = rules::routes(method)?;
    for (number, route) in routes.iter().enumerate() {
        let path = Path::of(&route.template);
        let (text, verb) = (path.text.clone(), route.http.as_str().to_lowercase());
        let operation = Operation { method, route, number, path, schemas, transcoder };
        let operation = operation.describe()?;
        let item = paths.entry(text).or_insert_with(|| json!({}));
        item[verb] = operation;
    }
    Ok(!routes.is_empty())
}

fn tag(service: &ServiceDescriptor, comments: &Comments) -> Value {
    let text = comments.at(service.parent_file().name(), service.path());
    json!({"name": service.name(), "description": text, "x-displayName": display(service.name())})
}

/// `DeadLetterService` → `Dead letter`.
fn display(service: &str) -> String {
    let words = operations::words(service.trim_end_matches("Service"));
    let words = words.trim_start();
    let (first, rest) = words.split_at(words.len().min(1));
    format!("{}{rest}", first.to_uppercase())
}

/// Parameters, headers and the security scheme that operations refer to.
fn common() -> Value {
    let id = json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"});
    let parameter = |name: &str, about: &str, schema: &Value| json!({"name": name, "in": "header", "description": about, "schema": schema});
    json!({
        "securitySchemes": {"bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A token of `POST /v1/tokens`, or the administrator's first one.",
        }},
        "parameters": {
            "RequestId": parameter("X-Request-ID", "Your id for this request; made where it is missing, and echoed.", &id),
            "CorrelationId": parameter("X-Correlation-ID", "An id that several requests share; echoed.", &id),
            "IdempotencyKey": parameter(
                "Idempotency-Key",
                "Makes the call repeatable: the same key with the same request has its effect once and gets the same answer; with another request it is refused.",
                &json!({"type": "string", "pattern": "^[!-~]{1,128}$"}),
            ),
            "IfNoneMatch": parameter(
                "If-None-Match",
                "An `ETag` you have: when it is still right, the answer is 304 without a body.",
                &json!({"type": "string"}),
            ),
        },
        "headers": {
            "RequestId": {"description": "The id of this request.", "schema": id},
            "CorrelationId": {"description": "The correlation id, else the request id.", "schema": id},
            "ETag": {"description": "Changes whenever the answer does.", "schema": {"type": "string"}},
        },
    })
}

#[cfg(test)]
mod tests;
