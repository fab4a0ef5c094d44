//! The orchestrator killed at every failpoint in turn: around every commit, every
//! call and every step of the relay, on both stores.

use probity_testkit::Postgres;
use probity_tests::cluster::{Cluster, Start};
use probity_tests::trial::{Drive, LIMIT, Work, check, settle};
use std::collections::BTreeMap;
use std::time::Duration;

/// Executions at once, in which a failpoint is reached as a rule.
const EXECUTIONS: u64 = 12;
/// How long so many may go on without it.
const MORE: Duration = Duration::from_secs(5);

/// How often each is tried: once, or as `PROBITY_ROUNDS` says.
fn rounds() -> u64 {
    std::env::var("PROBITY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// How manieth time it kills. What happens at the start already is let pass.
fn count(point: &str, round: u64) -> u64 {
    match point {
        "storage.statement" => 24 + 7 * round,
        "storage.begun" | "storage.before_commit" | "storage.after_commit" => 8 + round,
        "own.claimed" => 1,
        _ => 2 + round % 3,
    }
}

/// Kills at one place amid a load, starts again, and lets everything settle. There is more
/// of the load until the place is reached: how often a store or a relay is used by so many
/// executions depends on how many of them come together.
async fn kill_at(cluster: &mut Cluster, point: &str, round: u64, from: &mut u64) -> BTreeMap<String, String> {
    let trap = format!("{point}:{}:kill", count(point, round));
    let armed = Start { trial: true, env: vec![("PROBITY_FAILPOINT", trap)] };
    // It may not live to say that it is ready.
    cluster.launch_replica(0, &armed);
    let doors = cluster.doors();
    let workers = doors.work();
    let mut ended = std::pin::pin!(cluster.take(0).wait(LIMIT));
    let mut drives = Vec::new();
    let exit = loop {
        let work = Work { executions: *from..*from + EXECUTIONS, case_every: 3 };
        drives.push(Drive::start(doors.clone(), &work));
        *from += EXECUTIONS;
        if let Ok(exit) = tokio::time::timeout(MORE, &mut ended).await {
            break exit;
        }
    };
    assert!(!exit.status.success(), "{point} was not reached");
    cluster.start_replica(0, &Start { trial: true, ..Start::default() }).await;
    let mut acknowledged = BTreeMap::new();
    for drive in drives {
        acknowledged.extend(drive.finish().await);
    }
    settle(&cluster.doors(), &acknowledged).await;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    acknowledged
}

async fn kill_everywhere(database: Option<String>) {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), database.clone()).await;
    let calm = Start { trial: true, ..Start::default() };
    cluster.join(&calm).await;
    cluster.doors().register(0).await.unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut from = 0;
    for round in 0..rounds() {
        for point in probity_failpoint::POINTS {
            cluster.stop().await;
            cluster.start_peer("audit-aggregator").await;
            acknowledged.extend(kill_at(&mut cluster, point, round, &mut from).await);
            cluster.stop().await;
            let report = check(dir.path(), database.as_deref(), &acknowledged).await;
            assert_eq!(report.problems, Vec::<String>::new(), "after a kill at {point}");
            println!(
                "{point}: {} executions, {} facts, {} entries",
                report.cases, report.facts, report.entries
            );
            cluster.start_peer("audit-aggregator").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_every_failpoint_loses_nothing_on_sqlite() {
    kill_everywhere(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_every_failpoint_loses_nothing_on_postgresql() {
    kill_everywhere(Some(Postgres::database())).await;
}
