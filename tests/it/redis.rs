//! Two replicas that share their tasks on Redis, whatever happens to it: a worker of
//! one does the tasks of the other, and what Redis loses costs time, never work.

use probity_testkit::{Postgres, Redis, eventually};
use probity_tests::cluster::{Cluster, Start};
use probity_tests::trial::{Drive, LIMIT, Work, check, settle};
use std::collections::BTreeMap;

/// Executions of the first part, and of all.
const FIRST: u64 = 40;
const ALL: u64 = 400;
const REPLICAS: usize = 2;

async fn on_every_replica(cluster: &Cluster, metric: &str, least: f64, most: f64) {
    eventually(LIMIT, async || {
        let mut seen = Vec::new();
        for number in 0..REPLICAS {
            seen.push(cluster.metric(number, metric).await);
        }
        if seen.iter().all(|value| (least..=most).contains(value)) { Ok(()) } else { Err((metric, seen)) }
    })
    .await;
}

async fn shared(cluster: &Cluster, up: f64) {
    on_every_replica(cluster, "orchestrator_shared_queue_up", up, up).await;
}

async fn opened(drive: &Drive, share: u64) {
    eventually(LIMIT, async || {
        let so_far = drive.opened();
        if so_far >= (ALL - FIRST) * share / 10 { Ok(()) } else { Err(so_far) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_their_tasks_whatever_becomes_of_redis() {
    let (dir, url, redis) = (tempfile::tempdir().unwrap(), Postgres::database(), Redis::start());
    let mut cluster = Cluster::start(dir.path(), Some(url.clone())).await;
    let env = vec![
        ("PROBITY_ORCHESTRATOR__REDIS__URL", redis.url()),
        ("PROBITY_ORCHESTRATOR__REDIS__TIMEOUT_MS", "500".to_owned()),
    ];
    let start = Start { env, ..Start::default() };
    for _ in 0..REPLICAS {
        cluster.join(&start).await;
    }
    on_every_replica(&cluster, "orchestrator_shards_owned", 128.0, 128.0).await;
    shared(&cluster, 1.0).await;
    let doors = cluster.doors();
    doors.register(0).await.unwrap();

    // The only worker is at the other door.
    let mut workers = vec![doors.work_at(1)];
    let mut acknowledged = BTreeMap::new();
    for number in 0..FIRST {
        acknowledged.insert(format!("execution {number}"), doors.execute(0, number).await.unwrap());
    }
    let settled = settle(&doors, &acknowledged).await;
    assert!(settled.values().all(|execution| execution.end_time.is_some()), "{settled:?}");
    let given = [
        cluster.metric(0, "orchestrator_tasks_taken_total").await,
        cluster.metric(1, "orchestrator_tasks_taken_total").await,
    ];
    assert_eq!(given[0], 0.0, "nobody works at the first door");
    assert!(given[1] >= 2.0 * FIRST as f64, "{given:?}");

    // Now one at each door, and Redis goes, comes, and forgets.
    workers.push(doors.work_at(0));
    let drive = Drive::start(doors.clone(), &Work { executions: FIRST..ALL, case_every: 40 });
    opened(&drive, 1).await;
    redis.kill();
    shared(&cluster, 0.0).await;
    opened(&drive, 4).await;
    redis.resume();
    shared(&cluster, 1.0).await;
    opened(&drive, 6).await;
    redis.command("FLUSHALL");
    opened(&drive, 7).await;
    redis.freeze();
    shared(&cluster, 0.0).await;
    redis.thaw();
    shared(&cluster, 1.0).await;
    redis.command("FLUSHALL");
    on_every_replica(&cluster, "orchestrator_shared_queue_losses_total", 1.0, f64::MAX).await;

    acknowledged.extend(drive.finish().await);
    let settled = settle(&cluster.doors(), &acknowledged).await;
    for execution in settled.iter().filter(|(key, _)| key.starts_with("execution")) {
        assert!(execution.1.end_time.is_some(), "{execution:?}");
    }
    let attempts: u64 = workers.iter().map(probity_tests::cluster::AtWork::done).sum();
    workers.clear();
    cluster.stop().await;
    let report = check(dir.path(), Some(&url), &acknowledged).await;
    println!(
        "{} executions, {attempts} tasks done for {} steps of workers, {} facts, {} entries",
        report.cases,
        2 * ALL,
        report.facts,
        report.entries
    );
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(attempts >= 2 * ALL, "each step is done at least once");
}
