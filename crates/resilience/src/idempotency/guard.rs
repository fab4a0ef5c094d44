//! A function that runs once for a key.

use super::{Begun, Fence, Fingerprint, Key, Store, StoreError};
use crate::Deadline;
use crate::invalid::{Invalid, within};
use probity_types::{Clock, Fault, FaultKind, Micros};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What becomes of a request whose key is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// It waits for the answer of the one that runs.
    #[default]
    Wait,
    /// It gets [`Error::InProgress`].
    Conflict,
}

/// How long records live and who waits. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long an answer is kept.
    pub ttl_ms: u64,
    /// How long a run may take before another one may take its key over.
    pub lease_ms: u64,
    /// How often what is over is cleaned away.
    pub clean_every_ms: u64,
    /// What becomes of a request whose key is under way.
    pub duplicates: Duplicates,
    /// How long one waits; no longer than its deadline.
    pub max_wait_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ttl_ms: 86_400_000,
            lease_ms: 60_000,
            clean_every_ms: 3_600_000,
            duplicates: Duplicates::Wait,
            max_wait_ms: 30_000,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        const YEAR_MS: u64 = 366 * 86_400_000;
        within("ttl_ms", self.ttl_ms, 1_000..=YEAR_MS)?;
        within("lease_ms", self.lease_ms, 100..=self.ttl_ms)?;
        within("clean_every_ms", self.clean_every_ms, 1_000..=YEAR_MS)?;
        within("max_wait_ms", self.max_wait_ms, 0..=3_600_000)
    }
}

/// Why a request with a key was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// Another one with the same key is under way.
    #[error("a request with this idempotency key is under way; send it again a little later")]
    InProgress,
    /// The key was used with another body.
    #[error("this idempotency key was used with another body; take a new key for a new request")]
    OtherBody,
    /// The store does not work. The effect may have happened when it failed
    /// while the answer was being stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operation itself failed; it may be tried again with the same key.
    #[error("{0}")]
    Operation(E),
}

impl<E: Into<Fault>> From<Error<E>> for Fault {
    fn from(error: Error<E>) -> Self {
        let text = |error: Error<Self>| error.to_string();
        match error {
            Error::InProgress => Self::new(FaultKind::Stale, "RES-0006", text(Error::InProgress)),
            Error::OtherBody => Self::new(FaultKind::KeyReused, "RES-0007", text(Error::OtherBody)),
            Error::Store(error) => {
                Self::new(FaultKind::Unavailable, "RES-0008", error.to_string()).with_source(error)
            }
            Error::Operation(fault) => fault.into(),
        }
    }
}

/// Looks again for an answer this often, growing up to the second one.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// Records deleted in one go.
const PURGE: usize = 1_000;

/// Runs functions once for a key. Clones share the store.
pub struct Guard<S> {
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    config: Config,
}

impl<S> Clone for Guard<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), clock: self.clock.clone(), config: self.config }
    }
}

impl<S> std::fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<S: Store> Guard<S> {
    /// A guard over a store.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(store: Arc<S>, clock: Arc<dyn Clock>, config: Config) -> Result<Self, Invalid> {
        config.validate()?;
        Ok(Self { store, clock, config })
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Arc<S> {
        &self.store
    }

    /// Runs an operation, or answers what it answered before. An operation that
    /// fails, or whose caller goes away, leaves the key free to be tried again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run<E, O>(
        &self,
        key: Key,
        fingerprint: Fingerprint,
        operation: impl FnOnce() -> O,
    ) -> Result<Vec<u8>, Error<E>>
    where
        O: Future<Output = Result<Vec<u8>, E>>,
    {
        let fence = match self.begin(&key, fingerprint).await? {
            Ok(fence) => fence,
            Err(answer) => return Ok(answer),
        };
        let mut run = Run { guard: self, key: Some(key), fence };
        match operation().await {
            Ok(answer) => {
                let key = run.key.take().ok_or(StoreError::Lost)?;
                let (now, ttl) = (self.clock.now(), self.ttl());
                self.store.complete(key, fence, answer.clone(), now, ttl).await?;
                Ok(answer)
            }
            Err(error) => {
                if let Some(key) = run.key.take()
                    && let Err(failure) = self.store.fail(key, fence, self.clock.now()).await
                {
                    tracing::warn!(error = %failure, "a failed run keeps its idempotency key until its lease is over");
                }
                Err(Error::Operation(error))
            }
        }
    }

    /// A fence to run with, or an answer there is; waits for the one that runs.
    async fn begin<E>(
        &self,
        key: &Key,
        fingerprint: Fingerprint,
    ) -> Result<Result<Fence, Vec<u8>>, Error<E>> {
        let until = tokio::time::Instant::now() + self.patience();
        let mut pause = LOOK.0;
        loop {
            let lease = Duration::from_millis(self.config.lease_ms);
            let begun =
                self.store.begin(key.clone(), fingerprint, self.clock.now(), lease, self.ttl()).await?;
            match begun {
                Begun::Run(fence) => return Ok(Ok(fence)),
                Begun::Completed(answer) => return Ok(Err(answer)),
                Begun::OtherBody => return Err(Error::OtherBody),
                Begun::Processing { .. } => {}
            }
            if tokio::time::Instant::now() + pause > until {
                return Err(Error::InProgress);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK.1);
        }
    }

    fn patience(&self) -> Duration {
        let most = match self.config.duplicates {
            Duplicates::Wait => Duration::from_millis(self.config.max_wait_ms),
            Duplicates::Conflict => Duration::ZERO,
        };
        Deadline::current().map_or(most, |deadline| deadline.remaining().min(most))
    }

    const fn ttl(&self) -> Duration {
        Duration::from_millis(self.config.ttl_ms)
    }

    /// Deletes what is over; answers how many records.
    ///
    /// # Errors
    /// When the store does not work; what was deleted stays deleted.
    pub async fn clean(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let mut deleted = 0;
        loop {
            let some = self.store.purge(now, PURGE).await?;
            deleted += some;
            if some < PURGE as u64 {
                return Ok(deleted);
            }
        }
    }

    /// Cleans every `clean_every_ms` until `stop`: background work.
    pub async fn keep_clean(self, stop: CancellationToken) {
        let every = Duration::from_millis(self.config.clean_every_ms);
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            match self.clean().await {
                Ok(deleted) => tracing::debug!(deleted, "idempotency records cleaned"),
                Err(error) => tracing::warn!(%error, "idempotency records cannot be cleaned"),
            }
        }
    }

    /// The time of the guard's clock.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.clock.now()
    }
}

/// A run; dropped before its end, it frees its key.
struct Run<'a, S: Store> {
    guard: &'a Guard<S>,
    key: Option<Key>,
    fence: Fence,
}

impl<S: Store> Drop for Run<'_, S> {
    fn drop(&mut self) {
        let (Some(key), Ok(runtime)) = (self.key.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (store, fence, now) = (self.guard.store.clone(), self.fence, self.guard.clock.now());
        runtime.spawn(async move {
            if let Err(error) = store.fail(key, fence, now).await {
                tracing::debug!(%error, "a run that was given up keeps its idempotency key until its lease is over");
            }
        });
    }
}

#[cfg(test)]
mod tests;
