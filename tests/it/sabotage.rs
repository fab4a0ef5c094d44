//! Damage done on purpose: a checker that finds nothing wrong with it proves nothing.

use probity_testkit::Postgres;
use probity_tests::cluster::{Cluster, Start};
use probity_tests::trial::{Drive, LIMIT, Work, check, settle};
use rustix::process::Signal;
use std::time::Duration;

fn damaged(damage: &str) -> Start {
    Start { trial: true, env: vec![("PROBITY_SABOTAGE", damage.to_owned())] }
}

/// Runs a load on a damaged orchestrator; what the checker says of it.
async fn problems(start: &Start, work: &Work) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), None).await;
    cluster.join(start).await;
    cluster.doors().register(0).await.unwrap();
    let workers = cluster.doors().work();
    let acknowledged = Drive::start(cluster.doors(), work).finish().await;
    settle(&cluster.doors(), &acknowledged).await;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    cluster.stop().await;
    check(dir.path(), None, &acknowledged).await.problems
}

fn assert_found(problems: &[String], expect: &str) {
    assert!(problems.iter().any(|problem| problem.contains(expect)), "{expect:?} is not in {problems:?}");
}

const WORK: Work = Work { executions: 0..24, case_every: 2 };

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_trial_build_passes() {
    assert_eq!(problems(&Start { trial: true, ..Start::default() }, &WORK).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_outbox_row_is_found() {
    assert_found(&problems(&damaged("drop-outbox"), &WORK).await, "missing in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_effect_is_found() {
    assert_found(&problems(&damaged("double-effect"), &WORK).await, "was taken 2 times");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_commit_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), None).await;
    let mut start = damaged("ack-before-commit");
    start.env.push(("PROBITY_FAILPOINT", "lane.before_commit:6:kill".to_owned()));
    cluster.join(&start).await;
    cluster.doors().register(0).await.unwrap();
    let doors = cluster.doors();
    let mut acknowledged = std::collections::BTreeMap::new();
    for number in 0..40 {
        match doors.execute(0, number).await {
            Ok(name) => drop(acknowledged.insert(format!("execution {number}"), name)),
            Err(_) => break,
        }
    }
    let exit = cluster.take(0).wait(LIMIT).await;
    assert!(!exit.status.success(), "it was to be killed");
    cluster.start_replica(0, &Start { trial: true, ..Start::default() }).await;
    cluster.stop().await;
    assert_found(&check(dir.path(), None, &acknowledged).await.problems, "was acknowledged and is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_owner_that_writes_on_is_found() {
    let (dir, url) = (tempfile::tempdir().unwrap(), Postgres::database());
    let mut cluster = Cluster::start(dir.path(), Some(url.clone())).await;
    cluster.join(&damaged("skip-fencing")).await;
    cluster.doors().register(0).await.unwrap();
    let stale = cluster.doors();
    let first = stale.execute(0, 0).await.unwrap();
    cluster.replica(0).signal(Signal::STOP);
    // A healthy one takes everything over and says so by starting something.
    cluster.join(&Start { trial: true, ..Start::default() }).await;
    let both = cluster.doors();
    let second = loop {
        match both.execute(1, 1).await {
            Ok(name) => break name,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    cluster.replica(0).signal(Signal::CONT);
    let third = loop {
        match stale.execute(0, 2).await {
            Ok(name) => break name,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let acknowledged = [first, second, third]
        .into_iter()
        .enumerate()
        .map(|(n, name)| (format!("execution {n}"), name))
        .collect();
    cluster.stop().await;
    assert_found(&check(dir.path(), Some(&url), &acknowledged).await.problems, "and written to at");
}
