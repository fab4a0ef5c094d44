//! What is measured of the calls a service makes, of its certificates and of its store.

mod outbox;
mod store;

pub(crate) use outbox::OutboxMetrics;
pub(crate) use store::StoreMetrics;

use probity_resilience::breaker::{Change, State};
use probity_resilience::cache::Found;
use probity_resilience::{Event, Observer};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::time::Duration;

/// The metrics of one caller; also writes changes of state to the log.
pub(crate) struct PeerMetrics {
    caller: &'static str,
    state: IntGaugeVec,
    changes: IntCounterVec,
    refused: IntCounterVec,
    retries: IntCounter,
    exhausted: IntCounter,
    hedges: IntCounter,
    ejections: IntCounterVec,
}

impl PeerMetrics {
    pub(crate) fn register(caller: &'static str, registry: &Registry) -> prometheus::Result<Self> {
        let state = IntGaugeVec::new(
            Opts::new(
                "circuit_breaker_state",
                "1 for the state the breaker of a peer is in, 0 for the others",
            ),
            &["peer", "state"],
        )?;
        let changes = IntCounterVec::new(
            Opts::new("circuit_breaker_transitions_total", "Changes of state of the breaker of a peer"),
            &["peer", "to"],
        )?;
        let refused = IntCounterVec::new(
            Opts::new(
                "calls_refused_total",
                "Calls to a peer that were answered here instead, by error code",
            ),
            &["peer", "code"],
        )?;
        let retries = IntCounter::new("call_retries_total", "Calls that were tried again")?;
        let exhausted = IntCounter::new(
            "retry_budget_exhausted_total",
            "Calls that were not tried again because the retry budget of the peer was used up",
        )?;
        let hedges = IntCounter::new("call_hedges_total", "Slow reads that were sent a second time")?;
        let ejections = IntCounterVec::new(
            Opts::new(
                "endpoint_ejections_total",
                "Endpoints of peers that were taken out because they failed",
            ),
            &["endpoint"],
        )?;
        registry.register(Box::new(hedges.clone()))?;
        registry.register(Box::new(ejections.clone()))?;
        registry.register(Box::new(state.clone()))?;
        registry.register(Box::new(changes.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(retries.clone()))?;
        registry.register(Box::new(exhausted.clone()))?;
        Ok(Self { caller, state, changes, refused, retries, exhausted, hedges, ejections })
    }

    fn changed(&self, peer: &str, change: Change) {
        let Change { from, to, reason } = change;
        self.changes.with_label_values(&[peer, to.name()]).inc();
        for state in State::ALL {
            self.state.with_label_values(&[peer, state.name()]).set(i64::from(state == to));
        }
        let (service, from, to) = (self.caller, from.name(), to.name());
        if change.to == State::Open {
            tracing::warn!(service, peer, from, to, ?reason, "circuit breaker opened");
        } else {
            tracing::info!(service, peer, from, to, ?reason, "circuit breaker changed");
        }
    }
}

impl PeerMetrics {
    fn ejected(&self, endpoint: &str, during: Option<Duration>) {
        let service = self.caller;
        match during {
            Some(during) => {
                self.ejections.with_label_values(&[endpoint]).inc();
                tracing::warn!(service, endpoint, ?during, "an endpoint was taken out");
            }
            None => tracing::info!(service, endpoint, "an endpoint was put back"),
        }
    }
}

impl Observer for PeerMetrics {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::BreakerChanged { name, change } => self.changed(name, *change),
            Event::Refused { name, code } => self.refused.with_label_values(&[*name, *code]).inc(),
            Event::Retrying { .. } => self.retries.inc(),
            Event::BudgetExhausted { .. } => self.exhausted.inc(),
            Event::Hedged { .. } => self.hedges.inc(),
            Event::Ejection { endpoint, during } => self.ejected(endpoint, *during),
            Event::Slow { operation, provider, took, critical } => {
                let service = self.caller;
                tracing::warn!(service, peer = provider, operation, ?took, critical, "slow call");
            }
            _ => {}
        }
    }
}

/// How often the caches of a service were asked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CacheMetrics {
    hits: IntCounterVec,
    misses: IntCounterVec,
}

impl CacheMetrics {
    /// Registers them; a service has them once, from its `Setup`.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let hits =
            IntCounterVec::new(Opts::new("cache_hits_total", "Lookups that a cache answered"), &["cache"])?;
        let misses = IntCounterVec::new(
            Opts::new("cache_misses_total", "Lookups that no cache answered"),
            &["cache"],
        )?;
        registry.register(Box::new(hits.clone()))?;
        registry.register(Box::new(misses.clone()))?;
        Ok(Self { hits, misses })
    }

    /// A lookup in a cache.
    pub fn asked(&self, cache: &str, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.with_label_values(&[cache]).inc();
    }
}

impl Observer for CacheMetrics {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Cache { name, found } = event {
            self.asked(name, !matches!(found, Found::Missed | Found::Joined));
        }
    }
}

/// What is measured of the certificates of a service.
#[derive(Clone)]
pub(crate) struct TlsMetrics {
    pub(crate) expiry: IntGauge,
    pub(crate) reloads: IntCounterVec,
    pub(crate) refused: IntCounterVec,
}

impl TlsMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let expiry = IntGauge::new(
            "tls_certificate_expiry_timestamp_seconds",
            "When the certificate of the service ends, in seconds since 1970",
        )?;
        let reloads = IntCounterVec::new(
            Opts::new("tls_reloads_total", "New certificates found, by whether they could be used"),
            &["outcome"],
        )?;
        let refused = IntCounterVec::new(
            Opts::new("tls_connections_refused_total", "Connections refused before their first call"),
            &["reason"],
        )?;
        registry.register(Box::new(expiry.clone()))?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Self { expiry, reloads, refused })
    }
}

/// Requests with an idempotency key, read off the stores that count them.
pub(crate) struct KeyMetrics {
    total: IntCounter,
    hits: IntCounter,
    counted: Box<dyn Fn() -> (u64, u64) + Send + Sync>,
}

impl KeyMetrics {
    /// `counted` answers all requests so far, and those that got an earlier answer.
    pub(crate) fn new(counted: impl Fn() -> (u64, u64) + Send + Sync + 'static) -> prometheus::Result<Self> {
        let total = IntCounter::new("idempotency_total_requests", "Requests with an idempotency key")?;
        let hits = IntCounter::new(
            "idempotency_cache_hits",
            "Requests with an idempotency key that got the answer of an earlier one",
        )?;
        Ok(Self { total, hits, counted: Box::new(counted) })
    }
}

impl Collector for KeyMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.total.desc().into_iter().chain(self.hits.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (asked, repeated) = (self.counted)();
        self.total.inc_by(asked.saturating_sub(self.total.get()));
        self.hits.inc_by(repeated.saturating_sub(self.hits.get()));
        self.total.collect().into_iter().chain(self.hits.collect()).collect()
    }
}
