//! Rows 14 and 15 of the fault matrix: workers that hang, and work that no worker
//! can do. Neither holds up anybody else, and both can be mended.

use futures::future::join_all;
use probity_client::{Client, Failure, Task, Worker};
use probity_proto::orchestrator::{
    BatchRequeueDeadLettersRequest, CountExecutionsRequest, DeadLetter, DeadLetterState, ExecutionStatus,
    GetExecutionRequest, ListDeadLettersRequest, RegisterDefinitionRequest, UpdateQueueRequest,
};
use probity_testkit::{Child, eventually};
use probity_tests::Embedded;
use probity_tests::sandbox::binary;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn platform(dir: &Path, definitions: &[&str]) -> (Embedded, Client, String) {
    let platform = Embedded::start(dir).await;
    let token = std::fs::read_to_string(dir.join("token")).unwrap().trim().to_owned();
    let api = Client::connect(&platform.url, &token).await.expect("a client");
    for source in definitions {
        let request = RegisterDefinitionRequest { source: (*source).to_owned(), validate_only: false };
        let (request, _) = platform.client().request(request, None);
        platform.client().workflows().register_definition(request).await.expect("the definition");
    }
    (platform, api, token)
}

/// A worker until the sender is used or dropped.
pub(crate) fn at_work(worker: Worker) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(async move {
        worker.run(async move { drop(stopped.await) }).await.expect("it was not refused");
    });
    (stop, running)
}

async fn letters(api: &Client, filter: &str) -> Vec<DeadLetter> {
    let request =
        ListDeadLettersRequest { page_size: 1_000, filter: filter.to_owned(), ..Default::default() };
    api.dead_letters().list_dead_letters(request).await.expect("a list").into_inner().dead_letters
}

#[tokio::test(flavor = "multi_thread")]
async fn one_in_a_hundred_is_poison_and_the_others_do_not_notice() {
    const ALL: u64 = 300;
    const POISON: u64 = 3;
    let flow = "name: poison\nsteps:\n  - id: work\n    task: work\n    queue: work\n    input: {number: input.number}\n    \
                retry: {max_attempts: 5, base: 10ms, cap: 50ms}\n";
    let dir = tempfile::tempdir().unwrap();
    let (platform, api, _) = platform(dir.path(), &[flow]).await;
    let (mended, attempts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (is_mended, count) = (mended.clone(), attempts.clone());
    let (stop, running) =
        at_work(Worker::new(api.clone()).queue("work").concurrency(16).handler("work", move |task: Task| {
            let (is_mended, count) = (is_mended.clone(), count.clone());
            async move {
                let number = task.input::<Value>()?["number"].as_u64().unwrap_or_default();
                if number % (ALL / POISON) != 0 || is_mended.load(Ordering::SeqCst) {
                    return Ok(json!({ "number": number }));
                }
                count.fetch_add(1, Ordering::SeqCst);
                Err(Failure::new("POISON", format!("item {number} cannot be done")))
            }
        }));
    let start =
        |number: u64| api.start("poison").input(&json!({ "number": number })).key(format!("p{number}"));
    let well = (0..ALL).filter(|number| number % (ALL / POISON) != 0);
    let others = join_all(well.map(|number| start(number).wait(PATIENCE).send()));
    let poison = join_all((0..ALL).step_by(100).map(|number| start(number).send()));
    let (others, poison) = tokio::join!(others, poison);
    for execution in others {
        assert_eq!(execution.unwrap().status(), ExecutionStatus::Completed);
    }
    eventually(PATIENCE, async || {
        let open = letters(&api, "state = FAILED").await;
        if open.len() as u64 == POISON { Ok(()) } else { Err(open.len()) }
    })
    .await;
    let open = letters(&api, "state = FAILED").await;
    assert!(open.iter().all(|letter| letter.attempts == 5 && letter.code == "POISON"), "{open:?}");
    assert_eq!(attempts.load(Ordering::SeqCst), 5 * POISON, "five attempts each and no more");

    // What was wrong is mended, and all of it is done again at once.
    mended.store(true, Ordering::SeqCst);
    let all = BatchRequeueDeadLettersRequest { filter: "code = POISON".to_owned(), ..Default::default() };
    let answer = api.dead_letters().batch_requeue_dead_letters(all).await.expect("requeued").into_inner();
    assert_eq!((answer.found, answer.changed, answer.refused.len(), answer.more), (3, 3, 0, false));
    for started in poison {
        let number = started.expect("an execution");
        eventually(PATIENCE, async || {
            let request = GetExecutionRequest { name: number.name.clone() };
            let now = api.workflows().get_execution(request).await.map_err(|e| e.to_string())?.into_inner();
            if now.status() == ExecutionStatus::Completed {
                Ok(())
            } else {
                Err(now.status().as_str_name().to_owned())
            }
        })
        .await;
    }
    let after = letters(&api, "").await;
    assert!(
        after.len() as u64 == POISON && after.iter().all(|l| l.state() == DeadLetterState::Requeued),
        "{after:?}"
    );
    stop.send(()).unwrap();
    running.await.unwrap();
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_holds_up_nobody_and_its_tasks_go_to_another() {
    const EACH: u64 = 50;
    let flow = |name: &str, task: &str, queue: &str| {
        format!(
            "name: {name}\nsteps:\n  - id: work\n    task: {task}\n    queue: {queue}\n    input: {{case: \"'c'\"}}\n"
        )
    };
    let (frozen, other) = (flow("frozen", "triage", "bench"), flow("other", "quick", "other"));
    let dir = tempfile::tempdir().unwrap();
    let (platform, api, token) = platform(dir.path(), &[&frozen, &other]).await;
    let lease = UpdateQueueRequest {
        name: "queues/bench".to_owned(),
        lease: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..Default::default()
    };
    api.tasks().update_queue(lease).await.expect("a lease of a second");

    // A worker process that has all the credits there are, and is then frozen.
    let mut command = Command::new(binary("bench-worker"));
    command.arg(&platform.url).arg(dir.path().join("effects")).env("PROBITY_TOKEN", &token);
    let mut stuck = Child::spawn(command);
    stuck.wait_for_line(PATIENCE, |line| line.starts_with("READY")).await;
    let before = api.start("frozen").input(&json!({})).wait(PATIENCE).send().await.expect("it works");
    assert_eq!(before.status(), ExecutionStatus::Completed);
    let pid = Pid::from_raw(i32::try_from(stuck.id().expect("it runs")).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let held = join_all((0..EACH).map(|n| api.start("frozen").input(&json!({})).key(format!("f{n}")).send()));
    let held: Vec<_> = held.await.into_iter().map(|started| started.expect("an execution").name).collect();

    // The other queue is as if nothing were.
    let quick = Worker::new(api.clone()).queue("other").handler("quick", |_: Task| async { Ok(Value::Null) });
    let (stop_quick, quick) = at_work(quick);
    for ended in join_all((0..EACH).map(|_| api.start("other").input(&json!({})).wait(PATIENCE).send())).await
    {
        assert_eq!(ended.unwrap().status(), ExecutionStatus::Completed);
    }
    let completed = async || {
        let request = CountExecutionsRequest {
            filter: "definition = frozen AND status = COMPLETED".to_owned(),
            ..Default::default()
        };
        api.executions().count_executions(request).await.expect("a count").into_inner().total
    };
    assert_eq!(completed().await, 1, "nobody else works there yet");

    // Once its leases are over, whoever comes gets its tasks; its own answers, when it
    // is thawed, change nothing.
    let again = Worker::new(api.clone())
        .queue("bench")
        .handler("triage", |_: Task| async { Ok(json!({"by": "another"})) });
    let (stop_again, again) = at_work(again);
    eventually(PATIENCE, async || {
        let done = completed().await;
        if done == 1 + EACH as i64 { Ok(()) } else { Err(done) }
    })
    .await;
    kill_process(pid, Signal::CONT).unwrap();
    for stop in [stop_quick, stop_again] {
        stop.send(()).unwrap();
    }
    for worker in [quick, again] {
        worker.await.unwrap();
    }
    stuck.terminate(PATIENCE).await;
    for name in held {
        let request = GetExecutionRequest { name };
        let execution = api.workflows().get_execution(request).await.expect("it is there").into_inner();
        assert_eq!(execution.status(), ExecutionStatus::Completed, "{execution:?}");
    }
    assert_eq!(letters(&api, "").await, []);
    platform.stop().await;
}
