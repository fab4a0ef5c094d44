//! Three replicas on one PostgreSQL: they share the shards, whoever comes, goes,
//! dies or stands still.

use probity_proto::orchestrator::*;
use probity_storage::{Db, DbConfig, args};
use probity_testkit::{Postgres, eventually};
use probity_tests::cluster::{Cluster, Doors, Start};
use probity_tests::trial::{Drive, LIMIT, Work, check, settle};
use rustix::process::Signal;

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
pub(crate) async fn shared_by(db: &Db, replicas: usize) {
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

/// So many of something, so that each replica has some.
const SOME: usize = 12;

async fn two(dir: &std::path::Path, url: &str) -> (Cluster, Db) {
    let mut cluster = Cluster::start(dir, Some(url.to_owned())).await;
    for _ in 0..2 {
        cluster.join(&Start::default()).await;
    }
    let config = DbConfig { url: url.to_owned(), ..DbConfig::default() };
    let db = Db::open(&config, "orchestrator", &[]).await.unwrap();
    shared_by(&db, 2).await;
    (cluster, db)
}

fn task(queue: &str) -> EnqueueTaskRequest {
    EnqueueTaskRequest { r#type: "t".to_owned(), queue: queue.to_owned(), ..EnqueueTaskRequest::default() }
}

/// Tasks put into a queue at one door after the other.
async fn enqueue(doors: &Doors, queue: &str) -> Vec<String> {
    let mut names = Vec::new();
    for turn in 0..SOME {
        let task = doors.tasks(turn).enqueue_task(doors.request(task(queue), None)).await.unwrap();
        names.push(task.into_inner().name);
    }
    names
}

async fn in_state(doors: &Doors, turn: usize, name: &str, state: TaskState) {
    eventually(LIMIT, async || {
        let get = doors.request(GetTaskRequest { name: name.to_owned() }, None);
        let task =
            doors.tasks(turn).get_task(get).await.map_err(|status| format!("{status:?}"))?.into_inner();
        if task.state() == state { Ok(()) } else { Err(format!("{task:?}")) }
    })
    .await;
}

async fn letters(doors: &Doors, turn: usize, filter: &str) -> Vec<DeadLetter> {
    let list = ListDeadLettersRequest { filter: filter.to_owned(), ..ListDeadLettersRequest::default() };
    let list = doors.letters(turn).list_dead_letters(doors.request(list, None)).await;
    list.map_or_else(|_| Vec::new(), |list| list.into_inner().dead_letters)
}

async fn so_many_letters(doors: &Doors, turn: usize, filter: &str, count: usize) -> Vec<DeadLetter> {
    eventually(LIMIT, async || {
        let found = letters(doors, turn, filter).await;
        if found.len() == count { Ok(found) } else { Err(found.len()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_and_dead_letters_are_changed_at_any_door() {
    let (dir, url) = (tempfile::tempdir().unwrap(), Postgres::database());
    let (mut cluster, db) = two(dir.path(), &url).await;
    let doors = cluster.doors();

    // Tasks that nobody does: seen and cancelled at both doors.
    let idle = enqueue(&doors, "idle").await;
    for (turn, name) in idle.iter().enumerate() {
        for door in 0..2 {
            in_state(&doors, door, name, TaskState::Queued).await;
        }
        let cancel = CancelTaskRequest { name: name.clone(), reason: "a trial".to_owned() };
        // Also by who knocks at the other door after the answer was lost.
        for door in [turn / 2, turn / 2 + 1] {
            let cancelled = doors.tasks(door).cancel_task(doors.request(cancel.clone(), None)).await;
            assert_eq!(cancelled.unwrap().into_inner().state(), TaskState::Cancelled);
        }
    }

    // Tasks that fail for good: retried at both doors, and given up at both.
    let failing = [doors.fail_at(0, "broken"), doors.fail_at(1, "broken")];
    let broken = enqueue(&doors, "broken").await;
    for (turn, name) in broken.iter().enumerate() {
        in_state(&doors, turn / 2, name, TaskState::Incident).await;
        let retry = doors.request(RetryTaskRequest { name: name.clone() }, None);
        doors.tasks(turn / 2).retry_task(retry).await.unwrap();
    }
    let open = so_many_letters(&doors, 0, "failures = 2 AND state = FAILED", SOME).await;
    for (turn, letter) in open.iter().take(SOME / 2).enumerate() {
        let name = letter.name.clone();
        let review = ReviewDeadLetterRequest { name: name.clone(), note: "looking".to_owned() };
        let reviewed = doors.letters(turn).review_dead_letter(doors.request(review, None)).await;
        assert_eq!(reviewed.unwrap().into_inner().state(), DeadLetterState::Reviewing);
        let requeue = RequeueDeadLetterRequest { name: name.clone(), ..RequeueDeadLetterRequest::default() };
        doors.letters(turn).requeue_dead_letter(doors.request(requeue, None)).await.unwrap();
    }
    so_many_letters(&doors, 1, "failures = 3 AND state = FAILED", SOME / 2).await;
    for (turn, letter) in open.iter().take(SOME / 2).enumerate() {
        let discard = DiscardDeadLetterRequest { name: letter.name.clone(), reason: "a trial".to_owned() };
        let discarded = doors.letters(turn).discard_dead_letter(doors.request(discard, None)).await;
        assert_eq!(discarded.unwrap().into_inner().state(), DeadLetterState::Discarded);
    }
    // The others all at once, wherever they are.
    let filter = "failures = 2 AND state = FAILED".to_owned();
    let discard = BatchDiscardDeadLettersRequest {
        filter,
        reason: "a trial".to_owned(),
        ..BatchDiscardDeadLettersRequest::default()
    };
    let done = doors.letters(1).batch_discard_dead_letters(doors.request(discard, None)).await.unwrap();
    assert_eq!(usize::try_from(done.into_inner().changed).unwrap(), SOME - SOME / 2);
    so_many_letters(&doors, 0, "state = DISCARDED", SOME).await;
    drop(failing);

    // One that has just come has no shards yet, and takes a batch like any other.
    cluster.join(&Start::default()).await;
    let doors = cluster.doors();
    let batch = BatchEnqueueTasksRequest { requests: vec![task("idle"); SOME] };
    let batch = doors.tasks(2).batch_enqueue_tasks(doors.request(batch, None)).await.unwrap().into_inner();
    assert_eq!(usize::try_from(batch.enqueued).unwrap(), SOME, "{batch:?}");
    db.close().await;
    cluster.stop().await;
}

/// Executions that wait for a signal, at most three at once whichever door they came by.
const LIMITED: &str = "name: few\nlimit: {running: 3}\nsteps:\n  - {id: go, wait: {signal: go}}\n";

async fn count(doors: &Doors, turn: usize, filter: &str) -> i64 {
    let ask = CountExecutionsRequest { filter: filter.to_owned(), ..CountExecutionsRequest::default() };
    let counted = doors.executions(turn).count_executions(doors.request(ask, None)).await;
    counted.map_or(-1, |counted| counted.into_inner().total)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_executions_holds_over_all_replicas() {
    let (dir, url) = (tempfile::tempdir().unwrap(), Postgres::database());
    let (mut cluster, db) = two(dir.path(), &url).await;
    let doors = cluster.doors();
    doors.register_source(0, LIMITED).await.unwrap();
    let mut names = Vec::new();
    for turn in 0..SOME {
        let start = StartExecutionRequest {
            definition: "definitions/few".to_owned(),
            ..StartExecutionRequest::default()
        };
        // The other replica may not have heard of the definition yet.
        let name = eventually(LIMIT, async || {
            let key = format!("few {turn}");
            let started =
                doors.executions(turn).start_execution(doors.request(start.clone(), Some(&key))).await;
            started.map(|started| started.into_inner().name).map_err(|status| status.to_string())
        })
        .await;
        names.push(name);
    }
    let some = i64::try_from(SOME).unwrap();
    for left in (0..some).rev() {
        // Never more than three, and three whenever there are so many.
        let (running, waiting) = (3.min(left + 1), (left + 1 - 3).max(0));
        eventually(LIMIT, async || {
            let now =
                (count(&doors, 0, "status = RUNNING").await, count(&doors, 1, "status = PENDING").await);
            assert!(now.0 <= 3, "{} run", now.0);
            if now == (running, waiting) { Ok(()) } else { Err(now) }
        })
        .await;
        if left == some / 2 {
            // Whoever takes the line over goes on with it.
            cluster.take(0).kill().await;
            shared_by(&db, 1).await;
            cluster.start_replica(0, &Start::default()).await;
            shared_by(&db, 2).await;
        }
        let doors = cluster.doors();
        let mut gone = None;
        for name in &names {
            let status = doors.look(usize::try_from(left).unwrap(), name).await.unwrap().status();
            if status == ExecutionStatus::Running {
                gone = Some(name.clone());
            }
        }
        let name = gone.expect("one runs");
        let signal =
            SignalExecutionRequest { name, signal: "go".to_owned(), ..SignalExecutionRequest::default() };
        let turn = usize::try_from(left).unwrap();
        let taken = doors.executions(turn).signal_execution(doors.request(signal, None)).await;
        assert!(taken.is_ok(), "{taken:?}");
    }
    eventually(LIMIT, async || match count(&cluster.doors(), 0, "status = COMPLETED").await {
        all if all == some => Ok(()),
        other => Err(other),
    })
    .await;
    db.close().await;
    cluster.stop().await;
}
