//! Duplicates at once, failures, other bodies and the cleaning.

use super::*;
use crate::idempotency::{MemoryStore, Statistics};
use probity_types::ManualClock;
use std::sync::atomic::{AtomicU32, Ordering};

struct Case {
    guard: Guard<MemoryStore>,
    clock: Arc<ManualClock>,
    effects: AtomicU32,
}

fn case(config: Config) -> Case {
    let clock = Arc::new(ManualClock::default());
    let guard = Guard::new(Arc::new(MemoryStore::new(100)), clock.clone(), config).unwrap();
    Case { guard, clock, effects: AtomicU32::new(0) }
}

impl Case {
    /// A request that takes a second; fails when told so.
    async fn request(&self, body: &str, fails: bool) -> Result<Vec<u8>, Error<Fault>> {
        let key = Key { tenant: "acme".into(), operation: "open".into(), key: "k".into() };
        let operation = || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if fails {
                return Err(Fault::new(FaultKind::Unavailable, "TST-0001", "no"));
            }
            Ok(format!("{body} {}", self.effects.fetch_add(1, Ordering::SeqCst)).into_bytes())
        };
        self.guard.run(key, Fingerprint::of(body.as_bytes()), operation).await
    }
}

fn text(result: Result<Vec<u8>, Error<Fault>>) -> String {
    result
        .map_or_else(|error| Fault::from(error).code.to_owned(), |answer| String::from_utf8(answer).unwrap())
}

#[tokio::test(start_paused = true)]
async fn one_runs_and_the_others_wait_for_its_answer() {
    let case = case(Config::default());
    let all = futures::future::join_all((0..100).map(|_| case.request("a", false))).await;
    assert!(all.into_iter().all(|answer| text(answer) == "a 0"));
    assert_eq!(text(case.request("a", false).await), "a 0");
    assert_eq!(text(case.request("b", false).await), "RES-0007");
    assert_eq!(case.effects.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn or_they_get_a_conflict() {
    let case = case(Config { duplicates: Duplicates::Conflict, ..Config::default() });
    let (first, second) = futures::join!(case.request("a", false), case.request("a", false));
    assert_eq!((text(first).as_str(), text(second).as_str()), ("a 0", "RES-0006"));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_told_or_than_its_deadline() {
    let case = case(Config { max_wait_ms: 300, ..Config::default() });
    let begun = tokio::time::Instant::now();
    let (_, second) = futures::join!(case.request("a", false), async {
        let answer = case.request("a", false).await;
        assert!(begun.elapsed() <= Duration::from_millis(300), "{:?}", begun.elapsed());
        answer
    });
    assert_eq!(text(second), "RES-0006");
    let case = super::tests::case(Config::default());
    let hurried = Deadline::within(Duration::from_millis(100)).scope(case.request("a", false));
    let (_, second) = futures::join!(case.request("a", false), hurried);
    assert_eq!(text(second), "RES-0006");
}

#[tokio::test(start_paused = true)]
async fn what_failed_or_was_given_up_may_be_tried_again() {
    let case = case(Config::default());
    assert_eq!(text(case.request("a", true).await), "TST-0001");
    let given_up = tokio::time::timeout(Duration::from_millis(500), case.request("a", false)).await;
    assert!(given_up.is_err());
    assert_eq!(text(case.request("a", false).await), "a 0");
}

#[tokio::test(start_paused = true)]
async fn the_cleaning_runs_every_hour() {
    let case = case(Config::default());
    assert_eq!(text(case.request("a", false).await), "a 0");
    let stop = CancellationToken::new();
    let cleaning = tokio::spawn(case.guard.clone().keep_clean(stop.clone()));
    let count = async || {
        let store = case.guard.store();
        store.statistics(Micros(0), Duration::ZERO).await.unwrap()
    };
    tokio::time::sleep(Duration::from_secs(3_601)).await;
    assert_eq!(count().await.completed, 1, "its day is not over");
    case.clock.advance(Duration::from_secs(86_401));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(count().await, Statistics::default());
    stop.cancel();
    cleaning.await.unwrap();
}

#[test]
fn what_cannot_work_is_refused() {
    let check = |config: Config, expect: &str| {
        assert_eq!(config.validate().unwrap_err().to_string(), expect);
    };
    let fine = Config::default();
    check(Config { ttl_ms: 0, ..fine }, "ttl_ms is 0; it must be from 1000 to 31622400000");
    check(Config { lease_ms: 0, ..fine }, "lease_ms is 0; it must be from 100 to 86400000");
    check(Config { clean_every_ms: 0, ..fine }, "clean_every_ms is 0; it must be from 1000 to 31622400000");
    check(Config { max_wait_ms: 3_600_001, ..fine }, "max_wait_ms is 3600001; it must be from 0 to 3600000");
    assert_eq!(fine.validate(), Ok(()));
}
