//! `make bench-workflows`: the same durable workflow on this platform and on
//! Restate, one after the other on the same machine, with the same driver.
//!
//! Prints a table of medians with their spread, then every measurement as a line
//! of JSON. Run it on an otherwise idle machine: driver, worker and server share
//! its processors, for every engine alike.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)] // a tool for the terminal

use clap::Parser;
use probity_tests::sandbox::binary;
use probity_tests::workflows::crash::crash;
use probity_tests::workflows::driver::closed_loop;
use probity_tests::workflows::machine::{self, Machine};
use probity_tests::workflows::ours::Store;
use probity_tests::workflows::report::Figures;
use probity_tests::workflows::{Engine, Kind, restate};
use std::time::Duration;

#[derive(Debug, Clone, Parser)]
struct Args {
    /// Engines, separated by commas: ours, restate.
    #[arg(long, value_delimiter = ',', default_value = "ours,restate")]
    engines: Vec<String>,
    /// Stores of ours.
    #[arg(long, value_delimiter = ',', default_value = "sqlite,postgres")]
    stores: Vec<Store>,
    /// How often everything is measured, the engines taking turns.
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Callers of each round.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
    callers: Vec<usize>,
    /// Calls in a round of many callers; a tenth of it for one caller.
    #[arg(long, default_value_t = 2_000)]
    calls: u64,
    /// Executions amid which the server is killed; 0 leaves it alive.
    #[arg(long, default_value_t = 500)]
    crash: usize,
    /// One repetition of a quarter of the calls: to see that it works.
    #[arg(long)]
    quick: bool,
    /// A file for the lines of JSON, instead of printing them.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

impl Args {
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for engine in &self.engines {
            match engine.as_str() {
                "restate" => kinds.push(Kind::Restate),
                "ours" => kinds.extend(self.stores.iter().map(|store| Kind::Ours(*store))),
                other => panic!("--engines {other}: one of ours, restate"),
            }
        }
        kinds
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut args = Args::parse();
    if args.quick {
        (args.repetitions, args.calls) = (1, args.calls / 4);
    }
    let kinds = args.kinds();
    let scratch = tempfile::tempdir().expect("a folder");
    let machine = Machine::look(scratch.path()).line();
    let versions = versions(&kinds);
    let mut figures = Figures::default();
    let local = tokio::task::LocalSet::new();
    for repetition in 1..=args.repetitions {
        for kind in &kinds {
            eprintln!("repetition {repetition} of {}: {kind}", args.repetitions);
            local.run_until(measure(*kind, repetition, &args, &mut figures)).await;
        }
    }
    let command: Vec<_> = std::env::args().skip(1).collect();
    println!(
        "{machine}; {versions}; {} repetitions; `make bench-workflows ARGS=\"{}\"`\n",
        args.repetitions,
        command.join(" ")
    );
    println!("{}", figures.table(&kinds));
    let lines: Vec<_> = figures.lines.iter().map(ToString::to_string).collect();
    match &args.json {
        Some(path) => std::fs::write(path, lines.join("\n") + "\n").expect("the file of JSON"),
        None => println!("{}", lines.join("\n")),
    }
}

async fn measure(kind: Kind, repetition: usize, args: &Args, figures: &mut Figures) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::start(kind, dir.path()).await;
    tokio::time::sleep(Duration::from_secs(2)).await; // what starts late is there before idle is measured
    let (idle, _, _) = engine.memory_mb();
    closed_loop(engine.target(), 32, 300, "warm").await;
    for callers in &args.callers {
        let calls = if *callers == 1 { args.calls / 10 } else { args.calls };
        let round = closed_loop(engine.target(), *callers, calls, &format!("c{callers}n")).await;
        eprintln!(
            "  {callers} callers: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {} failed {}",
            round.per_s, round.p50_ms, round.p99_ms, round.errors, round.first_error
        );
        figures.round(kind, repetition, *callers, &round);
    }
    if let Some(ms) = engine.audit_ms().await {
        figures.audit(kind, repetition, ms);
    }
    let (_, peak, database) = engine.memory_mb();
    figures.memory(kind, repetition, idle, peak, database);
    if args.crash > 0 {
        let seen = crash(&mut engine, args.crash).await;
        eprintln!("  {seen:?}");
        figures.crash(kind, repetition, seen);
    }
    engine.stop().await;
}

fn versions(kinds: &[Kind]) -> String {
    let mut versions = vec![machine::version(binary("probity"), "--version")];
    if kinds.contains(&Kind::Ours(Store::Postgres)) {
        versions.push(machine::version("psql", "--version"));
    }
    if kinds.contains(&Kind::Restate) {
        versions.push(restate::versions());
    }
    versions.join(", ")
}
