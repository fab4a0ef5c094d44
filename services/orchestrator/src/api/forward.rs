//! Requests for executions that another replica has: handed on, one hop, with the
//! caller's rights. Two replicas that each take the other for the owner, for the
//! moment in which a shard moves, thus never play ball with a request.

use crate::domain::ownership::shard_of;
use crate::error::{ELSEWHERE, Error};
use crate::lane::Handle;
use bytes::Bytes;
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use probity_proto::orchestrator::worker_service_client::WorkerServiceClient;
use probity_proto::orchestrator::{WorkRequest, WorkResponse};
use probity_proto::{BoxGrpcService, RawCodec};
use probity_resilience::retry::{has_stopped, may_repeat};
use probity_resilience::{Criticality, Deadline};
use probity_runtime::{Call, Caller, Dialer, Minter, status};
use probity_types::Ctx;
use probity_types::id::ExecutionId;
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

/// Says that a request was handed on before.
const FORWARDED: &str = "x-probity-forwarded";
/// What is said when the replica that has an execution is not there.
const GONE: &str = "another replica has it and could not be reached";
/// Time for one request of a batch.
const ONE: Duration = Duration::from_secs(10);
/// Waits between the questions whose execution it is while a shard moves from one replica
/// to another: the first, doubled each time, and the last one.
const PAUSE: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(1_600));
/// Addresses kept; replicas come and go, so they are forgotten all at once.
const ADDRESSES: usize = 64;

/// Hands requests on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Forward(Arc<Inner>);

struct Inner {
    lane: Handle,
    dialer: Dialer,
    minter: Arc<Minter>,
    /// Where others call this replica.
    own: String,
    known: Mutex<HashMap<String, BoxGrpcService>>,
}

impl Forward {
    pub(crate) fn new(lane: Handle, dialer: Dialer, minter: Arc<Minter>, own: String) -> Self {
        Self(Arc::new(Inner { lane, dialer, minter, own, known: Mutex::default() }))
    }

    /// Where another replica is called that has an execution; nothing when this one
    /// has it, or nobody is known to.
    pub(super) fn elsewhere(&self, id: ExecutionId) -> Option<String> {
        if self.0.own.is_empty() {
            return None;
        }
        self.0.lane.address_of(shard_of(id)).filter(|address| *address != self.0.own)
    }

    /// A worker's stream to another replica, in the name of the worker.
    pub(super) async fn work(
        &self,
        ctx: &Ctx,
        address: &str,
        messages: mpsc::Receiver<WorkRequest>,
    ) -> Result<Streaming<WorkResponse>, Status> {
        let caller = Caller::new(ctx.clone(), self.0.minter.mint(ctx).map_err(status)?);
        let mut request = caller.request(ReceiverStream::new(messages));
        request.metadata_mut().insert(FORWARDED, MetadataValue::from_static("1"));
        let mut client = WorkerServiceClient::new(self.replica(address)?);
        client.work(request).await.map(Response::into_inner)
    }

    /// Whether a request was handed on by another replica.
    pub(super) fn came_from_another<T>(request: &Request<T>) -> bool {
        request.metadata().get(FORWARDED).is_some()
    }

    /// The answer to a request: the own one, or, when another replica has the
    /// execution, that one's. A lane that has lost its footing is not waited for: what may
    /// be repeated goes to somebody else.
    pub(super) async fn answer<Q, A>(
        &self,
        request: &Request<Q>,
        path: &'static str,
        own: Result<A, Error>,
    ) -> Result<Response<A>, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        match own {
            Err(Error::Elsewhere(shard)) if !Self::came_from_another(request) => {
                self.hand_on(request, path, shard).await.map(Response::new)
            }
            Err(away @ Error::Away(_)) => match self.somebody_else(request, path) {
                Some(shard) => self.hand_on(request, path, shard).await.map(Response::new),
                None => Err(status(away)),
            },
            own => own.map(Response::new).map_err(status),
        }
    }

    /// A shard of another replica that can be asked instead of this one.
    fn somebody_else<Q>(&self, request: &Request<Q>, path: &'static str) -> Option<u8> {
        let fresh = !self.0.own.is_empty() && !Self::came_from_another(request);
        let repeatable = fresh && may_repeat(path, || request.idempotency_key().is_some());
        repeatable.then(|| self.0.lane.someones(&self.0.own))?
    }

    /// The answer of the replica that has an execution, which knows more of it; the own
    /// one where that is this replica or cannot be reached.
    pub(super) async fn better<Q, A>(
        &self,
        request: &Request<Q>,
        path: &'static str,
        id: ExecutionId,
        own: A,
    ) -> Response<A>
    where
        Q: Message,
        A: Message + Default,
    {
        if Self::came_from_another(request) || self.elsewhere(id).is_none() {
            return Response::new(own);
        }
        Response::new(self.ask(request, path, shard_of(id)).await.unwrap_or(own))
    }

    /// One request of a batch, when another replica has its execution.
    pub(super) async fn one<Q, A>(
        &self,
        ctx: &Ctx,
        path: &'static str,
        message: Q,
        own: Result<A, Error>,
    ) -> Result<A, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        match own {
            Err(Error::Elsewhere(shard)) => {
                let mut request = Request::new(message);
                request.extensions_mut().insert(ctx.clone());
                request.extensions_mut().insert(Deadline::within(ONE));
                self.hand_on(&request, path, shard).await
            }
            own => own.map_err(status),
        }
    }

    /// The answer of the replica that has the shard. While the shard moves none has it,
    /// this one after the other included: each says so and has written nothing, so the
    /// caller waits here instead of being sent away, as far as its time allows. One that
    /// has ended cannot even say so; a request that may be repeated waits then as well.
    /// Meanwhile the own lane looks whether the shard is free.
    async fn hand_on<Q, A>(&self, request: &Request<Q>, path: &'static str, shard: u8) -> Result<A, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        let time = request.extensions().get::<Deadline>().copied();
        let repeatable = may_repeat(path, || request.idempotency_key().is_some());
        let mut pause = PAUSE.0;
        loop {
            let refused = match self.ask(request, path, shard).await {
                Err(refused) if moves(&refused) || (repeatable && is_gone(&refused)) => refused,
                answer => return answer,
            };
            self.0.lane.look();
            if pause > PAUSE.1 || time.is_some_and(|time| !time.allows(pause)) {
                return Err(refused);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// One question to the replica that is known to have the shard.
    async fn ask<Q, A>(&self, request: &Request<Q>, path: &'static str, shard: u8) -> Result<A, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        let address = self.0.lane.address_of(shard).ok_or_else(|| status(Error::Elsewhere(shard)))?;
        let unknown = || status(Error::Away(GONE.to_owned()));
        let mut client = Grpc::new(self.replica(&address)?);
        let sent = self.request(request)?;
        let answer = client.unary(sent, PathAndQuery::from_static(path), RawCodec).await;
        // Without our details it is no answer of a replica: it could not be reached.
        let reached = |refused: &Status| refused.get_error_details().error_info().is_some();
        let bytes = answer.map_err(|refused| if reached(&refused) { refused } else { unknown() })?;
        A::decode(bytes.into_inner()).map_err(|_| unknown())
    }

    /// The same request of the same caller, with what is left of its time.
    fn request<Q: Message>(&self, request: &Request<Q>) -> Result<Request<Bytes>, Status> {
        let ctx = request.ctx()?.clone();
        let mut caller = Caller::new(ctx.clone(), self.0.minter.mint(&ctx).map_err(status)?);
        caller = caller.matters(Criticality::of(request.metadata().as_ref()));
        if let Some(deadline) = request.extensions().get::<Deadline>() {
            caller = caller.by(*deadline);
        }
        let message = Bytes::from(request.get_ref().encode_to_vec());
        let mut sent = match request.idempotency_key() {
            Some(key) => caller.request_with_key(message, &key),
            None => caller.request(message),
        };
        sent.metadata_mut().insert(FORWARDED, MetadataValue::from_static("1"));
        Ok(sent)
    }

    fn replica(&self, address: &str) -> Result<BoxGrpcService, Status> {
        let mut known = self.0.known.lock();
        if let Some(replica) = known.get(address) {
            return Ok(replica.clone());
        }
        let replica = self.0.dialer.dial(address).map_err(status)?;
        if known.len() >= ADDRESSES {
            known.clear();
        }
        known.insert(address.to_owned(), replica.clone());
        Ok(replica)
    }
}

/// Whether a replica says that it has not the execution either, or has stopped.
fn moves(refused: &Status) -> bool {
    has_stopped(refused)
        || refused.get_error_details().error_info().is_some_and(|info| info.reason == ELSEWHERE)
}

/// Whether a replica could not be reached.
fn is_gone(refused: &Status) -> bool {
    refused.code() == Code::Unavailable && refused.message().ends_with(GONE)
}
