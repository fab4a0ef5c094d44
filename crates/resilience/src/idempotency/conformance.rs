//! What every store of idempotency keys has to do. Call [`all`] from a test of
//! the store, with a way to make an empty one.

#![allow(clippy::unwrap_used, clippy::panic)] // a test: it fails loudly

use super::{Begun, Fence, Fingerprint, Key, Statistics, Store, StoreError};
use probity_types::Micros;
use std::sync::Arc;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(30);
const TTL: Duration = Duration::from_secs(86_400);
const SECOND: i64 = 1_000_000;

/// One store under test, with its own tenant so that tests may share a database.
struct Case<S> {
    store: Arc<S>,
}

impl<S: Store> Case<S> {
    async fn begin(&self, key: &Key, body: &[u8], now: i64) -> Begun {
        self.store.begin(key.clone(), Fingerprint::of(body), Micros(now), LEASE, TTL).await.unwrap()
    }

    async fn run(&self, key: &Key, now: i64) -> Fence {
        match self.begin(key, b"body", now).await {
            Begun::Run(fence) => fence,
            other => panic!("{key:?} at {now}: {other:?} where it should run"),
        }
    }

    async fn complete(&self, key: &Key, fence: Fence, answer: &[u8], now: i64) -> Result<(), StoreError> {
        self.store.complete(key.clone(), fence, answer.to_vec(), Micros(now), TTL).await
    }
}

fn key(tenant: &str, operation: &str, key: &str) -> Key {
    Key { tenant: tenant.to_owned(), operation: operation.to_owned(), key: key.to_owned() }
}

/// Runs every case against an empty store each.
///
/// # Panics
/// When the store does not keep a promise; the message says which.
pub async fn all<S: Store>(empty: impl Fn() -> Arc<S>) {
    let case = || Case { store: empty() };
    the_first_answer_counts(case()).await;
    tenants_and_operations_are_apart(case()).await;
    a_failed_run_may_be_tried_again(case()).await;
    a_lease_that_is_over_is_taken_over(case()).await;
    life_ends(case()).await;
    records_are_counted(case()).await;
    one_of_many_runs(case()).await;
}

async fn the_first_answer_counts<S: Store>(case: Case<S>) {
    let key = key("t", "o", "k");
    let fence = case.run(&key, 0).await;
    let until = Micros(0).plus(LEASE);
    assert_eq!(case.begin(&key, b"body", 1).await, Begun::Processing { until });
    assert_eq!(case.begin(&key, b"other", 1).await, Begun::OtherBody, "while it runs");
    case.complete(&key, fence, b"answer", SECOND).await.unwrap();
    assert_eq!(case.begin(&key, b"body", 2 * SECOND).await, Begun::Completed(b"answer".to_vec()));
    assert_eq!(case.begin(&key, b"other", 2 * SECOND).await, Begun::OtherBody, "when it is done");
    let again = case.complete(&key, fence, b"another", 3 * SECOND).await;
    assert!(matches!(again, Err(StoreError::Lost)), "an answer is stored once: {again:?}");
    let late = case.store.fail(key.clone(), fence, Micros(3 * SECOND)).await;
    assert!(matches!(late, Err(StoreError::Lost)), "what is done cannot fail: {late:?}");
    assert_eq!(case.begin(&key, b"body", 4 * SECOND).await, Begun::Completed(b"answer".to_vec()));
}

async fn tenants_and_operations_are_apart<S: Store>(case: Case<S>) {
    let keys = [key("a", "o", "k"), key("b", "o", "k"), key("a", "p", "k"), key("a", "o", "l")];
    for (n, key) in keys.iter().enumerate() {
        let fence = case.run(key, 0).await;
        case.complete(key, fence, &[u8::try_from(n).unwrap()], 1).await.unwrap();
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(case.begin(key, b"body", 2).await, Begun::Completed(vec![u8::try_from(n).unwrap()]));
    }
}

async fn a_failed_run_may_be_tried_again<S: Store>(case: Case<S>) {
    let key = key("t", "o", "k");
    let first = case.run(&key, 0).await;
    case.store.fail(key.clone(), first, Micros(1)).await.unwrap();
    assert_eq!(case.begin(&key, b"other", 2).await, Begun::OtherBody, "a failed key keeps its body");
    let second = case.run(&key, 2).await;
    assert!(second > first, "fences grow");
    let late = case.complete(&key, first, b"late", 3).await;
    assert!(matches!(late, Err(StoreError::Lost)), "{late:?}");
    case.complete(&key, second, b"second", 4).await.unwrap();
    assert_eq!(case.begin(&key, b"body", 5).await, Begun::Completed(b"second".to_vec()));
}

async fn a_lease_that_is_over_is_taken_over<S: Store>(case: Case<S>) {
    let key = key("t", "o", "k");
    let lost = case.run(&key, 0).await;
    assert!(matches!(case.begin(&key, b"body", 30 * SECOND - 1).await, Begun::Processing { .. }));
    let next = case.run(&key, 30 * SECOND).await;
    assert!(next > lost, "fences grow");
    let late = case.complete(&key, lost, b"late", 31 * SECOND).await;
    assert!(matches!(late, Err(StoreError::Lost)), "{late:?}");
    let late = case.store.fail(key.clone(), lost, Micros(31 * SECOND)).await;
    assert!(matches!(late, Err(StoreError::Lost)), "{late:?}");
    case.complete(&key, next, b"next", 32 * SECOND).await.unwrap();
}

async fn life_ends<S: Store>(case: Case<S>) {
    let (long, short) = (key("t", "o", "long"), key("t", "o", "short"));
    let day = 86_400 * SECOND;
    let old = case.run(&short, 0).await;
    case.complete(&short, old, b"x", 0).await.unwrap();
    let fence = case.run(&long, 0).await;
    case.complete(&long, fence, b"x", SECOND).await.unwrap(); // a life begins with the answer
    assert_eq!(case.begin(&short, b"body", day - 1).await, Begun::Completed(b"x".to_vec()));
    assert_eq!(case.store.purge(Micros(day - 1), 10).await.unwrap(), 0);
    assert_eq!(case.store.purge(Micros(day), 0).await.unwrap(), 0);
    assert_eq!(case.store.purge(Micros(day), 10).await.unwrap(), 1);
    assert_eq!(case.begin(&long, b"body", day).await, Begun::Completed(b"x".to_vec()));
    let new = case.run(&short, day).await;
    assert!(new > old, "fences grow though the record was deleted");
    let late = case.complete(&short, old, b"late", day).await;
    assert!(matches!(late, Err(StoreError::Lost)), "{late:?}");
    let fence = case.run(&long, day + SECOND).await;
    assert!(fence > Fence(0), "what is over may be run anew even before it is cleaned away");
    assert!(matches!(case.begin(&long, b"other", day + SECOND).await, Begun::OtherBody));
}

async fn records_are_counted<S: Store>(case: Case<S>) {
    let keys: Vec<_> = (0..6).map(|n| key("t", "o", &n.to_string())).collect();
    for (n, key) in keys.iter().enumerate() {
        let fence = case.run(key, 0).await;
        match n {
            0..=2 => case.complete(key, fence, b"x", SECOND).await.unwrap(),
            3 | 4 => case.store.fail(key.clone(), fence, Micros(SECOND)).await.unwrap(),
            _ => {}
        }
    }
    let hour = Duration::from_secs(3_600);
    let at = async |now| case.store.statistics(Micros(now), hour).await.unwrap();
    let expect = Statistics { processing: 1, completed: 3, failed: 2, expiring_soon: 0 };
    assert_eq!(at(SECOND).await, expect);
    let late = 86_400 * SECOND - 3_600 * SECOND;
    assert_eq!(at(late).await, Statistics { expiring_soon: 3, ..expect });
    assert_eq!(
        at(86_400 * SECOND).await,
        Statistics { completed: 3, expiring_soon: 3, ..Statistics::default() }
    );
}

async fn one_of_many_runs<S: Store>(case: Case<S>) {
    let key = key("t", "o", "k");
    let asking = (0..100).map(|_| {
        let (store, key) = (case.store.clone(), key.clone());
        tokio::spawn(async move {
            store.begin(key, Fingerprint::of(b"body"), Micros(0), LEASE, TTL).await.unwrap()
        })
    });
    let mut runs = 0;
    for begun in futures::future::join_all(asking).await {
        runs += u32::from(matches!(begun.unwrap(), Begun::Run(_)));
    }
    assert_eq!(runs, 1, "of a hundred at once");
}
