//! What every call passes on its way out, the same for a peer in this process
//! and behind a channel: deadline, retry, trace. Transport errors come out as
//! gRPC statuses, so that a caller meets one kind of failure.

use probity_proto::{BoxGrpcService, boxed};
use probity_resilience::deadline::Limits;
use probity_resilience::{DeadlineLayer, Policy, RetryLayer};
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
    let retried = retry().layer(BoxGrpcService::new(attempt));
    boxed(callee, DeadlineLayer::client(LIMITS).layer(retried))
}

/// Callers set deadlines of their own; the longest of a step is an hour.
const LIMITS: Limits = Limits { unary: Duration::from_secs(3_600), stream: None };

/// A peer that restarts is back within a second or two; what takes longer is the
/// business of the workflow's own retries, which survive a crash.
fn retry() -> RetryLayer {
    let (base, cap) = (Duration::from_millis(50), Duration::from_millis(500));
    RetryLayer::new(Policy { base, cap, max_total: Some(Duration::from_secs(5)), ..Policy::QUICK })
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
