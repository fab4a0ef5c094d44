//! Takers that wait, and who wakes them.

use crate::{Bench, LONG, numbers, task};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use probity_queue::{Lease, Limits, Policy, ReadyQueue, Take};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// A taker of one task that waits in the background.
fn taker(bench: &Bench) -> JoinHandle<Vec<Lease>> {
    let queue = Arc::clone(&bench.queue);
    tokio::spawn(async move { queue.take(Take::now("q", 1, "w").waiting(LONG)).await.unwrap() })
}

/// Lets others run until they all wait.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

async fn soon<T>(handle: JoinHandle<T>) -> T {
    tokio::time::timeout(LONG / 2, handle).await.expect("a taker that was woken").unwrap()
}

pub(crate) async fn a_taker_waits_for_a_task(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    let taker = taker(&bench);
    settle().await;
    bench.offer([task(1)]).await;
    assert_eq!(numbers(&soon(taker).await), [1]);
}

pub(crate) async fn a_batch_wakes_as_many_takers(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    let mut takers: Vec<_> = (0..8).map(|_| taker(&bench)).collect();
    settle().await;
    bench.offer((0..8).map(task)).await;
    let mut seen = HashSet::new();
    for taker in takers.drain(..) {
        seen.extend(numbers(&soon(taker).await));
    }
    assert_eq!(seen.len(), 8);
}

pub(crate) async fn a_taker_gives_up_in_time(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    let started = Instant::now();
    let wish = Take::now("q", 1, "w").waiting(Duration::from_millis(50));
    assert!(bench.queue.take(wish).await.unwrap().is_empty());
    assert!((Duration::from_millis(50)..LONG).contains(&started.elapsed()));
}

pub(crate) async fn a_taker_wakes_when_a_task_is_due(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    let waits = taker(&bench);
    settle().await;
    bench.offer([task(1).with_not_before(bench.in_ms(30))]).await;
    settle().await;
    bench.clock.advance(Duration::from_millis(30));
    assert_eq!(numbers(&soon(waits).await), [1]);
}

pub(crate) async fn a_finished_task_wakes_who_waits_for_its_limit(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.configure(Policy { concurrency: Some(1), ..Policy::default() }).await;
    bench.offer([task(1), task(2)]).await;
    let lease = bench.take(1).await.pop().unwrap();
    let waits = taker(&bench);
    settle().await;
    assert!(bench.finish(&lease).await);
    assert_eq!(numbers(&soon(waits).await), [2]);
}

pub(crate) async fn a_dropped_taker_takes_nothing(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    let (dropped, stays) = (taker(&bench), taker(&bench));
    settle().await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    bench.offer([task(1)]).await;
    assert_eq!(numbers(&soon(stays).await), [1]);
}

pub(crate) async fn everything_is_done_once(new: impl Fn(Limits) -> Bench) {
    const TASKS: u32 = 400;
    let bench = new(Limits::default());
    let work = |queue: Arc<dyn ReadyQueue>| async move {
        let mut done = vec![];
        while let Some(lease) =
            queue.take(Take::now("q", 1, "w").waiting(Duration::from_millis(300))).await.unwrap().pop()
        {
            assert!(queue.finish(vec![lease.held()]).await.unwrap()[0]);
            done.extend(numbers(&[lease]));
        }
        done
    };
    let workers: FuturesUnordered<_> =
        (0..16).map(|_| tokio::spawn(work(Arc::clone(&bench.queue)))).collect();
    for n in 0..TASKS / 20 {
        bench.offer((n * 20..n * 20 + 20).map(task)).await;
        tokio::task::yield_now().await;
    }
    let mut done: Vec<u32> = workers.map(Result::unwrap).concat().await;
    done.sort_unstable();
    assert_eq!(done, (0..TASKS).collect::<Vec<_>>());
}
