//! How one service is doing: what its own layers, stores and metrics know.
//!
//! The same [`Monitor`] answers the service's `MonitoringService`, the admin port
//! and, in the gateway, its share of the fleet's answers.
//!
//! **Architecture invariant:** nothing here calls a peer. Whoever wants to know
//! about several services asks each of them.

pub(crate) mod admin;
mod api;
mod samples;

pub(crate) use api::Api;
pub use api::{add_letters, recent};

use futures::future::{BoxFuture, join_all};
use parking_lot::RwLock;
use probity_proto::monitoring::{
    CircuitBreaker, CircuitBreakerState, DeadLetterQueue, HealthStatus, IdempotencyRecords, Operation,
    Sample, ServiceHealth,
};
use probity_resilience::breaker::{Breakers, Snapshot, State};
use probity_resilience::performance::{Performance, Summary};
use probity_resilience::shutdown::{self, Shutdown};
use probity_storage::{Db, idempotency};
use probity_types::{Clock, Fault, FaultKind, Micros};
use prometheus::Registry;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A store that does not answer in this time is not ready.
const STORE_LIMIT: Duration = Duration::from_secs(2);
/// How often operations that nobody calls any more are forgotten.
const CLEAN_EVERY: Duration = Duration::from_mins(1);
/// Stored answers that are forgotten in this time expire soon.
const SOON: Duration = Duration::from_hours(1);

/// Tells how the dead letters of a tenant stand.
pub trait DeadLetters: Send + Sync + 'static {
    /// Counts the open ones, and shows so many of the newest.
    fn overview<'a>(&'a self, tenant: &'a str, recent: u32) -> BoxFuture<'a, Result<DeadLetterQueue, Fault>>;
}

/// What an operator does to breakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// On their own again, closed, with nothing held against their peers.
    Reset,
    /// Held open.
    Open,
    /// Held closed.
    Close,
}

/// How a service is doing.
pub struct Monitor {
    service: &'static str,
    registry: Registry,
    breakers: Breakers,
    performance: Performance,
    shutdown: Shutdown,
    clock: Arc<dyn Clock>,
    began: Instant,
    known: RwLock<Known>,
}

/// What a service says of itself while it is built.
#[derive(Default)]
struct Known {
    stores: Vec<Db>,
    letters: Option<Arc<dyn DeadLetters>>,
    answers_kept: Option<Duration>,
    complaint: Option<Complaint>,
    hindrance: Option<Hindrance>,
}

/// Says why no call should be sent here, when none should.
pub(crate) type Hindrance = Arc<dyn Fn() -> Option<&'static str> + Send + Sync>;

/// Says what goes badly, when something does.
pub(crate) type Complaint = Arc<dyn Fn() -> Option<String> + Send + Sync>;

impl Monitor {
    pub(crate) fn new(
        service: &'static str,
        registry: Registry,
        breakers: Breakers,
        performance: Performance,
        shutdown: Shutdown,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (began, known) = (Instant::now(), RwLock::default());
        Self { service, registry, breakers, performance, shutdown, clock, began, known }
    }

    pub(crate) fn add_store(&self, store: Db) {
        self.known.write().stores.push(store);
    }

    pub(crate) fn set_letters(&self, letters: Arc<dyn DeadLetters>) {
        self.known.write().letters = Some(letters);
    }

    pub(crate) fn set_answers_kept(&self, kept: Duration) {
        self.known.write().answers_kept = Some(kept);
    }

    pub(crate) fn set_complaint(&self, complaint: Complaint) {
        self.known.write().complaint = Some(complaint);
    }

    pub(crate) fn set_hindrance(&self, hindrance: Hindrance) {
        self.known.write().hindrance = Some(hindrance);
    }

    pub(crate) const fn performance(&self) -> &Performance {
        &self.performance
    }

    pub(crate) const fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn stores(&self) -> Vec<Db> {
        self.known.read().stores.clone()
    }

    /// The service.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// The values of all metrics whose names begin with `prefix`.
    #[must_use]
    pub fn samples(&self, prefix: &str) -> Vec<Sample> {
        samples::of(self.service, &self.registry, prefix)
    }

    /// How the operations of the service and of its peers do.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.performance.summaries().into_iter().map(|summary| operation(self.service, summary)).collect()
    }

    /// The breakers in front of the peers of the service.
    #[must_use]
    pub fn circuit_breakers(&self) -> Vec<CircuitBreaker> {
        self.breakers.snapshots().iter().map(|snapshot| circuit_breaker(self.service, snapshot)).collect()
    }

    /// Switches the breakers of a name, `<service>.<peer>` or `<peer>`; answers
    /// them as they stand then, none when the name means none of this service.
    #[must_use]
    pub fn switch(&self, name: &str, switch: Switch) -> Vec<CircuitBreaker> {
        let own = name.strip_prefix(self.service).and_then(|rest| rest.strip_prefix('.'));
        let Ok(breaker) = self.breakers.find(own.unwrap_or(name)) else { return Vec::new() };
        match switch {
            Switch::Reset => breaker.reset(),
            Switch::Open => breaker.force_open(),
            Switch::Close => breaker.force_close(),
        }
        tracing::warn!(service = self.service, peer = %breaker.name(), ?switch, "circuit breaker switched by an operator");
        vec![circuit_breaker(self.service, &breaker.snapshot())]
    }

    /// The open dead letters of a tenant; none when the service keeps none.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn dead_letters(&self, tenant: &str, recent: u32) -> Result<DeadLetterQueue, Fault> {
        let letters = self.known.read().letters.clone();
        match letters {
            Some(letters) => letters.overview(tenant, recent).await,
            None => Ok(DeadLetterQueue::default()),
        }
    }

    /// The stored answers of the service; `None` when it keeps none.
    ///
    /// # Errors
    /// When its store does not answer.
    pub async fn idempotency(&self) -> Result<Option<IdempotencyRecords>, Fault> {
        let (stores, kept) = {
            let known = self.known.read();
            (known.stores.clone(), known.answers_kept)
        };
        let now = self.clock.now();
        let expiring = kept.map(|kept| before(now, kept.saturating_sub(SOON)));
        let mut records = IdempotencyRecords { service: self.service.to_owned(), ..Default::default() };
        for store in &stores {
            let counts = idempotency::statistics(store, expiring, now, now.plus(SOON)).await?;
            records.processing += counts.processing;
            records.completed += counts.completed;
            records.failed += counts.failed;
            records.expiring_soon += counts.expiring;
        }
        Ok((!stores.is_empty()).then_some(records))
    }

    /// What keeps the service itself from working.
    pub(crate) async fn problem(&self) -> Option<&'static str> {
        if self.is_draining() {
            return Some("draining");
        }
        if !self.ask_stores().await.iter().all(Option::is_some) {
            return Some("its store does not answer");
        }
        let hindrance = self.known.read().hindrance.clone();
        hindrance.and_then(|hindrance| hindrance())
    }

    /// How long each store took to answer.
    async fn ask_stores(&self) -> Vec<Option<Duration>> {
        let asked = self.stores().into_iter().map(|store| async move {
            let begun = Instant::now();
            let answer = tokio::time::timeout(STORE_LIMIT, store.query("SELECT 1", Vec::new())).await;
            matches!(answer, Ok(Ok(_))).then(|| begun.elapsed())
        });
        join_all(asked).await
    }

    fn is_draining(&self) -> bool {
        self.shutdown.state() != shutdown::State::Serving
    }

    /// Breakers that are not closed, by name.
    fn not_closed(&self) -> Vec<String> {
        let closed = CircuitBreakerState::Closed;
        let open = self.circuit_breakers().into_iter().filter(|breaker| breaker.state() != closed);
        open.map(|breaker| breaker.name).collect()
    }

    /// Everything about the service in one look.
    pub async fn health(&self) -> ServiceHealth {
        let (mut problems, mut status) = (Vec::new(), HealthStatus::Healthy);
        let open = self.not_closed();
        if !open.is_empty() {
            status = HealthStatus::Degraded;
            problems.push(format!("calls are held back: {}", open.join(", ")));
        }
        let complaint = self.known.read().complaint.clone();
        if let Some(why) = complaint.and_then(|complaint| complaint()) {
            status = HealthStatus::Degraded;
            problems.push(why);
        }
        let stores = self.ask_stores().await;
        if stores.iter().any(Option::is_none) {
            status = HealthStatus::Unhealthy;
            problems.push("its store does not answer".to_owned());
        }
        if self.is_draining() {
            status = HealthStatus::Unhealthy;
            problems.push("it is shutting down".to_owned());
        }
        ServiceHealth {
            service: self.service.to_owned(),
            status: status.into(),
            problems,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: duration(self.began.elapsed()),
            stores: stores.into_iter().flatten().filter_map(duration).collect(),
            open_circuit_breakers: open,
        }
    }

    /// Whether calls to every peer are let through.
    ///
    /// # Errors
    /// `RUN-0031` with what is in the way.
    pub async fn ready(&self) -> Result<(), Fault> {
        let open = self.not_closed();
        let held = (!open.is_empty()).then(|| format!("calls are held back by {}", open.join(", ")));
        match self.problem().await.map(str::to_owned).or(held) {
            Some(why) => {
                let why = format!("{} is not ready: {why}", self.service);
                Err(Fault::new(FaultKind::Unavailable, "RUN-0031", why))
            }
            None => Ok(()),
        }
    }
}

/// There is no breaker of this name.
#[must_use]
pub fn unknown_breaker(name: &str) -> Fault {
    let why = format!(
        "there is no circuit breaker {name:?}; ask for the list, a name is <service>.<peer> or <peer>"
    );
    Fault::new(FaultKind::NotFound, "RUN-0032", why)
}

pub(crate) fn duration(time: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(time).ok()
}

/// Forgets operations that nobody called for long, until `stop`.
pub(crate) async fn clean(monitors: admin::Monitors, stop: CancellationToken) {
    while tokio::time::timeout(CLEAN_EVERY, stop.cancelled()).await.is_err() {
        for monitor in monitors.iter() {
            monitor.performance.clean();
        }
    }
}

fn before(now: Micros, time: Duration) -> Micros {
    Micros(now.0.saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn circuit_breaker(service: &str, snapshot: &Snapshot) -> CircuitBreaker {
    let state = match snapshot.state {
        State::Closed => CircuitBreakerState::Closed,
        State::Open => CircuitBreakerState::Open,
        State::HalfOpen => CircuitBreakerState::HalfOpen,
    };
    CircuitBreaker {
        name: format!("{service}.{}", snapshot.name),
        service: service.to_owned(),
        peer: snapshot.name.to_string(),
        state: state.into(),
        forced: snapshot.forced,
        since: duration(snapshot.since),
        calls: count(snapshot.calls),
        failures: count(snapshot.failures),
        slow: count(snapshot.slow),
        opened_total: count(snapshot.opened_total),
        refused_total: count(snapshot.refused_total),
        retry_after: snapshot.retry_after.and_then(duration),
    }
}

fn operation(service: &str, summary: Summary) -> Operation {
    Operation {
        service: service.to_owned(),
        provider: summary.provider,
        operation: summary.operation,
        count: count(summary.count),
        mean: duration(summary.mean),
        p50: duration(summary.p50),
        p95: duration(summary.p95),
        p99: duration(summary.p99),
        success_rate: summary.success_rate,
        total: count(summary.total),
        failed_total: count(summary.failed_total),
        slow_total: count(summary.slow_total),
        critical_total: count(summary.critical_total),
    }
}

#[cfg(test)]
mod tests;
