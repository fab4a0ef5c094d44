//! Requests for executions that another replica has: handed on, one hop, with the
//! caller's rights. Two replicas that each take the other for the owner, for the
//! moment in which a shard moves, thus never play ball with a request.

use crate::error::Error;
use crate::lane::Handle;
use bytes::Bytes;
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use probity_proto::{BoxGrpcService, RawCodec};
use probity_resilience::Deadline;
use probity_runtime::{Call, Caller, Dialer, Minter, status};
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};
use tonic_types::StatusExt as _;

/// Says that a request was handed on before.
const FORWARDED: &str = "x-probity-forwarded";
/// Addresses kept; replicas come and go, so they are forgotten all at once.
const ADDRESSES: usize = 64;

/// Hands requests on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Forward(Arc<Inner>);

struct Inner {
    lane: Handle,
    dialer: Dialer,
    minter: Arc<Minter>,
    known: Mutex<HashMap<String, BoxGrpcService>>,
}

impl Forward {
    pub(crate) fn new(lane: Handle, dialer: Dialer, minter: Arc<Minter>) -> Self {
        Self(Arc::new(Inner { lane, dialer, minter, known: Mutex::default() }))
    }

    /// The answer to a request: the own one, or, when another replica has the
    /// execution, that one's.
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
            Err(Error::Elsewhere(shard)) if request.metadata().get(FORWARDED).is_none() => {
                self.hand_on(request, path, shard).await.map(Response::new)
            }
            own => own.map(Response::new).map_err(status),
        }
    }

    async fn hand_on<Q, A>(&self, request: &Request<Q>, path: &'static str, shard: u8) -> Result<A, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        let elsewhere = || status(Error::Elsewhere(shard));
        let address = self.0.lane.address_of(shard).ok_or_else(elsewhere)?;
        let mut client = Grpc::new(self.replica(&address)?);
        let sent = self.request(request)?;
        let answer = client.unary(sent, PathAndQuery::from_static(path), RawCodec).await;
        // Without our details it is no answer of a replica: it could not be reached.
        let reached = |refused: &Status| refused.get_error_details().error_info().is_some();
        let bytes = answer.map_err(|refused| if reached(&refused) { refused } else { elsewhere() })?;
        A::decode(bytes.into_inner()).map_err(|_| elsewhere())
    }

    /// The same request of the same caller, with what is left of its time.
    fn request<Q: Message>(&self, request: &Request<Q>) -> Result<Request<Bytes>, Status> {
        let ctx = request.ctx()?.clone();
        let mut caller = Caller::new(ctx.clone(), self.0.minter.mint(&ctx).map_err(status)?);
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
