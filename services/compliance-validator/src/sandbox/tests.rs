//! Threads that are given up and replaced.

use super::*;
use std::sync::mpsc::{Receiver, channel};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);

fn sandbox(workers: usize, max_stuck: usize) -> Sandbox {
    Sandbox::new(Limits {
        workers,
        stack_bytes: 1024 * 1024,
        max_stuck,
        queue_wait: Duration::from_millis(50),
    })
}

/// A job that comes back when the sender is dropped.
fn blocked() -> (Sender<()>, impl FnOnce() + Send + 'static) {
    let (release, wait): (_, Receiver<()>) = channel();
    (release, move || assert!(wait.recv().is_err()))
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn runs_and_reuses_threads() {
    let sandbox = sandbox(1, 1);
    let first = sandbox.run(LONG, || thread::current().id()).await.unwrap();
    let second = sandbox.run(LONG, || thread::current().id()).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(
        sandbox.run(LONG, || thread::current().name().map(ToOwned::to_owned)).await,
        Ok(Some("policy".into()))
    );
}

#[tokio::test]
async fn a_panic_costs_nothing_but_the_job() {
    let sandbox = sandbox(1, 1);
    let lost: Result<(), _> = sandbox.run(LONG, || panic!("number {}", 7)).await;
    assert_eq!(lost, Err(Lost::Panicked("number 7".into())));
    assert_eq!(sandbox.run(LONG, || 3).await, Ok(3));
    assert_eq!(sandbox.stuck(), 0);
}

#[tokio::test]
async fn a_stuck_thread_is_replaced_and_forgotten_when_it_comes_back() {
    let sandbox = sandbox(1, 2);
    let (release, job) = blocked();
    assert_eq!(sandbox.run(SHORT, job).await, Err(Lost::Stuck));
    assert_eq!((sandbox.stuck(), sandbox.is_worn()), (1, false));
    assert_eq!(sandbox.run(LONG, || 3).await, Ok(3), "another thread took the place");
    drop(release);
    until(|| sandbox.stuck() == 0).await;
}

#[tokio::test]
async fn no_more_threads_are_lost_than_allowed() {
    let sandbox = sandbox(1, 1);
    let (release_a, a) = blocked();
    let (release_b, b) = blocked();
    assert_eq!(sandbox.run(SHORT, a).await, Err(Lost::Stuck));
    assert!(sandbox.is_worn());
    assert_eq!(sandbox.run(SHORT, b).await, Err(Lost::Stuck));
    assert_eq!(sandbox.run(LONG, || 3).await, Err(Lost::Busy), "the last place is lost with its thread");
    drop(release_b);
    until(|| sandbox.stuck() == 1).await;
    assert_eq!(sandbox.run(LONG, || 3).await, Ok(3), "and comes back with it");
    drop(release_a);
    until(|| sandbox.stuck() == 0).await;
}

#[tokio::test]
async fn jobs_wait_for_a_place() {
    let sandbox = sandbox(1, 1);
    let (release, job) = blocked();
    let other = sandbox.clone();
    let running = tokio::spawn(async move { other.run(LONG, job).await });
    until(|| sandbox.0.places.available_permits() == 0).await;
    assert_eq!(sandbox.run(LONG, || 3).await, Err(Lost::Busy));
    drop(release);
    assert_eq!(running.await.unwrap(), Ok(()));
    assert_eq!(sandbox.run(LONG, || 3).await, Ok(3));
}
