//! A gRPC service over several endpoints of a peer.

use super::{Ewma, Load, Picker, Strategy, outlier};
use crate::Deadline;
use crate::breaker::{Classify, Outcome, given_up, of_status};
use crate::invalid::Invalid;
use crate::methods::is_unary;
use crate::observe::{Event, Observed};
use crate::refusal::Refusal;
use crate::time::now;
use crate::watched::{End, of_head, watch};
use futures::future::BoxFuture;
use http::{Request, Response};
use parking_lot::Mutex;
use probity_proto::BoxGrpcService;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

/// How the endpoints of a peer share its calls.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How one is chosen.
    pub strategy: Strategy,
    /// When one is taken out.
    pub outlier: outlier::Config,
}

/// What was measured ten seconds ago counts a third.
const DECAY: Duration = Duration::from_secs(10);

/// A failure counts as a call that took at least so long: else an endpoint that
/// fails at once would look like the quickest of all, and be asked first.
const PENALTY: Duration = Duration::from_secs(1);

/// An endpoint as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSnapshot {
    /// Its name.
    pub name: String,
    /// Whether its health check says that it serves.
    pub serving: bool,
    /// Whether it was taken out because it failed.
    pub ejected: bool,
    /// Calls under way.
    pub in_flight: u32,
    /// The average time of a call.
    pub time: Duration,
}

/// A peer of several endpoints. Clones share what is known of them.
#[derive(Clone)]
pub struct Balance(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    observed: Observed,
    classify: Classify,
    services: Vec<BoxGrpcService>,
    state: Mutex<State>,
}

struct State {
    picker: Picker,
    detector: outlier::Detector,
    endpoints: Vec<Endpoint>,
}

struct Endpoint {
    name: String,
    weight: u32,
    serving: bool,
    in_flight: u32,
    ewma: Ewma,
}

impl Balance {
    /// A peer of these endpoints: name, weight and service.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(
        name: impl Into<Arc<str>>,
        config: Config,
        endpoints: Vec<(String, u32, BoxGrpcService)>,
        observed: Observed,
    ) -> Result<Self, Invalid> {
        config.outlier.validate()?;
        let at = now();
        let detector = outlier::Detector::new(config.outlier, endpoints.len(), at);
        let services = endpoints.iter().map(|(_, _, service)| service.clone()).collect();
        let endpoints = endpoints
            .into_iter()
            .map(|(name, weight, _)| {
                let ewma = Ewma::new(Duration::ZERO, DECAY, at);
                Endpoint { name, weight, serving: true, in_flight: 0, ewma }
            })
            .collect();
        let picker = Picker::new(config.strategy, fastrand::u64(..));
        let state = Mutex::new(State { picker, detector, endpoints });
        let classify = of_status;
        Ok(Self(Arc::new(Inner { name: name.into(), observed, classify, services, state })))
    }

    /// Judges statuses otherwise than [`of_status`]. To be said before it is cloned:
    /// clones keep what they have.
    #[must_use]
    pub fn with_classifier(mut self, classify: Classify) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.classify = classify;
        }
        self
    }

    /// What a health check says of an endpoint, by its position.
    pub fn set_serving(&self, endpoint: usize, serving: bool) {
        if let Some(endpoint) = self.0.state.lock().endpoints.get_mut(endpoint) {
            endpoint.serving = serving;
        }
    }

    /// How the endpoints stand.
    #[must_use]
    pub fn snapshots(&self) -> Vec<EndpointSnapshot> {
        let (state, at) = (self.0.state.lock(), now());
        let snapshot = |(position, endpoint): (usize, &Endpoint)| EndpointSnapshot {
            name: endpoint.name.clone(),
            serving: endpoint.serving,
            ejected: state.detector.is_out(position),
            in_flight: endpoint.in_flight,
            time: Duration::from_secs_f64(endpoint.ewma.seconds(at).max(0.0)),
        };
        state.endpoints.iter().enumerate().map(snapshot).collect()
    }

    /// Chooses an endpoint and counts a call to it as under way. When health
    /// checks and ejections leave none, those that serve are better than nobody.
    fn choose(&self, deadline: Option<Deadline>) -> Result<UnderWay, Refusal> {
        let (at, mut guard) = (now(), self.0.state.lock());
        let state = &mut *guard;
        let changes = state.detector.on_tick(at);
        let load = |(position, endpoint): (usize, &Endpoint), forgiving: bool| Load {
            available: endpoint.serving && (forgiving || !state.detector.is_out(position)),
            in_flight: endpoint.in_flight,
            weight: endpoint.weight,
            seconds: endpoint.ewma.seconds(at),
        };
        let loads = |forgiving| -> Vec<_> {
            state.endpoints.iter().enumerate().map(|endpoint| load(endpoint, forgiving)).collect()
        };
        let (strict, forgiving) = (loads(false), loads(true));
        let picked = state.picker.pick(&strict).or_else(|| state.picker.pick(&forgiving));
        if let Some(picked) = picked {
            state.endpoints[picked].in_flight += 1;
        }
        drop(guard);
        changes.into_iter().for_each(|change| self.tell(change));
        let endpoint = picked.ok_or_else(|| Refusal::NoEndpoint { name: self.0.name.clone() })?;
        Ok(UnderWay { balance: self.clone(), endpoint, began: at, deadline, ended: false })
    }

    fn end(&self, endpoint: usize, began: Instant, outcome: Outcome) {
        let (at, mut guard) = (now(), self.0.state.lock());
        let state = &mut *guard;
        let known = &mut state.endpoints[endpoint];
        known.in_flight = known.in_flight.saturating_sub(1);
        let change = match outcome {
            Outcome::Unknown => None,
            Outcome::Success | Outcome::Failure => {
                let took = at.saturating_duration_since(began);
                let failed = outcome == Outcome::Failure;
                known.ewma.on_time(at, if failed { took.max(PENALTY) } else { took });
                state.detector.on_result(at, endpoint, outcome == Outcome::Failure)
            }
        };
        drop(guard);
        change.into_iter().for_each(|change| self.tell(change));
    }

    fn tell(&self, change: outlier::Change) {
        let name = self.0.state.lock().endpoints[change.endpoint].name.clone();
        self.0.observed.tell(&Event::Ejection { endpoint: &name, during: change.during });
    }
}

/// A call to an endpoint.
struct UnderWay {
    balance: Balance,
    endpoint: usize,
    began: Instant,
    deadline: Option<Deadline>,
    ended: bool,
}

impl UnderWay {
    fn end(mut self, outcome: Outcome) {
        self.ended = true;
        self.balance.end(self.endpoint, self.began, outcome);
    }

    fn judge(self, response: Response<Body>, streams: bool) -> Response<Body> {
        if streams && of_head(&response).is_none() {
            self.end(Outcome::Success);
            return response;
        }
        watch(response, move |end| {
            let took = now().saturating_duration_since(self.began);
            let outcome = match &end {
                End::Fine => Outcome::Success,
                End::Failed(status) => (self.balance.0.classify)(status, took),
                End::Dropped => given_up(self.deadline, self.began),
            };
            self.end(outcome);
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.ended {
            self.balance.end(self.endpoint, self.began, given_up(self.deadline, self.began));
        }
    }
}

impl Service<Request<Body>> for Balance {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let chosen = match self.choose(request.extensions().get().copied().or_else(Deadline::current)) {
            Ok(chosen) => chosen,
            Err(refusal) => return Box::pin(async move { Ok(refusal.into_response()) }),
        };
        let streams = !is_unary(request.uri().path());
        let service = self.0.services[chosen.endpoint].clone();
        Box::pin(async move { Ok(chosen.judge(service.oneshot(request).await?, streams)) })
    }
}

#[cfg(test)]
mod tests;
