//! `make soak`: the rows of the fault matrix at full length, one after the other,
//! and a table of what came of them. Each row is a test that also runs, short, in
//! `make test`; here it is repeated as often as the matrix asks.
#![allow(clippy::print_stdout)] // the table is what it is for

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// A row: its number, what is done, how often, and by which test.
struct Row {
    number: &'static str,
    fault: &'static str,
    runs: u64,
    package: &'static str,
    test: &'static str,
    env: (&'static str, &'static str),
}

const fn row(
    number: &'static str,
    fault: &'static str,
    runs: u64,
    test: &'static str,
    rounds: &'static str,
) -> Row {
    Row { number, fault, runs, package: "probity-tests", test, env: ("PROBITY_ROUNDS", rounds) }
}

/// A row that is a test of one package.
const fn row_of(
    number: &'static str,
    fault: &'static str,
    runs: u64,
    package: &'static str,
    test: &'static str,
) -> Row {
    Row { number, fault, runs, package, test, env: ("PROBITY_ROUNDS", "1") }
}

const ROWS: [Row; 25] = [
    row("1", "SIGKILL amid cases, all in one process", 50, "ten_kills_amid", "50"),
    row("2", "SIGKILL at every failpoint, both stores", 20, "failpoints::", "20"),
    row("3", "everything killed at once", 20, "everything_killed_at_once", "20"),
    row("4", "rolling SIGTERM of orchestrators and gateways, loaded", 10, "rolling::", "5"),
    row("4, 5", "join, leave, SIGKILL, SIGSTOP beyond the lease", 1, "scale::", "1"),
    row("6", "PostgreSQL killed or stopped at once", 20, "a_killed_database", "20"),
    row("8", "Redis killed, frozen, emptied; a cache on it altered", 1, "redis::", "1"),
    row("7", "PostgreSQL away for 5 min, then silent", 1, "stores::", "1"),
    row("9", "each line of the door cut for 30 s, both ways, one way", 18, "a_cut_line", "1"),
    row("10", "lines late, narrow, sliced, torn", 5, "a_bad_line", "1"),
    row("scripted", "12 scripted faults of services", 1, "twelve_scenarios", "1"),
    row("chaos", "2 of 6 services failing at random", 100, "chaos_takes_nobody", "100"),
    row("18", "50% errors, and an open breaker", 1, "a_broken_peer_gets_few", "1"),
    Row {
        number: "27",
        fault: "the release before, this one, back and again",
        runs: 3,
        package: "probity-tests",
        test: "another_release_and_back",
        env: ("PROBITY_ROUNDS", "1"),
    },
    row("13", "the machine's clock by an hour, a day, to and fro", 1, "clock::", "1"),
    row("14, 15", "frozen workers, 1% poison", 1, "consumers::", "1"),
    row("16", "one key 100 times at once at three doors", 100, "one_key_a_hundred", "100"),
    Row {
        number: "17, 20, 22, 23, 24",
        fault: "slow and silent connections, floods, metadata, descriptors",
        runs: 1_000,
        package: "probity-tests",
        test: "hostile::",
        env: ("PROBITY_CONNECTIONS", "1000"),
    },
    row_of("19", "certificates: wrong, over, too soon, changed", 1, "probity-runtime", "tls::"),
    row_of("19", "keys of tokens changed under load", 1, "probity-gateway", "keys::"),
    row_of(
        "19",
        "a user disabled: refused from the next call on",
        1,
        "probity-gateway",
        "a_disabled_account",
    ),
    row("checker", "sabotaged builds", 4, "sabotage::", "1"),
    Row {
        number: "26",
        fault: "every parser, ten minutes each, by libFuzzer",
        runs: 18,
        package: FUZZ,
        test: "600",
        env: ("FUZZ_JOBS", ""),
    },
    Row {
        number: "model",
        fault: "every interleaving of the ownership protocol",
        runs: 1,
        package: "probity-orchestrator",
        test: "no_interleaving",
        env: ("PROBITY_MODEL", "whole"),
    },
    Row {
        number: "30",
        fault: "simulated core: clocks, crashes, duplicates",
        runs: 100_000,
        package: "probity-engine",
        test: "no_seed_breaks",
        env: ("PROBITY_SIM_SEEDS", "100000"),
    },
];

/// No package but the script that builds and feeds libFuzzer's programs; the test is how
/// many seconds each is fed.
const FUZZ: &str = "scripts/fuzz";

/// Rows that are not run here, and why.
const MISSING: [(&str, &str); 1] = [("29", "backlog and timers at once are measured: make bench-queue")];

fn main() -> ExitCode {
    let only = std::env::args().nth(1);
    let wanted = |row: &&Row| only.as_ref().is_none_or(|only| row.number.split(", ").any(|n| n == only));
    let done: Vec<_> = ROWS.iter().filter(wanted).map(|row| (row, run(row))).collect();
    println!("\n{:<8} {:>8}  {:<50} {:>8}  result", "row", "runs", "fault", "time");
    for (row, (passed, took)) in &done {
        let result = if *passed { "passed" } else { "FAILED" };
        println!("{:<8} {:>8}  {:<50} {:>7}s  {result}", row.number, row.runs, row.fault, took.as_secs());
    }
    for (number, why) in MISSING {
        println!("{number:<8} {:>8}  not run: {why}", 0);
    }
    if done.iter().all(|(_, (passed, _))| *passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(row: &Row) -> (bool, Duration) {
    let begin = Instant::now();
    if row.package == FUZZ {
        let status = Command::new(FUZZ).arg(row.test).env(row.env.0, row.env.1).status();
        return (status.is_ok_and(|status| status.success()), begin.elapsed());
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args([
        "test",
        "--release",
        "-p",
        row.package,
        row.test,
        "--",
        "--nocapture",
        "--test-threads",
        "1",
    ]);
    let status = command.env(row.env.0, row.env.1).status();
    (status.is_ok_and(|status| status.success()), begin.elapsed())
}
