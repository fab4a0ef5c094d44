//! What definitions can say, run by the service with workers behind it: each
//! workflow has five steps or more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod world;

use probity_proto::BoxGrpcService;
use probity_proto::orchestrator::execution_service_client::ExecutionServiceClient;
use probity_proto::orchestrator::worker_service_client::WorkerServiceClient;
use probity_proto::orchestrator::workflow_service_client::WorkflowServiceClient;
use probity_proto::orchestrator::*;
use probity_runtime::testing::{Harness, ctx};
use probity_types::Role;
use serde_json::{Value as Json, json};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use world::{World, until};

/// What the worker of a test saw, and which tasks it refuses.
#[derive(Default)]
struct Desk {
    /// `type key` of every task, in order.
    seen: Mutex<Vec<String>>,
    /// Types that fail for good.
    broken: Mutex<Vec<String>>,
}

impl Desk {
    fn answer(&self, task: &WorkerTask) -> TaskResult {
        let key = task.idempotency_key.rsplit('/').next().unwrap_or_default();
        self.seen.lock().unwrap().push(format!("{} {}", task.r#type, key));
        let token = task.token.clone();
        if self.broken.lock().unwrap().contains(&task.r#type) {
            let failure = TaskFailure {
                code: "BROKEN".into(),
                message: "no".into(),
                permanent: true,
                retry_after_ms: 0,
            };
            return TaskResult { token, failure: Some(failure), ..TaskResult::default() };
        }
        let input: Json = serde_json::from_slice(&task.input).unwrap();
        let output = json!({ "type": task.r#type, "got": input }).to_string().into();
        TaskResult { token, output, ..TaskResult::default() }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

struct Setting {
    harness: Harness,
    desk: Arc<Desk>,
    executions: ExecutionServiceClient<BoxGrpcService>,
    workflows: WorkflowServiceClient<BoxGrpcService>,
}

async fn setting(sources: &[&str]) -> Setting {
    let harness = Arc::new(World::default()).start(None).await;
    let operator = ctx("t1", "users/otto", &[Role::Operator, Role::Officer]);
    let mut workflows = WorkflowServiceClient::new(harness.client_as(&operator));
    for source in sources {
        let request = RegisterDefinitionRequest { source: (*source).into(), validate_only: false };
        workflows.register_definition(request).await.unwrap();
    }
    let executions = ExecutionServiceClient::new(harness.client_as(&operator));
    let desk = Arc::new(Desk::default());
    tokio::spawn(work(worker(&harness), desk.clone()));
    Setting { harness, desk, executions, workflows }
}

fn worker(harness: &Harness) -> WorkerServiceClient<BoxGrpcService> {
    WorkerServiceClient::new(harness.client_as(&ctx("t1", "service-accounts/desk", &[Role::Worker])))
}

async fn work(mut client: WorkerServiceClient<BoxGrpcService>, desk: Arc<Desk>) {
    let (send, messages) = mpsc::channel(64);
    let hello = WorkerHello { worker: "desk".into(), queues: vec!["default".into()] };
    send.send(WorkRequest { hello: Some(hello), credits: 8, ..WorkRequest::default() }).await.unwrap();
    let Ok(stream) = client.work(ReceiverStream::new(messages)).await else { return };
    let mut stream = stream.into_inner();
    while let Ok(Some(message)) = stream.message().await {
        if !message.tasks.is_empty() {
            let results: Vec<_> = message.tasks.iter().map(|task| desk.answer(task)).collect();
            let credits = i32::try_from(results.len()).unwrap();
            let _ = send.send(WorkRequest { results, credits, ..WorkRequest::default() }).await;
        }
    }
}

impl Setting {
    async fn start(&mut self, definition: &str, input: &Json) -> String {
        let request = StartExecutionRequest {
            definition: format!("definitions/{definition}"),
            input: input.to_string().into(),
            ..StartExecutionRequest::default()
        };
        self.executions.start_execution(request).await.unwrap().into_inner().name
    }

    /// Waits until the execution has this status.
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

    async fn output(&self, name: &str) -> Json {
        let done = self.reach(name, ExecutionStatus::Completed).await;
        serde_json::from_slice(&done.output).unwrap()
    }
}

fn step<'e>(execution: &'e Execution, id: &str) -> &'e Step {
    execution.steps.iter().find(|s| s.id == id).expect(id)
}

const FAN: &str = r#"
name: fan
steps:
  - {id: list, task: list, input: {n: input.n}}
  - id: each
    needs: [list]
    for_each: "['a', 'b', 'c', 'd', 'e', 'f', 'g']"
    concurrency: 3
    task: one
    input: {name: item, at: index}
  - {id: sum, needs: [each], task: sum, input: {all: "steps.each.map(e, e.got.name)"}}
  - {id: check, needs: [sum], task: check, input: {sum: steps.sum.got.all}}
  - {id: file, needs: [check], task: file, input: {}}
output: {order: steps.sum.got.all}
"#;

#[tokio::test]
async fn a_list_is_worked_off_and_gathered_in_order() {
    let mut setting = setting(&[FAN]).await;
    let name = setting.start("fan", &json!({"n": 7})).await;
    assert_eq!(setting.output(&name).await, json!({"order": ["a", "b", "c", "d", "e", "f", "g"]}));
    let ones = setting.desk.seen().iter().filter(|s| s.starts_with("one ")).count();
    assert_eq!(ones, 7, "each item once");
}

#[tokio::test]
async fn an_item_that_fails_waits_for_a_person_alone() {
    let mut setting = setting(&[FAN]).await;
    setting.desk.broken.lock().unwrap().push("one".into());
    let name = setting.start("fan", &json!({"n": 7})).await;
    let stuck = setting.reach(&name, ExecutionStatus::Incident).await;
    assert_eq!(step(&stuck, "each").status(), StepStatus::Failed);
    setting.desk.broken.lock().unwrap().clear();
    let retry = RetryStepRequest { name: name.clone(), step: "each".into() };
    setting.workflows.retry_step(retry).await.unwrap();
    assert_eq!(setting.output(&name).await["order"].as_array().unwrap().len(), 7);
}

const ROUTED: &str = r#"
name: routed
steps:
  - {id: price, task: price, input: {}}
  - {id: pay, needs: [price], task: pay, input: {}, on_error: {route: sorry}}
  - {id: sorry, needs: [pay], task: sorry, input: {}}
  - {id: ship, needs: [pay], task: ship, input: {}}
  - {id: close, needs: [ship, sorry], task: close, input: {}}
output: {closed: steps.close.type}
"#;

#[tokio::test]
async fn an_error_takes_another_way() {
    let mut setting = setting(&[ROUTED]).await;
    let name = setting.start("routed", &json!({})).await;
    setting.output(&name).await;
    assert!(!setting.desk.seen().iter().any(|s| s.starts_with("sorry")), "{:?}", setting.desk.seen());

    setting.desk.broken.lock().unwrap().push("pay".into());
    setting.desk.seen.lock().unwrap().clear();
    let name = setting.start("routed", &json!({})).await;
    let done = setting.reach(&name, ExecutionStatus::Completed).await;
    assert_eq!(step(&done, "ship").status(), StepStatus::Skipped);
    let types: Vec<_> = setting.desk.seen().iter().map(|s| s.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(types, ["price", "pay", "sorry", "close"]);
}

const UNDONE: &str = r#"
name: undone
steps:
  - {id: one, task: one, input: {}, compensate: {task: undo_one, input: {}}}
  - {id: two, needs: [one], task: two, input: {}, compensate: {task: undo_two, input: {}}}
  - {id: three, needs: [two], task: three, input: {}, compensate: {task: undo_three, input: {}}}
  - {id: four, needs: [three], task: four, input: {}, on_error: compensate}
  - {id: five, needs: [four], task: five, input: {}}
"#;

#[tokio::test]
async fn what_was_done_is_taken_back_in_reverse() {
    let mut setting = setting(&[UNDONE]).await;
    setting.desk.broken.lock().unwrap().push("four".into());
    let name = setting.start("undone", &json!({})).await;
    let failed = setting.reach(&name, ExecutionStatus::Failed).await;
    assert!(failed.end_reason.contains("four"), "{}", failed.end_reason);
    let types: Vec<_> = setting.desk.seen().iter().map(|s| s.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(types, ["one", "two", "three", "four", "undo_three", "undo_two", "undo_one"]);
}

const PARENT: &str = r#"
name: parent
steps:
  - {id: before, task: before, input: {}}
  - {id: left, needs: [before], workflow: child, input: {side: "'left'"}}
  - {id: right, needs: [before], workflow: child, input: {side: "'right'"}}
  - {id: join, needs: [left, right], task: join, input: {l: steps.left, r: steps.right}}
  - {id: after, needs: [join], task: after, input: {}}
output: {got: steps.join.got}
"#;
const CHILD: &str = r#"
name: child
input_schema: {type: object, required: [side], properties: {side: {type: string}}}
steps:
  - {id: look, task: look, input: {side: input.side}}
  - {id: note, needs: [look], task: note, input: {}}
output: {seen: steps.look.got.side}
"#;

#[tokio::test]
async fn workflows_start_workflows() {
    let mut setting = setting(&[CHILD, PARENT]).await;
    let name = setting.start("parent", &json!({})).await;
    let expect = json!({"got": {"l": {"seen": "left"}, "r": {"seen": "right"}}});
    assert_eq!(setting.output(&name).await, expect);
    let all =
        setting.executions.list_executions(ListExecutionsRequest::default()).await.unwrap().into_inner();
    let children: Vec<_> = all.executions.iter().filter(|e| e.parent == name).collect();
    assert_eq!(children.len(), 2);
}

#[tokio::test]
async fn the_failure_and_the_end_of_a_parent_reach_its_children() {
    let mut setting = setting(&[CHILD, PARENT]).await;
    setting.desk.broken.lock().unwrap().push("look".into());
    let name = setting.start("parent", &json!({})).await;
    // Both children wait for a person, so the parent waits for them.
    until(|| {
        let mut executions = setting.executions.clone();
        async move {
            let ask = CountExecutionsRequest { filter: "status = INCIDENT".into(), ..Default::default() };
            (executions.count_executions(ask).await.unwrap().into_inner().total == 2).then_some(())
        }
    })
    .await;
    let cancel = CancelExecutionRequest { name: name.clone(), reason: "enough".into() };
    setting.executions.cancel_execution(cancel).await.unwrap();
    setting.reach(&name, ExecutionStatus::Cancelled).await;
    until(|| {
        let mut executions = setting.executions.clone();
        async move {
            let ask = CountExecutionsRequest { filter: "status = CANCELLED".into(), ..Default::default() };
            (executions.count_executions(ask).await.unwrap().into_inner().total == 3).then_some(())
        }
    })
    .await;
}

const SIGNALLED: &str = r#"
name: signalled
steps:
  - {id: ask, task: ask, input: {}}
  - {id: reply, needs: [ask], wait: {signal: reply, schema: {type: object, required: [by]}}}
  - {id: pause, needs: [reply], wait: {timer: 20ms}}
  - {id: late, needs: [reply], wait: {signal: late, timeout: 50ms}}
  - {id: note, needs: [pause, late], task: note, input: {by: steps.reply.payload.by, late: steps.late.received}}
output: steps.note.got
"#;

#[tokio::test]
async fn signals_come_early_once_and_checked() {
    let mut setting = setting(&[SIGNALLED]).await;
    let name = setting.start("signalled", &json!({})).await;
    let signal = |id: &str, payload: Json| SignalExecutionRequest {
        name: name.clone(),
        signal: "reply".into(),
        payload: payload.to_string().into(),
        signal_id: id.into(),
    };
    let refused = setting.executions.signal_execution(signal("s0", json!({}))).await.unwrap_err();
    assert!(refused.message().contains("by"), "{}", refused.message());
    for _ in 0..2 {
        setting.executions.signal_execution(signal("s1", json!({"by": "ana"}))).await.unwrap();
    }
    assert_eq!(setting.output(&name).await, json!({"by": "ana", "late": false}));
    let gone = setting.executions.signal_execution(signal("s2", json!({"by": "b"}))).await.unwrap_err();
    assert_eq!(gone.code(), Code::FailedPrecondition);
    // One that counted is answered as before, however late it is sent again.
    setting.executions.signal_execution(signal("s1", json!({"by": "ana"}))).await.unwrap();
}

const ASKED: &str = r#"
name: asked
steps:
  - {id: draft, task: draft, input: {}}
  - id: decision
    needs: [draft]
    wait:
      approval: {reason: "'may it go out?'", required: "1", assignees: "['users/olga']", due: 7d}
  - {id: publish, needs: [decision], when: steps.decision.disposition == 'CONFIRMED', task: publish, input: {}}
  - {id: withdraw, needs: [decision], when: steps.decision.disposition != 'CONFIRMED', task: withdraw, input: {}}
  - {id: note, needs: [publish, withdraw], task: note, input: {who: steps.decision.decided_by}}
output: steps.note.got
"#;

#[tokio::test]
async fn only_who_is_asked_decides_and_may_hand_it_on() {
    let mut setting = setting(&[ASKED]).await;
    let name = setting.start("asked", &json!({})).await;
    setting.reach(&name, ExecutionStatus::Waiting).await;
    let as_user = |user: &str| {
        ExecutionServiceClient::new(setting.harness.client_as(&ctx(
            "t1",
            &format!("users/{user}"),
            &[Role::Officer],
        )))
    };
    let decide = DecideExecutionRequest {
        name: name.clone(),
        disposition: Disposition::Confirmed as i32,
        note: "fine".into(),
    };
    let refused = as_user("ivan").decide_execution(decide.clone()).await.unwrap_err();
    assert!(refused.message().contains("users/olga"), "{}", refused.message());
    let hand_on =
        DelegateApprovalRequest { name: name.clone(), step: "decision".into(), to: "users/ivan".into() };
    as_user("olga").delegate_approval(hand_on).await.unwrap();
    as_user("ivan").decide_execution(decide).await.unwrap();
    assert_eq!(setting.output(&name).await, json!({"who": ["users/ivan"]}));
}

const CHAIN: &str = r#"
name: chain
steps:
  - {id: a, task: a, input: {x: input.x}}
  - {id: b, needs: [a], task: b, input: {}}
  - {id: hold, needs: [b], wait: {signal: go}}
  - {id: c, needs: [hold], task: c, input: {}}
  - {id: d, needs: [c], task: d, input: {}}
output: {x: steps.a.got.x, d: steps.d.type}
"#;

#[tokio::test]
async fn a_paused_execution_starts_nothing_new() {
    let mut setting = setting(&[CHAIN]).await;
    let name = setting.start("chain", &json!({"x": 1})).await;
    let reason = "a look first".to_owned();
    let pause = PauseExecutionRequest { name: name.clone(), reason };
    let paused = setting.executions.pause_execution(pause).await.unwrap().into_inner();
    assert!(paused.paused);
    let go = SignalExecutionRequest {
        name: name.clone(),
        signal: "go".into(),
        signal_id: "1".into(),
        ..SignalExecutionRequest::default()
    };
    setting.executions.signal_execution(go).await.unwrap();
    let filter = ListExecutionsRequest { filter: "paused = true".into(), ..Default::default() };
    let list = setting.executions.list_executions(filter).await.unwrap().into_inner();
    assert_eq!(list.executions.len(), 1);
    assert!(!setting.desk.seen().iter().any(|s| s.starts_with("c ")));
    setting.executions.resume_execution(ResumeExecutionRequest { name: name.clone() }).await.unwrap();
    assert_eq!(setting.output(&name).await, json!({"x": 1, "d": "d"}));
}

#[tokio::test]
async fn a_finished_execution_runs_again_and_branches_off() {
    let mut setting = setting(&[CHAIN]).await;
    let name = setting.start("chain", &json!({"x": 1})).await;
    let go = SignalExecutionRequest {
        name: name.clone(),
        signal: "go".into(),
        signal_id: "1".into(),
        ..SignalExecutionRequest::default()
    };
    setting.executions.signal_execution(go).await.unwrap();
    setting.output(&name).await;
    setting.desk.seen.lock().unwrap().clear();
    let rerun = RerunExecutionRequest { name: name.clone(), step: "c".into(), reason: "once more".into() };
    setting.executions.rerun_execution(rerun).await.unwrap();
    until(|| async { (setting.desk.seen().len() == 2).then_some(()) }).await;
    assert_eq!(setting.desk.seen(), ["c c#2", "d d#2"], "with keys of their own");
    setting.output(&name).await;

    setting.desk.seen.lock().unwrap().clear();
    let fork = ForkExecutionRequest { name: name.clone(), step: "d".into(), ..Default::default() };
    let branch = setting.executions.fork_execution(fork).await.unwrap().into_inner().name;
    assert_ne!(branch, name);
    assert_eq!(setting.output(&branch).await, json!({"x": 1, "d": "d"}));
    assert_eq!(setting.desk.seen(), ["d d"], "everything before was taken over");
}

#[tokio::test]
async fn one_request_cancels_many() {
    let mut setting = setting(&[CHAIN]).await;
    for x in 0..5 {
        setting.start("chain", &json!({"x": x})).await;
    }
    let batch = |filter: &str, validate_only| BatchExecutionsRequest {
        filter: filter.into(),
        action: BatchAction::Cancel as i32,
        reason: "spring cleaning".into(),
        limit: 3,
        validate_only,
    };
    let plan = setting.executions.batch_executions(batch("definition = \"chain\"", true)).await.unwrap();
    assert_eq!((plan.get_ref().found, plan.get_ref().more), (3, true));
    setting.executions.batch_executions(batch("definition = \"chain\"", false)).await.unwrap();
    until(|| {
        let mut executions = setting.executions.clone();
        async move {
            let ask = CountExecutionsRequest { filter: "status = CANCELLED".into(), ..Default::default() };
            (executions.count_executions(ask).await.unwrap().into_inner().total == 3).then_some(())
        }
    })
    .await;
    let refused = setting.executions.batch_executions(batch(" ", false)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn pictures_are_drawn() {
    let mut setting = setting(&[CHAIN]).await;
    let name = setting.start("chain", &json!({"x": 1})).await;
    let mut check = async |picture: Picture, media: &str, part: &str| {
        let request = RenderExecutionRequest { name: name.clone(), picture: picture as i32 };
        let drawn = setting.executions.render_execution(request).await.unwrap().into_inner();
        assert_eq!(drawn.media_type, media);
        assert!(drawn.content.contains(part), "{}", drawn.content);
    };
    check(Picture::GanttSvg, "image/svg+xml", "<svg").await;
    check(Picture::Dot, "text/vnd.graphviz", "digraph").await;
    check(Picture::Mermaid, "text/vnd.mermaid", "flowchart").await;
}
