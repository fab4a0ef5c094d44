//! What every call passes on its way out, the same for a peer in this process
//! and behind a channel: deadline, retry, trace. Transport errors come out as
//! gRPC statuses, so that a caller meets one kind of failure.

use crate::status::status;
use probity_proto::{BoxError, BoxGrpcService};
use probity_resilience::deadline::DeadlineLayer;
use probity_resilience::retry::{Policy, RetryLayer};
use probity_telemetry::trace;
use probity_types::{Fault, FaultKind};
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt as _};

/// Longest time a call to a peer may take when its caller sets none.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The out-bound side of one peer.
#[derive(Clone)]
pub(crate) struct ClientStack(BoxGrpcService);

impl ClientStack {
    /// Outermost the deadline, inside it the retries, inside them one attempt.
    pub(crate) fn new(callee: &'static str, transport: BoxGrpcService) -> Self {
        let attempt = tower::service_fn(move |request| attempt(callee, transport.clone(), request));
        let stack = ServiceBuilder::new()
            .layer(DeadlineLayer::new(TIMEOUT))
            .layer(RetryLayer::new(peer_policy()))
            .service(attempt);
        Self(BoxCloneSyncService::new(stack))
    }
}

/// A peer that restarts is back within a second or two; what takes longer is
/// the business of the workflow's own retries, which survive a crash.
fn peer_policy() -> Policy {
    Policy { max_attempts: 3, base: Duration::from_millis(50), cap: Duration::from_millis(500), ..Policy::QUICK }
}

async fn attempt(
    callee: &'static str,
    transport: BoxGrpcService,
    mut request: http::Request<Body>,
) -> Result<http::Response<Body>, BoxError> {
    trace::inject_current(request.headers_mut());
    match transport.oneshot(request).await {
        Ok(response) => Ok(response),
        Err(error) => {
            let why = format!("{callee} cannot be reached");
            let fault = Fault::new(FaultKind::Unavailable, "RUN-0016", why).with_source(error);
            Ok(status(fault).into_http())
        }
    }
}

impl Service<http::Request<Body>> for ClientStack {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = <BoxGrpcService as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}
