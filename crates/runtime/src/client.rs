//! What every call passes on its way out, the same for a peer in this process
//! and behind a channel: deadline, measure, retry, breaker, bulkhead, trace.
//! Transport errors come out as gRPC statuses, so that a caller meets one kind of
//! failure.

use crate::recovery::Recovery;
use probity_proto::{BoxGrpcService, boxed};
use probity_resilience::{Refusal, Stack};
use probity_telemetry::span::{self, Rpc};
use probity_telemetry::trace;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tonic::body::Body;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use tracing::Instrument as _;

/// The longest a caller is told to wait while a breaker is open. Its peer may be
/// back long before the open time is over ([`Recovery`]), and a workflow step
/// waits as long as it is told.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// The out-bound side of one peer; the order is the stack's.
pub(crate) fn stack(
    caller: &'static str,
    callee: &'static str,
    stack: &Stack,
    transport: BoxGrpcService,
) -> BoxGrpcService {
    let recovery = Arc::new(Recovery::new(stack.breaker().clone(), transport.clone()));
    let attempt = tower::service_fn(move |request| attempt(caller, callee, transport.clone(), request));
    let calls = boxed(callee, stack.around(BoxGrpcService::new(attempt)));
    BoxCloneSyncService::new(tower::service_fn(move |request| {
        let (calls, recovery) = (calls.clone(), recovery.clone());
        async move {
            let response = calls.oneshot(request).await?;
            let Some(Refusal::BreakerOpen { name, retry_after }) = Refusal::of(&response) else {
                return Ok(response);
            };
            recovery.wake();
            let (name, retry_after) = (name.clone(), (*retry_after).min(ASK_AGAIN));
            Ok(Refusal::BreakerOpen { name, retry_after }.into_response())
        }
    }))
}

/// The out-bound side of one instance: one attempt, traced.
pub(crate) fn once(caller: &'static str, callee: &'static str, transport: BoxGrpcService) -> BoxGrpcService {
    let attempt = tower::service_fn(move |request| attempt(caller, callee, transport.clone(), request));
    boxed(callee, BoxGrpcService::new(attempt))
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
