//! Idempotency keys on a Redis server: a hash a request, and an index by the end of
//! its life for each state.

use super::{RedisFailure, RedisLink};
use deadpool_redis::Connection;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use probity_resilience::idempotency::{Begun, Fence, Fingerprint, Key, Statistics, Store, StoreError};
use probity_types::Micros;
use redis::{Script, ScriptInvocation};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// A record outlives its life by this, so that it is the index that knows what is over.
const GRACE: Duration = Duration::from_hours(2);
const COMPLETED: u8 = 2;
const FAILED: u8 = 3;

/// A [`Store`] on a Redis server. It may forget: see the [module](super). Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct Requests {
    link: RedisLink,
    keys: String,
    scripts: Arc<Scripts>,
}

#[derive(Debug)]
struct Scripts {
    begin: Script,
    end: Script,
    purge: Script,
}

impl Requests {
    /// The requests of one service.
    #[must_use]
    pub fn new(link: RedisLink, service: &str) -> Self {
        let keys = link.keys(&format!("request:{service}"));
        let scripts = Arc::new(Scripts {
            begin: Script::new(include_str!("begin.lua")),
            end: Script::new(include_str!("end.lua")),
            purge: Script::new(include_str!("purge.lua")),
        });
        Self { link, keys, scripts }
    }

    fn index(&self, state: u8) -> String {
        format!("{}state:{state}", self.keys)
    }

    fn record(&self, name: &str) -> String {
        format!("{}{name}", self.keys)
    }

    /// A call of a script about one record.
    fn about<'s>(&self, script: &'s Script, name: &str) -> ScriptInvocation<'s> {
        let mut call = script.key(self.record(name));
        for state in 1..=FAILED {
            call.key(self.index(state));
        }
        call
    }

    async fn begun(&self, asked: Asked) -> Result<Begun, StoreError> {
        let name = name(&asked.key);
        let mut call = self.about(&self.scripts.begin, &name);
        call.arg(asked.body.0.as_slice()).arg(asked.now.0).arg(asked.lease.0).arg(asked.expires.0);
        call.arg(kept_ms(asked.ttl)).arg(&name);
        let answer: Vec<Vec<u8>> =
            self.link.run(async |c: &mut Connection| call.invoke_async(c).await).await.map_err(away)?;
        read(&answer).ok_or_else(|| away("the script gave an answer of another shape".into()))
    }

    async fn ended(
        &self,
        key: Key,
        fence: Fence,
        answer: Option<(Vec<u8>, Micros, Duration)>,
    ) -> Result<(), StoreError> {
        let name = name(&key);
        let mut call = self.about(&self.scripts.end, &name);
        call.arg(fence.0).arg(if answer.is_some() { COMPLETED } else { FAILED }).arg(&name);
        if let Some((answer, expires, ttl)) = answer {
            call.arg(answer).arg(expires.0).arg(kept_ms(ttl));
        }
        let ended: i64 =
            self.link.run(async |c: &mut Connection| call.invoke_async(c).await).await.map_err(away)?;
        if ended == 1 { Ok(()) } else { Err(StoreError::Lost) }
    }

    async fn purged(&self, now: Micros, limit: usize) -> Result<u64, StoreError> {
        let mut call = self.scripts.purge.prepare_invoke();
        for state in 1..=FAILED {
            call.key(self.index(state));
        }
        call.arg(now.0).arg(limit).arg(&self.keys);
        self.link.run(async |c: &mut Connection| call.invoke_async(c).await).await.map_err(away)
    }

    /// How many records of a state end after one point in time, and until another.
    async fn counted(&self, state: u8, now: Micros, soon: Micros) -> Result<(u64, u64), StoreError> {
        let (index, after) = (self.index(state), format!("({}", now.0));
        let count = async |c: &mut Connection| {
            let mut both = redis::pipe();
            both.cmd("ZCOUNT").arg(&index).arg(&after).arg("+inf");
            both.cmd("ZCOUNT").arg(&index).arg(&after).arg(soon.0);
            both.query_async(c).await
        };
        self.link.run(count).await.map_err(away)
    }
}

/// A request that asks to be run.
struct Asked {
    key: Key,
    body: Fingerprint,
    now: Micros,
    lease: Micros,
    expires: Micros,
    ttl: Duration,
}

/// A name without what callers wrote, which may be long or somebody's.
fn name(key: &Key) -> String {
    let mut hash = Sha256::new();
    for part in [&key.tenant, &key.operation, &key.key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

fn kept_ms(ttl: Duration) -> u64 {
    u64::try_from((ttl + GRACE).as_millis()).unwrap_or(u64::MAX)
}

fn read(answer: &[Vec<u8>]) -> Option<Begun> {
    let number = |at: usize| std::str::from_utf8(answer.get(at)?).ok()?.parse::<i64>().ok();
    match answer.first()?.as_slice() {
        b"run" => Some(Begun::Run(Fence(u64::try_from(number(1)?).ok()?))),
        b"processing" => Some(Begun::Processing { until: Micros(number(1)?) }),
        b"completed" => Some(Begun::Completed(answer.get(1)?.clone())),
        b"other" => Some(Begun::OtherBody),
        _ => None,
    }
}

fn away(failure: RedisFailure) -> StoreError {
    StoreError::Backend(failure)
}

impl Store for Requests {
    fn begin(
        &self,
        key: Key,
        fingerprint: Fingerprint,
        now: Micros,
        lease: Duration,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Begun, StoreError>> {
        let (lease, expires) = (now.plus(lease), now.plus(ttl));
        self.begun(Asked { key, body: fingerprint, now, lease, expires, ttl }).boxed()
    }

    fn complete(
        &self,
        key: Key,
        fence: Fence,
        answer: Vec<u8>,
        now: Micros,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ended(key, fence, Some((answer, now.plus(ttl), ttl))).boxed()
    }

    fn fail(&self, key: Key, fence: Fence, _now: Micros) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ended(key, fence, None).boxed()
    }

    fn purge(&self, now: Micros, limit: usize) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.purged(now, limit).boxed()
    }

    fn statistics(&self, now: Micros, soon: Duration) -> BoxFuture<'_, Result<Statistics, StoreError>> {
        async move {
            let soon = now.plus(soon);
            let (processing, a) = self.counted(1, now, soon).await?;
            let (completed, b) = self.counted(COMPLETED, now, soon).await?;
            let (failed, c) = self.counted(FAILED, now, soon).await?;
            Ok(Statistics { processing, completed, failed, expiring_soon: a + b + c })
        }
        .boxed()
    }
}
