//! Limits of calls: of a step by key, of a tenant; what waits is recalled, and outlives
//! a restart.
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
use world::{World, until};

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
    // A day's call; a start begins anew.
    all(1).await;
    for expect in [2, 3] {
        let dir = harness.stop().await;
        harness = world.start(Some(dir)).await;
        all(expect).await;
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
