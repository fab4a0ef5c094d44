//! What a handler reads off a request, and what it hands on to a peer.

use crate::identity::CALLER_HEADER;
use crate::status::status;
use probity_resilience::limit::CRITICALITY_HEADER;
use probity_resilience::{Criticality, Deadline};
use probity_types::{Ctx, Fault, FaultKind};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

/// Metadata key of the idempotency key.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Metadata key of the request id.
pub const REQUEST_ID: &str = "x-request-id";
/// Longest idempotency key.
pub const MAX_KEY_LEN: usize = 128;

/// Where a connection came from; absent for calls inside the process.
#[derive(Debug, Clone, Copy)]
pub struct RemoteAddr(pub std::net::SocketAddr);

/// The raw caller token, kept so that a service can pass it on.
#[derive(Clone)]
pub(crate) struct CallerToken(pub(crate) String);

/// Reads a request as a handler needs it.
pub trait Call {
    /// The verified caller.
    ///
    /// # Errors
    /// UNAUTHENTICATED when no server stack verified one.
    fn ctx(&self) -> Result<&Ctx, Status>;

    /// The caller with everything a peer needs to know of it.
    ///
    /// # Errors
    /// As [`Call::ctx`].
    fn caller(&self) -> Result<Caller, Status>;

    /// The idempotency key of the call, if it has a readable one of at most
    /// [`MAX_KEY_LEN`] bytes.
    fn idempotency_key(&self) -> Option<String>;
}

impl<T> Call for Request<T> {
    fn ctx(&self) -> Result<&Ctx, Status> {
        self.extensions().get::<Ctx>().ok_or_else(|| {
            status(Fault::new(FaultKind::Unauthenticated, "RUN-0002", "the call carries no verified caller"))
        })
    }

    fn caller(&self) -> Result<Caller, Status> {
        let token = self.extensions().get::<CallerToken>().map(|t| t.0.clone()).unwrap_or_default();
        let deadline = self.extensions().get::<Deadline>().copied();
        let traceparent =
            self.metadata().get("traceparent").and_then(|v| v.to_str().ok()).map(ToOwned::to_owned);
        let criticality = Criticality::of(self.metadata().as_ref());
        Ok(Caller { ctx: self.ctx()?.clone(), token, deadline, criticality, traceparent })
    }

    fn idempotency_key(&self) -> Option<String> {
        let key = self.metadata().get(IDEMPOTENCY_KEY)?.to_str().ok()?;
        (!key.is_empty() && key.len() <= MAX_KEY_LEN).then(|| key.to_owned())
    }
}

/// A caller on whose behalf a service calls its peers.
#[derive(Clone)]
pub struct Caller {
    /// Who it is.
    pub ctx: Ctx,
    token: String,
    deadline: Option<Deadline>,
    criticality: Criticality,
    traceparent: Option<String>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("ctx", &self.ctx).finish_non_exhaustive()
    }
}

impl Caller {
    /// A caller from a context and a token minted for it.
    #[must_use]
    pub const fn new(ctx: Ctx, token: String) -> Self {
        Self { ctx, token, deadline: None, criticality: Criticality::Critical, traceparent: None }
    }

    /// The same caller whose calls matter so much: who is short of room sheds the least
    /// important first. It goes on with every call that follows.
    #[must_use]
    pub const fn matters(mut self, criticality: Criticality) -> Self {
        self.criticality = criticality;
        self
    }

    /// The same caller with a point in time by which its calls must be answered.
    #[must_use]
    pub const fn by(mut self, deadline: Deadline) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// A request to a peer: carries the token, the request id, the trace, how much it
    /// matters and what is left of the deadline.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        let texts = [
            (CALLER_HEADER, Some(self.token.as_str())),
            (REQUEST_ID, Some(self.ctx.request_id.as_str())),
            ("traceparent", self.traceparent.as_deref()),
        ];
        for (key, text) in texts {
            if let Some(Ok(value)) = text.filter(|t| !t.is_empty()).map(MetadataValue::try_from) {
                metadata.insert(key, value);
            }
        }
        if self.criticality != Criticality::default() {
            let value = MetadataValue::from_static(self.criticality.name());
            request.metadata_mut().insert(CRITICALITY_HEADER, value);
        }
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline.remaining());
        }
        request
    }

    /// As [`Caller::request`], with an idempotency key.
    pub fn request_with_key<T>(&self, message: T, key: &str) -> Request<T> {
        let mut request = self.request(message);
        if let Ok(value) = MetadataValue::try_from(key) {
            request.metadata_mut().insert(IDEMPOTENCY_KEY, value);
        }
        request
    }
}
