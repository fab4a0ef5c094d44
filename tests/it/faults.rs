//! Rows of the fault matrix on real processes: everything killed at once, the
//! database killed, one key a hundred times at once. `make soak` repeats them.

use probity_testkit::{Postgres, eventually};
use probity_tests::cluster::{Cluster, Start};
use probity_tests::trial::{Drive, LIMIT, Work, check, settle};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often a fault is repeated: twice, or as `PROBITY_ROUNDS` says.
fn rounds() -> u64 {
    std::env::var("PROBITY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// Executions for each round.
const EXECUTIONS: u64 = 24;

/// Until an execution is accepted again; how long that took.
async fn serves(cluster: &Cluster, number: u64) -> (String, Duration) {
    let (doors, begin) = (cluster.doors(), Instant::now());
    let name = eventually(LIMIT, async || doors.execute(0, number).await.map_err(|s| s.to_string())).await;
    (name, begin.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_killed_at_once_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), None).await;
    cluster.join(&Start::default()).await;
    cluster.doors().register(0).await.unwrap();
    let workers = cluster.doors().work();
    let rounds = rounds();
    let drive = Drive::start(cluster.doors(), &Work { executions: 0..EXECUTIONS * rounds, case_every: 6 });
    for round in 0..rounds {
        eventually(LIMIT, async || {
            let opened = drive.opened();
            if opened >= EXECUTIONS * round + 4 { Ok(()) } else { Err(opened) }
        })
        .await;
        cluster.kill_all().await;
        cluster.start_again(&Start::default()).await;
        drive.through(cluster.doors());
    }
    let acknowledged = drive.finish().await;
    settle(&cluster.doors(), &acknowledged).await;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    cluster.stop().await;
    let report = check(dir.path(), None, &acknowledged).await;
    assert_eq!(report.problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_loses_nothing() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Postgres::start());
    let url = server.create();
    let mut cluster = Cluster::start(dir.path(), Some(url.clone())).await;
    for _ in 0..2 {
        cluster.join(&Start::default()).await;
    }
    cluster.doors().register(0).await.unwrap();
    let workers = cluster.doors().work();
    let rounds = rounds();
    let drive = Drive::start(cluster.doors(), &Work { executions: 0..EXECUTIONS * rounds, case_every: 6 });
    let mut extra = BTreeMap::new();
    for round in 0..rounds {
        eventually(LIMIT, async || {
            let opened = drive.opened();
            if opened >= EXECUTIONS * round + 4 { Ok(()) } else { Err(opened) }
        })
        .await;
        if round % 2 == 0 {
            server.kill()
        } else {
            server.stop()
        }
        server.resume();
        let number = 1_000_000 + round;
        let (name, took) = serves(&cluster, number).await;
        println!("round {round}: serving {took:?} after the database was back");
        extra.insert(format!("execution {number}"), name);
    }
    let mut acknowledged = drive.finish().await;
    acknowledged.extend(extra);
    settle(&cluster.doors(), &acknowledged).await;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    cluster.stop().await;
    let report = check(dir.path(), Some(&url), &acknowledged).await;
    assert_eq!(report.problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_a_hundred_times_at_once_is_one_execution() {
    let (dir, url) = (tempfile::tempdir().unwrap(), Postgres::database());
    let mut cluster = Cluster::start(dir.path(), Some(url.clone())).await;
    // No lease ends because the machine was busy elsewhere: it is about keys.
    let lease = ("PROBITY_ORCHESTRATOR__LEASE_TTL_MS", "60000".to_owned());
    let start = Start { env: vec![lease], ..Start::default() };
    for _ in 0..3 {
        cluster.join(&start).await;
    }
    let doors = cluster.doors();
    doors.register(0).await.unwrap();
    let workers = doors.work();
    let mut acknowledged = BTreeMap::new();
    for key in 0..rounds() {
        let all = futures::future::join_all((0..100).map(|turn| doors.execute(turn, key))).await;
        let names: BTreeSet<String> = all.into_iter().flatten().collect();
        assert_eq!(names.len(), 1, "one key is one execution: {names:?}");
        acknowledged.extend(names.into_iter().map(|name| (format!("execution {key}"), name)));
        let other = doors.execute_with("execution 0", 0, 999).await;
        assert_eq!(other.unwrap_err().code(), tonic::Code::InvalidArgument, "another body is refused");
    }
    // Nobody lost its footing over it: each replica has begun one log and no other.
    for replica in 0..3 {
        assert_eq!(cluster.metric(replica, "orchestrator_commit_failures_total").await, 0.0);
    }
    settle(&doors, &acknowledged).await;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    cluster.stop().await;
    let report = check(dir.path(), Some(&url), &acknowledged).await;
    assert_eq!(report.problems, Vec::<String>::new());
}
