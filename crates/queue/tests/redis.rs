//! A real server that is killed, frozen, emptied and shared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_queue::{
    Error, Lease, Limits, Offered, Policy, ReadyQueue, Redis, RedisConfig, Standing, Take, Task, TaskId,
};
use probity_testkit::{Redis as Server, eventually};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const TIMEOUT: Duration = Duration::from_millis(300);
/// Calls fail after three timeouts; the rest is for a machine that is busy.
const BOUND: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(30);

fn config(server: &Server) -> RedisConfig {
    RedisConfig { timeout: TIMEOUT, ..RedisConfig::new(server.url()) }
}

fn connect(server: &Server) -> Arc<Redis> {
    Arc::new(Redis::new(&config(server)).unwrap())
}

fn id(n: u32) -> TaskId {
    TaskId(u128::from(n).to_be_bytes())
}

fn task(n: u32) -> Task {
    Task::new(id(n), "q", "acme", "payload")
}

async fn take(queue: &Redis, credits: usize) -> Result<Vec<Lease>, Error> {
    queue.take(Take::now("q", credits, "w")).await
}

/// Every kind of call fails soon with an error that says so.
async fn assert_away(queue: &Redis) {
    let started = Instant::now();
    let lost = |error: Error| assert!(error.is_transient(), "{error}");
    lost(queue.offer(vec![task(99)]).await.unwrap_err());
    lost(take(queue, 1).await.unwrap_err());
    lost(queue.take(Take::now("q", 1, "w").waiting(LONG)).await.unwrap_err());
    lost(queue.stats("q".into()).await.unwrap_err());
    lost(queue.incarnation().await.unwrap_err());
    let all = (0..50).map(|_| take(queue, 1));
    futures::future::join_all(all).await.into_iter().for_each(|answer| lost(answer.unwrap_err()));
    assert!(started.elapsed() < 6 * BOUND, "{:?}", started.elapsed());
}

async fn assert_back(queue: &Redis) {
    eventually(LONG, async || queue.stats("q".into()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_noticed_and_found_again() {
    let server = Server::with_fsync("always");
    let queue = connect(&server);
    let before = queue.incarnation().await.unwrap();
    queue.offer(vec![task(1), task(2)]).await.unwrap();
    let lease = take(&queue, 1).await.unwrap().remove(0);
    server.kill();
    assert_away(&queue).await;
    server.resume();
    assert_back(&queue).await;
    assert_ne!(queue.incarnation().await.unwrap(), before);
    // With appendfsync always nothing was lost, and the lease still holds.
    assert_eq!(queue.finish(vec![lease.held()]).await.unwrap(), [true]);
    assert_eq!(take(&queue, 9).await.unwrap()[0].task.id, id(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_costs_a_bounded_time() {
    let server = Server::start();
    let queue = connect(&server);
    queue.offer(vec![task(1)]).await.unwrap();
    server.freeze();
    assert_away(&queue).await;
    server.thaw();
    assert_back(&queue).await;
    // What was sent while it stood still may have been carried out late: then
    // somebody who is gone has the task until the lease ends.
    assert!(queue.standing("q".into(), id(1)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_yet_is_found_when_it_comes() {
    let server = Server::start();
    server.kill();
    let queue = connect(&server);
    assert_away(&queue).await;
    server.resume();
    assert_back(&queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_flushall_work_goes_on_with_an_empty_queue() {
    let server = Server::start();
    let queue = connect(&server);
    queue.configure("q".into(), Policy { concurrency: Some(1), ..Policy::default() }).await.unwrap();
    queue.offer(vec![task(1), task(2)]).await.unwrap();
    let old = take(&queue, 1).await.unwrap().remove(0);
    let before = queue.incarnation().await.unwrap();
    server.command("FLUSHALL");
    assert_ne!(queue.incarnation().await.unwrap(), before);
    assert!(take(&queue, 9).await.unwrap().is_empty());
    assert_eq!(queue.finish(vec![old.held()]).await.unwrap(), [false]);
    queue.offer(vec![task(1), task(2)]).await.unwrap();
    // The rules came along, and the old lease fits nothing.
    let new = take(&queue, 9).await.unwrap();
    assert_eq!(new.len(), 1);
    assert!(new[0].number > old.number);
    assert_eq!(queue.finish(vec![old.held(), new[0].held()]).await.unwrap(), [false, true]);
    assert_eq!(queue.incarnation().await.unwrap(), queue.incarnation().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_share_a_queue_and_wake_each_other() {
    let server = Server::start();
    let (one, two) = (connect(&server), connect(&server));
    let waits = {
        let two = Arc::clone(&two);
        tokio::spawn(async move { two.take(Take::now("q", 1, "two").waiting(LONG)).await.unwrap() })
    };
    one.offer(vec![task(1)]).await.unwrap();
    let lease = waits.await.unwrap().remove(0);
    let standing = one.standing("q".into(), id(1)).await.unwrap();
    assert_eq!(standing, Some(Standing::Leased { worker: "two".into(), expires: lease.expires }));
    assert_eq!(one.offer(vec![task(1)]).await.unwrap(), [Ok(Offered::Open(id(1)))]);
    assert_eq!(one.finish(vec![lease.held()]).await.unwrap(), [true]);
    let elsewhere = RedisConfig { prefix: "other".into(), ..config(&server) };
    let other = Redis::new(&elsewhere).unwrap();
    one.offer(vec![task(2)]).await.unwrap();
    assert!(take(&other, 9).await.unwrap().is_empty(), "another prefix is another queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_and_bad_settings_are_told_apart_from_outages() {
    let server = Server::start();
    server.command("SET {probity}:queue:all text");
    let queue = connect(&server);
    let error = take(&queue, 1).await.unwrap_err();
    assert!(matches!(error, Error::Answer { .. }) && !error.is_transient(), "{error}");
    let check = |change: fn(&mut RedisConfig), key: &str| {
        let mut config = config(&server);
        change(&mut config);
        let error = Redis::new(&config).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}`")), "{error}");
    };
    check(|config| config.url = "http://localhost".into(), "url");
    check(|config| config.prefix = "a b".into(), "prefix");
    check(|config| config.timeout = Duration::ZERO, "timeout");
    check(|config| config.waiting = 0, "waiting");
}

/// What an owner keeps in its database: which tasks are open, how often each was
/// completed.
#[derive(Default)]
struct Owner {
    open: BTreeSet<u32>,
    done: BTreeMap<u32, u32>,
}

/// Takes and finishes tasks until told to stop; failures are tried again.
async fn work(queue: Arc<Redis>, owner: Arc<watch::Sender<Owner>>, worker: String) {
    while !owner.borrow().open.is_empty() {
        let wish = Take::now("q", 5, worker.as_str()).waiting(Duration::from_millis(100));
        for lease in queue.take(wish).await.unwrap_or_default() {
            let n = u32::try_from(u128::from_be_bytes(lease.task.id.0)).unwrap();
            owner.send_modify(|owner| {
                // The database counts an effect once, however often it is tried.
                if owner.open.remove(&n) {
                    *owner.done.entry(n).or_default() += 1;
                }
            });
            let _ = queue.finish(vec![lease.held()]).await;
        }
    }
}

/// Offers everything open whenever the queue may have lost its memory, or a call
/// failed.
async fn own(queue: Arc<Redis>, owner: Arc<watch::Sender<Owner>>) {
    let mut seen = None;
    while !owner.borrow().open.is_empty() {
        let mark = queue.incarnation().await.ok();
        if mark.is_none() || mark != seen {
            let open: Vec<_> = owner.borrow().open.iter().copied().map(task).collect();
            seen = queue.offer(open).await.ok().and(mark);
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_is_done_through_kills_and_flushes() {
    const TASKS: u32 = 900;
    let server = Server::start();
    let queue = connect(&server);
    let short = Policy { lease: Duration::from_millis(500), ..Policy::default() };
    let owner = Arc::new(watch::channel(Owner { open: (0..TASKS).collect(), done: BTreeMap::new() }).0);
    let _ = queue.configure("q".into(), short).await;
    let mut tasks = vec![tokio::spawn(own(Arc::clone(&queue), Arc::clone(&owner)))];
    for n in 0..4 {
        let worker = format!("worker-{n}");
        tasks.push(tokio::spawn(work(Arc::clone(&queue), Arc::clone(&owner), worker)));
    }
    let reached = async |left: usize| {
        let mut seen = owner.subscribe();
        let enough = seen.wait_for(|owner| owner.open.len() <= left);
        tokio::time::timeout(LONG, enough).await.expect("progress").unwrap();
    };
    for (round, left) in [800, 650, 500, 350, 200, 100].into_iter().enumerate() {
        reached(left).await;
        if round % 2 == 0 {
            server.command("FLUSHALL");
        } else {
            server.kill();
            server.resume();
        }
    }
    reached(0).await;
    for task in tasks {
        tokio::time::timeout(LONG, task).await.expect("an end").unwrap();
    }
    let done = &owner.borrow().done;
    assert_eq!(done.len(), TASKS as usize);
    assert!(done.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_waiting_calls_are_refused() {
    let server = Server::start();
    let few = RedisConfig { waiting: 2, limits: Limits::default(), ..config(&server) };
    let queue = Redis::new(&few).unwrap();
    server.freeze();
    let answers = futures::future::join_all((0..20).map(|_| queue.stats("q".into()))).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(Error::Overloaded { limit: 2, .. })));
    // Two wait, and a connection may have taken a few with it; nobody is answered.
    assert!(refused.count() >= 10);
    assert!(answers.iter().all(Result::is_err));
    server.thaw();
}
