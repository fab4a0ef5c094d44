//! Records in memory: for one process, and for tests.

use super::{Begun, Fence, Fingerprint, Key, Statistics, Store, StoreError};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use probity_types::Micros;
use std::collections::HashMap;
use std::time::Duration;

/// Records in memory, at most so many.
#[derive(Debug)]
pub struct MemoryStore {
    limit: usize,
    records: Mutex<HashMap<Key, Record>>,
}

#[derive(Debug)]
struct Record {
    fingerprint: Fingerprint,
    fence: Fence,
    state: State,
    expires: Micros,
}

#[derive(Debug)]
enum State {
    Processing { until: Micros },
    Completed(Vec<u8>),
    Failed,
}

impl MemoryStore {
    /// An empty store for at most `limit` records. A full one first forgets what
    /// is over, then refuses new keys rather than forget one that counts.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, records: Mutex::default() }
    }

    fn begin_now(
        &self,
        key: Key,
        fingerprint: Fingerprint,
        now: Micros,
        lease: Duration,
        ttl: Duration,
    ) -> Result<Begun, StoreError> {
        let mut records = self.records.lock();
        let fence = match records.get(&key) {
            Some(record) if record.expires > now => {
                if record.fingerprint != fingerprint {
                    return Ok(Begun::OtherBody);
                }
                match &record.state {
                    State::Completed(answer) => return Ok(Begun::Completed(answer.clone())),
                    State::Processing { until } if *until > now => {
                        return Ok(Begun::Processing { until: *until });
                    }
                    State::Processing { .. } | State::Failed => Fence::at(now).max(record.fence.next()),
                }
            }
            Some(record) => Fence::at(now).max(record.fence.next()),
            None => {
                self.make_room(&mut records, now)?;
                Fence::at(now)
            }
        };
        let state = State::Processing { until: now.plus(lease) };
        records.insert(key, Record { fingerprint, fence, state, expires: now.plus(ttl) });
        Ok(Begun::Run(fence))
    }

    fn make_room(&self, records: &mut HashMap<Key, Record>, now: Micros) -> Result<(), StoreError> {
        if records.len() >= self.limit {
            records.retain(|_, record| record.expires > now);
        }
        if records.len() >= self.limit { Err(StoreError::Full { limit: self.limit }) } else { Ok(()) }
    }

    fn end(&self, key: &Key, fence: Fence, state: State, expires: Option<Micros>) -> Result<(), StoreError> {
        let mut records = self.records.lock();
        let record = records.get_mut(key).filter(|record| record.fence == fence);
        let record = record.filter(|record| matches!(record.state, State::Processing { .. }));
        let record = record.ok_or(StoreError::Lost)?;
        record.state = state;
        record.expires = expires.unwrap_or(record.expires);
        Ok(())
    }

    fn purge_now(&self, now: Micros, limit: usize) -> u64 {
        let mut left = limit;
        let mut records = self.records.lock();
        let before = records.len();
        records.retain(|_, record| {
            let keep = record.expires > now || left == 0;
            left -= usize::from(!keep);
            keep
        });
        (before - records.len()) as u64
    }

    fn count(&self, now: Micros, soon: Duration) -> Statistics {
        let mut statistics = Statistics::default();
        for record in self.records.lock().values().filter(|record| record.expires > now) {
            match record.state {
                State::Processing { .. } => statistics.processing += 1,
                State::Completed(_) => statistics.completed += 1,
                State::Failed => statistics.failed += 1,
            }
            statistics.expiring_soon += u64::from(record.expires <= now.plus(soon));
        }
        statistics
    }
}

impl Store for MemoryStore {
    fn begin(
        &self,
        key: Key,
        fingerprint: Fingerprint,
        now: Micros,
        lease: Duration,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Begun, StoreError>> {
        Box::pin(async move { self.begin_now(key, fingerprint, now, lease, ttl) })
    }

    fn complete(
        &self,
        key: Key,
        fence: Fence,
        answer: Vec<u8>,
        now: Micros,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.end(&key, fence, State::Completed(answer), Some(now.plus(ttl))) })
    }

    fn fail(&self, key: Key, fence: Fence, _now: Micros) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.end(&key, fence, State::Failed, None) })
    }

    fn purge(&self, now: Micros, limit: usize) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { Ok(self.purge_now(now, limit)) })
    }

    fn statistics(&self, now: Micros, soon: Duration) -> BoxFuture<'_, Result<Statistics, StoreError>> {
        Box::pin(async move { Ok(self.count(now, soon)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn it_keeps_the_promises_of_a_store() {
        super::super::conformance::all(|| Arc::new(MemoryStore::new(1_000))).await;
    }

    #[tokio::test]
    async fn a_full_store_forgets_only_what_is_over() {
        let store = MemoryStore::new(1);
        let begin = async |key: &str, now| {
            let key = Key { tenant: "t".into(), operation: "o".into(), key: key.into() };
            let (lease, ttl) = (Duration::from_secs(1), Duration::from_secs(10));
            store.begin(key, Fingerprint::of(b""), Micros(now), lease, ttl).await
        };
        assert!(matches!(begin("a", 0).await, Ok(Begun::Run(_))));
        assert!(matches!(begin("b", 9_999_999).await, Err(StoreError::Full { limit: 1 })));
        assert!(matches!(begin("b", 10_000_000).await, Ok(Begun::Run(_))));
    }
}
