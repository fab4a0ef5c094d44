//! Dead letters through the door: from the failure to the end, one by one and many.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod world;

use probity_proto::BoxGrpcService;
use probity_proto::common::CaseKind;
use probity_proto::orchestrator::case_service_client::CaseServiceClient;
use probity_proto::orchestrator::dead_letter_service_client::DeadLetterServiceClient;
use probity_proto::orchestrator::workflow_service_client::WorkflowServiceClient;
use probity_proto::orchestrator::*;
use probity_runtime::testing::{Harness, ctx};
use probity_types::Role;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tonic::Code;
use world::{World, officer, open, opening, settle, until};

type Letters = DeadLetterServiceClient<BoxGrpcService>;

fn letters(harness: &Harness, tenant: &str, who: &str) -> Letters {
    DeadLetterServiceClient::new(harness.client_as(&ctx(tenant, &format!("users/{who}"), &[Role::Operator])))
}

async fn list(client: &mut Letters, filter: &str) -> Vec<DeadLetter> {
    let request = ListDeadLettersRequest { filter: filter.into(), ..ListDeadLettersRequest::default() };
    client.list_dead_letters(request).await.unwrap().into_inner().dead_letters
}

/// A world whose anti-corruption service refuses, and so many cases stuck on it.
async fn stuck(world: &Arc<World>, harness: &Harness, cases: usize) -> Vec<Case> {
    world.investigate_refuses.store(true, Ordering::SeqCst);
    let mut client = officer(harness, "olga");
    let mut stuck = Vec::new();
    for _ in 0..cases {
        let opened = open(&mut client, CaseKind::Tender).await;
        stuck.push(settle(&mut client, &opened.name).await);
    }
    assert!(stuck.iter().all(|c| c.waiting.as_ref().unwrap().kind() == WaitKind::Incident));
    stuck
}

fn requeue(name: &str) -> RequeueDeadLetterRequest {
    RequeueDeadLetterRequest { name: name.into(), ..RequeueDeadLetterRequest::default() }
}

fn discard(name: &str, reason: &str) -> DiscardDeadLetterRequest {
    DiscardDeadLetterRequest { name: name.into(), reason: reason.into() }
}

#[tokio::test]
async fn a_letter_goes_from_failed_over_reviewing_to_requeued() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let case = stuck(&world, &harness, 1).await.remove(0);
    let mut client = letters(&harness, "t1", "otto");
    let letter = list(&mut client, "state = FAILED AND peer = \"anti-corruption\"").await.remove(0);
    assert_eq!((&letter.case, &letter.execution), (&case.name, &case.execution));
    assert!(letter.operation.ends_with("/Investigate") && letter.payload.is_empty(), "{letter:?}");
    assert!(letter.error.contains("not a tender") && letter.payload_size_bytes > 0);

    let whole = client.get_dead_letter(GetDeadLetterRequest { name: letter.name.clone() }).await.unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&whole.into_inner().payload).unwrap();
    assert_eq!(payload["case"], case.name.as_str());

    let review = ReviewDeadLetterRequest { name: letter.name.clone(), note: "asking the peer".into() };
    let reviewed = client.review_dead_letter(review.clone()).await.unwrap().into_inner();
    assert_eq!(reviewed.state(), DeadLetterState::Reviewing);
    assert_eq!((reviewed.reviewer.as_str(), reviewed.note.as_str()), ("users/otto", "asking the peer"));

    // In vain: the same letter is open again, with one failure more.
    client.requeue_dead_letter(requeue(&letter.name)).await.unwrap();
    let again = until(|| {
        let mut client = client.clone();
        async move { list(&mut client, "state = FAILED AND failures = 2").await.pop() }
    })
    .await;
    assert_eq!((&again.name, &again.create_time), (&letter.name, &letter.create_time));

    world.investigate_refuses.store(false, Ordering::SeqCst);
    let requeued = client.requeue_dead_letter(requeue(&letter.name)).await.unwrap().into_inner();
    assert_eq!((requeued.state(), requeued.reviewer.as_str()), (DeadLetterState::Requeued, "users/otto"));
    let settled = settle(&mut officer(&harness, "olga"), &case.name).await;
    assert_eq!(settled.state(), CaseState::Resolved);

    // The same deed again, after a lost answer, is fine; another's or another is not.
    client.requeue_dead_letter(requeue(&letter.name)).await.unwrap();
    let other = letters(&harness, "t1", "olaf").requeue_dead_letter(requeue(&letter.name)).await;
    assert_eq!(other.unwrap_err().code(), Code::FailedPrecondition);
    let late = client.discard_dead_letter(discard(&letter.name, "late")).await.unwrap_err();
    assert!(late.message().contains("REQUEUED"), "{}", late.message());
    assert_eq!(client.review_dead_letter(review).await.unwrap_err().code(), Code::FailedPrecondition);

    let actions = until(|| async {
        let audited = world.audited.lock().unwrap().clone();
        let actions: Vec<_> = audited.into_iter().map(|e| e.action).collect();
        actions.contains(&"incident.retried".to_owned()).then_some(actions)
    })
    .await;
    assert!(actions.contains(&"dead_letter.reviewed".to_owned()), "{actions:?}");
}

#[tokio::test]
async fn a_mended_message_is_checked_and_then_sent() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let case = stuck(&world, &harness, 1).await.remove(0);
    let mut client = letters(&harness, "t1", "otto");
    let name = list(&mut client, "").await.remove(0).name;
    let whole =
        client.get_dead_letter(GetDeadLetterRequest { name: name.clone() }).await.unwrap().into_inner();
    let edit = |payload: serde_json::Value| RequeueDeadLetterRequest {
        name: name.clone(),
        payload: payload.to_string().into(),
    };
    for (payload, part) in [
        (serde_json::json!({"cases": "x"}), "cases"),
        (serde_json::json!({"kind": "CASE_KIND_TENDR"}), "TENDR"),
        (serde_json::json!([1]), "payload"),
    ] {
        let refused = client.requeue_dead_letter(edit(payload)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(part), "{}", refused.message());
    }
    assert_eq!(list(&mut client, "state = FAILED").await.len(), 1);
    world.investigate_refuses.store(false, Ordering::SeqCst);
    let mut mended: serde_json::Value = serde_json::from_slice(&whole.payload).unwrap();
    mended["kind"] = "CASE_KIND_PAYMENT".into();
    let requeued = client.requeue_dead_letter(edit(mended.clone())).await.unwrap().into_inner();
    assert_eq!(requeued.state(), DeadLetterState::Requeued);
    assert_eq!(settle(&mut officer(&harness, "olga"), &case.name).await.state(), CaseState::Resolved);
    // Another message is another key.
    let keys = world.investigated.lock().unwrap().clone();
    assert_ne!(keys.first(), keys.last());
    // The same again is fine, another message is not.
    client.requeue_dead_letter(edit(mended)).await.unwrap();
    let other = client.requeue_dead_letter(edit(whole_json(&whole))).await.unwrap_err();
    assert_eq!(other.code(), Code::FailedPrecondition);
}

fn whole_json(letter: &DeadLetter) -> serde_json::Value {
    serde_json::from_slice(&letter.payload).unwrap()
}

#[tokio::test]
async fn what_ends_the_incident_elsewhere_moves_the_letter() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let cases = stuck(&world, &harness, 3).await;
    let mut client = letters(&harness, "t1", "otto");
    let of = |case: &Case| format!("execution = \"{}\"", case.execution);
    let step = list(&mut client, &of(&cases[0])).await[0].step.clone();
    let operator = ctx("t1", "users/otto", &[Role::Operator]);
    let mut workflows = WorkflowServiceClient::new(harness.client_as(&operator));
    let skip = SkipStepRequest { name: cases[0].execution.clone(), step, reason: "by hand".into() };
    workflows.skip_step(skip).await.unwrap();
    let skipped = list(&mut client, &of(&cases[0])).await.remove(0);
    assert_eq!((skipped.state(), skipped.note.as_str()), (DeadLetterState::Discarded, "by hand"));

    let cancel = CancelCaseRequest { name: cases[1].name.clone(), reason: "a double".into() };
    officer(&harness, "olga").cancel_case(cancel).await.unwrap();
    let cancelled = list(&mut client, &of(&cases[1])).await.remove(0);
    assert_eq!(cancelled.state(), DeadLetterState::Discarded);
    assert!(cancelled.note.contains("a double"), "{}", cancelled.note);

    // A process that starts again knows which letters are open.
    let dir = harness.stop().await;
    let harness = world.start(Some(dir)).await;
    let mut client = letters(&harness, "t1", "otto");
    let third = list(&mut client, "state = FAILED").await;
    assert_eq!(third.len(), 1);
    let discarded =
        client.discard_dead_letter(discard(&third[0].name, "hopeless")).await.unwrap().into_inner();
    assert_eq!((discarded.state(), discarded.note.as_str()), (DeadLetterState::Discarded, "hopeless"));
}

#[tokio::test]
async fn many_at_once_with_their_patterns_and_their_export() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    stuck(&world, &harness, 5).await;
    let mut client = letters(&harness, "t1", "otto");
    let patterns = GetDeadLetterPatternsRequest {
        older_than: Some(prost_types::Duration { seconds: 0, nanos: 0 }),
        ..GetDeadLetterPatternsRequest::default()
    };
    let found = client.get_dead_letter_patterns(patterns).await.unwrap().into_inner();
    assert_eq!((found.total, found.open, found.errors[0].count, found.other_errors), (5, 5, 5, 0));
    assert_eq!(found.peers[0].value, "anti-corruption");
    assert_eq!(found.attention.as_ref().unwrap().letters.len(), 5);
    assert_eq!(list(&mut client, &found.errors[0].filter).await.len(), 5);

    let batch = |limit, validate_only| BatchRequeueDeadLettersRequest {
        filter: "state = FAILED".into(),
        limit,
        validate_only,
    };
    let would = client.batch_requeue_dead_letters(batch(2, true)).await.unwrap().into_inner();
    assert_eq!((would.found, would.changed, would.more), (2, 0, true));
    world.investigate_refuses.store(false, Ordering::SeqCst);
    // Sent again with its key, as after an answer that was lost: the first answer.
    let keyed = |limit| {
        let mut request = tonic::Request::new(batch(limit, false));
        request.metadata_mut().insert("idempotency-key", "batch-1".parse().unwrap());
        request
    };
    for _ in 0..2 {
        let done = client.batch_requeue_dead_letters(keyed(2)).await.unwrap().into_inner();
        assert_eq!((done.found, done.changed, done.refused.len()), (2, 2, 0));
    }
    let reused = client.batch_requeue_dead_letters(keyed(3)).await.unwrap_err();
    assert_eq!(reused.code(), Code::InvalidArgument, "{reused:?}");
    let rest = BatchDiscardDeadLettersRequest {
        filter: "state = (FAILED OR REVIEWING)".into(),
        reason: "test data".into(),
        ..BatchDiscardDeadLettersRequest::default()
    };
    let done = client.batch_discard_dead_letters(rest).await.unwrap().into_inner();
    assert_eq!((done.found, done.changed, done.more), (3, 3, false));

    let mut exported =
        client.export_dead_letters(ExportDeadLettersRequest::default()).await.unwrap().into_inner();
    let mut count = 0;
    while let Some(letter) = exported.message().await.unwrap() {
        assert!(letter.payload_size_bytes > 0);
        count += 1;
    }
    assert_eq!(count, 5);
    let clear = |validate_only| ClearDiscardedRequest { older_than: None, validate_only };
    let cleared = async |client: &mut Letters, only| {
        client.clear_discarded(clear(only)).await.unwrap().into_inner().cleared
    };
    assert_eq!(cleared(&mut client, true).await, 3);
    assert_eq!(cleared(&mut client, false).await, 3);
    assert_eq!(list(&mut client, "").await.len(), 2);
    until(|| async {
        let audited = world.audited.lock().unwrap().clone();
        let has = |action: &str| audited.iter().any(|e| e.action == action);
        (has("dead_letters.exported") && has("dead_letters.cleared")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_refuses_the_new_and_loses_nothing() {
    let world = Arc::new(World::default());
    let harness = world.start_with(None, &[("dead_letter_capacity", "2")]).await;
    stuck(&world, &harness, 2).await;
    let mut olga = officer(&harness, "olga");
    let refused = olga.open_case(opening(CaseKind::Tender, "")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("2 dead letters"), "{}", refused.message());
    // Other tenants are not concerned.
    let other = ctx("t2", "users/pia", &[Role::Officer]);
    let mut pia = CaseServiceClient::new(harness.client_as(&other));
    open(&mut pia, CaseKind::Tender).await;
    let mut client = letters(&harness, "t1", "otto");
    let first = list(&mut client, "state = FAILED").await.remove(0);
    client.discard_dead_letter(discard(&first.name, "room")).await.unwrap();
    open(&mut olga, CaseKind::Tender).await;
}

#[tokio::test]
async fn strangers_see_nothing_and_mistakes_are_named() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    stuck(&world, &harness, 1).await;
    let name = list(&mut letters(&harness, "t1", "otto"), "").await.remove(0).name;
    let mut stranger = letters(&harness, "t2", "otto");
    assert_eq!(list(&mut stranger, "").await, []);
    let code = stranger.requeue_dead_letter(requeue(&name)).await.unwrap_err().code();
    assert_eq!(code, Code::NotFound);

    let mut client = letters(&harness, "t1", "otto");
    let mut check = async |request: ListDeadLettersRequest, part: &str| {
        let refused = client.list_dead_letters(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(part), "{}", refused.message());
    };
    let blank = ListDeadLettersRequest::default;
    check(ListDeadLettersRequest { filter: "stat = FAILED".into(), ..blank() }, "did you mean state").await;
    check(ListDeadLettersRequest { order_by: "error".into(), ..blank() }, "cannot be ordered by").await;
    check(ListDeadLettersRequest { page_token: "00".into(), ..blank() }, "page before").await;
    check(ListDeadLettersRequest { page_size: -1, ..blank() }, "page_size").await;
    let bad =
        client.get_dead_letter(GetDeadLetterRequest { name: "deadLetters/x".into() }).await.unwrap_err();
    assert!(bad.message().contains("deadLetters/<execution>.<step>"), "{}", bad.message());
    let everything = client.batch_requeue_dead_letters(BatchRequeueDeadLettersRequest::default()).await;
    assert!(everything.unwrap_err().message().contains("filter"));

    // Who only reads may not change anything.
    let auditor = ctx("t1", "users/ada", &[Role::Auditor]);
    let mut auditor = DeadLetterServiceClient::new(harness.client_as(&auditor));
    assert_eq!(list(&mut auditor, "").await.len(), 1);
    let denied = auditor.requeue_dead_letter(requeue(&name)).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
}
