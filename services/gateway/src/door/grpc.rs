//! gRPC: admit and pass on. Bodies go through as they are, in both directions,
//! trailers included; only the headers are ours.

use super::Door;
use super::arrival::Arrival;
use super::refusal::Refusal;
use crate::error::Error;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use tower::ServiceExt as _;

/// What of the caller's headers a service needs to read the body.
const PASSED: [&str; 3] = ["content-type", "grpc-encoding", "grpc-accept-encoding"];
/// What belongs to one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE];
/// Headers of our own that stay inside.
const INSIDE: &str = "x-probity-";

/// Answers one gRPC call.
pub(super) async fn serve(door: &Door, request: Request, arrival: &mut Arrival) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let method = door.transcoder.method(parts.uri.path()).filter(|_| parts.method == http::Method::POST);
    let method = method.ok_or(Error::NoRoute)?;
    let backend = door.backends.of(&method.package).ok_or(Error::NoRoute)?;
    method.path.as_str().clone_into(&mut arrival.route);
    let admitted = door.admit(method.path.as_str(), &parts.headers, arrival)?;
    let timeout = door.timeout(arrival, method.client_streaming || method.server_streaming);
    let mut headers = door.outgoing(&admitted, arrival, timeout)?;
    pass(&parts.headers, &mut headers);
    let mut inner = http::Request::new(tonic::body::Body::new(body));
    *inner.method_mut() = http::Method::POST;
    *inner.version_mut() = http::Version::HTTP_2;
    *inner.uri_mut() = Uri::from(method.path.clone());
    *inner.headers_mut() = headers;
    admitted.mark(inner.extensions_mut());
    let Ok(mut response) = backend.oneshot(inner).await;
    strip(response.headers_mut());
    Ok(response.map(Body::new))
}

fn pass(from: &HeaderMap, to: &mut HeaderMap) {
    for name in PASSED {
        if let Some(value) = from.get(name) {
            to.insert(HeaderName::from_static(name), value.clone());
        }
    }
    to.insert(header::TE, HeaderValue::from_static("trailers"));
}

fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    let inside: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(INSIDE)).cloned().collect();
    for name in inside {
        headers.remove(name);
    }
}
