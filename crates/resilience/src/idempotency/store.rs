//! What keeps records.

use super::{Fingerprint, Key};
use futures::future::BoxFuture;
use probity_types::Micros;
use std::time::Duration;

/// Binds a record to one run. Every run of a key has a higher one, also when its
/// record was deleted in between: the first one is the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub u64);

impl Fence {
    /// The least one of a run that begins now.
    #[must_use]
    pub fn at(now: Micros) -> Self {
        Self(u64::try_from(now.0).unwrap_or_default())
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What [`Store::begin`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Nobody runs it and nobody has: it is to be run now, and ended with this
    /// fence.
    Run(Fence),
    /// Somebody runs it, at the latest until then.
    Processing {
        /// When its lease is over.
        until: Micros,
    },
    /// It was carried out; this is the stored answer.
    Completed(Vec<u8>),
    /// The key was used with another body.
    OtherBody,
}

/// How many records there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Under way.
    pub processing: u64,
    /// Carried out, with a stored answer.
    pub completed: u64,
    /// Failed; may be tried again.
    pub failed: u64,
    /// Of all of them, those whose time is over soon.
    pub expiring_soon: u64,
}

/// A store that does not work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It holds as many records as it may.
    #[error("the store of idempotency keys is full with {limit} records; clean it, or raise its limit")]
    Full {
        /// How many it may hold.
        limit: usize,
    },
    /// The run was taken over by another one, or its record is gone.
    #[error("this run lost its key to a later one; its answer was not stored")]
    Lost,
    /// The database behind it failed.
    #[error("the store of idempotency keys does not work: {0}")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Keeps records. Every method is one atomic step; `now` comes from the caller.
pub trait Store: Send + Sync + 'static {
    /// Asks whether to run. A record that is new, failed, expired, or whose lease
    /// is over becomes (again) one under way, with a lease of `lease` and a life
    /// of `ttl`; it answers [`Begun::Run`] to one caller alone.
    fn begin(
        &self,
        key: Key,
        fingerprint: Fingerprint,
        now: Micros,
        lease: Duration,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Begun, StoreError>>;

    /// Stores the answer of a run. Its life begins anew.
    fn complete(
        &self,
        key: Key,
        fence: Fence,
        answer: Vec<u8>,
        now: Micros,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Says that a run failed, so that the next one may begin at once.
    fn fail(&self, key: Key, fence: Fence, now: Micros) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Deletes at most `limit` records whose life is over; answers how many.
    fn purge(&self, now: Micros, limit: usize) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Counts records that live; `soon` is what counts as expiring soon.
    fn statistics(&self, now: Micros, soon: Duration) -> BoxFuture<'_, Result<Statistics, StoreError>>;
}
