//! `GET /`: where a newcomer finds out what is here.

use super::rest::plain_headers;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, header};
use serde_json::json;

const HTML: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>Probity</title>
<h1>Probity</h1>
<p>The gateway of an integrity case platform. REST and gRPC are on this port.</p>
<ul>
<li><a href=\"/api/docs\">/api/docs</a>: try the REST API; <a href=\"/api/redoc\">/api/redoc</a>: read about it, with samples in
six languages; <a href=\"/api/openapi.json\">/api/openapi.json</a>: OpenAPI 3.1 (no token needed)</li>
<li><a href=\"/v1/platform\">/v1/platform</a>: the version and which services answer (no token needed)</li>
<li>/v1/whoami: who your token says you are</li>
<li>/v1/cases, /v1/documents: what it is about</li>
<li>gRPC: server reflection and health are on; try <code>grpcurl -plaintext HOST:PORT list</code></li>
</ul>
<p>Calls carry <code>Authorization: Bearer TOKEN</code>. The administrator's first token is in the file that
<code>probity dev</code> names at its start; <code>POST /v1/tokens</code> issues others.</p>
</html>
";

/// A page for people, or the same as JSON.
pub(super) fn page(headers: &HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, text) = if accept.contains("text/html") {
        ("text/html; charset=utf-8", HTML.to_owned())
    } else {
        ("application/json", links())
    };
    let mut response = Response::new(Body::from(text));
    plain_headers(response.headers_mut(), kind);
    response
}

fn links() -> String {
    let page = json!({
        "name": "Probity",
        "links": {"platform": "/v1/platform", "whoami": "/v1/whoami", "cases": "/v1/cases", "documents": "/v1/documents", "docs": "/api/docs", "reference": "/api/redoc", "openapi": "/api/openapi.json"},
        "authentication": "Authorization: Bearer TOKEN; POST /v1/tokens issues tokens (administrators)",
        "grpc": "on this port, with server reflection and health",
    });
    format!("{page}\n")
}
