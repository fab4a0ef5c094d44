//! What every store of idempotency keys must do, in all of them that keep something.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_resilience::idempotency::{
    Begun, Config, Error, Fingerprint, Guard, Key, Store, StoreError, conformance,
};
use probity_storage::idempotency::{Counts, Runs, Scope, record, statistics};
use probity_storage::redis::{RedisConfig, RedisLink, Requests};
use probity_storage::{Db, DbConfig};
use probity_testkit::{Postgres, Redis};
use probity_types::{Fault, Micros, SystemClock};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// More stores than the suite has cases.
const STORES: usize = 12;

async fn suite(open: impl AsyncFn(usize) -> Db) {
    let mut stores = Vec::new();
    for number in 0..STORES {
        stores.push(Arc::new(Runs::new(open(number).await)));
    }
    let stores = Mutex::new(stores);
    conformance::all(|| stores.lock().unwrap().pop().expect("another store")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_promises() {
    let dir = tempfile::tempdir().unwrap();
    suite(async |n| {
        let config = DbConfig::sqlite(dir.path().join(format!("{n}.db")));
        Db::open(&config, "x", &[]).await.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_promises() {
    let config = DbConfig { url: Postgres::database(), max_readers: 1, ..DbConfig::default() };
    suite(async |n| Db::open(&config, &format!("s{n}"), &[]).await.unwrap()).await;
}

fn link(server: &Redis) -> RedisLink {
    RedisLink::new(&RedisConfig { timeout_ms: 2_000, ..RedisConfig::new(server.url()) }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_promises() {
    let server = Redis::start();
    let (link, number) = (link(&server), AtomicU32::new(0));
    let next = || format!("s{}", number.fetch_add(1, Ordering::SeqCst));
    conformance::all(|| Arc::new(Requests::new(link.clone(), &next()))).await;
}

fn key(name: &str) -> Key {
    Key { tenant: "acme".into(), operation: "Pay".into(), key: name.into() }
}

/// Two processes that share a schema, and one key a hundred times.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_hundred_runs_and_the_others_get_its_answer() {
    let config = DbConfig { url: Postgres::database(), ..DbConfig::default() };
    let one = Db::open(&config, "shared", &[]).await.unwrap();
    let two = Db::open(&config, "shared", &[]).await.unwrap();
    let guards =
        [one, two].map(|db| Guard::new(Arc::new(Runs::new(db)), Arc::new(SystemClock), Config::default()));
    let guards = guards.map(Result::unwrap);
    let runs = Arc::new(AtomicU32::new(0));
    let asking = (0..100).map(|n| {
        let (guard, runs) = (guards[n % 2].clone(), runs.clone());
        tokio::spawn(async move {
            let run = || async move {
                runs.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Fault>(b"paid".to_vec())
            };
            guard.run(key("k"), Fingerprint::of(b"body"), run).await.unwrap()
        })
    });
    for answer in futures::future::join_all(asking).await {
        assert_eq!(answer.unwrap(), b"paid");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let other = guards[0].run(key("k"), Fingerprint::of(b"other"), || async { Ok::<_, Fault>(vec![]) }).await;
    assert!(matches!(other, Err(Error::OtherBody)), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_is_both_sorts() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&DbConfig::sqlite(dir.path().join("a.db")), "x", &[]).await.unwrap();
    db.write(|tx| {
        Box::pin(async move {
            let scope =
                Scope { tenant: "acme".into(), operation: "Open", key: "k".into(), body_sha256: [0; 32] };
            record(tx, &scope, b"answer", Micros(10)).await
        })
    })
    .await
    .unwrap();
    let store = Runs::new(db.clone());
    let (lease, ttl) = (Duration::from_secs(1), Duration::from_secs(100));
    let mut fences = Vec::new();
    for name in ["a", "b", "c"] {
        match store.begin(key(name), Fingerprint::of(b""), Micros(0), lease, ttl).await.unwrap() {
            Begun::Run(fence) => fences.push(fence),
            other => panic!("{other:?}"),
        }
    }
    store.complete(key("a"), fences[0], b"x".to_vec(), Micros(1), ttl).await.unwrap();
    store.fail(key("b"), fences[1], Micros(1)).await.unwrap();
    let counts = statistics(&db, Some(Micros(11)), Micros(2), Micros(3)).await.unwrap();
    assert_eq!(counts, Counts { processing: 1, completed: 2, failed: 1, expiring: 1 });
    let counts = statistics(&db, None, Micros(2), Micros(100_000_000)).await.unwrap();
    assert_eq!(counts, Counts { processing: 1, completed: 2, failed: 1, expiring: 2 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_or_stands_still_is_said_to_be_within_its_limit() {
    let server = Redis::start();
    let config = RedisConfig { timeout_ms: 300, ..RedisConfig::new(server.url()) };
    let store = Requests::new(RedisLink::new(&config).unwrap(), "x");
    let begin = async |name: &str| {
        let (lease, ttl) = (Duration::from_secs(1), Duration::from_secs(100));
        store.begin(key(name), Fingerprint::of(b""), Micros(1), lease, ttl).await
    };
    assert!(matches!(begin("a").await, Ok(Begun::Run(_))));
    server.freeze();
    let begun = Instant::now();
    assert!(matches!(begin("b").await, Err(StoreError::Backend(_))));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    server.thaw();
    server.kill();
    assert!(matches!(begin("b").await, Err(StoreError::Backend(_))));
    server.resume();
    probity_testkit::eventually(Duration::from_secs(20), async || begin("c").await.map(drop)).await;
    server.command("FLUSHALL");
    assert!(matches!(begin("a").await, Ok(Begun::Run(_))), "what was forgotten may run again");
}
