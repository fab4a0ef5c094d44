//! The layers of a client in their one right order.
//!
//! | outermost first | because |
//! |---|---|
//! | 1 deadline | bounds the whole call, every attempt and every wait below |
//! | 2 measure | sees what the caller sees |
//! | 3 retry, with its budget | each attempt passes everything below anew |
//! | 4 hedge | a copy is an attempt: breaker and bulkhead see both |
//! | 5 breaker | judges single attempts; when it is open, no seat is taken |
//! | 6 bulkhead | counts what really is under way at the peer |
//! | then | trace, caller token, [balance](crate::balance), transport |
//!
//! The tests of this module show what goes wrong the other way round.
//!
//! On the server side: [track](crate::shutdown), [limit](crate::limit),
//! [deadline](crate::deadline), then, once the caller is known,
//! [idempotency](crate::idempotency).

use crate::breaker::{self, Breakers, Classify, TooMany};
use crate::deadline::Limits;
use crate::observe::Observed;
use crate::performance::{MeasureLayer, Performance};
use crate::retry::{Budget, BudgetConfig};
use crate::{
    Breaker, BreakerLayer, Bulkhead, BulkheadLayer, DeadlineLayer, HedgeLayer, Policy, RetryLayer, bulkhead,
    hedge,
};
use http::{Request, Response};
use probity_proto::BoxError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tonic::body::Body;
use tower::layer::util::Stack as Pair;
use tower::util::option_layer;
use tower::{Layer as _, Service};

/// How a client deals with a peer. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The longest a call may take, all attempts and waits included.
    pub timeout_ms: u64,
    /// The longest one attempt may take when another one is possible; 0 leaves
    /// the whole time to the first.
    pub attempt_timeout_ms: u64,
    /// How often and how patiently to try.
    pub retry: Policy,
    /// How much trying again the peer is worth.
    pub budget: BudgetConfig,
    /// When to leave the peer alone.
    pub breaker: breaker::Config,
    /// How many calls at once.
    pub bulkhead: bulkhead::Config,
    /// If set, slow reads are sent twice.
    pub hedge: Option<hedge::Config>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout_ms: 30_000,
            attempt_timeout_ms: 10_000,
            retry: Policy::QUICK,
            budget: BudgetConfig::default(),
            breaker: breaker::Config::default(),
            bulkhead: bulkhead::Config::default(),
            hedge: None,
        }
    }
}

impl Settings {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), String> {
        if !(1..=3_600_000).contains(&self.timeout_ms) {
            return Err(format!("timeout_ms is {}; it must be from 1 to 3600000", self.timeout_ms));
        }
        if self.attempt_timeout_ms > self.timeout_ms {
            let (attempt, whole) = (self.attempt_timeout_ms, self.timeout_ms);
            return Err(format!("attempt_timeout_ms is {attempt}; it must be from 0 to timeout_ms, {whole}"));
        }
        self.retry.validate().map_err(|error| format!("retry.{error}"))?;
        self.budget.validate().map_err(|error| format!("budget.{error}"))?;
        self.breaker.validate().map_err(|error| format!("breaker.{error}"))?;
        self.bulkhead.validate().map_err(|error| format!("bulkhead.{error}"))?;
        self.hedge.map_or(Ok(()), |hedge| hedge.validate()).map_err(|error| format!("hedge.{error}"))
    }
}

/// What the stacks of a process share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The breakers, one for each peer.
    pub breakers: Breakers,
    /// How long calls take.
    pub performance: Performance,
    /// Who is told of what happens.
    pub observed: Observed,
}

/// A setting that cannot work, or too many peers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting is out of range.
    #[error("{0}")]
    Settings(String),
    /// There are too many peers.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// The layers of one peer. Clones share breaker, seats and budget.
#[derive(Debug, Clone)]
pub struct Stack {
    deadline: DeadlineLayer,
    measure: MeasureLayer,
    retry: RetryLayer,
    hedge: Option<HedgeLayer>,
    breaker: Arc<Breaker>,
    classify: Classify,
    bulkhead: Bulkhead,
}

impl Stack {
    /// The layers of the peer `name`.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(name: &str, settings: &Settings, shared: &Shared) -> Result<Self, Error> {
        settings.validate().map_err(Error::Settings)?;
        let invalid = |error: crate::Invalid| Error::Settings(error.to_string());
        let observed = || shared.observed.clone();
        let unary = Duration::from_millis(settings.timeout_ms);
        let budget = Arc::new(Budget::new(settings.budget).map_err(invalid)?);
        let mut retry = RetryLayer::new(settings.retry).with_budget(budget).with_observer(observed());
        if settings.attempt_timeout_ms > 0 {
            retry = retry.with_attempt_timeout(Duration::from_millis(settings.attempt_timeout_ms));
        }
        let hedge = settings.hedge.map(|hedge| HedgeLayer::new(hedge, observed())).transpose();
        Ok(Self {
            deadline: DeadlineLayer::client(Limits { unary, stream: None }),
            measure: MeasureLayer::new(shared.performance.clone(), name),
            retry,
            hedge: hedge.map_err(invalid)?,
            breaker: shared.breakers.of(name)?,
            classify: breaker::of_status,
            bulkhead: Bulkhead::new(name, settings.bulkhead, observed()).map_err(invalid)?,
        })
    }

    /// Judges statuses otherwise than [`breaker::of_status`].
    #[must_use]
    pub const fn with_classifier(mut self, classify: Classify) -> Self {
        self.classify = classify;
        self
    }

    /// The breaker of the peer.
    #[must_use]
    pub const fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    /// The bulkhead of the peer.
    #[must_use]
    pub const fn bulkhead(&self) -> &Bulkhead {
        &self.bulkhead
    }

    /// Puts the layers around what sees every single attempt: trace, caller
    /// token, transport.
    pub fn around<S>(
        &self,
        inner: S,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + Sync
    + use<S>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        let breaker = BreakerLayer::new(self.breaker.clone()).with_classifier(self.classify);
        let attempt = Pair::new(BulkheadLayer::new(self.bulkhead.clone()), breaker);
        let attempts = Pair::new(Pair::new(attempt, option_layer(self.hedge.clone())), self.retry.clone());
        Pair::new(Pair::new(attempts, self.measure.clone()), self.deadline).layer(inner)
    }
}

#[cfg(test)]
mod tests;
