//! Peers: a service in this process or behind a channel, the same to a caller.
//!
//! A peer is looked up at the first call, so that services may name each other
//! in any order. Both kinds sit behind the same client stack, which one caller's
//! clients of a peer share: one breaker, one budget, one set of seats.

use crate::client::{self, Edge};
use crate::config::ResilienceConfig;
use crate::edges::edges;
use crate::faults::{Faults, Met};
use crate::resilience::Callers;
use crate::status::status;
use crate::tls::{self, Tls};
use parking_lot::RwLock;
use probity_proto::{BoxGrpcService, boxed, legible};
use probity_resilience::Refusal;
use probity_resilience::balance::watch_health;
use probity_resilience::stack::Shared;
use probity_types::{Fault, FaultKind};
use prometheus::Registry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt as _;

/// All peers of a process.
#[derive(Clone)]
pub(crate) struct Peers(Arc<Inner>);

struct Inner {
    local: RwLock<HashMap<&'static str, BoxGrpcService>>,
    remote: BTreeMap<String, String>,
    callers: Callers,
    tls: RwLock<HashMap<&'static str, Tls>>,
    /// Faults by caller, for drills.
    faults: RwLock<HashMap<&'static str, Arc<Faults>>>,
    /// Ends what follows the health of endpoints.
    stop: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Peers {
    /// Peers with the addresses of those outside this process.
    #[must_use]
    pub(crate) fn new(remote: BTreeMap<String, String>, config: ResilienceConfig) -> Self {
        let (local, tls, callers) = (RwLock::default(), RwLock::default(), Callers::new(config));
        let (faults, stop) = (RwLock::default(), CancellationToken::new());
        Self(Arc::new(Inner { local, remote, callers, tls, faults, stop }))
    }

    /// Counts what happens to the calls of a service on its registry. To be
    /// called before its first client is made; answers what they share.
    pub(crate) fn measure(&self, caller: &'static str, registry: &Registry) -> prometheus::Result<Shared> {
        self.0.callers.measure(caller, registry)
    }

    /// Gives a caller certificates: from now on it connects with them alone.
    pub(crate) fn secure(&self, caller: &'static str, tls: Tls) {
        self.0.tls.write().insert(caller, tls);
    }

    /// Lets a caller meet these faults. To be called before its first client is made.
    pub(crate) fn drill(&self, caller: &'static str, faults: Arc<Faults>) {
        self.0.faults.write().insert(caller, faults);
    }

    fn channel(&self, caller: &str, callee: &str, url: &str) -> Result<Channel, Fault> {
        let tls = self.0.tls.read().get(caller).cloned();
        tls::channel(&endpoint(url, tls.is_some())?, tls.as_ref(), callee)
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
        let faults = self.0.faults.read().get(caller).cloned().unwrap_or_default();
        let transport = Lazy { peers: self.clone(), caller, callee, faults, found: Arc::default() };
        let transport = transport.boxed_clone();
        match self.0.callers.stack(caller, callee) {
            Ok(stack) => client::stack(self.edge(caller, callee), &stack, transport),
            Err(error) => refusing(callee, &error.to_string()),
        }
    }

    /// The client side of one instance of a service, at its own address, for one
    /// attempt: whoever asks for a certain instance must choose anew when it is gone.
    ///
    /// # Errors
    /// When the address is none, or `edges.toml` has no such edge.
    pub(crate) fn client_at(
        &self,
        caller: &'static str,
        callee: &'static str,
        url: &str,
    ) -> Result<BoxGrpcService, Fault> {
        if !edges().allows(caller, callee) {
            return Err(no_edge(caller, callee));
        }
        let channel = carried(callee, self.channel(caller, callee, url)?);
        Ok(client::once(self.edge(caller, callee), channel))
    }

    fn edge(&self, caller: &'static str, callee: &'static str) -> Edge {
        Edge { caller, callee, metrics: self.0.callers.calls(caller) }
    }

    fn find(&self, caller: &'static str, callee: &'static str) -> Result<BoxGrpcService, Fault> {
        if let Some(service) = self.0.local.read().get(callee) {
            return Ok(service.clone());
        }
        let url = match self.0.remote.get(callee) {
            Some(url) => url.clone(),
            None => default_url(callee)?,
        };
        self.endpoints(caller, callee, &url)
    }

    /// The transport to a peer at these addresses: a channel, or a choice of several
    /// whose health is followed.
    fn endpoints(
        &self,
        caller: &'static str,
        callee: &'static str,
        urls: &str,
    ) -> Result<BoxGrpcService, Fault> {
        let mut endpoints = Vec::new();
        for address in urls.split(',').map(str::trim) {
            let (url, weight) = weighted(address)?;
            let channel = carried(callee, self.channel(caller, callee, url)?);
            endpoints.push((url.to_owned(), weight, channel));
        }
        if let [(_, _, only)] = endpoints.as_slice() {
            return Ok(only.clone());
        }
        let channels: Vec<_> = endpoints.iter().map(|(_, _, channel)| channel.clone()).collect();
        let balance = self.0.callers.balance(caller, callee, endpoints)?;
        for (position, channel) in channels.into_iter().enumerate() {
            let (followed, stop) = (balance.clone(), self.0.stop.clone());
            let follow = watch_health(channel, String::new(), stop, move |serving| {
                followed.set_serving(position, serving);
            });
            tokio::spawn(follow);
        }
        Ok(boxed(callee, balance))
    }
}

/// The calls of a channel. One that met the end of its connection before it was sent is as
/// good as refused by an instance that has stopped: its next attempt makes a new connection.
fn carried(callee: &'static str, channel: Channel) -> BoxGrpcService {
    let carry = tower::service_fn(move |request| {
        let channel = channel.clone();
        async move {
            match channel.oneshot(request).await {
                Err(error) if was_never_sent(&error) => Ok(Refusal::Stopping.into_response()),
                answer => answer.map(legible),
            }
        }
    });
    boxed(callee, carry)
}

fn was_never_sent(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled))
}

/// What a peer that cannot have a stack is replaced with.
fn refusing(callee: &str, why: &str) -> BoxGrpcService {
    let why = format!("no client of {callee} can be made: {why}");
    BoxGrpcService::from_fn(move |_request| {
        let fault = Fault::new(FaultKind::Internal, "RUN-0007", why.clone());
        async move { status(fault).into_http() }
    })
}

fn no_edge(caller: &str, callee: &str) -> Fault {
    let why = format!("{caller} may not call {callee}: edges.toml has no such edge");
    Fault::new(FaultKind::Denied, "RUN-0008", why)
}

/// An address and how much of the load it is meant to take.
fn weighted(address: &str) -> Result<(&str, u32), Fault> {
    let Some((url, weight)) = address.split_once(";weight=") else { return Ok((address, 1)) };
    let wrong = || format!("{address:?}: write a weight as http://HOST:PORT;weight=3, from 0 to 1000");
    let weight = weight.parse().ok().filter(|weight| *weight <= 1_000);
    let weight = weight.ok_or_else(|| Fault::new(FaultKind::Internal, "RUN-0007", wrong()))?;
    Ok((url, weight))
}

fn default_url(callee: &str) -> Result<String, Fault> {
    edges().service(callee).map(|s| format!("http://127.0.0.1:{}", s.port)).ok_or_else(|| {
        Fault::new(FaultKind::Internal, "RUN-0007", format!("{callee} is no service of this platform"))
    })
}

/// How to reach an address. Whether that is encrypted follows from `[tls]`, not from
/// the scheme; an address that asks for TLS where there is none is refused.
fn endpoint(url: &str, secure: bool) -> Result<Endpoint, Fault> {
    let plain = url.strip_prefix("https://").map(|rest| format!("http://{rest}"));
    if plain.is_some() && !secure {
        let why = format!("{url} asks for TLS, and [tls] is off; configure it, or write http://");
        return Err(Fault::new(FaultKind::Internal, "RUN-0007", why));
    }
    let endpoint = Endpoint::from_shared(plain.unwrap_or_else(|| url.to_owned())).map_err(|e| {
        Fault::new(FaultKind::Internal, "RUN-0007", format!("{url:?} is no peer address")).with_source(e)
    })?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20))
}

/// A peer that is looked up at its first call.
#[derive(Clone)]
struct Lazy {
    peers: Peers,
    caller: &'static str,
    callee: &'static str,
    faults: Arc<Faults>,
    found: Arc<OnceLock<BoxGrpcService>>,
}

impl Lazy {
    fn boxed_clone(self) -> BoxGrpcService {
        BoxGrpcService::from_fn(move |request| self.clone().call(request))
    }

    async fn call(self, request: http::Request<Body>) -> http::Response<Body> {
        let met = self.faults.meet(self.callee).await;
        if let Met::Instead(status) = met {
            return status.into_http();
        }
        match self.service() {
            Ok(service) => {
                let Ok(answer) = service.oneshot(request).await;
                if let Met::After(status) = met { status.into_http() } else { answer }
            }
            Err(fault) => status(fault).into_http(),
        }
    }

    fn service(&self) -> Result<BoxGrpcService, Fault> {
        if let Some(service) = self.found.get() {
            return Ok(service.clone());
        }
        if !edges().allows(self.caller, self.callee) {
            return Err(no_edge(self.caller, self.callee));
        }
        let service = self.peers.find(self.caller, self.callee)?;
        Ok(self.found.get_or_init(|| service).clone())
    }
}

#[cfg(test)]
mod tests;
