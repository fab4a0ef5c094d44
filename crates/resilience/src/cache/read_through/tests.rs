//! What is read where, who loads, and what an invalidation leaves.

use super::super::MemoryTier;
use super::*;
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use tokio::time::sleep;

/// A source that counts how often it is asked, and takes 100 ms.
#[derive(Clone, Default)]
struct Source {
    asked: Arc<AtomicU32>,
}

impl Source {
    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    /// The n-th answer is `key n`; keys with `none` have none, with `fail` fail.
    fn load(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<String>, String>> + Send + 'static + use<> {
        let (source, key) = (self.clone(), key.to_owned());
        async move {
            sleep(Duration::from_millis(100)).await;
            let number = source.asked.fetch_add(1, Ordering::SeqCst) + 1;
            match key.as_str() {
                "none" => Ok(None),
                "fail" => Err("away".to_owned()),
                key => Ok(Some(format!("{key} {number}"))),
            }
        }
    }

    async fn read(&self, cache: &Cache<String, String>, key: &str) -> String {
        match cache.get(key, || self.load(key)).await {
            Ok(Some(value)) => value.to_string(),
            Ok(None) => "-".to_owned(),
            Err(error) => format!("error {error}"),
        }
    }
}

/// Without early renewal, which has tests of its own.
fn config() -> Config {
    Config { renew_early: 0.0, ttl_jitter: 0.0, ..Config::default() }
}

fn cache() -> (Cache<String, String>, Source) {
    (Cache::new("cases", config(), Observed::default()).unwrap(), Source::default())
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_known_for_its_time() {
    let (cache, source) = cache();
    let check = async |key: &str, expect: &str, asked| {
        assert_eq!((source.read(&cache, key).await.as_str(), source.asked()), (expect, asked), "{key}");
    };
    check("a", "a 1", 1).await;
    check("a", "a 1", 1).await;
    check("none", "-", 2).await;
    check("none", "-", 2).await;
    check("fail", "error away", 3).await;
    check("fail", "error away", 4).await;
    sleep(Duration::from_secs(5)).await;
    check("none", "-", 5).await;
    check("a", "a 1", 5).await;
    sleep(Duration::from_secs(60)).await;
    check("a", "a 6", 6).await;
    assert_eq!(cache.snapshot(), Snapshot { entries: 2, hits_total: 3, misses_total: 6 });
}

#[tokio::test(start_paused = true)]
async fn a_stampede_asks_once_even_when_the_first_goes_away() {
    let (cache, source) = cache();
    let first = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move { source.read(&cache, "a").await }
    });
    tokio::task::yield_now().await;
    let others = tokio::spawn({
        let all: Vec<_> = (0..1_000)
            .map(|_| {
                let (cache, source) = (cache.clone(), source.clone());
                tokio::spawn(async move { source.read(&cache, "a").await })
            })
            .collect();
        futures::future::join_all(all)
    });
    sleep(Duration::from_millis(50)).await;
    first.abort();
    for answer in others.await.unwrap() {
        assert_eq!(answer.unwrap(), "a 1");
    }
    assert_eq!(source.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_nobody_waits_for_does_not_block_the_key() {
    let (cache, source) = cache();
    let gone = tokio::time::timeout(Duration::from_millis(50), source.read(&cache, "a")).await;
    assert!(gone.is_err());
    assert_eq!(source.read(&cache, "a").await, "a 1");
}

#[tokio::test(start_paused = true)]
async fn what_is_invalidated_while_it_loads_is_not_kept() {
    let tier = Arc::new(MemoryTier::default());
    let cache = Cache::with_tier("cases", config(), tier.clone(), Observed::default()).unwrap();
    let source = Source::default();
    let loading = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move { source.read(&cache, "cases/1").await }
    });
    sleep(Duration::from_millis(50)).await;
    cache.invalidate_prefix("cases/").await;
    assert_eq!(loading.await.unwrap(), "cases/1 1", "who waited gets it");
    assert_eq!(source.read(&cache, "cases/1").await, "cases/1 2", "nobody kept it");
    cache.invalidate("cases/1").await;
    assert!(tier.get("cases:cases/1").await.unwrap().is_none());
    assert_eq!(source.read(&cache, "cases/1").await, "cases/1 3");
}

#[tokio::test(start_paused = true)]
async fn processes_share_the_second_tier() {
    let tier = Arc::new(MemoryTier::default());
    let source = Source::default();
    let one = Cache::with_tier("cases", config(), tier.clone(), Observed::default()).unwrap();
    let two = Cache::with_tier("cases", config(), tier.clone(), Observed::default()).unwrap();
    assert_eq!(source.read(&one, "a").await, "a 1");
    assert_eq!(source.read(&two, "a").await, "a 1");
    assert_eq!(source.read(&one, "none").await, source.read(&two, "none").await);
    assert_eq!(source.asked(), 2);
    tier.put("cases:b", Some(b"not what this version writes".to_vec()), Duration::ZERO).await.unwrap();
    assert_eq!(source.read(&one, "b").await, "b 3");
}

struct Broken;

impl Tier for Broken {
    fn get<'a>(
        &'a self,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Option<Vec<u8>>>, super::super::tier::TierError>> {
        Box::pin(async { Err("away".into()) })
    }
    fn put<'a>(
        &'a self,
        _: &'a str,
        _: Option<Vec<u8>>,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), super::super::tier::TierError>> {
        Box::pin(async { Err("away".into()) })
    }
    fn remove<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), super::super::tier::TierError>> {
        Box::pin(async { Err("away".into()) })
    }
    fn remove_prefix<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), super::super::tier::TierError>> {
        Box::pin(async { Err("away".into()) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_tier_that_is_away_is_only_slower() {
    let source = Source::default();
    let cache = Cache::with_tier("cases", config(), Arc::new(Broken), Observed::default()).unwrap();
    assert_eq!(source.read(&cache, "a").await, "a 1");
    assert_eq!(source.read(&cache, "a").await, "a 1");
    cache.invalidate("a").await;
    assert_eq!(source.read(&cache, "a").await, "a 2");
}

#[tokio::test(start_paused = true)]
async fn warm_values_need_no_source_and_win_over_older_loads() {
    let (cache, source) = cache();
    cache.warm_up([("a".to_owned(), "warm".to_owned()), ("b".to_owned(), "warm".to_owned())]).await;
    assert_eq!(source.read(&cache, "a").await, "warm");
    let loading = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move { source.read(&cache, "c").await }
    });
    sleep(Duration::from_millis(50)).await;
    cache.put("c", Some("newer".to_owned())).await;
    assert_eq!(loading.await.unwrap(), "c 1");
    assert_eq!(source.read(&cache, "c").await, "newer");
}

#[tokio::test(start_paused = true)]
async fn near_its_end_a_value_is_renewed_behind_the_readers() {
    let eager = Config { renew_early: 10.0, ttl_jitter: 0.0, ..Config::default() };
    let cache = Cache::new("cases", eager, Observed::default()).unwrap();
    let source = Source::default();
    assert_eq!(source.read(&cache, "a").await, "a 1");
    sleep(Duration::from_millis(59_990)).await;
    for _ in 0..200 {
        assert_eq!(source.read(&cache, "a").await, "a 1", "nobody waits for the renewal");
    }
    sleep(Duration::from_millis(101)).await;
    assert_eq!((source.read(&cache, "a").await.as_str(), source.asked()), ("a 2", 2));
}

#[tokio::test(start_paused = true)]
async fn a_write_is_read_through_and_then_kept() {
    let (cache, source) = cache();
    assert_eq!(source.read(&cache, "a").await, "a 1");
    let write = cache.write(vec!["a".into()]);
    let loading = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move { source.read(&cache, "a").await }
    });
    sleep(Duration::from_millis(50)).await;
    assert_eq!(source.read(&cache, "a").await, "a 3", "nobody joins a load of another, older question");
    assert_eq!(loading.await.unwrap(), "a 2");
    write.done(|_| Some("written".into()));
    assert_eq!((source.read(&cache, "a").await.as_str(), source.asked()), ("written", 3));
    // Two at once: the first to end does not know what the other one will make of it.
    let (one, two) = (cache.write(vec!["a".into()]), cache.write(vec!["a".into()]));
    one.done(|_| Some("first".into()));
    assert_eq!(source.read(&cache, "a").await, "a 4");
    drop(two);
    assert_eq!(source.read(&cache, "a").await, "a 5", "given up: the source knows");
    assert_eq!((source.read(&cache, "a").await.as_str(), source.asked()), ("a 5", 5));
    cache.write(vec!["b".into()]).done(|_| Some("unread".into()));
    assert_eq!(source.read(&cache, "b").await, "b 6", "what nobody has read is not kept");
}

/// A load that began before a write and ends after it is kept by nobody.
#[tokio::test(start_paused = true)]
async fn a_slow_load_does_not_outlive_a_write() {
    let (cache, source) = cache();
    let loading = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move { source.read(&cache, "a").await }
    });
    sleep(Duration::from_millis(50)).await;
    cache.write(vec!["a".into()]).done(|_| None);
    assert_eq!(loading.await.unwrap(), "a 1");
    assert_eq!(source.read(&cache, "a").await, "a 2");
    cache.clear();
    assert_eq!(source.read(&cache, "a").await, "a 3");
}

/// Readers and a writer on several threads: what a reader gets is never older than the
/// last change that was done when it asked.
#[test]
fn nobody_reads_what_was_before_a_change_that_is_done() {
    const CHANGES: u64 = 2_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let cache = Cache::<u64, String>::new("cases", config(), Observed::default()).unwrap();
    // The truth, and how much of it was told to somebody.
    let (truth, told) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (cache, truth, told) = (cache.clone(), truth.clone(), told.clone());
            runtime.spawn(async move {
                loop {
                    let least = told.load(Ordering::SeqCst);
                    let source = truth.clone();
                    let load = || async move {
                        let value = source.load(Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Ok(Some(value))
                    };
                    let read = *cache.get("a", load).await.unwrap().unwrap();
                    assert!(read >= least, "{read} was read after {least} was told");
                    // A reader who got it tells others, who must not get less then.
                    told.fetch_max(read, Ordering::SeqCst);
                    if read == CHANGES {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for value in 1..=CHANGES {
            let write = cache.write(vec!["a".into()]);
            truth.store(value, Ordering::SeqCst);
            // Every third change is given up after all, as when its outcome is unknown.
            if value % 3 != 0 {
                write.done(|_| Some(value));
            }
            told.fetch_max(value, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
        for reader in readers {
            reader.await.unwrap();
        }
    });
    assert!(cache.snapshot().hits_total > 0);
}
