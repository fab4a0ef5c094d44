//! Whole cases through the gateway: how many a second, how long each, at what
//! memory, and how far behind the audit log is at the end.
//!
//! Starts a release build of `probity dev` on an empty folder and lets a number of
//! callers upload a generated document, open its case and follow it until it is
//! final or waits for a person. Prints one line a figure: how much of what was looked
//! up caches answered is among them, and on PostgreSQL what was asked of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a tool for the terminal

use clap::Parser;
use hdrhistogram::Histogram;
use probity_cli::client::Client;
use probity_proto::audit::ListEntriesRequest;
use probity_proto::orchestrator::{GetCaseRequest, WatchCaseRequest};
use probity_testkit::{Child, Postgres, free_port};
use probity_tests::load::Load;
use probity_tests::sandbox::{Embedded, SERVICES, binary};
use probity_tests::workflows::machine::cpu_s;
use probity_tests::workflows::ours::Store;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Parser)]
struct Args {
    /// Cases in each round.
    #[arg(long, default_value_t = 4_000)]
    cases: u64,
    /// Callers at once.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Rounds; the first one warms up and is shown, too.
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Cases a second at most; 0 lets the callers go as fast as they can.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Reads of one case a second while the load runs; cases have many readers.
    #[arg(long, default_value_t = 100)]
    reads: u64,
    /// Where every service keeps its data.
    #[arg(long, default_value = "sqlite")]
    store: Store,
    /// Seed of the generated items.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What runs, and what it runs on.
struct Measured {
    platform: Embedded,
    admin: u16,
    postgres: Option<Postgres>,
}

impl Measured {
    async fn start(store: Store, dir: &std::path::Path) -> Self {
        let postgres = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(Postgres::start()),
        };
        let (mut command, admin) = (Command::new(binary("probity")), free_port());
        command.args(["dev", "--no-samples", "--port", "0", "--admin-port", &admin.to_string(), "--data"]);
        command.arg(dir);
        if let Some(server) = &postgres {
            let url = server.create();
            for service in SERVICES {
                let service = service.replace('-', "_").to_uppercase();
                command.env(format!("PROBITY_{service}__DATABASE__URL"), &url);
            }
        }
        Self { platform: Embedded::of(Child::spawn(command), dir).await, admin, postgres }
    }

    /// Hits and misses of every cache so far.
    async fn caches(&self) -> BTreeMap<String, [f64; 2]> {
        let mut caches: BTreeMap<String, [f64; 2]> = BTreeMap::new();
        for line in metrics(self.admin).await.lines() {
            let Some((name, rest)) = line.split_once('{') else { continue };
            let place = match name {
                "cache_hits_total" => 0,
                "cache_misses_total" => 1,
                _ => continue,
            };
            let cache = rest.split("cache=\"").nth(1).and_then(|rest| rest.split('"').next());
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok());
            if let (Some(cache), Some(count)) = (cache, count) {
                caches.entry(cache.to_owned()).or_default()[place] += count;
            }
        }
        caches
    }

    /// Transactions and rows read on PostgreSQL so far.
    fn database(&self) -> Option<[f64; 2]> {
        let sql = "SELECT pg_stat_force_next_flush(), sum(xact_commit), sum(tup_fetched + tup_returned) \
                   FROM pg_stat_database WHERE datname NOT LIKE 'template%'";
        let text = self.postgres.as_ref()?.psql("postgres", sql);
        let mut counts = text.trim().split('|').filter_map(|count| count.parse().ok());
        Some([counts.next()?, counts.next()?])
    }
}

async fn metrics(admin: u16) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", admin)).await.expect("the admin port");
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    text
}

/// What one caller saw.
struct Seen {
    whole: Histogram<u64>,
    acknowledged: Histogram<u64>,
    last: Option<String>,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(120_000_000, 3).expect("bounds of a histogram")
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let dir = tempfile::tempdir().expect("a folder");
    let begun = Instant::now();
    let measured = Measured::start(args.store, dir.path()).await;
    println!("ready after                {:>8} ms", begun.elapsed().as_millis());
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("RSS idle                   {:>8} MB", rss_mb(measured.platform.pid()));
    for round in 0..args.rounds {
        println!(
            "--- round {} of {}, {} cases, {} callers",
            round + 1,
            args.rounds,
            args.cases,
            args.callers
        );
        let (caches, database) = (measured.caches().await, measured.database());
        let before = cpu_s(measured.platform.pid());
        run(&args, &measured.platform, Load::new(args.seed + round)).await;
        let after = cpu_s(measured.platform.pid());
        let [user, system] = [0, 1].map(|at| (after[at] - before[at]) * 1_000.0 / args.cases as f64);
        println!("processor time, each case  {user:>8.2} ms outside and {system:.2} ms inside the kernel");
        print_caches(&caches, &measured.caches().await);
        if let (Some(before), Some(after)) = (database, measured.database()) {
            let each = |at: usize| (after[at] - before[at]) / args.cases as f64;
            println!("PostgreSQL, each case      {:>8.1} transactions, {:.0} rows read", each(0), each(1));
        }
        println!("RSS                        {:>8} MB", rss_mb(measured.platform.pid()));
    }
    measured.platform.stop().await;
}

fn print_caches(before: &BTreeMap<String, [f64; 2]>, after: &BTreeMap<String, [f64; 2]>) {
    for (cache, now) in after {
        let then = before.get(cache).copied().unwrap_or_default();
        let (hits, misses) = (now[0] - then[0], now[1] - then[1]);
        let rate = 100.0 * hits / (hits + misses).max(1.0);
        println!("cache {cache:<20} {rate:>8.1} % of {} lookups", hits + misses);
    }
}

async fn run(args: &Args, platform: &Embedded, load: Load) {
    let (next, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let reads = tokio::spawn(read_now_and_then(platform.client(), load, args.reads, done.clone()));
    let begun = Instant::now();
    let callers =
        (0..args.callers).map(|_| tokio::spawn(call(platform.client(), load, next.clone(), args.clone())));
    let seen: Vec<Seen> =
        futures::future::join_all(callers).await.into_iter().map(|s| s.expect("a caller")).collect();
    let elapsed = begun.elapsed();
    done.store(true, Ordering::SeqCst);
    let (mut whole, mut acknowledged) = (histogram(), histogram());
    for one in &seen {
        whole.add(&one.whole).expect("same bounds");
        acknowledged.add(&one.acknowledged).expect("same bounds");
    }
    println!("cases a second             {:>8.0}", args.cases as f64 / elapsed.as_secs_f64());
    print_times("opened and acknowledged", &acknowledged);
    print_times("to its last state", &whole);
    print_times("GET of a case", &reads.await.expect("the reader"));
    let last: Vec<String> = seen.into_iter().filter_map(|s| s.last).collect();
    println!("log caught up after        {:>8} ms", caught_up(&platform.client(), &last).await.as_millis());
}

fn print_times(what: &str, times: &Histogram<u64>) {
    let ms = |q: f64| times.value_at_quantile(q) as f64 / 1_000.0;
    println!("{what:<26} p50 {:>8.1} ms   p99 {:>8.1} ms   max {:>8.1} ms", ms(0.5), ms(0.99), ms(1.0));
}

/// One caller: an item after the other, each to its last state.
async fn call(client: Client, load: Load, next: Arc<AtomicU64>, args: Args) -> Seen {
    let mut seen = Seen { whole: histogram(), acknowledged: histogram(), last: None };
    let start = tokio::time::Instant::now();
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= args.cases {
            return seen;
        }
        if let Some(micros) = (number * 1_000_000).checked_div(args.rate) {
            tokio::time::sleep_until(start + Duration::from_micros(micros)).await;
        }
        let begun = Instant::now();
        let case = load.open(&client, number, Duration::from_secs(60)).await;
        record(&mut seen.acknowledged, begun.elapsed());
        follow(&client, &case.name).await;
        record(&mut seen.whole, begun.elapsed());
        seen.last = Some(case.name);
    }
}

fn record(times: &mut Histogram<u64>, elapsed: Duration) {
    times.saturating_record(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
}

/// Follows a case until it has ended or asks for a person.
async fn follow(client: &Client, name: &str) {
    let (request, _) =
        client.endless_request(WatchCaseRequest { name: name.to_owned(), after_sequence: 0 }, None);
    let mut events = client.cases().watch_case(request).await.expect("a watch").into_inner();
    while let Some(event) = events.message().await.expect("an event") {
        assert_ne!(event.r#type, "incident.opened", "{name}: {}", event.reason);
        if matches!(event.r#type.as_str(), "execution.ended" | "approval.requested") {
            return;
        }
    }
}

/// Reads one case again and again while the load runs.
async fn read_now_and_then(client: Client, load: Load, rate: u64, done: Arc<AtomicBool>) -> Histogram<u64> {
    let mut times = histogram();
    let case = load.open(&client, 0, Duration::from_secs(60)).await;
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / rate.max(1)));
    while !done.load(Ordering::SeqCst) {
        tick.tick().await;
        let begun = Instant::now();
        let (request, _) = client.request(GetCaseRequest { name: case.name.clone() }, None);
        client.cases().get_case(request).await.expect("a case");
        record(&mut times, begun.elapsed());
    }
    times
}

/// How long until the log tells the last state of each of these cases.
async fn caught_up(client: &Client, cases: &[String]) -> Duration {
    let begun = Instant::now();
    for case in cases {
        loop {
            let list = ListEntriesRequest {
                parent: case.clone(),
                page_size: 1_000,
                ..ListEntriesRequest::default()
            };
            let (request, _) = client.request(list, None);
            let page = client.audit().list_entries(request).await.expect("entries").into_inner();
            let actions = page.entries.into_iter().filter_map(|e| e.entry).map(|e| e.action);
            if actions.into_iter().any(|a| a == "execution.ended" || a == "approval.requested") {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "the log does not tell of {case}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    begun.elapsed()
}

/// Resident memory of a process, in megabytes.
fn rss_mb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1_000
}
