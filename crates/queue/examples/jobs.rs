//! No-op jobs through take and finish: `cargo run --release -p probity-queue
//! --example jobs [jobs] [concurrency]`. Prints jobs per second, in process and
//! on a Redis server of its own with either way of fsync.
//!
//! Two shapes of worker: one process with credits (each of its slots takes the
//! next job when one is free, as a stream with credits does), and callers that
//! each take one job, finish it and take the next.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // a tool for a person

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use probity_queue::ready::MAX_BATCH;
use probity_queue::{
    Held, InProcess, Lease, Limits, ReadyQueue, Redis, RedisConfig, Take, Task, TaskId, task::MAX_KEY,
};
use probity_testkit::Redis as Server;
use probity_types::SystemClock;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of one payload.
const PAYLOAD: usize = MAX_KEY / 2;
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<usize>().ok());
    let jobs = numbers.next().unwrap_or(20_000);
    let concurrency = numbers.next().unwrap_or(64);
    println!("{jobs} jobs, {concurrency} at once, {PAYLOAD} bytes each; median of {ROUNDS} rounds");
    let local: Arc<dyn ReadyQueue> = Arc::new(InProcess::new(Limits::default(), Arc::new(SystemClock)));
    measure("in process", &local, jobs, concurrency).await;
    for fsync in ["everysec", "always"] {
        let server = Server::with_fsync(fsync);
        let remote: Arc<dyn ReadyQueue> = Arc::new(Redis::new(&RedisConfig::new(server.url())).unwrap());
        measure(&format!("redis, appendfsync {fsync}"), &remote, jobs, concurrency).await;
        // Each job was offered twice a round, and done twice.
        let per_job = server_cpu(&server) * 1e6 / (2 * ROUNDS * jobs) as f64;
        println!("{:<28} {per_job:.1} µs of the server's processor a job, offered and done", "");
    }
}

/// Seconds of processor time the server has used.
fn server_cpu(server: &Server) -> f64 {
    let info = server.command("INFO cpu");
    let used = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.parse::<f64>().ok());
    used("used_cpu_user:").unwrap() + used("used_cpu_sys:").unwrap()
}

async fn measure(name: &str, queue: &Arc<dyn ReadyQueue>, jobs: usize, concurrency: usize) {
    let (mut offers, mut credits, mut callers) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        offers.push(per_second(jobs, offer(queue, jobs)).await);
        credits.push(per_second(jobs, with_credits(queue, jobs, concurrency)).await);
        offer(queue, jobs).await;
        callers.push(per_second(jobs, with_callers(queue, jobs, concurrency)).await);
    }
    let (offers, credits, callers) = (median(offers), median(credits), median(callers));
    println!(
        "{name:<28} offered {offers:>9.0}/s   done with credits {credits:>9.0}/s   done by callers {callers:>9.0}/s"
    );
}

async fn per_second(jobs: usize, work: impl Future<Output = ()>) -> f64 {
    let started = Instant::now();
    work.await;
    jobs as f64 / started.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn offer(queue: &Arc<dyn ReadyQueue>, jobs: usize) {
    let tasks: Vec<_> = (0..jobs).map(|_| Task::new(TaskId::new(), "q", "acme", vec![7; PAYLOAD])).collect();
    for batch in tasks.chunks(MAX_BATCH) {
        queue.offer(batch.to_vec()).await.unwrap();
    }
}

/// The job itself: nothing, on a task of its own.
async fn job(lease: Lease) -> Held {
    tokio::spawn(async move { lease.held() }).await.unwrap()
}

/// One worker whose finished jobs go back together with the wish for as many new ones.
async fn with_credits(queue: &Arc<dyn ReadyQueue>, jobs: usize, concurrency: usize) {
    let mut running = FuturesUnordered::new();
    let (mut finished, mut done) = (Vec::new(), 0);
    while done < jobs {
        let wish = Take::now("q", concurrency - running.len(), "worker");
        // Called together, they go to a server together.
        let (ended, leases) = futures::join!(queue.finish(std::mem::take(&mut finished)), queue.take(wish));
        assert!(ended.unwrap().into_iter().all(|fine| fine));
        running.extend(leases.unwrap().into_iter().map(job));
        finished.extend(running.next().await);
        while let Some(Some(held)) = running.next().now_or_never() {
            finished.push(held);
        }
        done += finished.len();
    }
    queue.finish(finished).await.unwrap();
}

/// Callers that do one job after the other.
async fn with_callers(queue: &Arc<dyn ReadyQueue>, jobs: usize, concurrency: usize) {
    let caller = |queue: Arc<dyn ReadyQueue>| async move {
        let mut done = 0;
        loop {
            let wish = Take::now("q", 1, "worker").waiting(Duration::ZERO);
            let Some(lease) = queue.take(wish).await.unwrap().pop() else { return done };
            let held = job(lease).await;
            assert!(queue.finish(vec![held]).await.unwrap()[0]);
            done += 1;
        }
    };
    let callers: FuturesUnordered<_> =
        (0..concurrency).map(|_| tokio::spawn(caller(Arc::clone(queue)))).collect();
    let done: Vec<usize> = callers.map(Result::unwrap).collect().await;
    assert_eq!(done.into_iter().sum::<usize>(), jobs);
}
