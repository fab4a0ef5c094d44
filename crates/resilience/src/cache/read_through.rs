//! The cache that readers share.

use super::flights::{Flights, Loaded};
use super::{Config, Found, NoTier, Shelf, Taken, Tier};
use crate::invalid::Invalid;
use crate::observe::{Event, Observed};
use crate::time::now;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A read-through cache of values by key; see the [module](super). Clones are
/// the same one.
pub struct Cache<V, E>(Arc<Inner<V, E>>);

impl<V, E> Clone for Cache<V, E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<V, E> {
    name: Arc<str>,
    config: Config,
    tier: Arc<dyn Tier>,
    shelf: Mutex<Shelf<Arc<V>>>,
    flights: Flights<Loaded<V, E>>,
    hits: AtomicU64,
    misses: AtomicU64,
    observed: Observed,
}

/// How a cache stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Entries in memory.
    pub entries: usize,
    /// Reads answered without the source.
    pub hits_total: u64,
    /// Reads that asked it, or waited for one that did.
    pub misses_total: u64,
}

impl<V, E> Cache<V, E>
where
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// A cache in memory.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(name: impl Into<Arc<str>>, config: Config, observed: Observed) -> Result<Self, Invalid> {
        Self::with_tier(name, config, Arc::new(NoTier), observed)
    }

    /// A cache in memory in front of a second tier, which keeps values as JSON
    /// under `name:key`.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn with_tier(
        name: impl Into<Arc<str>>,
        config: Config,
        tier: Arc<dyn Tier>,
        observed: Observed,
    ) -> Result<Self, Invalid> {
        config.validate()?;
        let (hits, misses) = (AtomicU64::new(0), AtomicU64::new(0));
        let shelf = Mutex::new(Shelf::new(config));
        let (name, flights) = (name.into(), Flights::new());
        Ok(Self(Arc::new(Inner { name, config, tier, shelf, flights, hits, misses, observed })))
    }

    /// The value of a key; `None` when there is none. Asks `load` when it is not
    /// known; of several readers at once, one does.
    ///
    /// # Errors
    /// What `load` failed with, for all who waited for it.
    pub async fn get<F>(&self, key: &str, load: impl FnOnce() -> F) -> Result<Option<Arc<V>>, Arc<E>>
    where
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
    {
        let taken = self.0.shelf.lock().take(now(), key, 1.0 - fastrand::f64());
        match taken {
            Taken::Good(value) => {
                self.found(if value.is_some() { Found::Memory } else { Found::Nothing });
                Ok(value)
            }
            Taken::Renew(value) => {
                self.found(if value.is_some() { Found::Memory } else { Found::Nothing });
                self.renew(key, load());
                Ok(value)
            }
            Taken::Missing => {
                let ticket = self.0.flights.board(key, |number| self.flight(key, number, load(), true));
                if ticket.joined {
                    self.found(Found::Joined);
                }
                ticket.load.await
            }
        }
    }

    /// Puts a value in that somebody has anyway; `None` for knowing that there is
    /// none. What is being loaded for the key is not kept: it may be older.
    pub async fn put(&self, key: &str, value: Option<V>) {
        self.0.flights.forget(key);
        self.store(key, value.as_ref()).await;
        self.0.shelf.lock().put(now(), key, value.map(Arc::new), std::time::Duration::ZERO);
    }

    /// Puts in many values, such as those that were read most.
    pub async fn warm_up(&self, values: impl IntoIterator<Item = (String, V)>) {
        for (key, value) in values {
            self.put(&key, Some(value)).await;
        }
    }

    /// Forgets a key, in both tiers.
    pub async fn invalidate(&self, key: &str) {
        self.0.flights.forget(key);
        self.0.shelf.lock().remove(key);
        let removed = self.0.tier.remove(&self.tier_key(key)).await;
        self.warn_if(removed);
        // Whoever read the second tier in between must not keep it either.
        self.0.flights.forget(key);
        self.0.shelf.lock().remove(key);
    }

    /// Forgets keys that begin so, in both tiers.
    pub async fn invalidate_prefix(&self, prefix: &str) {
        self.0.flights.forget_prefix(prefix);
        self.0.shelf.lock().remove_prefix(prefix);
        let removed = self.0.tier.remove_prefix(&self.tier_key(prefix)).await;
        self.warn_if(removed);
        self.0.flights.forget_prefix(prefix);
        self.0.shelf.lock().remove_prefix(prefix);
    }

    /// How it stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            entries: self.0.shelf.lock().len(),
            hits_total: self.0.hits.load(Ordering::Relaxed),
            misses_total: self.0.misses.load(Ordering::Relaxed),
        }
    }

    fn renew<F>(&self, key: &str, load: F)
    where
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
    {
        let ticket = self.0.flights.board(key, |number| self.flight(key, number, load, false));
        tokio::spawn(ticket.load);
    }

    /// One load: the second tier, unless it is a renewal, then the source.
    fn flight<F>(&self, key: &str, number: u64, load: F, ask_tier: bool) -> BoxFuture<'static, Loaded<V, E>>
    where
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
    {
        let (cache, key) = (self.clone(), key.to_owned());
        Box::pin(async move {
            let began = now();
            let tiered = if ask_tier { cache.ask_second_tier(&key).await } else { None };
            let loaded = match tiered {
                Some(value) => {
                    cache.found(if value.is_some() { Found::Tier } else { Found::Nothing });
                    Ok(value)
                }
                None => cache.ask_source(&key, number, load, ask_tier).await,
            };
            let at = now();
            match &loaded {
                Ok(value) if cache.0.flights.current(&key, number) => {
                    let cost = at.saturating_duration_since(began);
                    cache.0.shelf.lock().put(at, &key, value.clone(), cost);
                }
                Ok(_) => {}
                Err(_) => cache.0.shelf.lock().renewal_failed(&key),
            }
            cache.0.flights.land(&key, number);
            loaded
        })
    }

    async fn ask_source<F>(&self, key: &str, number: u64, load: F, missed: bool) -> Loaded<V, E>
    where
        F: Future<Output = Result<Option<V>, E>> + Send,
    {
        if missed {
            self.found(Found::Missed);
        }
        let value = load.await.map_err(Arc::new)?;
        if self.0.flights.current(key, number) {
            self.store(key, value.as_ref()).await;
            if !self.0.flights.current(key, number) {
                // Invalidated while it was being stored.
                let removed = self.0.tier.remove(&self.tier_key(key)).await;
                self.warn_if(removed);
            }
        }
        Ok(value.map(Arc::new))
    }

    async fn ask_second_tier(&self, key: &str) -> Option<Option<Arc<V>>> {
        let stored = match self.0.tier.get(&self.tier_key(key)).await {
            Ok(stored) => stored?,
            Err(error) => {
                self.warn_if(Err(error));
                return None;
            }
        };
        let Some(bytes) = stored else { return Some(None) };
        // What another version wrote and this one cannot read is read anew.
        serde_json::from_slice(&bytes).ok().map(|value| Some(Arc::new(value)))
    }

    async fn store(&self, key: &str, value: Option<&V>) {
        let ttl = self.0.config.ttl(value.is_some());
        let bytes = match value.map(serde_json::to_vec).transpose() {
            Ok(bytes) if !ttl.is_zero() => bytes,
            _ => return,
        };
        let stored = self.0.tier.put(&self.tier_key(key), bytes, ttl).await;
        self.warn_if(stored);
    }

    fn tier_key(&self, key: &str) -> String {
        format!("{}:{key}", self.0.name)
    }

    fn warn_if(&self, result: Result<(), super::tier::TierError>) {
        if let Err(error) = result {
            tracing::warn!(cache = %self.0.name, %error, "the second tier of a cache does not work");
        }
    }

    fn found(&self, found: Found) {
        let missed = matches!(found, Found::Missed | Found::Joined);
        let counter = if missed { &self.0.misses } else { &self.0.hits };
        counter.fetch_add(1, Ordering::Relaxed);
        self.0.observed.tell(&Event::Cache { name: &self.0.name, found });
    }
}

#[cfg(test)]
mod tests;
