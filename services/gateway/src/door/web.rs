//! What browsers need: gRPC-Web, and the headers that let pages of other origins
//! read answers. The origins are configured; without any, none may.

use super::Door;
use crate::config::Config;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate, SizeAbove};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// Smaller answers stay as they are: packing them saves nothing.
const WORTH_PACKING: u16 = 1_024;
/// How long a browser remembers what it may ask.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// What a page may send beside the headers that need no permission.
const SENT: [&str; 10] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "x-request-id",
    "x-correlation-id",
    "traceparent",
    "grpc-timeout",
    "x-grpc-web",
    "x-user-agent",
];
/// What a page may read.
const READ: [&str; 9] = [
    "etag",
    "retry-after",
    "www-authenticate",
    "x-request-id",
    "x-correlation-id",
    "ratelimit",
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
];

/// Whether the request is gRPC-Web, binary or text.
pub(super) fn is_grpc_web(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.starts_with(b"application/grpc-web")
}

/// Answers a gRPC-Web call: it is a gRPC call in another envelope.
pub(super) async fn answer(door: Arc<Door>, request: Request) -> Response {
    let inner = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let door = door.clone();
        async move {
            let response = door.answer(request.map(Body::new)).await;
            Ok::<_, Infallible>(response.map(tonic::body::Body::new))
        }
    });
    let Ok(response) = GrpcWebLayer::new().layer(inner).oneshot(request.map(tonic::body::Body::new)).await;
    response.map(Body::new)
}

/// The layer for pages of other origins; none when no origin is configured.
pub(super) fn cors(config: &Config) -> Option<CorsLayer> {
    let origins: Vec<_> = config.cors_origins.iter().filter_map(|o| HeaderValue::from_str(o).ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let all = origins.iter().any(|origin| origin == "*");
    let allowed = if all { AllowOrigin::from(Any) } else { AllowOrigin::list(origins) };
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
            .allow_headers(SENT.map(HeaderName::from_static))
            .expose_headers(READ.map(HeaderName::from_static))
            .max_age(REMEMBERED),
    )
}

/// Packs answers for those who take gzip or brotli. Streams are left alone:
/// what is packed comes late.
pub(super) fn compression() -> CompressionLayer<impl Predicate> {
    let predicate = DefaultPredicate::new()
        .and(SizeAbove::new(WORTH_PACKING))
        .and(NotForContentType::const_new("application/x-ndjson"))
        .and(NotForContentType::const_new("application/octet-stream"));
    CompressionLayer::new().compress_when(predicate)
}

/// Whether an origin may stand in the configuration: `*`, or scheme and host
/// without anything after them.
pub(crate) fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |host: &str| {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
        !host.is_empty() && host.bytes().all(known)
    };
    text == "*" || host.is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_and_host() {
        let check = |text: &str, expect: bool| assert_eq!(is_origin(text), expect, "{text}");
        check("*", true);
        check("https://console.example.org", true);
        check("http://localhost:5173", true);
        check("https://console.example.org/", false);
        check("console.example.org", false);
        check("https://", false);
        check("https://A b", false);
        check("null", false);
    }
}
