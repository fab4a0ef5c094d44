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
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
    memory: Mutex<Memory<V>>,
    flights: Flights<Loaded<V, E>>,
    hits: AtomicU64,
    misses: AtomicU64,
    observed: Observed,
}

/// The memory tier, and the keys somebody is writing.
struct Memory<V> {
    shelf: Shelf<Arc<V>>,
    writing: HashMap<String, Writing>,
}

/// Writers of a key under way, and whether anybody wants to read it.
#[derive(Default)]
struct Writing {
    writers: u32,
    wanted: bool,
}

impl<V> Memory<V> {
    /// Nothing when the key is being written: only the source knows then.
    fn take(&mut self, key: &str) -> Option<Taken<Arc<V>>> {
        if let Some(writing) = self.writing.get_mut(key) {
            writing.wanted = true;
            return None;
        }
        Some(self.shelf.take(now(), key, 1.0 - fastrand::f64()))
    }

    fn put(&mut self, at: Instant, key: &str, value: Option<Arc<V>>, cost: Duration) {
        if !self.writing.contains_key(key) {
            self.shelf.put(at, key, value, cost, fastrand::f64());
        }
    }

    fn begin_write(&mut self, key: &str) {
        let known = self.shelf.remove(key);
        let writing = self.writing.entry(key.to_owned()).or_default();
        writing.writers += 1;
        writing.wanted |= known;
    }

    /// One writer of the key less; whether it was the last and somebody wants to know.
    fn end_write(&mut self, key: &str) -> bool {
        self.shelf.remove(key);
        let Some(writing) = self.writing.get_mut(key) else { return false };
        writing.writers -= 1;
        let (last, wanted) = (writing.writers == 0, writing.wanted);
        if last {
            self.writing.remove(key);
        }
        last && wanted
    }
}

/// Somebody who changes what is kept under some keys: see [`Cache::write`].
pub struct Write<V: Send + Sync + 'static, E: Send + Sync + 'static> {
    cache: Cache<V, E>,
    keys: Vec<String>,
}

impl<V: Send + Sync + 'static, E: Send + Sync + 'static> Write<V, E> {
    /// The change is there, and this is the value of each key now; without one it is
    /// read from the source again. Only what somebody has read lately is asked for.
    pub fn done(mut self, value: impl Fn(&str) -> Option<V>) {
        self.end(value);
    }

    /// In one step, so that no other change comes between the end of this one and its
    /// values. What was loaded since it began may be older than it.
    fn end(&mut self, value: impl Fn(&str) -> Option<V>) {
        let mut memory = self.cache.0.memory.lock();
        for key in self.keys.drain(..) {
            self.cache.0.flights.forget(&key);
            if memory.end_write(&key)
                && let Some(value) = value(&key)
            {
                memory.put(now(), &key, Some(Arc::new(value)), Duration::ZERO);
            }
        }
    }
}

/// Nobody knows what became of the change.
impl<V: Send + Sync + 'static, E: Send + Sync + 'static> Drop for Write<V, E> {
    fn drop(&mut self) {
        self.end(|_| None);
    }
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
        let memory = Mutex::new(Memory { shelf: Shelf::new(config), writing: HashMap::new() });
        let (name, flights) = (name.into(), Flights::new());
        Ok(Self(Arc::new(Inner { name, config, tier, memory, flights, hits, misses, observed })))
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
        let taken = self.0.memory.lock().take(key);
        match taken {
            None => {
                self.found(Found::Missed);
                load().await.map(|value| value.map(Arc::new)).map_err(Arc::new)
            }
            Some(Taken::Good(value)) => {
                self.found(if value.is_some() { Found::Memory } else { Found::Nothing });
                Ok(value)
            }
            Some(Taken::Renew(value)) => {
                self.found(if value.is_some() { Found::Memory } else { Found::Nothing });
                self.renew(key, load());
                Ok(value)
            }
            Some(Taken::Missing) => {
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
        self.0.memory.lock().put(now(), key, value.map(Arc::new), Duration::ZERO);
    }

    /// Begins to change what is kept under these keys. Until the change is
    /// [done](Write::done) they are read from the source and nothing is kept; when it is
    /// given up, they are read from the source the next time. So a reader who comes after
    /// a change never gets what was before it, and neither does one who comes after a
    /// reader that got the change.
    ///
    /// This speaks of the memory of this process: a second tier is not told, and whoever
    /// changes the source elsewhere has to invalidate.
    #[must_use = "dropping it gives the change up"]
    pub fn write(&self, keys: Vec<String>) -> Write<V, E> {
        let mut memory = self.0.memory.lock();
        for key in &keys {
            memory.begin_write(key);
            self.0.flights.forget(key);
        }
        drop(memory);
        Write { cache: self.clone(), keys }
    }

    /// Forgets everything in memory; the second tier keeps what it has.
    pub fn clear(&self) {
        let mut memory = self.0.memory.lock();
        self.0.flights.forget_prefix("");
        memory.shelf.remove_prefix("");
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
        self.0.memory.lock().shelf.remove(key);
        let removed = self.0.tier.remove(&self.tier_key(key)).await;
        self.warn_if(removed);
        // Whoever read the second tier in between must not keep it either.
        self.0.flights.forget(key);
        self.0.memory.lock().shelf.remove(key);
    }

    /// Forgets keys that begin so, in both tiers.
    pub async fn invalidate_prefix(&self, prefix: &str) {
        self.0.flights.forget_prefix(prefix);
        self.0.memory.lock().shelf.remove_prefix(prefix);
        let removed = self.0.tier.remove_prefix(&self.tier_key(prefix)).await;
        self.warn_if(removed);
        self.0.flights.forget_prefix(prefix);
        self.0.memory.lock().shelf.remove_prefix(prefix);
    }

    /// How it stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            entries: self.0.memory.lock().shelf.len(),
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
            cache.keep(&key, number, &loaded, (at, at.saturating_duration_since(began)));
            cache.0.flights.land(&key, number);
            loaded
        })
    }

    /// Whether the load may be kept is asked under the lock that an invalidation takes
    /// after it has forgotten the load: so there is no moment between the two.
    fn keep(&self, key: &str, number: u64, loaded: &Loaded<V, E>, (at, cost): (Instant, Duration)) {
        let mut memory = self.0.memory.lock();
        match loaded {
            Ok(value) if self.0.flights.current(key, number) => memory.put(at, key, value.clone(), cost),
            Ok(_) => {}
            Err(_) => memory.shelf.renewal_failed(key),
        }
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
