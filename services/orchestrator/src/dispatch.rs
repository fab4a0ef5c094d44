//! Work that the core asked for, after it was committed: calls to peers, and tasks
//! for workers.
//!
//! A call is made on behalf of the owner of the execution, with a token minted now,
//! and with an idempotency key that is the same for every attempt of the step.

mod places;

pub(crate) use places::{FREE_PLACES, limited};

use crate::blobs::Blobs;
use crate::catalog::{Contracts, Method};
use crate::config::Config;
use crate::domain::standalone::Standalone;
use crate::gate::{Gate, Wish};
use crate::metrics::Metrics;
use crate::sabotage::{self, Damage};
use bytes::Bytes;
use probity_engine::{CallFailure, Event, Parent};
use probity_proto::{BoxGrpcService, RawCodec};
use probity_resilience::Criticality;
use probity_resilience::Deadline;
use probity_runtime::edges::edges;
use probity_runtime::{Caller, Minter, Setup, fault_of};
use probity_telemetry::span;
use probity_types::id::ExecutionId;
use probity_types::{Ctx, Fault, Micros, Role, Roles};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::client::Grpc;
use tracing::{Instrument as _, Span};

/// Largest message of a step in either direction.
const MAX_MESSAGE: usize = 4 << 20;

/// Carries the priority to the peer, 1 (low) to 4 (critical).
const PRIORITY: &str = "x-probity-priority";

/// Which attempt of which step: what an answer is matched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OrderId {
    pub(crate) execution: ExecutionId,
    pub(crate) step: usize,
    pub(crate) item: Option<u32>,
    pub(crate) attempt: u32,
    pub(crate) compensation: bool,
}

impl OrderId {
    /// The event for the core.
    pub(crate) fn event(self, result: Result<Json, CallFailure>) -> Event {
        let Self { step, item, attempt, compensation, .. } = self;
        Event::CallEnded { step, item, attempt, compensation, result }
    }
}

/// What is to be done.
pub(crate) enum Work {
    /// A peer is called.
    Call(Call),
    /// A worker does it.
    Task(Task),
    /// Another execution does it.
    Child(Child),
}

/// An execution that a step starts.
pub(crate) struct Child {
    pub(crate) id: ExecutionId,
    pub(crate) order: OrderId,
    /// The name of its definition.
    pub(crate) definition: String,
    pub(crate) input: Arc<Json>,
    pub(crate) priority: u8,
    pub(crate) ctx: Ctx,
    pub(crate) parent: Parent,
}

/// A call that is over.
pub(crate) struct Finished {
    pub(crate) order: OrderId,
    pub(crate) result: Result<Json, CallFailure>,
}

impl Finished {
    pub(crate) fn event(self) -> Event {
        self.order.event(self.result)
    }
}

/// A task for a worker.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) order: OrderId,
    pub(crate) kind: String,
    pub(crate) queue: String,
    pub(crate) tenant: String,
    pub(crate) priority: u8,
    pub(crate) step: String,
    /// JSON.
    pub(crate) input: Bytes,
    pub(crate) key: String,
    /// How long the attempt may take.
    pub(crate) timeout: Duration,
    /// Not given out before.
    pub(crate) not_before: Option<Micros>,
    /// Tasks with the same key share a limit of their queue.
    pub(crate) concurrency: Option<Arc<str>>,
}

impl Task {
    /// As a task of its own asks for it; `message` is that of its step.
    pub(crate) fn of(self, asked: Standalone, message: &Json) -> Self {
        Self {
            kind: asked.kind,
            queue: asked.queue,
            input: message.get("payload").unwrap_or(&Json::Null).to_string().into(),
            timeout: Duration::from_millis(asked.timeout_ms),
            not_before: Some(Micros(asked.not_before_us)).filter(|at| at.0 > 0),
            concurrency: Some(asked.key).filter(|key| !key.is_empty()).map(Into::into),
            ..self
        }
    }
}

/// What calls pass on their way out and back.
pub(crate) struct Calls {
    pub(crate) blobs: Blobs,
    pub(crate) gate: Gate,
    pub(crate) metrics: Arc<Metrics>,
}

/// Makes calls.
pub(crate) struct Dispatcher {
    contracts: Arc<Contracts>,
    peers: HashMap<&'static str, BoxGrpcService>,
    minter: Arc<Minter>,
    blobs: Blobs,
    gate: Gate,
    rules: places::Rules,
    waiting: places::Waiting,
    metrics: Arc<Metrics>,
}

/// A call to make.
pub(crate) struct Call {
    pub(crate) tenant: String,
    pub(crate) owner: String,
    pub(crate) owner_roles: Roles,
    pub(crate) request_id: String,
    /// The trace of the request that started the execution, 32 hex digits or empty.
    pub(crate) trace_id: String,
    /// The id of its step in the definition.
    pub(crate) step: String,
    pub(crate) method: String,
    pub(crate) priority: u8,
    pub(crate) input: Arc<Json>,
    pub(crate) key: String,
    pub(crate) timeout: Duration,
    pub(crate) order: OrderId,
    /// The limit of its step.
    pub(crate) limit: Option<Wish>,
}

impl Call {
    /// The span of this attempt, in the trace of the execution.
    fn span(&self) -> Span {
        let OrderId { execution, step, item, attempt, compensation } = self.order;
        let key = format!("{execution}/{step}/{item:?}/{compensation}");
        span::step("orchestrator", &self.step, &self.trace_id, &key, attempt)
    }
}

impl Dispatcher {
    pub(crate) fn new(setup: &Setup, contracts: Arc<Contracts>, calls: Calls, config: &Config) -> Arc<Self> {
        let Calls { blobs, gate, metrics } = calls;
        let own = edges().edges.iter().filter(|e| e.from == "orchestrator");
        let peers = own.map(|e| (e.to.as_str(), setup.peer(&e.to))).collect();
        let (rules, waiting) = (places::Rules::new(config), places::Waiting::default());
        Arc::new(Self { contracts, peers, minter: setup.minter(), blobs, gate, rules, waiting, metrics })
    }

    /// Makes the call. Waits for its places first; the time allowed starts after
    /// that.
    pub(crate) async fn run(&self, call: Call) -> Finished {
        let _places = match self.places(&call).await {
            Ok(places) => places,
            Err(failure) => return Finished { order: call.order, result: Err(failure) },
        };
        self.metrics.calls.inc();
        let span = call.span();
        let result = self.attempt(&call).instrument(span.clone()).await;
        let result = self.blobs.answered(&call.tenant, result).await;
        if let Err(failure) = &result {
            span::failed(&span, &failure.code);
        }
        self.metrics.calls.dec();
        let outcome = match &result {
            Ok(_) => "ok",
            Err(failure) if failure.transient => "transient",
            Err(_) => "failed",
        };
        self.metrics.attempts.with_label_values(&[outcome]).inc();
        Finished { order: call.order, result }
    }

    async fn attempt(&self, call: &Call) -> Result<Json, CallFailure> {
        let method = self.contracts.get(&call.method).ok_or_else(|| unknown(&call.method))?;
        let message = method.encode(&call.input)?;
        let caller = self.caller(call).map_err(failure)?;
        let mut sent = caller.clone().by(Deadline::within(call.timeout)).request_with_key(message, &call.key);
        sent.metadata_mut().insert(PRIORITY, i32::from(call.priority).into());
        if sabotage::does(Damage::DoubleEffect) {
            let again = caller.request_with_key(method.encode(&call.input)?, &format!("{}-again", call.key));
            let _ = self.send(method, again).await;
        }
        probity_failpoint::hit("call.before");
        let answer = tokio::time::timeout(call.timeout, self.send(method, sent)).await;
        probity_failpoint::hit("call.after");
        method.decode(answer.map_err(|_| too_slow(call))??)
    }

    /// The owner's rights as they were when the case was opened, and the right of
    /// a service to do the work of a step.
    fn caller(&self, call: &Call) -> Result<Caller, Fault> {
        let ctx = Ctx {
            tenant: call.tenant.clone(),
            actor: call.owner.clone(),
            roles: Roles::new(call.owner_roles.iter().chain([Role::Service])),
            request_id: call.request_id.clone(),
            trace_id: call.trace_id.clone(),
        };
        let token = self.minter.mint(&ctx)?;
        // A step is tried again by itself; people who wait come first.
        Ok(Caller::new(ctx, token).matters(Criticality::SheddablePlus))
    }

    async fn send(&self, method: &Method, request: tonic::Request<Bytes>) -> Result<Bytes, CallFailure> {
        let peer = self.peers.get(method.service).ok_or_else(|| unknown(method.service))?;
        let mut client = Grpc::new(peer.clone()).max_decoding_message_size(MAX_MESSAGE);
        let answer = client.unary(request, method.path.clone(), RawCodec).await;
        answer.map(tonic::Response::into_inner).map_err(|status| failure(fault_of(&status)))
    }
}

fn failure(fault: Fault) -> CallFailure {
    CallFailure {
        code: fault.code.to_owned(),
        message: fault.message,
        transient: fault.kind.is_transient(),
        retry_after: fault.retry_after,
    }
}

fn unknown(what: &str) -> CallFailure {
    let message = format!("{what} cannot be called by a step of this platform");
    CallFailure { code: "ORC-0021".to_owned(), message, transient: false, retry_after: None }
}

fn too_slow(call: &Call) -> CallFailure {
    let message = format!("{} did not answer within {} ms", call.method, call.timeout.as_millis());
    CallFailure { code: "ORC-0022".to_owned(), message, transient: true, retry_after: None }
}
