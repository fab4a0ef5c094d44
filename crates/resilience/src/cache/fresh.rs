//! Answers that are never older than the question, asked for once for many.

use super::Found;
use super::flights::Loaded;
use crate::observe::{Event, Observed};
use futures::future::{BoxFuture, FutureExt as _, Shared, WeakShared};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

type Round<V, E> = Shared<BoxFuture<'static, Loaded<V, E>>>;
type WeakRound<V, E> = WeakShared<BoxFuture<'static, Loaded<V, E>>>;

/// Asks the source once for all who wait, and keeps nothing: whoever asks while a
/// question is on its way waits for the next one, which everybody shares who comes
/// until it goes out. So an answer may be shared by any number of readers, and none of
/// them gets one from before it asked. For what may change at any time and elsewhere,
/// such as which version is the newest. Clones are the same one.
///
/// A question is driven by all who wait for it; when nobody does any more it ends.
pub struct Fresh<V, E>(Arc<Inner<V, E>>);

impl<V, E> Clone for Fresh<V, E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<V, E> {
    name: Arc<str>,
    asked: Mutex<HashMap<String, Rounds<V, E>>>,
    observed: Observed,
}

/// The question about a key that is on its way, and the one that waits for it.
struct Rounds<V, E> {
    number: u64,
    on_its_way: Option<(u64, WeakRound<V, E>)>,
    next: Option<(u64, WeakRound<V, E>)>,
}

impl<V, E> Default for Rounds<V, E> {
    fn default() -> Self {
        Self { number: 0, on_its_way: None, next: None }
    }
}

impl<V: Send + Sync + 'static, E: Send + Sync + 'static> Rounds<V, E> {
    fn living(round: Option<&(u64, WeakRound<V, E>)>) -> Option<Round<V, E>> {
        round.and_then(|(_, round)| round.upgrade()).filter(|round| round.peek().is_none())
    }

    fn is_over(&self) -> bool {
        Self::living(self.on_its_way.as_ref()).is_none() && Self::living(self.next.as_ref()).is_none()
    }
}

/// Keys whose questions ended are swept when there are so many.
const SWEEP: usize = 1_024;

impl<V: Send + Sync + 'static, E: Send + Sync + 'static> Fresh<V, E> {
    /// Nothing has been asked yet.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, observed: Observed) -> Self {
        Self(Arc::new(Inner { name: name.into(), asked: Mutex::default(), observed }))
    }

    /// The value of a key as it was at some moment after this call; `None` when there
    /// was none.
    ///
    /// # Errors
    /// What `load` failed with, for all who waited for it.
    pub async fn get<F>(&self, key: &str, load: impl FnOnce() -> F) -> Result<Option<Arc<V>>, Arc<E>>
    where
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
    {
        let (round, found) = self.board(key, load);
        self.0.observed.tell(&Event::Cache { name: &self.0.name, found });
        round.await
    }

    fn board<F>(&self, key: &str, load: impl FnOnce() -> F) -> (Round<V, E>, Found)
    where
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
    {
        let mut asked = self.0.asked.lock();
        if asked.len() >= SWEEP && !asked.contains_key(key) {
            asked.retain(|_, rounds| !rounds.is_over());
        }
        let rounds = asked.entry(key.to_owned()).or_default();
        if let Some(next) = Rounds::living(rounds.next.as_ref()) {
            return (next, Found::Shared);
        }
        rounds.number += 1;
        let (number, before) = (rounds.number, Rounds::living(rounds.on_its_way.as_ref()));
        let waits = before.is_some();
        let (fresh, name, load) = (self.clone(), key.to_owned(), load());
        let round = async move {
            if let Some(before) = before {
                let _ = before.await;
                fresh.goes_out(&name, number);
            }
            load.await.map(|value| value.map(Arc::new)).map_err(Arc::new)
        };
        let round = round.boxed().shared();
        let weak = round.downgrade().map(|weak| (number, weak));
        if waits {
            rounds.next = weak;
        } else {
            rounds.on_its_way = weak;
        }
        (round, Found::Missed)
    }

    /// From now on whoever comes is too late for this one.
    fn goes_out(&self, key: &str, number: u64) {
        let mut asked = self.0.asked.lock();
        let Some(rounds) = asked.get_mut(key) else { return };
        if rounds.next.as_ref().is_some_and(|(next, _)| *next == number) {
            rounds.on_its_way = rounds.next.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;
    use tokio::time::sleep;

    /// A source whose value grows by one a millisecond of virtual time; a question
    /// takes 100 ms and reads the value in its middle.
    #[derive(Clone, Default)]
    struct Source {
        asked: Arc<AtomicU32>,
    }

    async fn read(fresh: &Fresh<u128, String>, source: &Source, begun: tokio::time::Instant) -> u128 {
        let asked = source.asked.clone();
        let load = || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_millis(50)).await;
            let value = begun.elapsed().as_millis();
            sleep(Duration::from_millis(50)).await;
            Ok(Some(value))
        };
        *fresh.get("k", load).await.unwrap().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn many_share_an_answer_and_none_is_older_than_its_question() {
        let (fresh, source) = (Fresh::new("heads", Observed::default()), Source::default());
        let begun = tokio::time::Instant::now();
        let readers = (0..500u64).map(|at| {
            let (fresh, source) = (fresh.clone(), source.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(at)).await;
                (u128::from(at), read(&fresh, &source, begun).await)
            })
        });
        for reader in futures::future::join_all(readers).await {
            let (asked, got) = reader.unwrap();
            assert!(got >= asked, "asked at {asked}, got the value of {got}");
            assert!(got <= asked + 200, "asked at {asked}, got the value of {got}");
        }
        assert!(source.asked.load(Ordering::SeqCst) <= 7, "{:?}", source.asked);
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_takes_nobody_along() {
        let (fresh, source) = (Fresh::new("heads", Observed::default()), Source::default());
        let begun = tokio::time::Instant::now();
        let first = tokio::time::timeout(Duration::from_millis(10), read(&fresh, &source, begun));
        let second = async {
            sleep(Duration::from_millis(5)).await;
            read(&fresh, &source, begun).await
        };
        let (first, second) = futures::join!(first, second);
        assert!(first.is_err() && second >= 5, "{second}");
        let gone = tokio::time::timeout(Duration::from_millis(10), read(&fresh, &source, begun)).await;
        assert!(gone.is_err());
        let asked = begun.elapsed().as_millis();
        assert!(read(&fresh, &source, begun).await >= asked);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_and_kept_by_nobody() {
        let fresh = Fresh::<u32, String>::new("heads", Observed::default());
        let failed = fresh.get("k", || async { Err("away".to_owned()) }).await;
        assert_eq!(*failed.unwrap_err(), "away");
        assert_eq!(fresh.get("k", || async { Ok(None) }).await, Ok(None));
        assert_eq!(fresh.get("k", || async { Ok(Some(1)) }).await, Ok(Some(Arc::new(1))));
    }

    #[tokio::test]
    async fn keys_do_not_pile_up() {
        let fresh = Fresh::<u32, String>::new("heads", Observed::default());
        for key in 0..5_000 {
            let _ = fresh.get(&key.to_string(), || async { Ok(None) }).await;
        }
        assert!(fresh.0.asked.lock().len() <= SWEEP);
    }
}
