//! Peers: a service in this process or behind a channel, the same to a caller.
//!
//! A peer is looked up at the first call, so that services may name each other
//! in any order. Both kinds sit behind the same client stack, which one caller's
//! clients of a peer share: one breaker, one budget, one set of seats.

use crate::client;
use crate::config::ResilienceConfig;
use crate::edges::edges;
use crate::resilience::Callers;
use crate::status::status;
use parking_lot::RwLock;
use probity_proto::{BoxGrpcService, boxed};
use probity_types::{Fault, FaultKind};
use prometheus::Registry;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

/// All peers of a process.
#[derive(Clone)]
pub(crate) struct Peers(Arc<Inner>);

struct Inner {
    local: RwLock<HashMap<&'static str, BoxGrpcService>>,
    remote: BTreeMap<String, String>,
    callers: Callers,
}

impl Peers {
    /// Peers with the addresses of those outside this process.
    #[must_use]
    pub(crate) fn new(remote: BTreeMap<String, String>, config: ResilienceConfig) -> Self {
        Self(Arc::new(Inner { local: RwLock::default(), remote, callers: Callers::new(config) }))
    }

    /// Counts what happens to the calls of a service on its registry. To be
    /// called before its first client is made.
    pub(crate) fn measure(&self, caller: &'static str, registry: &Registry) -> prometheus::Result<()> {
        self.0.callers.measure(caller, registry)
    }

    /// Adds a service of this process.
    pub(crate) fn add_local(&self, name: &'static str, service: BoxGrpcService) {
        self.0.local.write().insert(name, service);
    }

    /// A service of this process as it was added.
    #[cfg(feature = "testing")]
    #[allow(clippy::expect_used)]
    pub(crate) fn local(&self, name: &'static str) -> BoxGrpcService {
        self.0.local.read().get(name).expect("a service of this process").clone()
    }

    /// The client side of `callee` for `caller`, with the whole client stack.
    /// A call that `edges.toml` does not list is answered PERMISSION_DENIED, so
    /// that the table stays true.
    #[must_use]
    pub(crate) fn client(&self, caller: &'static str, callee: &'static str) -> BoxGrpcService {
        let transport = Lazy { peers: self.clone(), caller, callee, found: Arc::new(OnceLock::new()) };
        let transport = transport.boxed_clone();
        match self.0.callers.stack(caller, callee) {
            Ok(stack) => client::stack(caller, callee, &stack, transport),
            Err(error) => refusing(callee, &error.to_string()),
        }
    }

    /// The client side of one instance of a service, at its own address, for one
    /// attempt: whoever asks for a certain instance must choose anew when it is gone.
    ///
    /// # Errors
    /// When the address is none, or `edges.toml` has no such edge.
    pub(crate) fn client_at(
        caller: &'static str,
        callee: &'static str,
        url: &str,
    ) -> Result<BoxGrpcService, Fault> {
        if !edges().allows(caller, callee) {
            return Err(no_edge(caller, callee));
        }
        Ok(client::once(caller, callee, boxed(callee, connect(url)?)))
    }

    fn find(&self, callee: &'static str) -> Result<BoxGrpcService, Fault> {
        if let Some(service) = self.0.local.read().get(callee) {
            return Ok(service.clone());
        }
        let url = match self.0.remote.get(callee) {
            Some(url) => url.clone(),
            None => default_url(callee)?,
        };
        Ok(boxed(callee, connect(&url)?))
    }
}

/// What a peer that cannot have a stack is replaced with.
fn refusing(callee: &str, why: &str) -> BoxGrpcService {
    let why = format!("no client of {callee} can be made: {why}");
    BoxCloneSyncService::new(tower::service_fn(move |_request: http::Request<Body>| {
        let fault = Fault::new(FaultKind::Internal, "RUN-0007", why.clone());
        async move { Ok(status(fault).into_http()) }
    }))
}

fn no_edge(caller: &str, callee: &str) -> Fault {
    let why = format!("{caller} may not call {callee}: edges.toml has no such edge");
    Fault::new(FaultKind::Denied, "RUN-0008", why)
}

fn default_url(callee: &str) -> Result<String, Fault> {
    edges().service(callee).map(|s| format!("http://127.0.0.1:{}", s.port)).ok_or_else(|| {
        Fault::new(FaultKind::Internal, "RUN-0007", format!("{callee} is no service of this platform"))
    })
}

/// A channel that connects when it is first used and again whenever it must.
fn connect(url: &str) -> Result<Channel, Fault> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|e| {
        Fault::new(FaultKind::Internal, "RUN-0007", format!("{url:?} is no peer address")).with_source(e)
    })?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .connect_lazy())
}

/// A peer that is looked up at its first call.
#[derive(Clone)]
struct Lazy {
    peers: Peers,
    caller: &'static str,
    callee: &'static str,
    found: Arc<OnceLock<BoxGrpcService>>,
}

impl Lazy {
    fn boxed_clone(self) -> BoxGrpcService {
        BoxCloneSyncService::new(tower::service_fn(move |request| self.clone().call(request)))
    }

    async fn call(self, request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
        match self.service() {
            Ok(service) => service.oneshot(request).await,
            Err(fault) => Ok(status(fault).into_http()),
        }
    }

    fn service(&self) -> Result<BoxGrpcService, Fault> {
        if let Some(service) = self.found.get() {
            return Ok(service.clone());
        }
        if !edges().allows(self.caller, self.callee) {
            return Err(no_edge(self.caller, self.callee));
        }
        let service = self.peers.find(self.callee)?;
        Ok(self.found.get_or_init(|| service).clone())
    }
}

#[cfg(test)]
mod tests;
