//! `make load`: an open loop. Executions arrive at a fixed rate, whether or not the
//! platform keeps up; each runs for about a second, so that as many are in flight
//! as arrive in a second. The time of an acknowledgement counts from when the
//! execution should have arrived, so that waiting behind others is not hidden.
//! In the middle third a peer is broken so that its breaker opens (`--whole` leaves
//! it alone): executions that ask it wait, the others must not notice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a tool for the terminal

use clap::Parser;
use hdrhistogram::Histogram;
use http::Method;
use probity_tests::workflows::broken::{Broken, broken};
use probity_tests::workflows::driver::{Call, Line, Steps, Target};
use probity_tests::workflows::machine::Machine;
use probity_tests::workflows::ours::{Ours, Store};
use serde_json::Value;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Connections that executions are posted on.
const CALLERS: u64 = 256;

#[derive(Debug, Clone, Parser)]
struct Args {
    /// Executions that arrive each second.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// Seconds of load.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How long each of the three steps that follow each other takes, in milliseconds.
    #[arg(long, default_value_t = 333)]
    delay_ms: u64,
    /// Where the orchestrator and the log keep their data.
    #[arg(long, default_value = "sqlite")]
    store: Store,
    /// No peer is broken.
    #[arg(long)]
    whole: bool,
}

/// What one caller saw.
struct Seen {
    acknowledged: Histogram<u64>,
    errors: u64,
    first: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args = Args::parse();
    let dir = tempfile::tempdir().expect("a folder");
    println!("{}", Machine::look(dir.path()).line());
    let ours = Ours::start(args.store, dir.path()).await;
    tokio::task::LocalSet::new().run_until(run(&args, &ours)).await;
    ours.stop().await;
}

async fn run(args: &Args, ours: &Ours) {
    let target = ours.target.clone();
    let steps = Steps { delay_ms: args.delay_ms, log: false };
    let (next, begun) = (Rc::new(Cell::new(0)), Instant::now());
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| tokio::task::spawn_local(arrive(target.clone(), args.clone(), next.clone(), begun, steps)))
        .collect();
    let arrivals = async {
        let seen = futures::future::join_all(callers).await;
        (seen, begun.elapsed().as_secs_f64(), drain(&target, args, steps).await)
    };
    let third = Duration::from_secs(args.seconds) / 3;
    let drill = async {
        match args.whole {
            true => None,
            false => Some(broken(ours, third, third).await),
        }
    };
    let ((seen, took, drained), broken) = tokio::join!(arrivals, drill);
    let mut all = Histogram::<u64>::new_with_max(200_000_000, 3).expect("bounds of a histogram");
    let (mut errors, mut first) = (0, String::new());
    for one in seen {
        let one = one.expect("a caller");
        all.add(&one.acknowledged).expect("same bounds");
        errors += one.errors;
        first = if first.is_empty() { one.first } else { first };
    }
    let transitions = transitions(&target, steps).await;
    let per_s = all.len() as f64 / took;
    let ms = |q: f64| all.value_at_quantile(q) as f64 / 1_000.0;
    println!("executions acknowledged a second   {per_s:>8.0} of {} offered", args.rate);
    println!(
        "state transitions a second         {:>8.0} ({transitions} an execution)",
        per_s * transitions as f64
    );
    println!(
        "acknowledgement                    p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        ms(0.5),
        ms(0.99),
        ms(1.0)
    );
    println!("errors                             {errors:>8} {first}");
    println!("in flight at the end, all done in  {:>8.2} s", drained.as_secs_f64());
    let (rss, peak) = probity_tests::workflows::machine::rss_mb(ours.pid());
    println!("server RSS                         {rss:>8.0} MB, at its peak {peak:.0} MB");
    if let Some(Broken { opened, asked, done, recovered, first_error }) = broken {
        let opened =
            opened.map_or_else(|| "never".to_owned(), |after| format!("{:.2} s", after.as_secs_f64()));
        println!(
            "the broken peer's breaker opened after {opened}; of {asked} executions that asked it {done} ended well, {:.2} s after it was back {first_error}",
            recovered.as_secs_f64()
        );
    }
    println!("audit log caught up after          {:>8.0} ms", ours.audit_ms().await);
}

/// Takes the next execution, waits for its time, and posts it.
async fn arrive(target: Target, args: Args, next: Rc<Cell<u64>>, begun: Instant, steps: Steps) -> Seen {
    let histogram = Histogram::new_with_max(200_000_000, 3).expect("bounds of a histogram");
    let mut seen = Seen { acknowledged: histogram, errors: 0, first: String::new() };
    let mut line = Line::new(&target);
    loop {
        let number = next.replace(next.get() + 1);
        if number >= args.rate * args.seconds {
            return seen;
        }
        let due = begun + Duration::from_micros(number * 1_000_000 / args.rate);
        tokio::time::sleep_until(due.into()).await;
        match line.call(&(target.send)(&key(number), steps)).await {
            Ok(_) => {
                let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
                seen.acknowledged.saturating_record(micros);
            }
            Err(why) => {
                seen.errors += 1;
                seen.first = why;
            }
        }
    }
}

fn key(number: u64) -> String {
    format!("load{number}")
}

/// Waits for the results of the last second's executions.
async fn drain(target: &Target, args: &Args, steps: Steps) -> Duration {
    let begun = Instant::now();
    let last = args.rate * args.seconds;
    let waits = (last.saturating_sub(args.rate)..last).map(|number| async move {
        let body = Line::new(target).call(&(target.attach)(&key(number), steps)).await;
        assert!(body.as_ref().is_ok_and(|body| (target.is_done)(body)), "{number}: {body:?}");
    });
    futures::stream::StreamExt::for_each_concurrent(futures::stream::iter(waits), 128, |wait| wait).await;
    begun.elapsed()
}

/// How many things happen to one execution, by its history.
async fn transitions(target: &Target, steps: Steps) -> usize {
    let mut line = Line::new(target);
    let body = line.call(&(target.attach)(&key(0), steps)).await.expect("the first execution");
    let execution: Value = serde_json::from_slice(&body).expect("JSON");
    let path = format!("/v1/{}/history?pageSize=1000", execution["name"].as_str().expect("a name"));
    let call = Call { method: Method::GET, path, key: None, body: String::new() };
    let body = line.call(&call).await.expect("its history");
    let history: Value = serde_json::from_slice(&body).expect("JSON");
    history["events"].as_array().map_or(0, Vec::len)
}
