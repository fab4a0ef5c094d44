//! `make bench-queue`: jobs that do nothing, through the task queue of this
//! platform and through BullMQ and asynq on a Redis beside it, one after the other.
//!
//! The queue is filled first; what is measured is the work, from the first job to
//! the last, with so many at once in one worker process. Ours are durable, with
//! fsync, when they are acknowledged, and what became of each is written down; a
//! Redis with `appendfsync everysec` may lose a second of them, with `always` it is
//! like for like. Then timers: executions that all wait for the same moment.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a tool for the terminal

use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _};
use hdrhistogram::Histogram;
use http::Method;
use probity_client::{Client, Failure, Task, Worker};
use probity_proto::orchestrator::{
    BatchEnqueueTasksRequest, EnqueueTaskRequest, ListExecutionsRequest, PauseQueueRequest,
    ResumeQueueRequest,
};
use probity_testkit::Redis;
use probity_tests::peers;
use probity_tests::workflows::machine::Machine;
use probity_tests::workflows::ours::{Ours, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Jobs in one call.
const PIECE: usize = 1_000;
/// A flow that waits for a moment and ends.
const TIMER: &str = "name: timer\nsteps:\n  - id: at\n    wait: {until: input.at}\n";
/// The latest that timers may end after their moment.
const LATE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Parser)]
struct Args {
    /// Jobs of a round.
    #[arg(long, default_value_t = 20_000)]
    jobs: usize,
    /// Jobs of a backlog, which should drain as fast; 0 for none.
    #[arg(long, default_value_t = 50_000)]
    backlog: usize,
    /// Jobs at once in the worker.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// What is measured, separated by commas: sqlite, postgres, redis (PostgreSQL with
    /// a Redis, which is then killed), bullmq, asynq.
    #[arg(long, value_delimiter = ',', default_value = "sqlite,postgres,redis,bullmq,asynq")]
    engines: Vec<String>,
    /// Executions that wait for the same moment; 0 for none.
    #[arg(long, default_value_t = 10_000)]
    timers: usize,
}

/// Rates by what was measured.
type Rates = BTreeMap<String, Vec<f64>>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args = Args::parse();
    let mut rates = Rates::new();
    let scratch = tempfile::tempdir().expect("a folder");
    println!("{}", Machine::look(scratch.path()).line());
    for repetition in 1..=args.repetitions {
        for engine in &args.engines {
            println!("repetition {repetition} of {}: {engine}", args.repetitions);
            match engine.as_str() {
                "sqlite" => ours(Store::Sqlite, &args, &mut rates).await,
                "postgres" => ours(Store::Postgres, &args, &mut rates).await,
                "redis" => with_redis(&args, &mut rates).await,
                "bullmq" | "asynq" => theirs(engine, &args, &mut rates),
                other => panic!("--engines {other}: of sqlite, postgres, redis, bullmq, asynq"),
            }
        }
    }
    println!("\n| | median | lowest | highest |\n|---|---|---|---|");
    for (name, values) in &mut rates {
        values.sort_by(f64::total_cmp);
        let (least, most) = (values[0], values[values.len() - 1]);
        println!("| {name} | {:.0} | {least:.0} | {most:.0} |", values[values.len() / 2]);
    }
}

async fn ours(store: Store, args: &Args, rates: &mut Rates) {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Ours::start(store, dir.path()).await;
    let name = format!("Probity, {store:?}");
    for jobs in [args.jobs, args.backlog].into_iter().filter(|jobs| *jobs > 0) {
        let (enqueue, process) = round(&ours, jobs, args.concurrency).await;
        tell(rates, &name, jobs, enqueue, process);
    }
    if args.timers > 0 {
        let late = timers(&ours, args.timers).await;
        let label = format!("{name}: {} timers at once, p99 lateness (ms)", args.timers);
        println!("  {label} {late:.0}");
        rates.entry(label).or_default().push(late);
    }
    ours.stop().await;
}

/// The queue with a Redis, and what is left of its rate when the Redis is gone.
async fn with_redis(args: &Args, rates: &mut Rates) {
    let dir = tempfile::tempdir().expect("a folder");
    let redis = Redis::with_fsync("everysec");
    let ours = Ours::start_with(Store::Postgres, Some(redis.url()), dir.path()).await;
    let (enqueue, process) = round(&ours, args.jobs, args.concurrency).await;
    tell(rates, "Probity, Postgres with Redis", args.jobs, enqueue, process);
    redis.kill();
    let (enqueue, process) = round(&ours, args.jobs, args.concurrency).await;
    tell(rates, "Probity, Postgres, its Redis killed", args.jobs, enqueue, process);
    ours.stop().await;
}

fn tell(rates: &mut Rates, name: &str, jobs: usize, enqueue: f64, process: f64) {
    let per_s = jobs as f64 / process;
    println!("  {jobs} jobs: put in {:.0}/s, done {per_s:.0}/s", jobs as f64 / enqueue);
    rates.entry(format!("{name}: {jobs} jobs, done a second")).or_default().push(per_s);
}

async fn client(ours: &Ours, actor: &str, role: &str) -> Client {
    let token = ours.token(&format!("service-accounts/{actor}"), role).await;
    Client::connect(&format!("http://{}", ours.target.addr), &token).await.expect("the platform")
}

/// Fills a queue that is paused, then lets a worker empty it: seconds for each.
async fn round(ours: &Ours, jobs: usize, concurrency: usize) -> (f64, f64) {
    let admin = client(ours, "bench-operator", "ROLE_ADMIN").await;
    let name = "queues/jobs".to_owned();
    admin.tasks().pause_queue(PauseQueueRequest { name: name.clone() }).await.expect("paused");
    let begun = Instant::now();
    futures::stream::iter((0..jobs).step_by(PIECE))
        .map(|from| {
            let one = |number: usize| EnqueueTaskRequest {
                r#type: "noop".to_owned(),
                queue: "jobs".to_owned(),
                payload: json!({ "number": number }).to_string().into(),
                ..EnqueueTaskRequest::default()
            };
            let requests: Vec<_> = (from..jobs.min(from + PIECE)).map(one).collect();
            let (mut tasks, asked) = (admin.tasks(), requests.len());
            async move {
                let answer = tasks.batch_enqueue_tasks(BatchEnqueueTasksRequest { requests }).await?;
                assert_eq!(usize::try_from(answer.into_inner().enqueued), Ok(asked), "every job has a place");
                Ok::<_, tonic::Status>(())
            }
        })
        .buffer_unordered(4)
        .try_collect::<()>()
        .await
        .expect("jobs");
    let enqueue = begun.elapsed().as_secs_f64();

    let (done, all) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let worker = Worker::new(client(ours, "bench-jobs", "ROLE_WORKER").await)
        .name("bench-queue")
        .queue("jobs")
        .concurrency(concurrency);
    let (count, told, wanted) = (done.clone(), all.clone(), jobs as u64);
    let worker = worker.handler("noop", move |_: Task| {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == wanted {
            told.notify_one();
        }
        async { Ok::<_, Failure>(Value::Null) }
    });
    let begun = Instant::now();
    let (resumed, summary) = tokio::join!(
        async { admin.tasks().resume_queue(ResumeQueueRequest { name }).await },
        worker.run(async move { all.notified().await }),
    );
    resumed.expect("resumed");
    let summary = summary.expect("the worker's work");
    let process = begun.elapsed().as_secs_f64();
    assert_eq!(summary.acknowledged, jobs as u64, "every job is acknowledged once: {summary:?}");
    (enqueue, process)
}

/// Starts executions that wait for the same moment; the 99th percentile of how late
/// they ended, in milliseconds.
async fn timers(ours: &Ours, timers: usize) -> f64 {
    ours.as_admin(Method::POST, "/v1/definitions", &json!({"source": TIMER})).await;
    let client = client(ours, "bench-timers", "ROLE_ADMIN").await;
    let at = SystemTime::now() + Duration::from_secs(5 + timers as u64 / 500);
    // A whole second.
    let since = Duration::from_secs(at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs());
    let input = json!({"at": probity_types::Micros(i64::try_from(since.as_micros()).expect("a time of this age")).to_string()});
    futures::stream::iter(0..timers)
        .map(|_| client.start("timer").input(&input).send())
        .buffer_unordered(64)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
        .expect("executions");
    assert!(SystemTime::now() < at, "not all were started before their moment; --timers {}", timers / 2);
    let wait = at.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(wait).await;
    probity_testkit::eventually(LATE, async || {
        let left = page(&client, "definition = timer AND status != COMPLETED", 1, String::new()).await;
        if left.0.is_empty() { Ok(()) } else { Err("executions have not ended") }
    })
    .await;
    let mut late = Histogram::<u64>::new(3).expect("a histogram");
    let mut token = String::new();
    loop {
        let (ends, next) = page(&client, "definition = timer AND status = COMPLETED", 1_000, token).await;
        ends.iter().for_each(|end| late.saturating_record(end.saturating_sub(since.as_secs() * 1_000)));
        if next.is_empty() {
            break;
        }
        token = next;
    }
    assert_eq!(late.len(), timers as u64, "every timer ended");
    late.value_at_quantile(0.99) as f64
}

/// When executions ended, in milliseconds, and the token of the next page.
async fn page(client: &Client, filter: &str, page_size: i32, page_token: String) -> (Vec<u64>, String) {
    let filter = filter.to_owned();
    let request = ListExecutionsRequest { page_size, page_token, filter };
    let answer = client.executions().list_executions(request).await.expect("a list").into_inner();
    let ended = answer.executions.iter().map(|one| {
        let time = one.end_time.as_ref().map_or((0, 0), |t| (t.seconds, t.nanos));
        u64::try_from(time.0 * 1_000 + i64::from(time.1 / 1_000_000)).unwrap_or(0)
    });
    (ended.collect(), answer.next_page_token)
}

fn theirs(engine: &str, args: &Args, rates: &mut Rates) {
    for fsync in ["everysec", "always"] {
        let redis = Redis::with_fsync(fsync);
        let url = redis.url();
        let port = url.rsplit(':').next().expect("a port");
        let mut command = peer(engine);
        command.args([port, &args.jobs.to_string(), &args.concurrency.to_string()]);
        let output = command.output().expect("the peer's program");
        assert!(output.status.success(), "{engine}: {}", String::from_utf8_lossy(&output.stderr));
        let seconds: Value = serde_json::from_slice(&output.stdout).expect("JSON of seconds");
        let second = |field: &str| seconds[field].as_f64().expect("seconds");
        let name = format!("{engine}, Redis with appendfsync {fsync}");
        tell(rates, &name, args.jobs, second("enqueue_s"), second("process_s"));
    }
}

/// The program of a peer, installed when it is not there.
fn peer(engine: &str) -> Command {
    if engine == "asynq" {
        let files = [
            ("go.mod", include_str!("../../queues/go.mod")),
            ("main.go", include_str!("../../queues/main.go")),
        ];
        return Command::new(peers::go("bench-asynq", &files).expect("asynq"));
    }
    let package = include_str!("../../queues/package.json");
    let files = [("bullmq.mjs", include_str!("../../queues/bullmq.mjs"))];
    let home = peers::node("bench-bullmq", package, &files).expect("BullMQ");
    let mut command = Command::new("node");
    command.arg("bullmq.mjs").current_dir(home);
    command
}
