//! How many commits a store takes: concurrent callers, each committing one
//! insert of 300 bytes and one upsert, and waiting for the commit.
//!
//! ```text
//! cargo run --release -p probity-storage --example commits -- sqlite
//! cargo run --release -p probity-storage --example commits -- postgres 64 3 5
//! ```
//!
//! Arguments: the database (`sqlite` makes a file in the folder for temporary
//! files, `postgres` starts a server of its own), callers, seconds a repetition,
//! repetitions. Prints a line a repetition and their medians. Processor time is
//! that of this process; a PostgreSQL server's is its own.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use futures::future::join_all;
use probity_storage::{Db, DbConfig, Error, Migration, args};
use probity_testkit::Postgres;
use std::time::{Duration, Instant};

const TABLES: Migration = Migration {
    version: 1,
    name: "tables",
    sql: "CREATE TABLE entry (caller BIGINT NOT NULL, n BIGINT NOT NULL, body BYTEA NOT NULL,
              PRIMARY KEY (caller, n));
          CREATE TABLE head (caller BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)",
};

/// What one repetition showed.
struct Figures {
    commits_per_second: f64,
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
    group: f64,
}

async fn commit(db: &Db, caller: i64, n: i64) -> Result<(), Error> {
    db.write(move |tx| {
        Box::pin(async move {
            let insert = "INSERT INTO entry (caller, n, body) VALUES ($1, $2, $3)";
            tx.execute(insert, args![caller, n, vec![b'x'; 300]]).await?;
            let upsert = "INSERT INTO head (caller, n) VALUES ($1, $2)
                ON CONFLICT (caller) DO UPDATE SET n = excluded.n";
            tx.execute(upsert, args![caller, n]).await.map(drop)
        })
    })
    .await
}

/// One caller: the microseconds of each of its commits.
async fn caller(db: Db, caller: i64, first: i64, until: Instant) -> Vec<f64> {
    let mut took = Vec::new();
    let mut n = first;
    while Instant::now() < until {
        let started = Instant::now();
        commit(&db, caller, n).await.unwrap();
        took.push(started.elapsed().as_secs_f64() * 1e6);
        n += 1;
    }
    took
}

async fn repetition(db: &Db, callers: i64, seconds: u64, round: i64) -> Figures {
    let (before, cpu, started) = (db.stats(), cpu_seconds(), Instant::now());
    let until = started + Duration::from_secs(seconds);
    let tasks = (0..callers).map(|n| tokio::spawn(caller(db.clone(), n, round << 32, until)));
    let mut took: Vec<f64> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    let transactions = db.stats().transactions - before.transactions;
    Figures {
        commits_per_second: took.len() as f64 / elapsed,
        cpu_us: cpu * 1e6 / took.len() as f64,
        p50_us: at(50),
        p99_us: at(99),
        group: took.len() as f64 / transactions as f64,
    }
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let usage = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = usage.rsplit(')').next().unwrap();
    let ticks = |place: usize| after_name.split_whitespace().nth(place).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn show(label: &str, figures: &Figures) {
    println!(
        "{label:>6}: {:7.0} commits/s, {:6.1} us CPU a commit, p50 {:6.0} us, p99 {:6.0} us, {:5.1} a transaction",
        figures.commits_per_second, figures.cpu_us, figures.p50_us, figures.p99_us, figures.group
    );
}

fn median(all: &[Figures], part: fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(part).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u64| args.get(place).map_or(default, |text| text.parse().unwrap());
    let (callers, seconds, repetitions) = (number(1, 64), number(2, 3), number(3, 5));
    let dir = tempfile::tempdir().unwrap();
    let config = match args.first().map(String::as_str) {
        Some("postgres") => DbConfig { url: Postgres::database(), ..DbConfig::default() },
        _ => DbConfig::sqlite(dir.path().join("commits.db")),
    };
    let db = Db::open(&config, "commits", &[TABLES]).await.unwrap();
    let mut all = Vec::new();
    for round in 0..repetitions.max(1).cast_signed() {
        all.push(repetition(&db, callers.max(1).cast_signed(), seconds.max(1), round).await);
        show(&round.to_string(), all.last().unwrap());
    }
    let of = |part| median(&all, part);
    let medians = Figures {
        commits_per_second: of(|f| f.commits_per_second),
        cpu_us: of(|f| f.cpu_us),
        p50_us: of(|f| f.p50_us),
        p99_us: of(|f| f.p99_us),
        group: of(|f| f.group),
    };
    show("median", &medians);
    db.close().await;
}
