//! Cases through the door of the orchestrator, with peers of the test's own making.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod world;

use probity_proto::common::CaseKind;
use probity_proto::orchestrator::case_service_client::CaseServiceClient;
use probity_proto::orchestrator::remediation_service_client::RemediationServiceClient;
use probity_proto::orchestrator::workflow_service_client::WorkflowServiceClient;
use probity_proto::orchestrator::*;
use probity_runtime::testing::ctx;
use probity_types::Role;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tonic::{Code, Request};
use world::{World, officer, open, opening, settle, types, until};

#[tokio::test]
async fn a_clean_tender_resolves_by_itself() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let opened = open(&mut client, CaseKind::Tender).await;
    assert_eq!(opened.state(), CaseState::Pending);
    let case = settle(&mut client, &opened.name).await;
    assert_eq!(case.state(), CaseState::Resolved);
    assert_eq!(case.verdict.as_ref().unwrap().outcome(), Outcome::Clear);
    assert_eq!(case.verdict.unwrap().decided_by, ["definitions/tender"]);
    assert!(case.waiting.is_none());
    let history = types(&mut client, &opened.name).await;
    assert_eq!(history.first().unwrap(), "case.opened");
    assert_eq!(history.last().unwrap(), "execution.ended");
    assert_eq!(history.iter().filter(|t| *t == "case.transition").count(), 3);
}

#[tokio::test]
async fn findings_wait_for_a_person_and_actions_stand() {
    let world = Arc::new(World::default());
    world.findings.store(2, Ordering::SeqCst);
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let opened = open(&mut client, CaseKind::Payment).await;
    let case = settle(&mut client, &opened.name).await;
    assert_eq!(case.state(), CaseState::Remediating);
    assert_eq!(case.finding_count, 2);
    assert_eq!(case.waiting.as_ref().unwrap().kind(), WaitKind::Approval);

    let mut actions =
        RemediationServiceClient::new(harness.client_as(&ctx("t1", "users/olga", &[Role::Officer])));
    let list = ListActionsRequest { parent: opened.name.clone(), ..ListActionsRequest::default() };
    let taken = actions.list_actions(list.clone()).await.unwrap().into_inner().actions;
    let kinds: Vec<_> = taken.iter().map(|a| a.r#type()).collect();
    assert!(kinds.contains(&ActionType::HoldPayment) && taken.iter().all(|a| a.active), "{kinds:?}");

    let close = CloseCaseRequest {
        name: opened.name.clone(),
        disposition: Disposition::FalsePositive as i32,
        note: "two suppliers of one name".into(),
    };
    client.close_case(close.clone()).await.unwrap();
    let case = settle(&mut client, &opened.name).await;
    let verdict = case.verdict.clone().unwrap();
    assert_eq!((case.state(), verdict.outcome()), (CaseState::Resolved, Outcome::Unfounded));
    assert_eq!(verdict.decided_by, ["users/olga"]);
    assert_eq!(verdict.note, "two suppliers of one name");
    let released = actions.list_actions(list).await.unwrap().into_inner().actions;
    let hold = released.iter().find(|a| a.r#type() == ActionType::HoldPayment).unwrap();
    assert!(!hold.active, "an unfounded suspicion releases the payments");
    // The same decision again answers the same; another person is refused.
    assert_eq!(client.close_case(close.clone()).await.unwrap().into_inner().state(), CaseState::Resolved);
    let other = CloseCaseRequest { disposition: Disposition::Confirmed as i32, ..close.clone() };
    assert_eq!(client.close_case(other).await.unwrap_err().code(), Code::FailedPrecondition);
    let refused = officer(&harness, "ivan").close_case(close).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn four_eyes_are_two_people() {
    let world = Arc::new(World::default());
    world.findings.store(1, Ordering::SeqCst);
    world.four_eyes.store(true, Ordering::SeqCst);
    let harness = world.start(None).await;
    let mut olga = officer(&harness, "olga");
    let opened = open(&mut olga, CaseKind::Tender).await;
    settle(&mut olga, &opened.name).await;
    let close = |disposition: Disposition| CloseCaseRequest {
        name: opened.name.clone(),
        disposition: disposition as i32,
        note: String::new(),
    };
    for _ in 0..2 {
        let case = olga.close_case(close(Disposition::Confirmed)).await.unwrap().into_inner();
        assert_eq!(case.state(), CaseState::Remediating, "one person, however often, is not two");
    }
    let mut ivan = officer(&harness, "ivan");
    let case = ivan.close_case(close(Disposition::Inconclusive)).await.unwrap().into_inner();
    assert_eq!(case.state(), CaseState::Remediating, "two people who disagree do not decide");
    let case = ivan.close_case(close(Disposition::Confirmed)).await.unwrap().into_inner();
    assert_eq!(case.state(), CaseState::Resolved);
    assert_eq!(case.verdict.unwrap().decided_by, ["users/olga", "users/ivan"]);
}

#[tokio::test]
async fn spam_closes_a_message_but_never_a_report() {
    let world = Arc::new(World::default());
    world.spam.store(true, Ordering::SeqCst);
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let message = open(&mut client, CaseKind::Message).await;
    let message = settle(&mut client, &message.name).await;
    assert_eq!(message.verdict.unwrap().outcome(), Outcome::Spam);
    assert!(world.investigated.lock().unwrap().is_empty(), "spam is not investigated");
    let report = open(&mut client, CaseKind::Report).await;
    let report = settle(&mut client, &report.name).await;
    assert_eq!(report.state(), CaseState::Remediating);
    assert_eq!(report.waiting.unwrap().kind(), WaitKind::Approval);
}

#[tokio::test]
async fn unusable_documents_fail_the_case_with_the_reason() {
    let world = Arc::new(World::default());
    world.unacceptable.store(true, Ordering::SeqCst);
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let opened = open(&mut client, CaseKind::Tender).await;
    let case = settle(&mut client, &opened.name).await;
    assert_eq!(case.state(), CaseState::Failed);
    assert!(case.verdict.unwrap().reasons[0].contains("line 1: no JSON"));
}

#[tokio::test]
async fn an_outage_is_waited_out_under_one_key() {
    let world = Arc::new(World::default());
    world.investigate_down.store(5, Ordering::SeqCst);
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let opened = open(&mut client, CaseKind::Tender).await;
    let case = settle(&mut client, &opened.name).await;
    assert_eq!(case.state(), CaseState::Resolved);
    let keys = world.investigated.lock().unwrap().clone();
    assert!(keys.len() >= 6 && keys.iter().all(|k| *k == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn a_refusal_opens_an_incident_that_a_person_resolves() {
    let world = Arc::new(World::default());
    world.investigate_refuses.store(true, Ordering::SeqCst);
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let opened = open(&mut client, CaseKind::Tender).await;
    let case = settle(&mut client, &opened.name).await;
    let waiting = case.waiting.unwrap();
    assert_eq!((waiting.kind(), waiting.step.as_str()), (WaitKind::Incident, "investigate"));
    assert!(waiting.reason.contains("not a tender"));
    assert_eq!(case.state, CaseState::Investigating as i32, "an incident keeps the state");
    world.investigate_refuses.store(false, Ordering::SeqCst);
    let mut workflows =
        WorkflowServiceClient::new(harness.client_as(&ctx("t1", "users/otto", &[Role::Operator])));
    let retry = RetryStepRequest { name: case.execution.clone(), step: "investigate".into() };
    workflows.retry_step(retry.clone()).await.unwrap();
    assert_eq!(settle(&mut client, &opened.name).await.state(), CaseState::Resolved);
    assert_eq!(workflows.retry_step(retry).await.unwrap_err().code(), Code::FailedPrecondition);
    let execution =
        workflows.get_execution(GetExecutionRequest { name: case.execution }).await.unwrap().into_inner();
    assert_eq!(execution.status(), ExecutionStatus::Completed);
    assert!(execution.steps.iter().any(|s| s.id == "investigate" && s.attempts == 2));
}

#[tokio::test]
async fn cancelling_takes_back_what_was_done() {
    let world = Arc::new(World::default());
    world.findings.store(1, Ordering::SeqCst);
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let opened = open(&mut client, CaseKind::Payment).await;
    settle(&mut client, &opened.name).await;
    let cancel = CancelCaseRequest { name: opened.name.clone(), reason: "opened twice".into() };
    client.cancel_case(cancel.clone()).await.unwrap();
    let case = until(|| {
        let (mut client, name) = (client.clone(), opened.name.clone());
        async move {
            let case = client.get_case(GetCaseRequest { name }).await.unwrap().into_inner();
            case.end_time.is_some().then_some(case)
        }
    })
    .await;
    assert_eq!(case.state(), CaseState::Cancelled);
    let mut actions =
        RemediationServiceClient::new(harness.client_as(&ctx("t1", "users/olga", &[Role::Officer])));
    let list = ListActionsRequest { parent: opened.name, ..ListActionsRequest::default() };
    let left = actions.list_actions(list).await.unwrap().into_inner().actions;
    assert!(!left.is_empty() && left.iter().all(|a| !a.active), "{left:?}");
    assert_eq!(client.cancel_case(cancel).await.unwrap().into_inner().state(), CaseState::Cancelled);
}

#[tokio::test]
async fn one_key_is_one_case() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let client = officer(&harness, "olga");
    let calls = (0..100).map(|_| {
        let mut client = client.clone();
        async move { client.open_case(opening(CaseKind::Tender, "k1")).await.unwrap().into_inner().name }
    });
    let names = futures::future::join_all(calls).await;
    assert!(names.iter().all(|n| *n == names[0]));
    let other = client.clone().open_case(opening(CaseKind::Report, "k1")).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument);
    let mut client = client;
    let all = client.list_cases(ListCasesRequest::default()).await.unwrap().into_inner().cases;
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn tenants_and_submitters_see_their_own() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let submitter = |name: &str| {
        CaseServiceClient::new(harness.client_as(&ctx("t1", &format!("users/{name}"), &[Role::Submitter])))
    };
    let opened = open(&mut submitter("sam"), CaseKind::Tender).await;
    let get = || GetCaseRequest { name: opened.name.clone() };
    assert!(submitter("sam").get_case(get()).await.is_ok());
    assert!(officer(&harness, "olga").get_case(get()).await.is_ok());
    assert_eq!(submitter("eve").get_case(get()).await.unwrap_err().code(), Code::NotFound);
    let mut foreign = CaseServiceClient::new(harness.client_as(&ctx("t2", "users/olga", &[Role::Officer])));
    assert_eq!(foreign.get_case(get()).await.unwrap_err().code(), Code::NotFound);
    let close = CloseCaseRequest { name: opened.name.clone(), disposition: 1, note: String::new() };
    assert_eq!(foreign.close_case(close.clone()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(submitter("sam").close_case(close).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn bad_requests_are_refused_with_the_field() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let good = opening(CaseKind::Tender, "");
    let check = |request: OpenCaseRequest, field: &'static str| {
        let mut client = client.clone();
        async move {
            let status = client.open_case(request).await.unwrap_err();
            assert!(matches!(status.code(), Code::InvalidArgument | Code::NotFound), "{status:?}");
            assert!(status.message().contains(field), "{field}: {}", status.message());
        }
    };
    check(OpenCaseRequest { kind: 0, ..good.clone() }, "kind").await;
    check(OpenCaseRequest { documents: vec![], ..good.clone() }, "documents").await;
    check(OpenCaseRequest { documents: vec!["x".into()], ..good.clone() }, "documents[0]").await;
    check(OpenCaseRequest { subject: "a\u{1b}[31m".into(), ..good.clone() }, "subject").await;
    check(OpenCaseRequest { priority: 77, ..good.clone() }, "priority").await;
    check(OpenCaseRequest { definition: "tender".into(), ..good.clone() }, "definition").await;
    check(OpenCaseRequest { definition: "definitions/nothing".into(), ..good }, "definitions/nothing").await;
    let missing = GetCaseRequest { name: "cases/case_00000000000000000000000000000000".into() };
    assert_eq!(client.get_case(missing).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_case_is_opened_of_documents_that_are_there() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let there = opening(CaseKind::Tender, "k1");
    let missing = format!("documents/{}", "b".repeat(64));
    let documents = vec![there.documents[0].clone(), missing.clone()];
    let refused = client.open_case(OpenCaseRequest { documents, ..there.clone() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(refused.message().contains(&format!("documents[1]: there is no {missing}")), "{refused:?}");
    world.intake_down.store(true, Ordering::SeqCst);
    let refused = client.open_case(there.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "nobody can tell: {refused:?}");
    let none = client.list_cases(ListCasesRequest::default()).await.unwrap().into_inner().cases;
    assert_eq!(none, [], "nothing is left of what was refused");
    world.intake_down.store(false, Ordering::SeqCst);
    client.open_case(there).await.unwrap();
}

#[tokio::test]
async fn a_watcher_sees_everything_once_in_order() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let opened = open(&mut client, CaseKind::Tender).await;
    let watch = |after: i64| WatchCaseRequest { name: opened.name.clone(), after_sequence: after };
    let mut stream = client.watch_case(watch(0)).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        seen.push(event.sequence);
    }
    let expected: Vec<i64> = (1..=i64::try_from(seen.len()).unwrap()).collect();
    assert_eq!(seen, expected);
    let mut rest = client.watch_case(watch(3)).await.unwrap().into_inner();
    assert_eq!(rest.message().await.unwrap().unwrap().sequence, 4);
}

#[tokio::test]
async fn everything_that_counts_reaches_the_audit_log() {
    let world = Arc::new(World::default());
    world.findings.store(1, Ordering::SeqCst);
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let opened = open(&mut client, CaseKind::Payment).await;
    settle(&mut client, &opened.name).await;
    let close = CloseCaseRequest { name: opened.name.clone(), disposition: 1, note: String::new() };
    client.close_case(close).await.unwrap();
    let entries = until(|| {
        let entries: Vec<_> =
            world.audited.lock().unwrap().iter().filter(|e| e.case == opened.name).cloned().collect();
        async move { entries.iter().any(|e| e.action == "execution.ended").then_some(entries) }
    })
    .await;
    let count = |action: &str| entries.iter().filter(|e| e.action == action).count();
    assert_eq!(count("case.opened"), 1);
    assert_eq!(count("case.transition"), 4);
    assert_eq!(count("approval.given"), 1);
    assert_eq!(count("case.decided"), 1);
    let given = entries.iter().find(|e| e.action == "approval.given").unwrap();
    assert_eq!((given.actor.as_str(), given.tenant.as_str()), ("users/olga", "t1"));
}

#[tokio::test]
async fn who_goes_around_the_gateway_is_in_the_log() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut nobody = CaseServiceClient::new(harness.client_without_token());
    for _ in 0..3 {
        let refused = nobody.list_cases(ListCasesRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let counted = until(|| {
        let denied: Vec<_> =
            world.audited.lock().unwrap().iter().filter(|e| e.action == "call.denied").cloned().collect();
        let details = denied.iter().filter_map(|e| serde_json::from_str::<serde_json::Value>(&e.detail).ok());
        let count: u64 = details.filter_map(|d| d["count"].as_u64()).sum();
        async move { (count == 3).then_some(denied) }
    })
    .await;
    assert!(counted.iter().all(|e| e.outcome == "denied" && e.actor == "anonymous"));
}

#[tokio::test]
async fn what_was_under_way_goes_on_after_a_restart() {
    let world = Arc::new(World::default());
    world.investigate_down.store(u32::MAX, Ordering::SeqCst);
    let harness = world.start(None).await;
    let mut client = officer(&harness, "olga");
    let opened = open(&mut client, CaseKind::Tender).await;
    until(|| {
        let tried = !world.investigated.lock().unwrap().is_empty();
        async move { tried.then_some(()) }
    })
    .await;
    let dir = harness.stop().await;
    world.investigate_down.store(0, Ordering::SeqCst);
    let harness = world.start(Some(dir)).await;
    let mut client = officer(&harness, "olga");
    let case = settle(&mut client, &opened.name).await;
    assert_eq!(case.state(), CaseState::Resolved);
    let history = types(&mut client, &opened.name).await;
    for once in ["case.opened", "case.decided", "execution.ended"] {
        assert_eq!(history.iter().filter(|t| *t == once).count(), 1, "{once}");
    }
}

#[tokio::test]
async fn a_definition_is_refused_with_its_place() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut workflows =
        WorkflowServiceClient::new(harness.client_as(&ctx("t1", "users/otto", &[Role::Operator])));
    let bad = "name: mine\nsteps:\n  - id: a\n    call: probity.spam.v1.SpamService/Nothing\nverdict:\n  - {outcome: clear, reasons: \"[]\"}\n";
    let request = |source: &str| RegisterDefinitionRequest { source: source.into(), validate_only: false };
    let refused = workflows.register_definition(request(bad)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("source:4:"), "{}", refused.message());
    let good = bad
        .replace("Nothing", "Classify")
        .replace("\nverdict", "\n    input: {documents: case.documents}\nverdict");
    let stored = workflows.register_definition(request(&good)).await.unwrap().into_inner();
    let again = workflows.register_definition(request(&good)).await.unwrap().into_inner();
    assert_eq!(stored.version, again.version);
    let list = workflows.list_definitions(ListDefinitionsRequest {}).await.unwrap().into_inner().definitions;
    let names: Vec<_> = list.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "definitions/message",
            "definitions/mine",
            "definitions/payment",
            "definitions/report",
            "definitions/tender"
        ]
    );
    let mut client = officer(&harness, "olga");
    let own = OpenCaseRequest { definition: "definitions/mine".into(), ..opening(CaseKind::Report, "") };
    let case = client.open_case(Request::new(own)).await.unwrap().into_inner();
    assert_eq!(settle(&mut client, &case.name).await.state(), CaseState::Resolved);
}
