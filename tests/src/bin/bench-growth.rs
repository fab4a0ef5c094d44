//! `make bench-growth`: does an execution cost the same when a million are stored,
//! and while somebody holds a transaction open on PostgreSQL?
//!
//! Fills the platform to each mark and measures a round there: calls a second, the
//! processor time of an execution (the server's and PostgreSQL's; the driver's and
//! the worker's left out) and the bytes on disk. Processor time is what tells: a
//! shared machine changes its speed, not the work. `--hold` opens a transaction
//! that has written, so that nothing dead can be vacuumed, and measures a round
//! every minute.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a tool for the terminal

use clap::Parser;
use probity_tests::workflows::driver::{Round, closed_loop};
use probity_tests::workflows::machine::{Machine, cpu_s, rss_mb};
use probity_tests::workflows::ours::{Ours, Store};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Callers of a round, as in the comparison.
const CALLERS: usize = 64;
/// Callers that fill.
const FILLERS: usize = 256;

#[derive(Debug, Clone, Parser)]
struct Args {
    /// Where the orchestrator and the log keep their data.
    #[arg(long, default_value = "sqlite")]
    store: Store,
    /// Executions that are stored when a round is measured, rising.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    marks: Vec<u64>,
    /// Calls of a round: enough for what PostgreSQL does once a minute to even out.
    #[arg(long, default_value_t = 20_000)]
    calls: u64,
    /// Minutes a transaction is held open after the last mark; needs postgres.
    #[arg(long, default_value_t = 0)]
    hold: u64,
}

/// A platform that is being filled.
struct Filling {
    ours: Ours,
    stored: u64,
    calls: u64,
    first: Option<f64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args = Args::parse();
    assert!(args.hold == 0 || args.store == Store::Postgres, "--hold needs --store postgres");
    let dir = tempfile::tempdir().expect("a folder");
    println!("{}", Machine::look(dir.path()).line());
    let ours = Ours::start(args.store, dir.path()).await;
    println!(
        "| {:?} | executions/s | p50 ms | p99 ms | CPU ms each, user + system | of the first | RSS MB | disk MB |",
        args.store
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut filling = Filling { ours, stored: 0, calls: args.calls, first: None };
    let local = tokio::task::LocalSet::new();
    local.run_until(filling.run(&args)).await;
    filling.ours.stop().await;
}

impl Filling {
    async fn run(&mut self, args: &Args) {
        for mark in &args.marks {
            let missing = mark.saturating_sub(self.stored);
            self.call(FILLERS, missing).await;
            self.measure(&format!("{} stored", self.stored)).await;
        }
        if args.hold == 0 {
            return;
        }
        let mut psql = Command::new("psql")
            .arg(self.ours.database().expect("PostgreSQL"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("psql");
        let mut line = psql.stdin.take().expect("a pipe");
        // It has an identifier of its own, so that what dies after it stays on its pages.
        line.write_all(b"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id();\n")
            .expect("sent");
        let begun = Instant::now();
        for minute in 1..=args.hold {
            let until = begun + Duration::from_secs(60 * minute);
            while Instant::now() < until {
                self.call(CALLERS, 1_000).await;
            }
            self.measure(&format!("transaction open {minute} min")).await;
        }
        drop(line); // psql ends, the transaction with it
        psql.wait().expect("psql's end");
    }

    async fn call(&mut self, callers: usize, calls: u64) -> Round {
        let round = closed_loop(&self.ours.target, callers, calls, &format!("g{}n", self.stored)).await;
        assert_eq!(round.errors, 0, "{}", round.first_error);
        self.stored += calls;
        round
    }

    async fn measure(&mut self, label: &str) {
        let before = self.cpu_s();
        let round = self.call(CALLERS, self.calls).await;
        let after = self.cpu_s();
        let [user, system] = [0, 1].map(|at| (after[at] - before[at]) * 1_000.0 / self.calls as f64);
        let of_first = 100.0 * (user + system) / *self.first.get_or_insert(user + system);
        let (rss, _) = rss_mb(self.ours.pid());
        let disk = self.ours.disk_mb();
        let Round { per_s, p50_ms, p99_ms, .. } = round;
        println!(
            "| {label} | {per_s:.0} | {p50_ms:.1} | {p99_ms:.1} | {user:.3} + {system:.3} | {of_first:.0}% | {rss:.0} | {disk:.0} |"
        );
    }

    /// Processor time of the server and of PostgreSQL, outside and inside the
    /// kernel, in seconds.
    fn cpu_s(&self) -> [f64; 2] {
        let [user, system] = cpu_s(self.ours.pid());
        let database = self.ours.database_pid().map_or([0.0, 0.0], cpu_s);
        [user + database[0], system + database[1]]
    }
}
