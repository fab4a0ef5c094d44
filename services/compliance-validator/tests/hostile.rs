//! Policies written to do harm, through the running service: each asks for a
//! person, none takes the service down or keeps others waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_compliance_validator::ComplianceValidator;
use probity_proto::BoxGrpcService;
use probity_proto::common::CaseKind;
use probity_proto::compliance::compliance_service_client::ComplianceServiceClient;
use probity_proto::compliance::{Decision, EvaluateRequest, EvaluateResponse, TryPolicyRequest};
use probity_runtime::testing::{Harness, ctx};
use probity_types::Role;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tonic::service::Routes;
use tonic::{Code, Status};

type Client = ComplianceServiceClient<BoxGrpcService>;

const NAME: &str = "compliance-validator";

async fn start() -> Harness {
    Harness::builder()
        .peer("audit-aggregator", Routes::default())
        .set(NAME, "time_limit_ms", "500")
        .set(NAME, "evaluation_limit_ms", "20000")
        .set(NAME, "compile_limit_ms", "20000")
        .set(NAME, "queue_wait_ms", "60000")
        .start::<ComplianceValidator>()
        .await
}

async fn tried(harness: &Harness, source: &str) -> Result<EvaluateResponse, Status> {
    let mut client = Client::new(harness.client_as(&ctx("acme", "users/mallory", &[Role::Operator])));
    let input = EvaluateRequest {
        kind: CaseKind::Payment as i32,
        finding_count: 3,
        facts: BTreeMap::from([("text".to_owned(), "a".repeat(4_000))]),
        ..EvaluateRequest::default()
    };
    let request = TryPolicyRequest { source: source.to_owned(), input: Some(input) };
    client.try_policy(request).await.map(tonic::Response::into_inner)
}

const REVIEW: &str = "review contains {\"rule\": \"r\", \"message\": \"m\"} if ";

#[tokio::test(flavor = "multi_thread")]
async fn hostile_policies_ask_for_a_person() {
    let harness = start().await;
    let deep = (1..=18)
        .map(|i| format!("x{i} := {{\"a\": x{0}, \"b\": x{0}, \"c\": x{0}}}\n", i - 1))
        .collect::<String>();
    let wide = "[a, b, c, d] | some a in n; some b in n; some c in n; some d in n";
    let bombs = [
        (
            "policy-timeout",
            format!(
                "n := numbers.range(1, 9999)\n{REVIEW}count([1 | some a in n; some b in n; some c in n; a == b + c]) > 1"
            ),
        ),
        ("policy-timeout", format!("n := numbers.range(1, 9999)\n{REVIEW}count({{{wide}}}) > 1")),
        (
            "policy-timeout",
            format!(
                "n := numbers.range(1, 9999)\n{REVIEW}count({{[a, b]: a | some a in n; some b in n}}) > 1"
            ),
        ),
        ("policy-failed", format!("{REVIEW}count(numbers.range(1, 1000000000)) > 1")),
        ("policy-failed", format!("{REVIEW}count(sprintf(\"%999999999d\", [1])) > 1")),
        ("policy-failed", format!("t := input.facts.text\n{REVIEW}count(replace(t, \"a\", t)) > 1")),
        ("policy-failed", format!("x0 := {{\"a\": 1}}\n{deep}{REVIEW}count(json.marshal(x18)) > 1")),
        ("policy-failed", format!("x0 := {{\"a\": 1}}\n{deep}{REVIEW}count(sprintf(\"%v\", [x18])) > 1")),
        ("policy-panicked", format!("{REVIEW}strings.count(input.facts.text, input.spam.band) > 1")),
        ("policy-failed", format!("x := y\ny := x\n{REVIEW}x")),
        ("policy-answer", "review contains [1, 2]".to_owned()),
        ("unknown-action", format!("actions contains \"rm -rf\"\n{REVIEW}false")),
    ];
    for (rule, body) in bombs {
        let started = Instant::now();
        let answer =
            tried(&harness, &format!("package p\n{body}\n")).await.unwrap_or_else(|e| panic!("{body}: {e}"));
        assert_eq!(answer.decision(), Decision::Review, "{body}: {answer:?}");
        assert!(answer.reasons.iter().any(|reason| reason.rule == rule), "{body}: {answer:?}");
        assert!(answer.reasons[0].message.contains("draft@0"), "{answer:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{body}: {:?}", started.elapsed());
    }
    let many = format!(
        "package p\n{REVIEW}true\nreview contains {{\"rule\": \"x\", \"message\": sprintf(\"%s%d\", [input.facts.text, i])}} if some i in numbers.range(1, 2000)\n"
    );
    let answer = tried(&harness, &many).await.unwrap();
    assert!(answer.reasons.len() <= 202, "{}", answer.reasons.len());
    assert!(answer.reasons.iter().all(|reason| reason.message.chars().count() <= 1_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_would_exhaust_the_parser_are_refused() {
    let harness = start().await;
    let chain = |n: usize| (1..=n).map(|i| format!("f{i}(x) := f{}(x)\n", i - 1)).collect::<String>();
    let check = async |source: String| {
        let started = Instant::now();
        let refused = tried(&harness, &source).await.unwrap_err();
        let short: String = source.chars().take(80).collect();
        assert_eq!(refused.code(), Code::InvalidArgument, "{short}: {refused:?}");
        assert!(started.elapsed() < Duration::from_secs(30), "{short}: {:?}", started.elapsed());
    };
    check(format!("package p\nx := {}1{}", "[".repeat(100_000), "]".repeat(100_000))).await;
    check(format!("package p\nx := {}1", "{\"a\":\n".repeat(40_000))).await;
    check(format!("package p\nx := {}1", "1 +\n".repeat(60_000))).await;
    check(format!("package p\nx := {}1", "- ".repeat(100_000))).await;
    check(format!("package p\nx := a{}", ".b\n".repeat(60_000))).await;
    check(format!("package {}", "a.".repeat(100_000))).await;
    check(format!("package p\nf(x) := f([x, x])\n{REVIEW}f(1)\n")).await;
    check(format!("package p\nf(x) := g(x)\ng(x) := f(x)\n{REVIEW}f(1)\n")).await;
    check(format!("package p\nf0(x) := x\n{}{REVIEW}f5000(1)\n", chain(5_000))).await;
    check("package p\n\u{0}".to_owned()).await;
    check("\u{feff}package p\n\"\\ud800\"".to_owned()).await;
    check("x".repeat(200_000)).await;
    check(format!("package p\nx := \"{}", "\\".repeat(1_000))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_served_meanwhile() {
    let harness = start().await;
    let bomb = format!(
        "package p\nn := numbers.range(1, 9999)\n{REVIEW}count([1 | some a in n; some b in n; some c in n; a == b + c]) > 1\n"
    );
    let bombs: Vec<_> = (0..6).map(|i| format!("{bomb}# {i}\n")).collect();
    let runs = bombs.iter().map(|source| tried(&harness, source));
    let fine = format!("package p\n{REVIEW}input.finding_count == 3\n");
    let (bad, good) = tokio::join!(futures::future::join_all(runs), tried(&harness, &fine));
    assert!(bad.into_iter().all(|answer| answer.unwrap().reasons[0].rule == "policy-timeout"));
    assert_eq!(good.unwrap().reasons[0].rule, "r");
}
