//! Workers in two languages against a running platform: a definition, tokens, a
//! worker process, executions to their end.

use probity_client::{Client as Api, Failure, Task, Worker, output};
use probity_proto::gateway::IssueTokenRequest;
use probity_proto::orchestrator::{CountExecutionsRequest, ExecutionStatus, RegisterDefinitionRequest};
use probity_testkit::{Child, eventually, free_port};
use probity_tests::Embedded;
use probity_tests::peers::cache;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The workflow of the examples.
const SCREENING: &str = include_str!("../../clients/python/examples/screening.yaml");
/// How long an execution may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A platform that knows the workflow, and a token for a worker that also starts
/// executions.
pub(crate) async fn platform(dir: &Path) -> (Embedded, String) {
    platform_at(dir, 0).await
}

async fn platform_at(dir: &Path, port: u16) -> (Embedded, String) {
    let platform = Embedded::start_at(dir, port).await;
    let admin = platform.client();
    let definition = RegisterDefinitionRequest { source: SCREENING.to_owned(), validate_only: false };
    let (request, _) = admin.request(definition, None);
    admin.workflows().register_definition(request).await.expect("the definition");
    let grant = IssueTokenRequest {
        actor: "service-accounts/worker".to_owned(),
        roles: vec![7, 1], // worker, submitter
        ..IssueTokenRequest::default()
    };
    let (request, _) = admin.request(grant, None);
    let token = admin.gateway().issue_token(request).await.expect("a token").into_inner().token;
    (platform, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_worker_does_the_tasks_of_executions() {
    let dir = tempfile::tempdir().unwrap();
    let (platform, token) = platform(dir.path()).await;
    let api = Api::connect(&platform.url, &token).await.expect("a client");
    let worker = Worker::new(api.clone()).queue("screening").concurrency(16).handler(
        "screen",
        |task: Task| async move {
            let input: Value = task.input()?;
            let supplier = input["supplier"].as_str().unwrap_or_default();
            if task.attempt() == 1 && supplier == "Twice Ltd" {
                return Err(Failure::new("BUSY", "try again").retry_after(Duration::from_millis(10)));
            }
            Ok(json!({"supplier": supplier, "listed": supplier.contains("Shell"), "attempt": task.attempt()}))
        },
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run(async move { drop(stopped.await) }));
    let suppliers =
        (0..40).map(|n| format!("Supplier {n}")).chain(["Shell Trading Ltd".into(), "Twice Ltd".into()]);
    let starts = suppliers.map(|supplier| {
        let start = api.start("screening").input(&json!({"supplier": supplier})).wait(PATIENCE).send();
        async move { (supplier, start.await.expect("an execution")) }
    });
    for (supplier, execution) in futures::future::join_all(starts).await {
        assert_eq!(execution.status(), ExecutionStatus::Completed, "{supplier}: {execution:?}");
        let result: Value = output(&execution).expect("an output");
        assert_eq!(result, json!({"supplier": supplier, "listed": supplier.contains("Shell")}));
    }
    stop.send(()).expect("the worker runs");
    let summary = running.await.unwrap().expect("it was not refused");
    assert_eq!((summary.acknowledged, summary.failed, summary.abandoned), (43, 1, 0), "{summary:?}");
    platform.stop().await;
}

/// Starts an execution until the platform has answered, under the same key.
async fn start_somehow(api: &Api, supplier: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let start =
            api.start("screening").input(&json!({"supplier": supplier})).key(supplier.replace(' ', "-"));
        match start.send().await {
            Ok(execution) => return execution.name,
            Err(error) => assert!(Instant::now() < until, "{supplier}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_worker_outlives_kills_of_the_platform() {
    const EXECUTIONS: u64 = 120;
    const KILLS: u64 = 3;
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let (mut platform, token) = platform_at(dir.path(), port).await;
    let api = Api::connect(&platform.url, &token).await.expect("a client");
    let seen = Arc::new(Mutex::new(BTreeMap::<String, (u64, BTreeSet<String>)>::new()));
    let desk = seen.clone();
    let screen = move |task: Task| {
        let desk = desk.clone();
        async move {
            let supplier = task.input::<Value>()?["supplier"].as_str().unwrap_or_default().to_owned();
            let mut desk = desk.lock().unwrap();
            let (times, keys) = desk.entry(supplier.clone()).or_default();
            *times += 1;
            keys.insert(task.idempotency_key().to_owned());
            Ok(json!({"supplier": supplier, "listed": false}))
        }
    };
    let worker = Worker::new(api.clone()).queue("screening").concurrency(8).handler("screen", screen);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run(async move { drop(stopped.await) }));

    let next = Arc::new(AtomicU64::new(0));
    let callers = (0..4).map(|_| {
        let (api, next) = (api.clone(), next.clone());
        tokio::spawn(async move {
            let mut names = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= EXECUTIONS {
                    return names;
                }
                names.push(start_somehow(&api, &format!("Supplier {number}")).await);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    for kill in 1..=KILLS {
        eventually(PATIENCE, async || {
            let so_far = next.load(Ordering::SeqCst);
            if so_far >= EXECUTIONS * kill / (KILLS + 1) { Ok(()) } else { Err(so_far) }
        })
        .await;
        platform.kill().await;
        platform = Embedded::start_at(dir.path(), port).await;
    }
    let names = futures::future::join_all(callers).await.into_iter().flat_map(Result::unwrap);
    let names: BTreeSet<String> = names.collect();
    assert_eq!(names.len() as u64, EXECUTIONS, "a key is one execution");
    let admin = std::fs::read_to_string(platform.dir.join("token")).expect("the administrator's token");
    let admin = Api::connect(&platform.url, admin.trim()).await.expect("a client");
    eventually(PATIENCE, async || {
        let count = CountExecutionsRequest { filter: "status = COMPLETED".into(), ..Default::default() };
        let counted = admin.executions().count_executions(count).await.map_err(|e| e.to_string())?;
        let completed = u64::try_from(counted.into_inner().total).unwrap_or(0);
        if completed == EXECUTIONS { Ok(()) } else { Err(format!("{completed} have completed")) }
    })
    .await;
    stop.send(()).expect("the worker runs");
    let summary = running.await.unwrap().expect("it was not refused");
    assert!(summary.reconnects >= KILLS, "{summary:?}");
    assert_eq!((summary.failed, summary.abandoned), (0, 0), "{summary:?}");
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let times: u64 = seen.values().map(|(times, _)| times).sum();
    println!("{EXECUTIONS} executions, {KILLS} kills, {times} attempts, {summary:?}");
    assert!(seen.values().all(|(times, keys)| *times >= 1 && keys.len() == 1), "one key a step: {seen:?}");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_worker_does_the_task_of_an_execution() {
    let Some(python) = environment() else { return };
    let dir = tempfile::tempdir().unwrap();
    let stubs = dir.path().join("gen");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/python");
    let generated = Command::new(&python).arg(root.join("generate.py")).arg(&stubs).output().unwrap();
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    let (platform, token) = platform(&dir.path().join("data")).await;
    let server = platform.url.trim_start_matches("http://").to_owned();
    let program = |name: &str| {
        let mut command = Command::new(&python);
        command.arg(root.join("examples").join(name)).env("PYTHONPATH", &stubs).env("PROBITY_TOKEN", &token);
        command
    };
    let mut worker = program("worker.py");
    worker.arg(&server);
    let worker = Child::spawn(worker);
    let mut starter = program("starter.py");
    starter.args(["Shell Trading Ltd", &server]);
    let done = tokio::task::spawn_blocking(move || starter.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let worker = worker.kill().await.output.join("\n");
    assert!(done.status.success(), "{text}{}\n{worker}", String::from_utf8_lossy(&done.stderr));
    let mut words = text.splitn(3, ' ');
    assert!(words.next().is_some_and(|name| name.starts_with("executions/")), "{text}");
    assert_eq!(words.next(), Some("EXECUTION_STATUS_COMPLETED"), "{text}\n{worker}");
    let result: Value = serde_json::from_str(words.next().unwrap_or_default()).expect("JSON");
    assert_eq!(result, json!({"supplier": "Shell Trading Ltd", "listed": true}));
    platform.stop().await;
}

/// The Python of an environment that has what the stubs need, kept in the cache
/// folder between runs. `None`, with the reason printed, where there is no Python,
/// no `venv` or no PyPI.
fn environment() -> Option<PathBuf> {
    const NEEDS: &str = include_str!("../../clients/python/requirements.txt");
    let folder = cache("python");
    let (python, made) = (folder.join("bin/python"), folder.join("requirements.txt"));
    if std::fs::read_to_string(&made).is_ok_and(|made| made == NEEDS) {
        return Some(python);
    }
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/python/requirements.txt");
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&folder);
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "-q", "-r"]).arg(requirements);
    for (what, mut command) in [("python3 with venv", venv), ("PyPI", pip)] {
        if !command.status().is_ok_and(|status| status.success()) {
            println!("a_python_worker_does_the_task_of_an_execution SKIPPED: {what} is missing here");
            return None;
        }
    }
    std::fs::write(&made, NEEDS).expect("the cache folder");
    Some(python)
}
