//! The second tier: what processes share, such as Redis.

use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

type Bytes = Vec<u8>;

/// A shared store of bytes by key. It may forget anything at any time and it may
/// be away: its failures are logged and read as "not there", never told to the
/// reader.
pub trait Tier: Send + Sync + 'static {
    /// What is stored: `None` for no entry, `Some(None)` for the knowledge that
    /// there is nothing.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Option<Bytes>>, TierError>>;

    /// Stores a value, or that there is none, for so long.
    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Option<Bytes>,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), TierError>>;

    /// Deletes a key.
    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), TierError>>;

    /// Deletes keys that begin so.
    fn remove_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), TierError>>;
}

/// Why a tier did not answer.
pub type TierError = Box<dyn std::error::Error + Send + Sync>;

/// No second tier.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTier;

impl Tier for NoTier {
    fn get<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Result<Option<Option<Bytes>>, TierError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn put<'a>(
        &'a self,
        _key: &'a str,
        _value: Option<Bytes>,
        _ttl: Duration,
    ) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove_prefix<'a>(&'a self, _prefix: &'a str) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A tier in memory, for tests and for caches of one process that share values.
/// It keeps at most 100,000 keys and does not look at times: the cache in front
/// of it does.
#[derive(Debug, Clone, Default)]
pub struct MemoryTier(Arc<Mutex<HashMap<String, Option<Bytes>>>>);

/// The most keys of a [`MemoryTier`].
const MOST: usize = 100_000;

impl Tier for MemoryTier {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Option<Bytes>>, TierError>> {
        Box::pin(async move { Ok(self.0.lock().get(key).cloned()) })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Option<Bytes>,
        _ttl: Duration,
    ) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(async move {
            let mut all = self.0.lock();
            if all.len() >= MOST && !all.contains_key(key) {
                return Err(format!("{MOST} keys are stored already").into());
            }
            all.insert(key.to_owned(), value);
            Ok(())
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(async move {
            self.0.lock().remove(key);
            Ok(())
        })
    }

    fn remove_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(async move {
            self.0.lock().retain(|key, _| !key.starts_with(prefix));
            Ok(())
        })
    }
}
