//! The contract of the compliance service, through the whole server stack of one
//! process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_compliance_validator::{ComplianceValidator, MIGRATIONS};
use probity_proto::BoxGrpcService;
use probity_proto::common::{CaseKind, FindingSummary, Severity};
use probity_proto::compliance::compliance_service_client::ComplianceServiceClient;
use probity_proto::compliance::{
    Decision, EvaluateRequest, EvaluateResponse, GetPolicyRequest, ListEvaluationsRequest,
    ListPoliciesRequest, Policy, PublishPolicyRequest, TryPolicyRequest,
};
use probity_runtime::fault_of;
use probity_runtime::testing::{Harness, ctx};
use probity_storage::{Db, DbConfig, outbox};
use probity_types::id::CaseId;
use probity_types::{AuditEvent, FaultKind, Role};
use std::collections::BTreeMap;
use tonic::Status;
use tonic::service::Routes;

type Client = ComplianceServiceClient<BoxGrpcService>;

const NAME: &str = "compliance-validator";

/// Machines that run tests are busy: time is tested where it is meant to be.
async fn start() -> Harness {
    let builder = Harness::builder().peer("audit-aggregator", Routes::default());
    builder
        .set(NAME, "time_limit_ms", "20000")
        .set(NAME, "evaluation_limit_ms", "60000")
        .start::<ComplianceValidator>()
        .await
}

fn client(harness: &Harness, tenant: &str) -> Client {
    Client::new(harness.client_as(&ctx(tenant, "users/olga", &[Role::Officer, Role::Operator])))
}

fn evaluate(case: &CaseId, findings: &[(&str, Severity)]) -> EvaluateRequest {
    let finding = |(rule, severity): &(&str, Severity)| FindingSummary {
        rule: (*rule).to_owned(),
        severity: *severity as i32,
        explanation: format!("about {rule}"),
        ..FindingSummary::default()
    };
    EvaluateRequest {
        case: format!("cases/{case}"),
        kind: CaseKind::Tender as i32,
        findings: findings.iter().map(finding).collect(),
        facts: BTreeMap::from([
            ("procurement_method".into(), "open".into()),
            ("tender_value".into(), "12.50".into()),
        ]),
        ..EvaluateRequest::default()
    }
}

async fn evaluated(client: &Client, request: EvaluateRequest) -> EvaluateResponse {
    client.clone().evaluate(request).await.unwrap().into_inner()
}

fn keyed<T>(message: T, key: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

fn publish(name: &str, source: &str, kinds: &[CaseKind]) -> PublishPolicyRequest {
    PublishPolicyRequest {
        policy: name.to_owned(),
        source: source.to_owned(),
        kinds: kinds.iter().map(|kind| *kind as i32).collect(),
    }
}

async fn published(client: &Client, request: PublishPolicyRequest) -> Result<Policy, Status> {
    client.clone().publish_policy(request).await.map(tonic::Response::into_inner)
}

async fn get(client: &Client, name: &str, version: i64) -> Result<Policy, Status> {
    let request = GetPolicyRequest { name: name.to_owned(), version };
    client.clone().get_policy(request).await.map(tonic::Response::into_inner)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, kind: FaultKind, code: &str) -> String {
    let fault = fault_of(&answer.unwrap_err());
    assert_eq!((fault.kind, fault.code), (kind, code), "{fault}");
    fault.message
}

const STRICT: &str = "package mine\n\ndeny contains {\"rule\": \"never\", \"message\": \"nothing passes\"}\n";
const LAX: &str =
    "package mine\n\ndeny contains {\"rule\": \"never\", \"message\": \"m\"} if input.finding_count > 1000\n";

#[tokio::test(flavor = "multi_thread")]
async fn evaluates_explains_and_keeps() {
    let harness = start().await;
    let (client, case) = (client(&harness, "acme"), CaseId::new());
    let clean = evaluated(&client, evaluate(&case, &[])).await;
    assert_eq!((clean.decision(), clean.required_approvals), (Decision::Allow, 0));
    assert_eq!(clean.policies, ["procurement@1"]);
    let bad = evaluated(&client, evaluate(&case, &[("R046", Severity::Critical)])).await;
    assert_eq!((bad.decision(), bad.required_approvals), (Decision::Deny, 2));
    assert_eq!(bad.actions, ["escalate", "notify"]);
    assert_eq!(
        (bad.reasons[0].policy.as_str(), bad.reasons[0].decision()),
        ("procurement@1", Decision::Deny)
    );
    assert!(bad.summary.starts_with("It breaks a rule: "), "{}", bad.summary);

    let list = |size: i32, token: &str| {
        let request = ListEvaluationsRequest {
            parent: format!("cases/{case}"),
            page_size: size,
            page_token: token.to_owned(),
        };
        let mut client = client.clone();
        async move { client.list_evaluations(request).await.unwrap().into_inner() }
    };
    let first = list(1, "").await;
    assert_eq!(first.evaluations.len(), 1);
    assert_eq!(first.evaluations[0].result.as_ref(), Some(&bad), "newest first, as it was answered");
    assert_eq!(first.evaluations[0].name, bad.evaluation);
    let second = list(1, &first.next_page_token).await;
    assert_eq!(second.evaluations[0].result.as_ref(), Some(&clean));
    assert!(second.next_page_token.is_empty() && second.evaluations[0].create_time.is_some());
    assert_eq!(list(0, "").await.evaluations.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_carried_out_once() {
    let harness = start().await;
    let (mut client, case) = (client(&harness, "acme"), CaseId::new());
    let request = evaluate(&case, &[("R018", Severity::Medium)]);
    let first = client.evaluate(keyed(request.clone(), "k1")).await.unwrap().into_inner();
    let again = client.evaluate(keyed(request.clone(), "k1")).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = client.evaluate(keyed(evaluate(&case, &[]), "k1")).await;
    refused(other, FaultKind::KeyReused, "STO-0005");
    let fresh = client.evaluate(keyed(request, "k2")).await.unwrap().into_inner();
    assert_ne!(fresh.evaluation, first.evaluation);

    let one = client.publish_policy(keyed(publish("mine", STRICT, &[]), "k1")).await.unwrap().into_inner();
    published(&client, publish("mine", LAX, &[])).await.unwrap();
    let again = client.publish_policy(keyed(publish("mine", STRICT, &[]), "k1")).await.unwrap().into_inner();
    assert_eq!(one, again, "the answer of that time, although there is a newer version");
    let other = client.publish_policy(keyed(publish("mine", LAX, &[]), "k1")).await;
    refused(other, FaultKind::KeyReused, "STO-0005");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_versioned_and_never_lost() {
    let harness = start().await;
    let client = client(&harness, "acme");
    let first = published(&client, publish("mine", STRICT, &[CaseKind::Tender])).await.unwrap();
    assert_eq!((first.version, first.published_by.as_str()), (1, "users/olga"));
    assert_eq!(first.sha256.len(), 64);
    let same = published(&client, publish("mine", STRICT, &[CaseKind::Tender])).await.unwrap();
    assert_eq!(same, first, "the same text makes no new version");
    let wider = published(&client, publish("mine", STRICT, &[])).await.unwrap();
    assert_eq!(wider.version, 2);
    let third = published(&client, publish("mine", LAX, &[])).await.unwrap();
    assert_eq!(third.version, 3);
    assert_eq!(get(&client, "policies/mine", 0).await.unwrap(), third);
    assert_eq!(get(&client, "policies/mine", 1).await.unwrap(), first);
    refused(get(&client, "policies/mine", 4).await, FaultKind::NotFound, "CMP-0003");
    refused(get(&client, "policies/yours", 0).await, FaultKind::NotFound, "CMP-0003");
    refused(get(&client, "mine", 0).await, FaultKind::Invalid, "CMP-0001");

    let request = evaluate(&CaseId::new(), &[]);
    let answer = evaluated(&client, request).await;
    assert_eq!(
        (answer.decision(), answer.policies),
        (Decision::Allow, vec!["mine@3".into(), "procurement@1".into()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_starter_set_can_be_replaced_by_a_tenant_for_itself() {
    let harness = start().await;
    let (acme, other) = (client(&harness, "acme"), client(&harness, "other"));
    let starter = get(&acme, "policies/procurement", 0).await.unwrap();
    assert_eq!((starter.version, starter.published_by.as_str()), (1, "probity"));
    let own = published(&acme, publish("procurement", STRICT, &[CaseKind::Tender])).await.unwrap();
    assert_eq!(own.version, 2);
    let names = async |client: &Client| {
        let list = client.clone().list_policies(ListPoliciesRequest {}).await.unwrap().into_inner();
        list.policies.iter().map(|p| format!("{}@{}", p.name, p.version)).collect::<Vec<_>>()
    };
    let of = |version| {
        ["messages@1", "payments@1", &format!("procurement@{version}"), "reports@1"]
            .map(|n| format!("policies/{n}"))
    };
    assert_eq!(names(&acme).await, of(2));
    assert_eq!(names(&other).await, of(1));
    assert_eq!(get(&acme, "policies/procurement", 1).await.unwrap(), starter, "old decisions name it");
    let case = CaseId::new();
    let denied = evaluated(&acme, evaluate(&case, &[])).await;
    assert_eq!((denied.decision(), denied.policies), (Decision::Deny, vec!["procurement@2".into()]));
    assert_eq!(evaluated(&other, evaluate(&case, &[])).await.decision(), Decision::Allow);
    // A tenant sees its own evaluations alone.
    let request = ListEvaluationsRequest { parent: format!("cases/{case}"), ..Default::default() };
    let list = other.clone().list_evaluations(request).await.unwrap().into_inner();
    assert_eq!(list.evaluations.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_nothing_is_kept() {
    let harness = start().await;
    let client = client(&harness, "acme");
    let check = async |name: &str, source: &str, code: &str, part: &str| {
        let message = refused(published(&client, publish(name, source, &[])).await, FaultKind::Invalid, code);
        assert!(message.contains(part), "{message}");
    };
    check("Mine", STRICT, "CMP-0001", "policy: must be 1 to 63").await;
    check("mine", "", "CMP-0001", "source: is missing").await;
    check("mine", &"#".repeat(256 * 1024 + 1), "CMP-0001", "longer than 262144").await;
    check("mine", "package p\n\ndeny contains {\"rule\" \"a\"}", "CMP-0002", "source: line 3, column").await;
    check(
        "mine",
        &format!("{STRICT}\nx := http.send({{}})"),
        "CMP-0002",
        "line 5, column 10: `http.send` reaches",
    )
    .await;
    check("mine", &format!("{STRICT}\nf(x) := f(x)"), "CMP-0002", "calls itself").await;
    let kinds = PublishPolicyRequest { kinds: vec![1, 9], ..publish("mine", STRICT, &[]) };
    assert!(refused(published(&client, kinds).await, FaultKind::Invalid, "CMP-0001").starts_with("kinds[1]"));
    refused(get(&client, "policies/mine", 0).await, FaultKind::NotFound, "CMP-0003");

    let mut request = evaluate(&CaseId::new(), &[("R018", Severity::Unspecified)]);
    let message = refused(client.clone().evaluate(request.clone()).await, FaultKind::Invalid, "CMP-0001");
    assert!(message.starts_with("findings[0].severity"), "{message}");
    request.case = "cases/1".into();
    refused(client.clone().evaluate(request).await, FaultKind::Invalid, "CMP-0001");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_so_many_policies_and_no_more() {
    let builder =
        Harness::builder().peer("audit-aggregator", Routes::default()).set(NAME, "max_policies", "2");
    let harness = builder.set(NAME, "time_limit_ms", "20000").start::<ComplianceValidator>().await;
    let client = client(&harness, "acme");
    for name in ["a", "b"] {
        published(&client, publish(name, LAX, &[])).await.unwrap();
    }
    refused(published(&client, publish("c", LAX, &[])).await, FaultKind::WrongState, "CMP-0004");
    assert_eq!(
        published(&client, publish("b", STRICT, &[])).await.unwrap().version,
        2,
        "a new version is no new policy"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_keeps_nothing() {
    let harness = start().await;
    let mut client = client(&harness, "acme");
    let case = CaseId::new();
    let request = TryPolicyRequest { source: STRICT.into(), input: Some(evaluate(&case, &[])) };
    let answer = client.try_policy(request).await.unwrap().into_inner();
    assert_eq!((answer.decision(), answer.policies), (Decision::Deny, vec!["draft@0".into()]));
    assert!(answer.evaluation.is_empty());
    let request = ListEvaluationsRequest { parent: format!("cases/{case}"), ..Default::default() };
    assert!(client.list_evaluations(request).await.unwrap().into_inner().evaluations.is_empty());
    let request = TryPolicyRequest { source: "package p".into(), input: Some(evaluate(&case, &[])) };
    refused(client.try_policy(request).await, FaultKind::Invalid, "CMP-0002");
    refused(
        client.try_policy(TryPolicyRequest { source: STRICT.into(), input: None }).await,
        FaultKind::Invalid,
        "CMP-0001",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_asked_for() {
    let harness = start().await;
    let as_role = |role| Client::new(harness.client_as(&ctx("acme", "users/ada", &[role])));
    let request = evaluate(&CaseId::new(), &[]);
    let denied = as_role(Role::Submitter).evaluate(request.clone()).await.unwrap_err();
    assert_eq!(fault_of(&denied).kind, FaultKind::Denied);
    let denied = as_role(Role::Officer).publish_policy(publish("mine", STRICT, &[])).await.unwrap_err();
    assert_eq!(fault_of(&denied).kind, FaultKind::Denied);
    as_role(Role::Service).evaluate(request).await.unwrap();
}

/// What waits to be handed to the audit log.
async fn events(dir: &std::path::Path) -> Vec<AuditEvent> {
    let file = dir.join(NAME).join(format!("{NAME}.db"));
    let db = Db::open(&DbConfig::sqlite(file), "compliance_validator", MIGRATIONS).await.unwrap();
    let events = outbox::pending(&db, 0, 100).await.unwrap();
    db.close().await;
    events.into_iter().map(|(_, event)| event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_survives_a_restart_and_is_on_its_way_to_the_log() {
    let harness = start().await;
    let (acme, case) = (client(&harness, "acme"), CaseId::new());
    let policy = published(&acme, publish("mine", STRICT, &[])).await.unwrap();
    let request = evaluate(&case, &[("R018", Severity::Medium)]);
    let answer = acme.clone().evaluate(keyed(request.clone(), "k")).await.unwrap().into_inner();
    acme.clone().evaluate(keyed(request.clone(), "k")).await.unwrap();
    let dir = harness.stop().await;

    let events = events(&dir).await;
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["policy.published", "case.evaluated"], "the repeated request is not a second event");
    assert_eq!((events[0].actor.as_str(), events[0].subject.as_str()), ("users/olga", "policies/mine"));
    assert_eq!(
        (events[1].subject.as_str(), events[1].case.as_str()),
        (answer.evaluation.as_str(), request.case.as_str())
    );
    let detail: serde_json::Value = serde_json::from_str(&events[1].detail).unwrap();
    assert_eq!(detail["decision"], "deny");
    assert_eq!(detail["policies"]["mine@1"], policy.sha256.as_str());
    assert_eq!(detail["rules"][0], "mine@1 never");
    assert_eq!(detail["input_sha256"].as_str().map(str::len), Some(64));

    let builder = Harness::builder().peer("audit-aggregator", Routes::default()).dir(dir);
    let harness = builder.set(NAME, "time_limit_ms", "20000").start::<ComplianceValidator>().await;
    let acme = client(&harness, "acme");
    assert_eq!(get(&acme, "policies/mine", 0).await.unwrap(), policy);
    let again = acme.clone().evaluate(keyed(request, "k")).await.unwrap().into_inner();
    assert_eq!(again, answer);
}
