//! Two replicas that share their tasks on Redis, whatever happens to it: a worker of
//! one does the tasks of the other, and what Redis loses costs time, never work. And
//! a cache on Redis that a service finds again, does without, and never believes.

use probity_proto::compliance::{ListEvaluationsRequest, PublishPolicyRequest};
use probity_testkit::{Postgres, Redis, eventually};
use probity_tests::cluster::{Cluster, Start};
use probity_tests::trial::{Drive, LIMIT, Work, check, settle};
use probity_tests::{Load, Separate, Setup};
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

/// A rule that every case breaks, so that what was evaluated can be told.
const RULE: &str = "nobody-passes";

/// Opens a case and waits for it; whether our policy had its say.
async fn judged(platform: &Separate, load: &Load, number: u64) -> bool {
    let client = platform.client();
    let case = load.open(&client, number, LIMIT).await.name;
    probity_tests::load::settle(&client, std::slice::from_ref(&case), LIMIT).await;
    let asked = ListEvaluationsRequest { parent: case, ..ListEvaluationsRequest::default() };
    let (request, _) = client.request(asked, None);
    let listed = client.compliance().list_evaluations(request).await.unwrap().into_inner();
    assert!(!listed.evaluations.is_empty(), "the case was evaluated");
    listed.evaluations.iter().all(|evaluation| format!("{evaluation:?}").contains(RULE))
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_come_from_redis_and_never_as_somebody_altered_them() {
    const SERVICE: &str = "compliance-validator";
    let (dir, redis) = (tempfile::tempdir().unwrap(), Redis::start());
    let env = vec![("PROBITY_CACHE__REDIS__URL", redis.url())];
    let mut platform = Separate::with(dir.path(), Setup { env, ..Setup::default() }).await;
    let load = Load::new(23);
    let source = format!("package own\n\ndeny contains {{\"rule\": \"{RULE}\", \"message\": \"as told\"}}\n");
    let own = PublishPolicyRequest { policy: "own".to_owned(), source, ..PublishPolicyRequest::default() };
    let client = platform.client();
    let (request, _) = client.request(own, Some("publish-own"));
    client.compliance().publish_policy(request).await.unwrap();
    let counted = async |platform: &Separate, name: &str| {
        platform.metric(SERVICE, name, "cache=\"policy_sources\"").await
    };

    // The process that published it is gone: what the next one knows is on the server.
    platform.kill(SERVICE).await;
    platform.start_service(SERVICE).await;
    assert!(judged(&platform, &load, 0).await);
    assert_eq!(counted(&platform, "cache_misses_total").await, 0.0);
    assert!(counted(&platform, "cache_hits_total").await >= 1.0);

    let keys = redis.command("KEYS *policy_sources*");
    let keys: Vec<_> = keys.lines().filter(|line| line.contains("own")).collect();
    let [key] = keys.as_slice() else { panic!("one text is kept: {keys:?}") };
    let altered = |redis: &Redis, at: usize| redis.command(&format!("SETRANGE {key} {at} X"));
    // Somebody writes into the middle of the text, then puts nothing in its place.
    for damage in 0..2 {
        platform.kill(SERVICE).await;
        match damage {
            0 => altered(&redis, 44),
            _ => redis.command(&format!("SET {key} X")),
        };
        platform.start_service(SERVICE).await;
        assert!(judged(&platform, &load, 1 + damage).await, "another text was evaluated");
    }

    redis.kill();
    assert!(judged(&platform, &load, 3).await, "what is in memory goes on");
    platform.kill(SERVICE).await;
    platform.start_service(SERVICE).await;
    assert!(judged(&platform, &load, 4).await, "without the server the store is asked");
    assert!(counted(&platform, "cache_misses_total").await >= 1.0);
    platform.stop().await;
}
