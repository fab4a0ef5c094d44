//! What every call passes on its way out, the same for a peer in this process
//! and behind a channel: deadline, measure, retry, breaker, bulkhead, trace.
//! Transport errors come out as gRPC statuses, so that a caller meets one kind of
//! failure.

use crate::recovery::Recovery;
use crate::server::grpc_code;
use probity_proto::{BoxGrpcService, boxed};
use probity_resilience::{Refusal, Stack};
use probity_telemetry::metrics::RpcMetrics;
use probity_telemetry::span::{self, Rpc};
use probity_telemetry::trace;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::body::Body;
use tower::ServiceExt as _;
use tracing::Instrument as _;

/// The longest a caller is told to wait while a breaker is open. Its peer may be
/// back long before the open time is over ([`Recovery`]), and a workflow step
/// waits as long as it is told.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Who calls whom, and what counts it.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) caller: &'static str,
    pub(crate) callee: &'static str,
    pub(crate) metrics: Option<RpcMetrics>,
}

/// The out-bound side of one peer; the order is the stack's.
pub(crate) fn stack(edge: Edge, stack: &Stack, transport: BoxGrpcService) -> BoxGrpcService {
    let callee = edge.callee;
    let recovery = Arc::new(Recovery::new(stack.breaker().clone(), transport.clone()));
    let calls = boxed(callee, stack.around(once(edge, transport)));
    BoxGrpcService::from_fn(move |request| {
        let (calls, recovery) = (calls.clone(), recovery.clone());
        async move {
            let Ok(response) = calls.oneshot(request).await;
            let Some(Refusal::BreakerOpen { name, retry_after }) = Refusal::of(&response) else {
                return response;
            };
            recovery.wake();
            let (name, retry_after) = (name.clone(), (*retry_after).min(ASK_AGAIN));
            Refusal::BreakerOpen { name, retry_after }.into_response()
        }
    })
}

/// The out-bound side of one instance: one attempt, measured and traced.
pub(crate) fn once(edge: Edge, transport: BoxGrpcService) -> BoxGrpcService {
    let edge = Arc::new(edge);
    BoxGrpcService::from_fn(move |request| attempt(edge.clone(), transport.clone(), request))
}

async fn attempt(
    edge: Arc<Edge>,
    transport: BoxGrpcService,
    mut request: http::Request<Body>,
) -> http::Response<Body> {
    let started = Instant::now();
    let _active = edge.metrics.as_ref().map(RpcMetrics::begin);
    let path = request.uri().path().to_owned();
    let span = span::client(edge.caller, Rpc::from_path(&path), edge.callee);
    if let Some(context) = span::of(&span).or_else(span::current) {
        trace::inject(&context, request.headers_mut());
    }
    let Ok(response) = transport.oneshot(request).instrument(span.clone()).await;
    let code = grpc_code(&response);
    span::finish(&span, code);
    if let Some(metrics) = &edge.metrics {
        metrics.observe(&path, code, started.elapsed());
    }
    response
}
