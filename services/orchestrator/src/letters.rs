//! Keeps the dead letters in their bounds: counts the open ones, says when a tenant
//! has too many, and deletes the finished ones when their time is over.
//!
//! **Architecture invariant:** the capacity never costs a letter. A step that fails
//! opens its incident and its letter however many there are; what is refused is the
//! start of something new.

mod shown;

pub(crate) use shown::Shown;

use crate::config::Config;
use crate::domain::audit::StoredTurn;
use crate::domain::dead_letters::Change;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::{OpenLetters, Store};
use parking_lot::RwLock;
use probity_types::{Clock, Micros};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Open letters are counted this often, unless counting takes long.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Counting may take one part in this many of the time.
const SHARE: u32 = 20;
/// Finished letters are looked for this often.
const PURGE_EVERY: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_hours(24);

/// The keeper. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keeper(Arc<Inner>);

struct Inner {
    capacity: i64,
    retention: Duration,
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Open letters by tenant: as last counted, and what this replica knows of since.
    open: RwLock<HashMap<String, i64>>,
}

impl Keeper {
    pub(crate) fn new(config: &Config, store: Store, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let days = u32::try_from(config.dead_letter_retention_days).unwrap_or(u32::MAX);
        Self(Arc::new(Inner {
            capacity: i64::try_from(config.dead_letter_capacity).unwrap_or(i64::MAX),
            retention: DAY.saturating_mul(days),
            store,
            clock,
            metrics,
            open: RwLock::default(),
        }))
    }

    /// Whether something new may be started for a tenant.
    ///
    /// # Errors
    /// [`Error::LettersFull`] when it has too many open letters.
    pub(crate) fn admit(&self, tenant: &str) -> Result<(), Error> {
        let (open, capacity) = (self.0.open.read().get(tenant).copied().unwrap_or(0), self.0.capacity);
        if open >= capacity { Err(Error::LettersFull { open, capacity }) } else { Ok(()) }
    }

    /// Takes note of what was committed, so that many failures at once are seen
    /// before they are counted.
    pub(crate) fn note(&self, turns: &[Arc<StoredTurn>]) {
        for turn in turns.iter().filter(|turn| !turn.letters.is_empty()) {
            let opened = turn.letters.iter().filter(|c| matches!(c, Change::Opened(_))).count();
            let left = turn.letters.len() - opened;
            let by = i64::try_from(opened).unwrap_or(0) - i64::try_from(left).unwrap_or(0);
            *self.0.open.write().entry(turn.tenant.clone()).or_default() += by;
        }
    }

    /// Counts and deletes until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut purged = None;
        loop {
            let begun = self.0.clock.now();
            let mut done = self.count().await;
            if done.is_ok() && purged.is_none_or(|at| begun.since(at) >= PURGE_EVERY) {
                done = self.purge(begun).await;
                purged = Some(begun);
            }
            if let Err(error) = done {
                tracing::warn!(%error, "the dead letters could not be counted or purged; trying again");
            }
            let took = self.0.clock.now().since(begun);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(COUNT_EVERY.max(took * SHARE)) => {}
            }
        }
    }

    async fn count(&self) -> Result<(), Error> {
        let counts = self.0.store.open_letters().await?;
        let sum = |what: fn(&OpenLetters) -> i64| counts.iter().map(|(_, open)| what(open)).sum::<i64>();
        let metrics = &self.0.metrics;
        metrics.letters.with_label_values(&["failed"]).set(sum(|open| open.failed));
        metrics.letters.with_label_values(&["reviewing"]).set(sum(|open| open.reviewing));
        let oldest = counts.iter().map(|(_, open)| open.oldest).min();
        let age = oldest.map_or(Duration::ZERO, |at| self.0.clock.now().since(at));
        metrics.oldest_letter.set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        let by_tenant = counts.into_iter().map(|(tenant, open)| (tenant, open.failed + open.reviewing));
        *self.0.open.write() = by_tenant.collect();
        Ok(())
    }

    async fn purge(&self, now: Micros) -> Result<(), Error> {
        let kept = i64::try_from(self.0.retention.as_micros()).unwrap_or(i64::MAX);
        let purged = self.0.store.purge_letters(Micros(now.0.saturating_sub(kept))).await?;
        self.0.metrics.letters_purged.inc_by(purged);
        Ok(())
    }
}
