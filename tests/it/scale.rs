//! Three replicas on one PostgreSQL: they share the shards, whoever comes, goes,
//! dies or stands still.

use probity_proto::orchestrator::{CancelCaseRequest, Case, CaseState, GetCaseRequest};
use probity_storage::{Db, DbConfig, args};
use probity_testkit::{Postgres, eventually};
use probity_tests::cluster::{Cluster, Doors, Start};
use probity_tests::load::{Load, is_settled};
use probity_tests::trial::{Drive, LIMIT, Work, check, settle};
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const EXECUTIONS: u64 = 120;
const REPLICAS: usize = 3;
/// Times a replica may be stopped until it is caught with something to write.
const STOPS: usize = 5;

/// Shards of each open log, sorted.
async fn shares(db: &Db) -> Vec<i64> {
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM shards s JOIN logs l ON l.log = s.log AND l.sealed = 0 GROUP BY l.log";
    let rows = db.query(sql, args![]).await.unwrap();
    let mut counts: Vec<_> = rows.iter().map(|row| row.i64(0).unwrap()).collect();
    counts.sort_unstable();
    counts
}

/// Waits until that many have the shards, each its share within a tenth.
async fn shared_by(db: &Db, replicas: usize) {
    eventually(LIMIT, async || {
        let counts = shares(db).await;
        let fair = 256.0 / replicas as f64;
        let even = counts.iter().all(|count| (*count as f64 - fair).abs() <= fair / 10.0);
        let all = counts.len() == replicas && counts.iter().sum::<i64>() == 256;
        if all && even { Ok(()) } else { Err(counts) }
    })
    .await;
}

async fn opened(drive: &Drive, share: u64) {
    eventually(LIMIT, async || {
        let so_far = drive.opened();
        if so_far >= EXECUTIONS * share / 10 { Ok(()) } else { Err(so_far) }
    })
    .await;
}

/// Stops a replica beyond its lease, until somebody else has its shards, and lets
/// it go on; answers how many of its writes were refused.
async fn stand_still(cluster: &Cluster, db: &Db, number: usize) -> f64 {
    let before = cluster.metric(number, "orchestrator_fenced_commits_total").await;
    cluster.replica(number).signal(Signal::STOP);
    shared_by(db, REPLICAS - 1).await;
    cluster.replica(number).signal(Signal::CONT);
    shared_by(db, REPLICAS).await;
    cluster.metric(number, "orchestrator_fenced_commits_total").await - before
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_work_whatever_happens_to_them() {
    let (dir, url) = (tempfile::tempdir().unwrap(), Postgres::database());
    let mut cluster = Cluster::start(dir.path(), Some(url.clone())).await;
    let start = Start::default();
    for _ in 0..REPLICAS {
        cluster.join(&start).await;
    }
    let config = DbConfig { url: url.clone(), ..DbConfig::default() };
    let db = Db::open(&config, "orchestrator", &[]).await.unwrap();
    shared_by(&db, REPLICAS).await;

    // What one replica is told, the others know.
    cluster.doors().register(0).await.unwrap();
    let workers = cluster.doors().work();
    let work = Work { executions: 0..EXECUTIONS, case_every: 8 };
    let drive = Drive::start(cluster.doors(), &work);
    opened(&drive, 2).await;

    // One leaves, and comes back.
    let left = cluster.take(2);
    drive.through(cluster.doors());
    assert!(left.terminate(LIMIT).await.status.success());
    shared_by(&db, REPLICAS - 1).await;
    cluster.start_replica(2, &start).await;
    shared_by(&db, REPLICAS).await;
    drive.through(cluster.doors());
    opened(&drive, 4).await;

    // One is killed: its work goes on, and it comes back.
    cluster.take(1).kill().await;
    drive.through(cluster.doors());
    shared_by(&db, REPLICAS - 1).await;
    cluster.start_replica(1, &start).await;
    shared_by(&db, REPLICAS).await;
    drive.through(cluster.doors());
    opened(&drive, 6).await;

    // One stands still for longer than its lease and goes on as if nothing had been.
    let mut refused = 0.0;
    for _ in 0..STOPS {
        refused += stand_still(&cluster, &db, 0).await;
        if refused > 0.0 {
            break;
        }
    }
    assert!(refused >= 1.0, "a stale replica must have tried to write");

    let acknowledged = drive.finish().await;
    let doors = cluster.doors();
    let settled = settle(&doors, &acknowledged).await;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    for execution in settled.iter().filter(|(key, _)| key.starts_with("execution")) {
        assert!(execution.1.end_time.is_some(), "{execution:?}");
    }
    cancel_at_every_door(&cluster, &acknowledged).await;
    db.close().await;
    cluster.stop().await;
    let report = check(dir.path(), Some(&url), &acknowledged).await;
    println!(
        "{} executions, {} facts, {} entries, {refused} writes refused",
        report.cases, report.facts, report.entries
    );
    assert_eq!(report.problems, Vec::<String>::new());
}

/// A person may knock at any door: the case is cancelled wherever it is.
async fn cancel_at_every_door(cluster: &Cluster, acknowledged: &std::collections::BTreeMap<String, String>) {
    let doors = cluster.doors();
    let cases: Vec<_> = acknowledged.iter().filter(|(key, _)| key.starts_with("case")).collect();
    for (turn, (key, name)) in cases.iter().enumerate() {
        for at in 0..doors.count() {
            let request = CancelCaseRequest { name: (*name).clone(), reason: "a trial".to_owned() };
            let answer = doors.cases(turn + at).cancel_case(doors.request(request, None)).await;
            // It may have ended by itself; nobody may say that it is elsewhere.
            let fine = answer.as_ref().map_or_else(|s| s.code() == tonic::Code::FailedPrecondition, |_| true);
            assert!(fine, "{key} at door {at}: {answer:?}");
        }
    }
}

/// Cases that wait for a person.
async fn waiting_cases(doors: &Doors) -> Vec<String> {
    let load = Load::new(5);
    let mut names = Vec::new();
    for number in 0..12 {
        let open = async || doors.open(0, load, number).await;
        names.push(eventually(LIMIT, open).await);
    }
    let mut waiting = Vec::new();
    for name in names {
        let settled = eventually(LIMIT, async || {
            let case = read(doors, 0, &name).await.map_err(|status| status.to_string())?;
            if is_settled(&case) { Ok(case) } else { Err(format!("{name} is {:?}", case.state())) }
        })
        .await;
        if settled.end_time.is_none() {
            waiting.push(name);
        }
    }
    assert!(waiting.len() >= 3, "too few cases wait for a person: {waiting:?}");
    waiting
}

async fn read(doors: &Doors, turn: usize, name: &str) -> Result<Case, tonic::Status> {
    let request = doors.request(GetCaseRequest { name: name.to_owned() }, None);
    Ok(doors.cases(turn).get_case(request).await?.into_inner())
}

/// Cancels a case and waits until what was done for it is taken back.
async fn cancel(doors: &Doors, turn: usize, name: &str) {
    eventually(LIMIT, async || {
        let request = CancelCaseRequest { name: name.to_owned(), reason: "a trial".to_owned() };
        doors.cases(turn).cancel_case(doors.request(request, None)).await.map(drop)
    })
    .await;
    eventually(LIMIT, async || match read(doors, turn, name).await {
        Ok(case) if case.state() == CaseState::Cancelled => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

const KEPT: &str = "cache_hits_total{cache=\"executions\"";

/// What is kept of cases is never older than what anybody was told: not while it
/// changes, and not by a replica that others have taken over from.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_a_case_as_it_was_before_an_answer() {
    let (dir, url) = (tempfile::tempdir().unwrap(), Postgres::database());
    let mut cluster = Cluster::start(dir.path(), Some(url.clone())).await;
    cluster.join(&Start::default()).await;
    let db = Db::open(&DbConfig { url, ..DbConfig::default() }, "orchestrator", &[]).await.unwrap();
    let doors = cluster.doors();
    let mut waiting = waiting_cases(&doors).await;
    for name in waiting.iter().chain(&waiting) {
        read(&doors, 0, name).await.unwrap();
    }
    assert!(cluster.metric(0, KEPT).await >= waiting.len() as f64, "they are read from memory");

    // Read without a pause while it is cancelled.
    let name = waiting.pop().unwrap();
    let told = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (doors, name, told) = (doors.clone(), name.clone(), told.clone());
            tokio::spawn(async move {
                loop {
                    let must = told.load(Ordering::SeqCst);
                    let cancelled = read(&doors, 0, &name).await.unwrap().state() == CaseState::Cancelled;
                    assert!(cancelled || !must, "read as it was before somebody was told");
                    // Whoever reads it tells the others.
                    told.fetch_or(cancelled, Ordering::SeqCst);
                    if cancelled {
                        return;
                    }
                }
            })
        })
        .collect();
    cancel(&doors, 0, &name).await;
    told.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }

    // A replica stands still, another takes over and is told; then the first one is
    // asked, with everything it had kept.
    cluster.join(&Start::default()).await;
    shared_by(&db, 2).await;
    let doors = cluster.doors();
    for (turn, name) in waiting.iter().chain(&waiting).enumerate() {
        read(&doors, turn, name).await.unwrap();
        read(&doors, turn + 1, name).await.unwrap();
    }
    cluster.replica(0).signal(Signal::STOP);
    shared_by(&db, 1).await;
    for name in &waiting {
        cancel(&doors, 1, name).await;
    }
    let asked: Vec<_> = (0..10).flat_map(|_| waiting.clone()).collect();
    let asking = asked.iter().map(|name| {
        let (doors, name) = (doors.clone(), name.clone());
        tokio::spawn(async move { read(&doors, 0, &name).await })
    });
    let asking: Vec<_> = asking.collect();
    assert!(asking.iter().all(|asked| !asked.is_finished()));
    cluster.replica(0).signal(Signal::CONT);
    let mut answered = 0;
    for (name, answer) in asked.iter().zip(futures::future::join_all(asking).await) {
        if let Ok(case) = answer.unwrap() {
            answered += 1;
            assert_eq!(case.state(), CaseState::Cancelled, "{name} as it was before the other replica");
        }
    }
    assert!(answered > 0, "nobody was answered");
    cluster.stop().await;
}
