//! What every call passes on its way in, the same in both shapes: drain gate,
//! in-flight limit, deadline, caller token, role, panic barrier, metrics.

use crate::call::{CallerToken, REQUEST_ID, RemoteAddr};
use crate::config::ServerConfig;
use crate::denials::{Denial, Denials};
use crate::idempotency::OnceLayer;
use crate::identity::{CALLER_HEADER, Verifier};
use crate::problem::Problem;
use crate::status::{fault_of, http_status, status};
use futures::FutureExt as _;
use probity_proto::{BoxGrpcService, access, boxed};
use probity_resilience::deadline::{DeadlineLayer, Limits};
use probity_resilience::performance::{MeasureLayer, Performance};
use probity_resilience::shutdown::{Shutdown, TrackLayer};
use probity_resilience::{LimitLayer, Limiter};
use probity_telemetry::metrics::RpcMetrics;
use probity_telemetry::span::{self, Rpc};
use probity_telemetry::trace;
use probity_types::correlation::{is_id, new_id};
use probity_types::{Ctx, Fault, FaultKind, Role};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Layer as _, ServiceExt as _};
use tracing::Instrument as _;

/// Different denials kept apart between two writes; the rest is counted together.
const DENIALS_APART: usize = 100;

/// When to call again an instance that has stopped, for callers who know no other.
const AGAIN: Duration = Duration::from_secs(1);

/// Left in an answer of the door: the call it was, which a REST path does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The path of the method, `/package.Service/Method`.
    pub method: String,
    /// How the call ended, where the headers of the answer do not say.
    pub code: Option<i32>,
}

/// The in-bound side of one service.
pub(crate) struct Inbound {
    service: &'static str,
    /// Absent at the door, which authenticates users itself.
    verifier: Option<Verifier>,
    metrics: RpcMetrics,
    deadline: DeadlineLayer,
    measure: MeasureLayer,
    /// If set, how many calls at once turn out to be sensible.
    limit: Option<LimitLayer>,
    permits: Arc<Semaphore>,
    shutdown: Shutdown,
    denials: Denials,
}

impl Inbound {
    pub(crate) fn new(
        service: &'static str,
        verifier: Option<Verifier>,
        metrics: RpcMetrics,
        server: &ServerConfig,
        shutdown: Shutdown,
        (performance, limiter): (Performance, Option<Limiter>),
    ) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(server.max_in_flight));
        let unary = Duration::from_millis(server.timeout_ms);
        let deadline = DeadlineLayer::server(Limits { unary, stream: None });
        let measure = MeasureLayer::new(performance, service);
        let denials = Denials::new("call.denied", DENIALS_APART);
        let limit = limiter.map(LimitLayer::new);
        Arc::new(Self { service, verifier, metrics, deadline, measure, limit, permits, shutdown, denials })
    }

    /// The routes of the service behind everything a call must pass.
    pub(crate) fn wrap(self: &Arc<Self>, routes: Routes, once: Option<&OnceLayer>) -> BoxGrpcService {
        let routes = match &self.verifier {
            Some(_) => {
                let handlers = match once {
                    Some(once) => boxed(self.service, once.layer(boxed(self.service, routes.prepare()))),
                    None => boxed(self.service, routes.prepare()),
                };
                let bounded = boxed(self.service, self.deadline.layer(handlers));
                let limited = match &self.limit {
                    Some(limit) => boxed(self.service, limit.layer(bounded)),
                    None => bounded,
                };
                boxed(self.service, self.measure.layer(limited))
            }
            // The door tells REST and gRPC apart and sets its own deadlines.
            None => boxed(self.service, routes.prepare()),
        };
        let inbound = self.clone();
        let inside = BoxGrpcService::from_fn(move |request| {
            let (inbound, routes) = (inbound.clone(), routes.clone());
            async move { inbound.serve(routes, request).await }
        });
        // What comes from outside must finish before the process ends; calls inside
        // the process belong to something that is counted already.
        let tracked = boxed(self.service, TrackLayer::new(self.shutdown.clone()).layer(inside.clone()));
        BoxGrpcService::from_fn(move |request| {
            let service = if from_outside(&request) { tracked.clone() } else { inside.clone() };
            async move {
                let Ok(answer) = service.oneshot(request).await;
                answer
            }
        })
    }

    /// Calls denied here since they were last written to the outbox.
    pub(crate) fn denials(&self) -> Denials {
        self.denials.clone()
    }

    /// Takes note of a denied call. `ctx` is the caller, where it was credible.
    fn denied(&self, ctx: Option<&Ctx>, path: &str, address: &str, request_id: &str, fault: &Fault) {
        let who = |ctx: &Ctx| (ctx.tenant.clone(), ctx.actor.clone());
        let (tenant, actor) = ctx.map_or_else(|| ("platform".to_owned(), "anonymous".to_owned()), who);
        let denial = Denial {
            tenant,
            actor,
            address: address.to_owned(),
            method: path.chars().take(200).collect(),
            code: fault.code,
            reason: fault.message.clone(),
        };
        let request_id: String = request_id.chars().take(128).collect();
        self.denials.note(denial, &request_id);
    }

    async fn serve(&self, routes: BoxGrpcService, mut request: http::Request<Body>) -> http::Response<Body> {
        let started = Instant::now();
        let _active = self.metrics.begin();
        let path = request.uri().path().to_owned();
        let request_id = text(&request, REQUEST_ID).unwrap_or_default();
        let caller = trace::extract(request.headers());
        let marks = Marks::of(&request, self.verifier.is_none() && !is_grpc(&request));
        let rpc = if marks.plain { Rpc::default() } else { Rpc::from_path(&path) };
        let span = span::server(self.service, rpc, caller.as_ref(), &request_id);
        let response = async {
            match self.admit(&path, &mut request, request_id) {
                Ok(permit) => self.run(routes, request, permit, &marks).await,
                Err(fault) => marks.refuse(fault),
            }
        }
        .instrument(span.clone())
        .await;
        self.note(&span, &path, marks.plain, &response, started.elapsed());
        response
    }

    /// Counts an answer. The door tells which method a REST path stood for; a page of
    /// its site is no call.
    fn note(
        &self,
        span: &tracing::Span,
        path: &str,
        plain: bool,
        response: &http::Response<Body>,
        took: Duration,
    ) {
        let answered = response.extensions().get::<Answered>();
        let code = answered.and_then(|answered| answered.code).unwrap_or_else(|| grpc_code(response));
        span::finish(span, code);
        match answered {
            Some(answered) => {
                span::rename(span, Rpc::from_path(&answered.method));
                self.metrics.observe(&answered.method, code, took);
            }
            None if plain => {}
            None => self.metrics.observe(path, code, took),
        }
    }

    /// Everything that can refuse a call before its handler sees it.
    fn admit(
        &self,
        path: &str,
        request: &mut http::Request<Body>,
        request_id: String,
    ) -> Result<OwnedSemaphorePermit, Fault> {
        // Calls inside the process belong to work that is being finished.
        if !self.shutdown.answers() && from_outside(request) {
            let why = "this instance has stopped; call again to reach another one";
            return Err(Fault::new(FaultKind::Unavailable, "RUN-0011", why).with_retry_after(AGAIN));
        }
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| {
            Fault::new(FaultKind::Overloaded, "RUN-0012", "too many calls are in work here; try again")
        })?;
        if let Some(verifier) = self.verifier.as_ref().filter(|_| !is_public(path)) {
            self.identify(verifier, path, request, request_id)?;
        }
        Ok(permit)
    }

    /// Verifies the caller token, checks the role the method asks for, and leaves
    /// the [`Ctx`] for the handler.
    fn identify(
        &self,
        verifier: &Verifier,
        path: &str,
        request: &mut http::Request<Body>,
        request_id: String,
    ) -> Result<(), Fault> {
        let address = request.extensions().get::<RemoteAddr>().map(|addr| addr.0.ip().to_string());
        let address = address.unwrap_or_default();
        let verified = text(request, CALLER_HEADER).ok_or_else(no_token).and_then(|token| {
            let ctx = verifier.verify(&token)?;
            Ok((token, ctx))
        });
        let (token, mut ctx) =
            verified.inspect_err(|fault| self.denied(None, path, &address, &request_id, fault))?;
        ctx.request_id = request_id;
        ctx.trace_id = span::current().map(|trace| trace.trace_id_hex()).unwrap_or_default();
        tracing::Span::current().record("tenant", ctx.tenant.as_str());
        authorize(path, &ctx)
            .inspect_err(|fault| self.denied(Some(&ctx), path, &address, &ctx.request_id, fault))?;
        request.extensions_mut().insert(CallerToken(token));
        request.extensions_mut().insert(ctx);
        Ok(())
    }

    async fn run(
        &self,
        routes: BoxGrpcService,
        request: http::Request<Body>,
        permit: OwnedSemaphorePermit,
        marks: &Marks,
    ) -> http::Response<Body> {
        let outcome = AssertUnwindSafe(routes.oneshot(request)).catch_unwind().await;
        drop(permit);
        match outcome {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_panic) => {
                let why = format!("a handler of {} panicked", self.service);
                marks.refuse(Fault::new(FaultKind::Internal, "RUN-0013", why))
            }
        }
    }
}

fn is_grpc(request: &http::Request<Body>) -> bool {
    let content_type = request.headers().get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    content_type.is_some_and(|text| text.starts_with("application/grpc"))
}

/// What a refusal before the handler needs to know of a call.
struct Marks {
    /// Plain HTTP at the door.
    plain: bool,
    request_id: String,
}

impl Marks {
    fn of(request: &http::Request<Body>, plain: bool) -> Self {
        let request_id = text(request, REQUEST_ID).filter(|id| is_id(id)).unwrap_or_else(new_id);
        Self { plain, request_id }
    }

    /// A refusal in the form its caller reads: a status, or a problem document
    /// (RFC 9457) for plain HTTP at the door; with the request id in both.
    fn refuse(&self, fault: Fault) -> http::Response<Body> {
        let status = status(fault);
        let mut response = if self.plain { self.problem(&status) } else { status.into_http() };
        if let Ok(id) = http::HeaderValue::from_str(&self.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    fn problem(&self, status: &tonic::Status) -> http::Response<Body> {
        let fault = fault_of(status);
        let trace_id = span::current().map(|trace| trace.trace_id_hex()).unwrap_or_default();
        let http = http_status(fault.kind);
        let problem = Problem::new(&fault, http, &self.request_id, &trace_id);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = http::Response::new(Body::new(http_body_util::Full::from(body)));
        *response.headers_mut() = problem.headers();
        *response.status_mut() = http;
        response
    }
}

fn from_outside(request: &http::Request<Body>) -> bool {
    request.extensions().get::<RemoteAddr>().is_some()
}

fn text(request: &http::Request<Body>, name: &str) -> Option<String> {
    request.headers().get(name).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned)
}

/// The status of an answer that failed before its first message, else OK.
pub(crate) fn grpc_code(response: &http::Response<Body>) -> i32 {
    let code = response.headers().get("grpc-status").and_then(|v| v.to_str().ok());
    code.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Health and reflection are for probes and tools and need no caller.
fn is_public(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.") || path.starts_with("/grpc.reflection.")
}

fn no_token() -> Fault {
    Fault::new(FaultKind::Unauthenticated, "RUN-0004", "the call carries no caller token")
}

/// Whether a method is public, and which roles may call it.
static ALLOWED: LazyLock<HashMap<&'static str, (bool, Vec<Role>)>> = LazyLock::new(|| {
    let roles = |numbers: &[i32]| numbers.iter().filter_map(|n| Role::from_number(*n)).collect();
    access::methods().map(|(path, access)| (path, (access.public, roles(&access.roles)))).collect()
});

/// Denies by default: a method without the access option is closed to all.
fn authorize(path: &str, ctx: &Ctx) -> Result<(), Fault> {
    let Some((public, roles)) = ALLOWED.get(path) else {
        return Ok(()); // no such method: the router answers UNIMPLEMENTED
    };
    if *public || ctx.roles.any_of(roles) {
        return Ok(());
    }
    let needed: Vec<_> = roles.iter().map(|r| r.as_str()).collect();
    let why = format!("this needs one of the roles {}", needed.join(", "));
    Err(Fault::new(FaultKind::Denied, "RUN-0015", why))
}

#[cfg(test)]
mod tests;
