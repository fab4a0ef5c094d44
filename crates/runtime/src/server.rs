//! What every call passes on its way in, the same in both shapes: drain gate,
//! in-flight limit, deadline, caller token, role, panic barrier, metrics.

use crate::call::{CallerToken, Deadline, REQUEST_ID};
use crate::identity::{CALLER_HEADER, Verifier};
use crate::status::status;
use futures::FutureExt as _;
use probity_proto::{BoxError, BoxGrpcService, access};
use probity_resilience::deadline::grpc_timeout;
use probity_telemetry::{RpcMetrics, trace};
use probity_types::{Ctx, Fault, FaultKind, Role};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use tracing::Instrument as _;

/// The in-bound side of one service.
pub(crate) struct Inbound {
    service: &'static str,
    /// Absent at the door, which authenticates users itself.
    verifier: Option<Verifier>,
    metrics: RpcMetrics,
    timeout: Duration,
    permits: Arc<Semaphore>,
    capacity: u32,
    draining: AtomicBool,
}

impl Inbound {
    pub(crate) fn new(
        service: &'static str,
        verifier: Option<Verifier>,
        metrics: RpcMetrics,
        timeout: Duration,
        max_in_flight: usize,
    ) -> Arc<Self> {
        let capacity = u32::try_from(max_in_flight).unwrap_or(u32::MAX >> 4).min(u32::MAX >> 4);
        let permits = Arc::new(Semaphore::new(capacity as usize));
        Arc::new(Self { service, verifier, metrics, timeout, permits, capacity, draining: AtomicBool::new(false) })
    }

    /// The routes of the service behind everything a call must pass.
    pub(crate) fn wrap(self: &Arc<Self>, routes: Routes) -> BoxGrpcService {
        let (inbound, routes) = (self.clone(), routes.prepare());
        BoxCloneSyncService::new(tower::service_fn(move |request| {
            let (inbound, routes) = (inbound.clone(), routes.clone());
            async move { Ok::<_, BoxError>(inbound.serve(routes, request).await) }
        }))
    }

    /// Refuses what comes from now on.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Waits until nothing is in work any more, at most for `limit`. Answers
    /// whether it came to that.
    pub(crate) async fn drained(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.permits.acquire_many(self.capacity)).await.is_ok()
    }

    async fn serve(&self, routes: Routes, mut request: http::Request<Body>) -> http::Response<Body> {
        let started = Instant::now();
        let path = request.uri().path().to_owned();
        let span = trace::server_span(self.service, &path, request.headers());
        let response = async {
            match self.admit(&path, &mut request) {
                Ok((permit, deadline)) => self.run(routes, request, permit, deadline).await,
                Err(fault) => status(fault).into_http(),
            }
        }
        .instrument(span.clone())
        .await;
        let code = trace::grpc_code(&response);
        trace::finish_server_span(&span, code);
        self.metrics.observe(&path, code, started.elapsed());
        response
    }

    /// Everything that can refuse a call before its handler sees it.
    fn admit(
        &self,
        path: &str,
        request: &mut http::Request<Body>,
    ) -> Result<(OwnedSemaphorePermit, Instant), Fault> {
        if self.is_draining() {
            return Err(Fault::new(FaultKind::Unavailable, "RUN-0011", "this service is shutting down"));
        }
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| {
            Fault::new(FaultKind::Overloaded, "RUN-0012", "too many calls are in work here; try again")
        })?;
        let timeout = grpc_timeout(request.headers()).map_or(self.timeout, |t| t.min(self.timeout));
        let deadline = Instant::now() + timeout;
        request.extensions_mut().insert(Deadline(deadline));
        if let Some(verifier) = self.verifier.as_ref().filter(|_| !is_public(path)) {
            identify(verifier, path, request)?;
        }
        Ok((permit, deadline))
    }

    async fn run(
        &self,
        routes: Routes,
        request: http::Request<Body>,
        permit: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> http::Response<Body> {
        let call = AssertUnwindSafe(routes.oneshot(request)).catch_unwind();
        let outcome = tokio::time::timeout_at(deadline.into(), call).await;
        drop(permit);
        match outcome {
            Ok(Ok(Ok(response))) => response,
            Ok(Err(_panic)) => {
                let why = format!("a handler of {} panicked", self.service);
                status(Fault::new(FaultKind::Internal, "RUN-0013", why)).into_http()
            }
            Err(_elapsed) => {
                let why = "the call was not answered in the time allowed for it";
                status(Fault::new(FaultKind::Timeout, "RUN-0014", why)).into_http()
            }
        }
    }
}

/// Health and reflection are for probes and tools and need no caller.
fn is_public(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.") || path.starts_with("/grpc.reflection.")
}

/// Verifies the caller token, checks the role the method asks for, and leaves
/// the [`Ctx`] for the handler.
fn identify(verifier: &Verifier, path: &str, request: &mut http::Request<Body>) -> Result<(), Fault> {
    let text = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned);
    let token = text(CALLER_HEADER).ok_or_else(|| {
        Fault::new(FaultKind::Unauthenticated, "RUN-0004", "the call carries no caller token")
    })?;
    let mut ctx = verifier.verify(&token)?;
    ctx.request_id = text(REQUEST_ID).unwrap_or_default();
    ctx.trace_id = trace::trace_id(request.headers()).unwrap_or_default();
    authorize(path, &ctx)?;
    trace::record_caller(&ctx);
    request.extensions_mut().insert(CallerToken(token));
    request.extensions_mut().insert(ctx);
    Ok(())
}

/// Denies by default: a method without the access option is closed to all.
fn authorize(path: &str, ctx: &Ctx) -> Result<(), Fault> {
    let Some(access) = access::method(path) else {
        return Ok(()); // no such method: the router answers UNIMPLEMENTED
    };
    let roles: Vec<Role> = access.roles.iter().filter_map(|n| Role::from_number(*n)).collect();
    if access.public || ctx.roles.any_of(&roles) {
        return Ok(());
    }
    let needed: Vec<_> = roles.iter().map(|r| r.as_str()).collect();
    let why = format!("this needs one of the roles {}", needed.join(", "));
    Err(Fault::new(FaultKind::Denied, "RUN-0015", why))
}
