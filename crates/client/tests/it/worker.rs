//! Workers: what they do, and what becomes of tasks when things break.

use crate::fake::{Fake, Faults, PATIENCE, client, serve_on};
use probity_client::{Client, Error, Failure, Summary, Task, Worker};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

/// A worker that doubles numbers.
fn doubler(client: Client) -> Worker {
    Worker::new(client).queue("q").name("w1").handler("double", |task: Task| async move {
        let number: u64 = task.input()?;
        Ok(number * 2)
    })
}

/// Runs a worker until `done`, then stops it.
async fn run_until(worker: Worker, done: impl Future<Output = ()>) -> Summary {
    let (stop, stopped) = oneshot::channel::<()>();
    let running = worker.run(async move { drop(stopped.await) });
    let (summary, ()) = tokio::join!(tokio::time::timeout(PATIENCE * 2, running), async {
        done.await;
        let _ = stop.send(());
    });
    summary.expect("it stops").expect("it was not refused")
}

#[tokio::test]
async fn tasks_are_done_and_results_arrive() {
    let fake = Fake::default();
    fake.give("double", 0..100);
    let worker = doubler(fake.client().await).concurrency(8);
    let summary = run_until(worker, fake.until("100 results", |seen| seen.results.len() == 100)).await;
    assert_eq!(summary, Summary { acknowledged: 100, ..Default::default() });
    fake.seen(|seen| {
        let hello = &seen.hellos[0];
        assert_eq!((&*hello.worker, &hello.queues[..]), ("w1", &["q".to_owned()][..]));
        for result in &seen.results {
            let number: u64 = std::str::from_utf8(&result.token).unwrap().parse().unwrap();
            assert_eq!(result.output, (number * 2).to_string());
        }
    });
}

#[tokio::test]
async fn never_more_at_once_than_there_is_room_for() {
    let fake = Fake::default();
    fake.give("busy", 0..200);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, top) = (now.clone(), most.clone());
    let worker = Worker::new(fake.client().await).queue("q").concurrency(5).handler("busy", move |_| {
        let (count, top) = (count.clone(), top.clone());
        async move {
            top.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            count.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Failure>(())
        }
    });
    run_until(worker, fake.until("200 results", |seen| seen.results.len() == 200)).await;
    assert!((1..=5).contains(&most.load(Ordering::SeqCst)), "{most:?}");
}

#[tokio::test]
async fn everything_that_has_finished_goes_out_in_one_message() {
    let fake = Fake::default();
    fake.give("double", 0..1_000);
    let worker = doubler(fake.client().await).concurrency(500);
    run_until(worker, fake.until("1000 results", |seen| seen.results.len() == 1_000)).await;
    let batches = fake.seen(|seen| seen.batches);
    assert!(batches <= 100, "1000 results took {batches} messages");
}

#[tokio::test]
async fn results_are_sent_again_after_a_break_and_no_task_is_done_twice() {
    let fake = Fake::with(Faults { break_on_results: 3, ..Default::default() });
    fake.give("double", 0..50);
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let worker =
        Worker::new(fake.client().await).queue("q").concurrency(10).handler("double", move |task: Task| {
            count.fetch_add(1, Ordering::SeqCst);
            async move { task.input::<u64>() }
        });
    let all = |seen: &crate::fake::Seen| {
        let tokens: std::collections::BTreeSet<_> = seen.results.iter().map(|r| r.token.clone()).collect();
        tokens.len() == 50 && seen.hellos.len() == 4
    };
    let summary = run_until(worker, fake.until("50 results over four streams", all)).await;
    assert_eq!((summary.acknowledged, summary.reconnects), (50, 3));
    assert_eq!(ran.load(Ordering::SeqCst), 50);
}

#[tokio::test]
async fn a_worker_waits_for_a_platform_that_is_not_there_yet() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let fake = Fake::default();
    fake.give("double", 0..3);
    let summary = run_until(doubler(client(addr)), async {
        tokio::time::sleep(Duration::from_millis(150)).await; // some attempts in vain
        serve_on(TcpListener::bind(addr).await.unwrap(), fake.routes());
        fake.until("3 results", |seen| seen.results.len() == 3).await;
    });
    assert_eq!(summary.await.acknowledged, 3);
}

#[tokio::test]
async fn what_takes_long_is_kept_by_heartbeats_also_over_a_break() {
    let fake = Fake::with(Faults { break_on_results: 1, ..Default::default() });
    fake.give("slow", 0..1);
    fake.give("double", 1..2);
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let worker =
        doubler(fake.client().await).heartbeat(Duration::from_millis(20)).handler("slow", move |_| {
            let wait = wait.clone();
            async move {
                wait.notified().await;
                Ok::<_, Failure>("late")
            }
        });
    let summary = run_until(worker, async {
        fake.until("a heartbeat on a second stream", |seen| {
            seen.hellos.len() == 2 && seen.heartbeats.contains("0")
        })
        .await;
        go.notify_one();
        fake.until("its result", |seen| seen.results.iter().any(|r| r.output == "\"late\"")).await;
    });
    assert_eq!(summary.await.acknowledged, 2);
    assert!(fake.seen(|seen| !seen.heartbeats.contains("1")), "short tasks need none");
}

#[tokio::test]
async fn a_task_nobody_wants_any_more_is_stopped() {
    struct Told(Option<oneshot::Sender<()>>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }
    let fake = Fake::default();
    fake.give("endless", 0..1);
    let (told, ended) = oneshot::channel();
    let begun = Arc::new(Notify::new());
    let (began, told) = (begun.clone(), parking_lot::Mutex::new(Some(told)));
    let worker = Worker::new(fake.client().await).queue("q").handler("endless", move |_| {
        let guard = Told(told.lock().take());
        began.notify_one();
        async move {
            let _guard = guard;
            std::future::pending::<Result<(), Failure>>().await
        }
    });
    let summary = run_until(worker, async {
        begun.notified().await;
        fake.drop_task("0");
        ended.await.expect("the handler was stopped");
    });
    assert_eq!(summary.await, Summary { dropped: 1, ..Default::default() });
}

#[tokio::test]
async fn failures_panics_and_unknown_types_are_answered() {
    let fake = Fake::default();
    fake.give("refuses", 0..1);
    fake.give("panics", 1..2);
    fake.give("nobody", 2..3);
    fake.give("errs", 3..4);
    fake.give("misreads", 4..5);
    let worker = Worker::new(fake.client().await)
        .queue("q")
        .handler("refuses", |_| async {
            Err::<(), _>(Failure::new("NO", "not today").permanent().retry_after(Duration::from_secs(9)))
        })
        .handler("panics", |_| async { panic!("a handler that panics") as Result<(), Failure> })
        .handler("errs", |_| async {
            let number: u8 = "x".parse()?;
            Ok(number)
        })
        .handler("misreads", |task: Task| async move { task.input::<String>() });
    let summary = run_until(worker, fake.until("5 results", |seen| seen.results.len() == 5)).await;
    assert_eq!((summary.acknowledged, summary.failed), (5, 5));
    let check = |token: &str, code: &str, permanent: bool, retry_after_ms: i64| {
        let failure = fake.seen(|seen| seen.results.iter().find(|r| r.token == token).cloned());
        let failure = failure.and_then(|r| r.failure).unwrap_or_default();
        assert_eq!(
            (&*failure.code, failure.permanent, failure.retry_after_ms),
            (code, permanent, retry_after_ms)
        );
    };
    check("0", "NO", true, 9_000);
    check("1", "PANIC", false, 0);
    check("2", "NO_HANDLER", false, 0);
    check("3", "FAILED", false, 0);
    check("4", "INPUT_WRONG", true, 0);
}

#[tokio::test]
async fn a_worker_that_stops_takes_no_more_and_finishes_what_it_has() {
    let fake = Fake::default();
    fake.give("slow", 0..3);
    let (go, begun) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (wait, began) = (go.clone(), begun.clone());
    let worker = Worker::new(fake.client().await).queue("q").concurrency(10).handler("slow", move |_| {
        let (wait, began) = (wait.clone(), began.clone());
        async move {
            began.add_permits(1);
            wait.acquire().await?.forget();
            Ok(())
        }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run(async move { drop(stopped.await) }));
    begun.acquire_many(3).await.unwrap().forget();
    stop.send(()).unwrap();
    fake.until("the promise is taken back", |seen| seen.credits.iter().sum::<i32>() == 3).await;
    fake.give("slow", 3..9);
    go.add_permits(3);
    let summary = running.await.unwrap().unwrap();
    assert_eq!(summary, Summary { acknowledged: 3, ..Default::default() });
}

#[tokio::test]
async fn what_is_not_settled_when_the_grace_is_over_is_counted() {
    let fake = Fake::with(Faults { silent: true, ..Default::default() });
    fake.give("double", 0..2);
    let worker = doubler(fake.client().await).grace(Duration::from_millis(50));
    let summary = run_until(worker, fake.until("2 results", |seen| seen.results.len() == 2)).await;
    assert_eq!(summary, Summary { abandoned: 2, ..Default::default() });
}

#[tokio::test]
async fn a_worker_that_is_refused_says_so() {
    for code in [tonic::Code::Unauthenticated, tonic::Code::PermissionDenied, tonic::Code::InvalidArgument] {
        let fake = Fake::with(Faults { refuse: Some(code), ..Default::default() });
        let run = doubler(fake.client().await).run(std::future::pending());
        let error = tokio::time::timeout(PATIENCE, run).await.expect("it ends").expect_err("refused");
        assert_eq!(error.status().map(tonic::Status::code), Some(code));
    }
}

#[tokio::test]
async fn a_worker_that_cannot_be_is_refused_before_it_begins() {
    let client = Fake::default().client().await;
    let check = async |worker: Worker, part: &str| {
        let error = worker.run(std::future::ready(())).await.expect_err(part);
        assert!(matches!(&error, Error::Setting(why) if why.contains(part)), "{error}");
    };
    check(Worker::new(client.clone()).queue("q"), "handlers").await;
    let nothing = |_: Task| async { Ok::<_, Failure>(()) };
    check(Worker::new(client.clone()).handler("a", nothing), "queues").await;
    check(Worker::new(client.clone()).queue("").handler("a", nothing), "queues").await;
    check(doubler(client.clone()).handler("double", nothing), "two handlers").await;
    check(doubler(client.clone()).concurrency(0), "concurrency is 0").await;
    check(doubler(client.clone()).name("x".repeat(129)), "1 to 128").await;
    check(doubler(client).heartbeat(Duration::ZERO), "heartbeat").await;
}
