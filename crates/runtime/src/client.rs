//! What every call passes on its way out, the same for a peer in this process
//! and behind a channel: deadline, retry, trace. Transport errors come out as
//! gRPC statuses, so that a caller meets one kind of failure.

use probity_proto::{BoxGrpcService, boxed};
use probity_resilience::{ClientSettings, Policy};
use probity_telemetry::span::{self, Rpc};
use probity_telemetry::trace;
use std::convert::Infallible;
use std::time::Duration;
use tonic::body::Body;
use tower::{Layer as _, ServiceExt as _};
use tracing::Instrument as _;

/// The out-bound side of one peer: outermost the deadline, inside it the
/// retries, inside them one attempt.
pub(crate) fn stack(caller: &'static str, callee: &'static str, transport: BoxGrpcService) -> BoxGrpcService {
    let attempt = tower::service_fn(move |request| attempt(caller, callee, transport.clone(), request));
    boxed(callee, settings().layer().layer(BoxGrpcService::new(attempt)))
}

/// The out-bound side of one instance: one attempt, traced.
pub(crate) fn once(caller: &'static str, callee: &'static str, transport: BoxGrpcService) -> BoxGrpcService {
    let attempt = tower::service_fn(move |request| attempt(caller, callee, transport.clone(), request));
    boxed(callee, BoxGrpcService::new(attempt))
}

/// Callers set deadlines of their own; the longest of a step is an hour. A peer that restarts is back within a second or two; what takes longer is
/// the business of the workflow's own retries, which survive a crash.
fn settings() -> ClientSettings {
    let (base, cap) = (Duration::from_millis(50), Duration::from_millis(500));
    let retry = Policy { base, cap, max_total: Some(Duration::from_secs(5)), ..Policy::QUICK };
    ClientSettings { timeout_ms: 3_600_000, attempt_timeout_ms: 0, retry }
}

async fn attempt(
    caller: &'static str,
    callee: &'static str,
    transport: BoxGrpcService,
    mut request: http::Request<Body>,
) -> Result<http::Response<Body>, Infallible> {
    let span = span::client(caller, Rpc::from_path(request.uri().path()), callee);
    if let Some(context) = span::of(&span) {
        trace::inject(&context, request.headers_mut());
    }
    transport.oneshot(request).instrument(span).await
}
