//! Executions without a case, done by workers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod world;

use probity_proto::BoxGrpcService;
use probity_proto::orchestrator::execution_service_client::ExecutionServiceClient;
use probity_proto::orchestrator::worker_service_client::WorkerServiceClient;
use probity_proto::orchestrator::workflow_service_client::WorkflowServiceClient;
use probity_proto::orchestrator::*;
use probity_runtime::testing::{Harness, ctx};
use probity_types::Role;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use world::{World, until};

const SCREENING: &str = r#"
name: screening
input_schema:
  type: object
  required: [supplier]
  properties:
    supplier: {type: string, minLength: 1}
    amount: {type: integer}
steps:
  - id: triage
    task: triage
    input: {supplier: input.supplier}
  - id: left
    needs: [triage]
    task: check
    input: {side: "'left'", band: steps.triage.band}
  - id: right
    needs: [triage]
    task: check
    input: {side: "'right'", band: steps.triage.band}
  - id: audit
    needs: [left, right]
    task: note
    retry: {max_attempts: 3, base: 1ms, cap: 2ms}
    input: {both: "[steps.left.side, steps.right.side]"}
    output_schema: {type: object, required: [noted], properties: {noted: {type: boolean}}}
output: {noted: steps.audit.noted, band: steps.triage.band}
"#;

type Executions = ExecutionServiceClient<BoxGrpcService>;

async fn start(world: &Arc<World>) -> (Harness, Executions) {
    let harness = world.start(None).await;
    let operator = ctx("t1", "users/otto", &[Role::Operator]);
    let mut workflows = WorkflowServiceClient::new(harness.client_as(&operator));
    let request = RegisterDefinitionRequest { source: SCREENING.into(), validate_only: false };
    workflows.register_definition(request).await.unwrap();
    let client = ExecutionServiceClient::new(harness.client_as(&operator));
    (harness, client)
}

fn request(input: &Json, key: &str, wait: bool) -> StartExecutionRequest {
    StartExecutionRequest {
        definition: "definitions/screening".into(),
        input: input.to_string().into(),
        request_id: key.into(),
        wait: wait.then_some(prost_types::Duration { seconds: 20, nanos: 0 }),
        ..StartExecutionRequest::default()
    }
}

/// A worker with its hand on every message.
struct Worker {
    send: mpsc::Sender<WorkRequest>,
    receive: Streaming<WorkResponse>,
}

impl Worker {
    async fn hello(harness: &Harness, tenant: &str, credits: i32) -> Self {
        let mut client = WorkerServiceClient::new(harness.client_as(&ctx(
            tenant,
            "service-accounts/worker",
            &[Role::Worker],
        )));
        let (send, messages) = mpsc::channel(16);
        let hello = WorkerHello { worker: "w".into(), queues: vec!["default".into()] };
        send.send(WorkRequest { hello: Some(hello), credits, ..WorkRequest::default() }).await.unwrap();
        let receive = client.work(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { send, receive }
    }

    /// The next message with tasks.
    async fn tasks(&mut self) -> Vec<WorkerTask> {
        loop {
            let message = self.receive.message().await.unwrap().expect("the stream goes on");
            if !message.tasks.is_empty() {
                return message.tasks;
            }
        }
    }

    async fn answer(&self, task: &WorkerTask, output: &Json) {
        let result = TaskResult {
            token: task.token.clone(),
            output: output.to_string().into(),
            ..TaskResult::default()
        };
        self.send(vec![result]).await;
    }

    async fn send(&self, results: Vec<TaskResult>) {
        let credits = i32::try_from(results.len()).unwrap();
        self.send.send(WorkRequest { results, credits, ..WorkRequest::default() }).await.unwrap();
    }
}

/// Does what comes until nobody wants it any more.
async fn work(mut worker: Worker) {
    loop {
        let Ok(Some(message)) = worker.receive.message().await else { return };
        for task in message.tasks {
            let input: Json = serde_json::from_slice(&task.input).unwrap();
            let output = match task.r#type.as_str() {
                "triage" => json!({"band": "unsure", "supplier": input["supplier"]}),
                "check" => json!({"side": input["side"]}),
                _ => json!({"noted": input["both"] == json!(["left", "right"])}),
            };
            worker.answer(&task, &output).await;
        }
    }
}

#[tokio::test]
async fn an_execution_runs_to_its_output() {
    let world = Arc::new(World::default());
    let (harness, mut client) = start(&world).await;
    tokio::spawn(work(Worker::hello(&harness, "t1", 4).await));
    let input = json!({"supplier": "Acme", "amount": 9_007_199_254_740_993_i64});
    let done = client.start_execution(request(&input, "k1", true)).await.unwrap().into_inner();
    assert_eq!(done.status(), ExecutionStatus::Completed);
    let output: Json = serde_json::from_slice(&done.output).unwrap();
    assert_eq!(output, json!({"noted": true, "band": "unsure"}));

    // The same key: the same execution, waited for or not; another body is refused.
    let again = client.start_execution(request(&input, "k1", true)).await.unwrap().into_inner();
    assert_eq!((again.name.as_str(), again.output), (done.name.as_str(), done.output.clone()));
    let other = client.start_execution(request(&json!({"supplier": "B"}), "k1", false)).await;
    assert_eq!(other.unwrap_err().code(), Code::InvalidArgument);

    let mut workflows =
        WorkflowServiceClient::new(harness.client_as(&ctx("t1", "users/otto", &[Role::Operator])));
    let get = GetExecutionRequest { name: done.name.clone() };
    let whole = workflows.get_execution(get).await.unwrap().into_inner();
    assert_eq!(serde_json::from_slice::<Json>(&whole.input).unwrap(), input);
    assert!(whole.steps.iter().all(|s| s.status() == StepStatus::Completed), "{:?}", whole.steps);
    let list =
        ListExecutionHistoryRequest { parent: done.name.clone(), page_size: 100, ..Default::default() };
    let history = client.list_execution_history(list).await.unwrap().into_inner().events;
    assert_eq!(history.first().unwrap().r#type, "execution.started");
    assert_eq!(history.last().unwrap().r#type, "execution.ended");

    // The log has its two ends and proves what is between by a hash.
    let entries = until(|| async {
        let audited = world.audited.lock().unwrap().clone();
        let own: Vec<_> = audited.into_iter().filter(|e| e.subject == done.name).collect();
        own.iter().any(|e| e.action == "execution.ended").then_some(own)
    })
    .await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert!(entries[1].detail.contains("history_sha256"), "{}", entries[1].detail);
}

#[tokio::test]
async fn a_worker_that_leaves_takes_its_room_back() {
    let world = Arc::new(World::default());
    let (harness, mut client) = start(&world).await;
    let mut leaving = Worker::hello(&harness, "t1", 2).await;
    let input = json!({"supplier": "Acme"});
    client.start_execution(request(&input, "k1", false)).await.unwrap();
    let task = leaving.tasks().await.remove(0);
    let output = json!({"band": "unsure"}).to_string().into();
    let result = TaskResult { token: task.token, output, failure: None };
    let last = WorkRequest { results: vec![result], credits: -1, ..WorkRequest::default() };
    leaving.send.send(last).await.unwrap();
    let told = leaving.receive.message().await.unwrap().expect("an acknowledgement");
    assert_eq!((told.acknowledged.len(), told.tasks.len()), (1, 0), "two steps are ready, for others");
    tokio::spawn(work(Worker::hello(&harness, "t1", 4).await));
    let done = client.start_execution(request(&input, "k1", true)).await.unwrap().into_inner();
    assert_eq!(done.status(), ExecutionStatus::Completed);
    drop(leaving.send);
    assert!(leaving.receive.message().await.unwrap().is_none(), "nothing more came");
}

#[tokio::test]
async fn wrong_input_is_refused_before_anything_is_written() {
    let world = Arc::new(World::default());
    let (_harness, mut client) = start(&world).await;
    let mut check = async |input: Json, part: &str| {
        let refused = client.start_execution(request(&input, "", false)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(part), "{}", refused.message());
    };
    check(json!({}), "supplier").await;
    check(json!({"supplier": ""}), "/supplier").await;
    check(json!({"supplier": "a", "amount": "1"}), "/amount").await;
    check(json!(["supplier"]), "object").await;
}

#[tokio::test]
async fn a_tenant_gets_only_its_own_tasks() {
    let world = Arc::new(World::default());
    let (harness, mut client) = start(&world).await;
    let mut stranger = Worker::hello(&harness, "t2", 4).await;
    let begun = client.start_execution(request(&json!({"supplier": "A"}), "", false)).await.unwrap();
    let mut own = Worker::hello(&harness, "t1", 1).await;
    let task = own.tasks().await.remove(0);
    assert_eq!((task.step.as_str(), task.attempt), ("triage", 1));
    // An answer with a token that was overheard changes nothing.
    stranger.answer(&task, &json!({"band": "forged"})).await;
    own.answer(&task, &json!({"band": "true"})).await;
    let next = own.tasks().await.remove(0);
    let input: Json = serde_json::from_slice(&next.input).unwrap();
    assert_eq!(input["band"], json!("true"));
    assert!(begun.into_inner().name.starts_with("executions/exec_"));
    drop(stranger.send);
    while let Ok(Some(message)) = stranger.receive.message().await {
        assert!(message.tasks.is_empty(), "{message:?}");
    }
}

#[tokio::test]
async fn a_worker_that_breaks_off_loses_its_task_and_a_wrong_answer_needs_a_person() {
    let world = Arc::new(World::default());
    let (harness, mut client) = start(&world).await;
    let begun = client.start_execution(request(&json!({"supplier": "A"}), "", false)).await.unwrap();
    let name = begun.into_inner().name;
    let mut first = Worker::hello(&harness, "t1", 1).await;
    let lost = first.tasks().await.remove(0);
    drop(first);
    let mut second = Worker::hello(&harness, "t1", 4).await;
    let task = second.tasks().await.remove(0);
    assert_eq!((&task.idempotency_key, task.attempt), (&lost.idempotency_key, 1));
    second.answer(&task, &json!({"band": "x"})).await;
    let mut sides = second.tasks().await;
    while sides.len() < 2 {
        sides.extend(second.tasks().await);
    }
    for side in &sides {
        second.answer(side, &json!({"side": "s"})).await;
    }
    let note = second.tasks().await.remove(0);
    // A failure that may pass is tried again under the same key.
    let failure = TaskFailure { code: "BUSY".into(), message: "later".into(), ..TaskFailure::default() };
    second
        .send(vec![TaskResult { token: note.token.clone(), failure: Some(failure), ..TaskResult::default() }])
        .await;
    let again = second.tasks().await.remove(0);
    assert_eq!((again.attempt, &again.idempotency_key), (2, &note.idempotency_key));
    second.answer(&again, &json!({"noted": "yes"})).await;
    let mut workflows =
        WorkflowServiceClient::new(harness.client_as(&ctx("t1", "users/otto", &[Role::Operator])));
    let stuck = until(|| {
        let (mut workflows, name) = (workflows.clone(), name.clone());
        async move {
            let found = workflows.get_execution(GetExecutionRequest { name }).await.unwrap().into_inner();
            (found.status() == ExecutionStatus::Incident).then_some(found)
        }
    })
    .await;
    assert!(stuck.waiting.as_ref().unwrap().reason.contains("/noted"), "{:?}", stuck.waiting);
    let retry = RetryStepRequest { name: name.clone(), step: "audit".into() };
    workflows.retry_step(retry).await.unwrap();
    let third = second.tasks().await.remove(0);
    second.answer(&third, &json!({"noted": true})).await;
    until(|| {
        let (mut workflows, name) = (workflows.clone(), name.clone());
        async move {
            let found = workflows.get_execution(GetExecutionRequest { name }).await.unwrap().into_inner();
            (found.status() == ExecutionStatus::Completed).then_some(())
        }
    })
    .await;
}

#[tokio::test]
async fn lists_and_counts_filter() {
    let world = Arc::new(World::default());
    let (harness, mut client) = start(&world).await;
    let mut names = Vec::new();
    for (at, priority) in [Priority::Low, Priority::Critical, Priority::Critical].into_iter().enumerate() {
        let input = json!({"supplier": format!("S{at}")});
        let begin = StartExecutionRequest { priority: priority as i32, ..request(&input, "", false) };
        names.push(client.start_execution(begin).await.unwrap().into_inner().name);
    }
    let cancel = CancelExecutionRequest { name: names[2].clone(), reason: "a test".into() };
    client.cancel_execution(cancel).await.unwrap();
    // Nobody has its task, so nothing has to be waited for.
    until(|| {
        let mut client = client.clone();
        async move {
            let filter = "status = CANCELLED".to_owned();
            let ask = ListExecutionsRequest { filter, ..ListExecutionsRequest::default() };
            (client.list_executions(ask).await.unwrap().into_inner().executions.len() == 1).then_some(())
        }
    })
    .await;
    let mut check = async |filter: &str, expect: &[usize]| {
        let ask = ListExecutionsRequest { filter: filter.into(), ..ListExecutionsRequest::default() };
        let list = client.list_executions(ask).await.unwrap().into_inner().executions;
        let found: Vec<_> = list.iter().map(|e| e.name.as_str()).collect();
        let expect: Vec<_> = expect.iter().rev().map(|at| names[*at].as_str()).collect();
        assert_eq!(found, expect, "{filter}");
        let count = CountExecutionsRequest { filter: filter.into(), group_by: "priority".into() };
        let count = client.count_executions(count).await.unwrap().into_inner();
        assert_eq!(count.total, i64::try_from(expect.len()).unwrap(), "{filter}");
        assert_eq!(count.groups.values().sum::<i64>(), count.total, "{filter}");
    };
    check("", &[0, 1, 2]).await;
    check("priority = CRITICAL", &[1, 2]).await;
    check("priority = CRITICAL AND status = RUNNING", &[1]).await;
    check("status = CANCELLED OR priority < NORMAL", &[0, 2]).await;
    check("definition = \"other\"", &[]).await;
    check("kind = NONE AND -paused = true", &[0, 1, 2]).await;
    let ask = ListExecutionsRequest { page_size: 2, ..ListExecutionsRequest::default() };
    let page = client.list_executions(ask.clone()).await.unwrap().into_inner();
    let ask = ListExecutionsRequest { page_token: page.next_page_token, ..ask };
    let rest = client.list_executions(ask).await.unwrap().into_inner();
    assert_eq!((page.executions.len(), rest.executions.len()), (2, 1));
    let wrong = ListExecutionsRequest { filter: "stauts = RUNNING".into(), ..Default::default() };
    let refused = client.list_executions(wrong).await.unwrap_err();
    assert!(refused.message().contains("status"), "{}", refused.message());
    let foreign = ctx("t2", "users/eve", &[Role::Operator]);
    let mut other = ExecutionServiceClient::new(harness.client_as(&foreign));
    let list = other.list_executions(ListExecutionsRequest::default()).await.unwrap().into_inner();
    assert!(list.executions.is_empty(), "another tenant sees nothing");
}
