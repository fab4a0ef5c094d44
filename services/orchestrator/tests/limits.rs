//! Limits of calls: of a step by key, of a tenant; what waits is recalled, and outlives
//! a restart. Limits of whole executions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod world;

use probity_proto::BoxGrpcService;
use probity_proto::orchestrator::execution_service_client::ExecutionServiceClient;
use probity_proto::orchestrator::workflow_service_client::WorkflowServiceClient;
use probity_proto::orchestrator::*;
use probity_runtime::testing::{Harness, ctx};
use probity_types::Role;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use world::{World, metric, until};

/// A definition that has every document of a list classified.
fn crowd(limit: &str) -> String {
    format!(
        "name: crowd\nsteps:\n  - id: each\n    for_each: input.documents\n    concurrency: 100\n    \
         call: probity.spam.v1.SpamService/Classify\n    input: {{documents: \"[item]\"}}\n    {limit}\n"
    )
}

struct Callers {
    executions: ExecutionServiceClient<BoxGrpcService>,
    workflows: WorkflowServiceClient<BoxGrpcService>,
}

impl Callers {
    fn of(harness: &Harness, tenant: &str) -> Self {
        let client = harness.client_as(&ctx(tenant, "users/otto", &[Role::Operator, Role::Officer]));
        let executions = ExecutionServiceClient::new(client.clone());
        Self { executions, workflows: WorkflowServiceClient::new(client) }
    }

    async fn register(&mut self, source: &str) {
        let request = RegisterDefinitionRequest { source: source.to_owned(), validate_only: false };
        self.workflows.register_definition(request).await.unwrap();
    }

    async fn start(&mut self, documents: &[&str]) -> String {
        let request = StartExecutionRequest {
            definition: "definitions/crowd".into(),
            input: json!({ "documents": documents }).to_string().into(),
            ..StartExecutionRequest::default()
        };
        self.executions.start_execution(request).await.unwrap().into_inner().name
    }

    async fn reach(&self, name: &str, status: ExecutionStatus) -> Execution {
        until(|| {
            let (mut workflows, name) = (self.workflows.clone(), name.to_owned());
            async move {
                let found = workflows.get_execution(GetExecutionRequest { name }).await.unwrap().into_inner();
                (found.status() == status).then_some(found)
            }
        })
        .await
    }
}

fn counts(world: &World, document: &str) -> [u32; 3] {
    world.classified.lock().unwrap().get(document).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn calls_with_a_key_share_its_limit_over_all_executions() {
    let world = Arc::new(World::default());
    world.slow.store(true, Ordering::SeqCst);
    let harness = world.start(None).await;
    let mut callers = Callers::of(&harness, "t1");
    callers.register(&crowd("limit: {key: item, running: 2}")).await;
    let documents: Vec<&str> = ["a", "b", "c"].into_iter().cycle().take(30).collect();
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(callers.start(&documents).await);
    }
    for name in &names {
        callers.reach(name, ExecutionStatus::Completed).await;
    }
    for document in ["a", "b", "c"] {
        let [now, most, all] = counts(&world, document);
        assert_eq!((now, all), (0, 40), "{document}");
        assert!(most <= 2, "{most} at once of {document}");
    }
    assert!(counts(&world, "")[1] > 2, "keys do not hold up each other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_tenant_has_its_share_and_no_more() {
    let world = Arc::new(World::default());
    world.slow.store(true, Ordering::SeqCst);
    let set = [("calls.max_per_tenant", "2"), ("calls.tenants.t2.max", "1")];
    let harness = world.start_with(None, &set).await;
    let mut started = Vec::new();
    for (tenant, document) in [("t1", "a"), ("t2", "b")] {
        let mut callers = Callers::of(&harness, tenant);
        callers.register(&crowd("timeout: 30s")).await;
        let name = callers.start(&[document; 30]).await;
        started.push((callers, name));
    }
    for (callers, name) in &started {
        callers.reach(name, ExecutionStatus::Completed).await;
    }
    let (one, other) = (counts(&world, "a"), counts(&world, "b"));
    assert_eq!((one[2], other[2]), (30, 30));
    assert!(one[1] <= 2 && other[1] <= 1, "{one:?} {other:?}");
}

/// Waits until so many answers are stored.
async fn stored(callers: &Callers, name: &str, answers: usize) {
    until(|| {
        let mut executions = callers.executions.clone();
        let request = ListExecutionHistoryRequest {
            parent: name.to_owned(),
            page_size: 1_000,
            ..ListExecutionHistoryRequest::default()
        };
        async move {
            let events = executions.list_execution_history(request).await.unwrap().into_inner().events;
            let completed = events.iter().filter(|event| event.r#type == "step.completed").count();
            (completed == answers).then_some(())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_outlives_restarts_and_is_recalled_when_nobody_wants_it() {
    let world = Arc::new(World::default());
    let mut harness = world.start(None).await;
    let mut callers = Callers::of(&harness, "t1");
    callers.register(&crowd("limit: {rate: {count: 1, per: 24h}}")).await;
    let name = callers.start(&["a", "b", "c"]).await;
    let all = |expect: u32| {
        let world = world.clone();
        until(move || {
            let all = counts(&world, "")[2];
            async move { (all == expect).then_some(()) }
        })
    };
    // A day's call; a start begins anew. An answer that was not stored is asked for again,
    // so it is waited for.
    all(1).await;
    stored(&callers, &name, 1).await;
    for expect in [2, 3] {
        let dir = harness.stop().await;
        harness = world.start(Some(dir)).await;
        all(expect).await;
        stored(&Callers::of(&harness, "t1"), &name, expect as usize).await;
    }
    let callers_again = Callers::of(&harness, "t1");
    let done = callers_again.reach(&name, ExecutionStatus::Completed).await;
    let output: Json = serde_json::from_slice(&done.output).unwrap();
    assert_eq!(output["each"].as_array().map(Vec::len), Some(3), "{output}");

    let mut callers = callers_again;
    let name = callers.start(&["a", "b", "c"]).await;
    let cancel = CancelExecutionRequest { name: name.clone(), reason: "enough".into() };
    callers.executions.cancel_execution(cancel).await.unwrap();
    callers.reach(&name, ExecutionStatus::Cancelled).await;
    assert!(counts(&world, "")[2] <= 4, "what waited was not called");
}

/// Executions that have a document classified twice, so many of a key at once.
fn herd(limit: &str) -> String {
    let call = "call: probity.spam.v1.SpamService/Classify, input: {documents: \"[input.documents[0]]\"}";
    format!(
        "name: crowd\nlimit: {limit}\nsteps:\n  - {{id: one, {call}}}\n  - {{id: two, needs: [one], {call}}}\n"
    )
}

/// That no more were under way at any time, by their histories.
async fn most_at_once(callers: &Callers, names: &[String]) -> usize {
    let mut changes = Vec::new();
    for name in names {
        let request = ListExecutionHistoryRequest {
            parent: name.clone(),
            page_size: 1_000,
            ..ListExecutionHistoryRequest::default()
        };
        let mut executions = callers.executions.clone();
        let events = executions.list_execution_history(request).await.unwrap().into_inner().events;
        let at = |event: &HistoryEvent| event.time.map(|time| (time.seconds, time.nanos)).unwrap();
        let began = events.iter().find(|event| event.r#type == "execution.admitted").map(at).unwrap();
        let ended = events.iter().find(|event| event.r#type == "execution.ended").map(at).unwrap();
        // One may begin in the very moment in which another ends.
        changes.extend([(began, 1_isize), (ended, 0)]);
    }
    changes.sort_by_key(|(at, change)| (*at, *change));
    let (mut now, mut most) = (0_isize, 0);
    for (_, change) in changes {
        now += if change == 1 { 1 } else { -1 };
        most = most.max(now);
    }
    usize::try_from(most).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn no_more_executions_run_than_their_definition_allows_whatever_happens() {
    let world = Arc::new(World::default());
    world.slow.store(true, Ordering::SeqCst);
    let mut harness = world.start(None).await;
    let mut callers = Callers::of(&harness, "t1");
    callers.register(&herd("{key: \"input.documents[0]\", running: 3}")).await;
    let mut names = Vec::new();
    for n in 0..60 {
        names.push(callers.start(&[["a", "b"][n % 2]]).await);
    }
    // Some are cancelled while they wait, and the process starts again amid it all.
    for name in &names[50..] {
        let cancel = CancelExecutionRequest { name: name.clone(), reason: "enough".into() };
        let _ = callers.executions.cancel_execution(cancel).await;
    }
    let dir = harness.stop().await;
    harness = world.start(Some(dir)).await;
    let callers = Callers::of(&harness, "t1");
    for name in &names[..50] {
        callers.reach(name, ExecutionStatus::Completed).await;
    }
    for document in ["a", "b"] {
        let of: Vec<String> = names[..50]
            .iter()
            .enumerate()
            .filter(|(n, _)| ["a", "b"][n % 2] == document)
            .map(|(_, name)| name.clone())
            .collect();
        let most = most_at_once(&callers, &of).await;
        assert!((1..=3).contains(&most), "{most} at once of {document}");
        assert!(counts(&world, document)[1] <= 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_place_says_so_and_goes_on_when_there_is_room() {
    let world = Arc::new(World::default());
    let mut harness = world.start(None).await;
    let mut callers = Callers::of(&harness, "t1");
    let waiting = "name: crowd\nlimit: {running: 1}\nsteps:\n  - {id: go, wait: {signal: go}}\n";
    callers.register(waiting).await;
    let (first, second, third) =
        (callers.start(&[]).await, callers.start(&[]).await, callers.start(&[]).await);
    let held = callers.reach(&second, ExecutionStatus::Pending).await;
    let why = held.waiting.unwrap();
    assert_eq!(why.kind(), WaitKind::Place);
    assert_eq!(why.reason, "of the executions of definitions/crowd at most 1 run at once");
    callers.reach(&first, ExecutionStatus::Running).await;
    // It keeps its place though it rests on disk, also over a start.
    let dir = harness.stop().await;
    harness = world.start(Some(dir)).await;
    let mut callers = Callers::of(&harness, "t1");
    callers.reach(&second, ExecutionStatus::Pending).await;
    let list =
        ListExecutionsRequest { filter: "status = PENDING".into(), ..ListExecutionsRequest::default() };
    let listed = callers.executions.list_executions(list).await.unwrap().into_inner().executions;
    assert_eq!(listed.len(), 2);
    let signal = |name: &str| SignalExecutionRequest {
        name: name.to_owned(),
        signal: "go".into(),
        ..SignalExecutionRequest::default()
    };
    callers.executions.signal_execution(signal(&first)).await.unwrap();
    callers.reach(&first, ExecutionStatus::Completed).await;
    callers.reach(&second, ExecutionStatus::Running).await;
    callers.reach(&third, ExecutionStatus::Pending).await;
    // A signal that came early is taken at once when it has its place.
    callers.executions.signal_execution(signal(&third)).await.unwrap();
    callers.executions.signal_execution(signal(&second)).await.unwrap();
    callers.reach(&third, ExecutionStatus::Completed).await;
    // Run again, it stands in line like any other.
    let fourth = callers.start(&[]).await;
    callers.reach(&fourth, ExecutionStatus::Running).await;
    let again = RerunExecutionRequest { name: first.clone(), step: "go".into(), reason: "x".into() };
    callers.executions.rerun_execution(again).await.unwrap();
    callers.reach(&first, ExecutionStatus::Pending).await;
    let cancel = CancelExecutionRequest { name: fourth, reason: "enough".into() };
    callers.executions.cancel_execution(cancel).await.unwrap();
    callers.reach(&first, ExecutionStatus::Running).await;
}

/// What only waits rests on disk: for a signal from its first step on, or for a place.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_waits_takes_no_memory() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut callers = Callers::of(&harness, "t1");
    for limit in ["", "limit: {running: 2}\n"] {
        callers
            .register(&format!("name: crowd\n{limit}steps:\n  - {{id: go, wait: {{signal: go}}}}\n"))
            .await;
        for _ in 0..100 {
            callers.start(&[]).await;
        }
    }
    until(|| async {
        let (held, queued) = (
            metric(&harness, "orchestrator_executions_in_memory").await,
            metric(&harness, "orchestrator_executions_queued").await,
        );
        ((held, queued) == (0.0, 98.0)).then_some(())
    })
    .await;
    let count =
        CountExecutionsRequest { filter: "status = RUNNING".into(), ..CountExecutionsRequest::default() };
    let running = callers.executions.count_executions(count).await.unwrap().into_inner().total;
    assert_eq!(running, 102);
}
