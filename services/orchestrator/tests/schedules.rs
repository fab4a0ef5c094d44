//! Schedules, through the door.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod world;

use probity_proto::BoxGrpcService;
use probity_proto::orchestrator::execution_service_client::ExecutionServiceClient;
use probity_proto::orchestrator::schedule_service_client::ScheduleServiceClient;
use probity_proto::orchestrator::workflow_service_client::WorkflowServiceClient;
use probity_proto::orchestrator::*;
use probity_proto::time::micros;
use probity_runtime::testing::{Harness, ctx};
use probity_storage::{Db, DbConfig, args};
use probity_types::Role;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tonic::Code;
use world::{World, until};

type Schedules = ScheduleServiceClient<BoxGrpcService>;

/// Ends at once, with the time it ran for.
const QUICK: &str = "name: quick\ninput_schema: {type: object, required: [at], properties: {at: {type: string}}}\n\
    steps: [{id: wait, wait: {timer: 1ms}}]\noutput: {at: input.at}\n";
/// Goes on until it is told.
const SLOW: &str = "name: slow\nsteps: [{id: wait, wait: {signal: go}}]\n";

fn as_role(harness: &Harness, tenant: &str, role: Role) -> BoxGrpcService {
    harness.client_as(&ctx(tenant, "users/otto", &[role]))
}

fn schedules(harness: &Harness) -> Schedules {
    ScheduleServiceClient::new(as_role(harness, "t1", Role::Operator))
}

async fn started(world: &Arc<World>) -> Harness {
    let harness = world.start(None).await;
    let mut workflows = WorkflowServiceClient::new(as_role(&harness, "t1", Role::Operator));
    for source in [QUICK, SLOW] {
        let register = RegisterDefinitionRequest { source: source.into(), ..Default::default() };
        workflows.register_definition(register).await.unwrap();
    }
    harness
}

fn quick(timing: &str) -> Schedule {
    Schedule {
        definition: "definitions/quick".into(),
        timing: timing.into(),
        time_field: "at".into(),
        ..Schedule::default()
    }
}

fn slow(overlap: ScheduleOverlap) -> Schedule {
    let definition = "definitions/slow".into();
    Schedule { definition, timing: "@every 1s".into(), overlap: overlap as i32, ..Schedule::default() }
}

async fn create(client: &mut Schedules, id: &str, schedule: Schedule) -> Result<Schedule, tonic::Status> {
    let request = CreateScheduleRequest { schedule_id: id.into(), schedule: Some(schedule) };
    client.create_schedule(request).await.map(tonic::Response::into_inner)
}

async fn get(client: &mut Schedules, id: &str) -> Schedule {
    let name = format!("schedules/{id}");
    client.get_schedule(GetScheduleRequest { name }).await.unwrap().into_inner()
}

async fn runs(client: &mut Schedules, id: &str, filter: &str) -> Vec<ScheduleRun> {
    let request = ListScheduleRunsRequest {
        parent: format!("schedules/{id}"),
        filter: filter.into(),
        order_by: "run_time".into(),
        page_size: 1000,
        ..Default::default()
    };
    client.list_schedule_runs(request).await.unwrap().into_inner().runs
}

/// Waits for at least so many runs.
async fn at_least(client: &Schedules, id: &str, filter: &str, count: usize) -> Vec<ScheduleRun> {
    until(|| {
        let mut client = client.clone();
        async move { Some(runs(&mut client, id, filter).await).filter(|runs| runs.len() >= count) }
    })
    .await
}

async fn execution(harness: &Harness, name: &str) -> Execution {
    let mut client = WorkflowServiceClient::new(as_role(harness, "t1", Role::Operator));
    client.get_execution(GetExecutionRequest { name: name.into() }).await.unwrap().into_inner()
}

#[tokio::test]
async fn every_second_has_its_execution_across_a_restart() {
    let world = Arc::new(World::default());
    let harness = started(&world).await;
    let mut client = schedules(&harness);
    let beside = Schedule { overlap: ScheduleOverlap::AllowAll as i32, ..quick("@every 1s") };
    let made = create(&mut client, "feed", beside).await.unwrap();
    assert_eq!(
        (made.name.as_str(), made.zone.as_str(), made.upcoming_times.len()),
        ("schedules/feed", "UTC", 10)
    );
    at_least(&client, "feed", "state = COMPLETED", 2).await;
    let dir = harness.stop().await;
    let harness = world.start(Some(dir)).await;
    let client = schedules(&harness);
    at_least(&client, "feed", "state = COMPLETED", 5).await;
    let done = at_least(&client, "feed", "state != PENDING", 5).await;

    let times: Vec<_> = done.iter().map(|run| micros(run.run_time.as_ref().unwrap())).collect();
    let first = times[0];
    let expect: Vec<_> = (0..times.len() as i64).map(|n| first + n * 1_000_000).collect();
    assert_eq!(times, expect, "no second is left out and none comes twice");
    let mut names: Vec<_> = done.iter().map(|run| run.execution.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), done.len());
    let shown = execution(&harness, &done[0].execution).await;
    assert_eq!((shown.owner.as_str(), shown.definition.as_str()), ("users/otto", "definitions/quick"));
    let output: Json = serde_json::from_slice(&shown.output).unwrap();
    assert_eq!(output["at"], probity_types::Micros(first).to_string());
    let audited = |action: &str| world.audited.lock().unwrap().iter().any(|entry| entry.action == action);
    until(|| async { (audited("schedule.created") && audited("execution.started")).then_some(()) }).await;
}

/// The process died after an execution was started and before its run said so.
#[tokio::test]
async fn a_run_that_was_started_and_not_marked_finds_its_execution() {
    let world = Arc::new(World::default());
    let harness = started(&world).await;
    let mut client = schedules(&harness);
    create(&mut client, "feed", quick("@yearly")).await.unwrap();
    let trigger = TriggerScheduleRequest { name: "schedules/feed".into(), ..Default::default() };
    let run = client.trigger_schedule(trigger).await.unwrap().into_inner();
    at_least(&client, "feed", "state = COMPLETED", 1).await;

    let dir = harness.stop().await;
    let file = DbConfig::sqlite(dir.join("orchestrator/orchestrator.db"));
    let db = Db::open(&file, "orchestrator", &[]).await.unwrap();
    let unmark = "UPDATE schedule_runs SET state = 1, execution = $1, created_us = 1";
    let unmarked: Result<u64, probity_storage::Error> =
        db.write(move |tx| Box::pin(async move { tx.execute(unmark, args![&[] as &[u8]]).await })).await;
    assert_eq!(unmarked.unwrap(), 1);
    db.close().await;

    let harness = world.start(Some(dir)).await;
    let again = at_least(&schedules(&harness), "feed", "state = COMPLETED", 1).await;
    assert_eq!(again[0].execution, run.execution);
    let mut executions = ExecutionServiceClient::new(as_role(&harness, "t1", Role::Operator));
    let all = executions.list_executions(ListExecutionsRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.executions.len(), 1);
}

#[tokio::test]
async fn another_run_is_skipped_waits_or_takes_over() {
    let world = Arc::new(World::default());
    let harness = started(&world).await;
    let client = schedules(&harness);
    for (id, overlap) in [
        ("skip", ScheduleOverlap::Skip),
        ("buffer", ScheduleOverlap::BufferOne),
        ("cancel", ScheduleOverlap::CancelRunning),
    ] {
        create(&mut client.clone(), id, slow(overlap)).await.unwrap();
    }
    let skipped = until(|| {
        let mut client = client.clone();
        async move { Some(get(&mut client, "skip").await).filter(|schedule| schedule.skipped_runs >= 2) }
    })
    .await;
    assert_eq!(skipped.started_runs, 1);
    // The one that waits starts when the first has ended.
    let first = at_least(&client, "buffer", "state = RUNNING", 1).await.remove(0);
    let go = SignalExecutionRequest {
        name: first.execution.clone(),
        signal: "go".into(),
        ..SignalExecutionRequest::default()
    };
    let mut executions = ExecutionServiceClient::new(as_role(&harness, "t1", Role::Operator));
    executions.signal_execution(go).await.unwrap();
    let after = at_least(&client, "buffer", "state = COMPLETED OR state = RUNNING", 2).await;
    assert_eq!(after[0].execution, first.execution);
    // Each is cancelled for the next.
    let gone = at_least(&client, "cancel", "state = CANCELLED", 2).await;
    let cancelled = execution(&harness, &gone[0].execution).await;
    assert_eq!(cancelled.status(), ExecutionStatus::Cancelled);
    assert!(cancelled.end_reason.contains("schedules/cancel"), "{}", cancelled.end_reason);
}

#[tokio::test]
async fn people_pause_resume_trigger_change_and_delete() {
    let world = Arc::new(World::default());
    let harness = started(&world).await;
    let mut client = schedules(&harness);
    let name = || "schedules/feed".to_owned();
    create(&mut client, "feed", quick("@yearly")).await.unwrap();
    let paused = client.pause_schedule(PauseScheduleRequest { name: name() }).await.unwrap().into_inner();
    assert_eq!((paused.paused, paused.next_run_time), (true, None));
    client.pause_schedule(PauseScheduleRequest { name: name() }).await.unwrap();

    // Triggered although it is paused; the same key is the same run.
    let trigger = TriggerScheduleRequest { name: name(), request_id: "k1".into() };
    let run = client.trigger_schedule(trigger.clone()).await.unwrap().into_inner();
    assert!(run.triggered && run.execution.starts_with("executions/"), "{run:?}");
    let again = client.trigger_schedule(trigger).await.unwrap().into_inner();
    assert_eq!(again.execution, run.execution);
    assert_eq!(at_least(&client, "feed", "triggered = true AND state = COMPLETED", 1).await.len(), 1);

    let resumed = client.resume_schedule(ResumeScheduleRequest { name: name() }).await.unwrap().into_inner();
    assert!(!resumed.paused && resumed.next_run_time.is_some());
    let change = Schedule { name: name(), timing: "@every 1s".into(), note: "hurry".into(), ..quick("") };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["timing".into()] });
    let request = UpdateScheduleRequest {
        schedule: Some(Schedule { timing: "@every 1s".into(), ..change }),
        update_mask,
    };
    let updated = client.update_schedule(request).await.unwrap().into_inner();
    assert_eq!((updated.timing.as_str(), updated.note.as_str()), ("@every 1s", ""));
    at_least(&client, "feed", "triggered = false", 1).await;

    let list = ListSchedulesRequest { filter: "paused = false".into(), ..ListSchedulesRequest::default() };
    assert_eq!(client.list_schedules(list).await.unwrap().into_inner().schedules.len(), 1);
    client.delete_schedule(DeleteScheduleRequest { name: name() }).await.unwrap();
    let gone = client.get_schedule(GetScheduleRequest { name: name() }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    // Under its name there may be another, which knows nothing of it.
    create(&mut client, "feed", quick("@yearly")).await.unwrap();
    assert_eq!(runs(&mut client, "feed", "").await, []);
}

#[tokio::test]
async fn what_cannot_run_is_refused_at_once_or_told_in_the_history() {
    let world = Arc::new(World::default());
    let harness = started(&world).await;
    let mut client = schedules(&harness);
    for (schedule, part) in [
        (quick("61 * * * *"), "minute"),
        (quick(""), "schedule.timing"),
        (Schedule { zone: "Mars/Base".into(), ..quick("@daily") }, "Mars/Base"),
        (Schedule { definition: "definitions/none".into(), ..quick("@daily") }, "no definition"),
        (
            Schedule { definition: "definitions/tender".into(), ..quick("@daily") },
            "cases cannot be scheduled",
        ),
        (Schedule { time_field: String::new(), ..quick("@daily") }, "is refused"),
    ] {
        let refused = create(&mut client, "feed", schedule).await.unwrap_err();
        assert!(refused.message().contains(part), "{}", refused.message());
    }
    create(&mut client, "feed", quick("@daily")).await.unwrap();
    let twice = create(&mut client, "feed", quick("@daily")).await.unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);

    // The definition changes: its input does not fit any more.
    let stricter = QUICK.replace("required: [at]", "required: [at, supplier]");
    let mut workflows = WorkflowServiceClient::new(as_role(&harness, "t1", Role::Operator));
    let register = RegisterDefinitionRequest { source: stricter, ..Default::default() };
    workflows.register_definition(register).await.unwrap();
    let trigger = TriggerScheduleRequest { name: "schedules/feed".into(), ..Default::default() };
    let run = client.trigger_schedule(trigger).await.unwrap().into_inner();
    assert_eq!((run.state(), run.execution.as_str()), (ScheduleRunState::Failed, ""));
    assert!(run.error.contains("supplier"), "{}", run.error);
}

#[tokio::test]
async fn a_preview_follows_the_clocks_of_its_zone() {
    let world = Arc::new(World::default());
    let harness = started(&world).await;
    let mut client = ScheduleServiceClient::new(as_role(&harness, "t1", Role::Auditor));
    let request = PreviewScheduleRequest {
        schedule: Some(Schedule { zone: "Europe/Vienna".into(), ..quick("30 2 * * *") }),
        count: 3,
        // 2026-03-28T00:00:00Z; the clocks go forward on the 29th.
        after: Some(prost_types::Timestamp { seconds: 1_774_656_000, nanos: 0 }),
    };
    let times = client.preview_schedule(request).await.unwrap().into_inner().times;
    let times: Vec<_> = times.iter().map(|at| probity_types::Micros(micros(at)).to_string()).collect();
    assert_eq!(
        json!(times),
        json!(["2026-03-28T01:30:00.000000Z", "2026-03-29T01:00:00.000000Z", "2026-03-30T00:30:00.000000Z"])
    );
    let refused = create(&mut client, "feed", quick("@daily")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    // Another tenant's is not there.
    create(&mut schedules(&harness), "feed", quick("@daily")).await.unwrap();
    let mut other = ScheduleServiceClient::new(as_role(&harness, "t2", Role::Admin));
    let foreign = other.get_schedule(GetScheduleRequest { name: "schedules/feed".into() }).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);
}
