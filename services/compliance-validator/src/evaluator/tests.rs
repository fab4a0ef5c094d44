//! Compiling once, quarantine and lost threads.

use super::*;
use crate::domain::{Decision, starter};
use probity_runtime::CacheMetrics;
use probity_types::{ManualClock, Micros};
use prometheus::Registry;

/// Runs out of any time, a step at a time.
const BOMB: &str = "
n := numbers.range(1, 10000)
deny contains {\"rule\": \"r\", \"message\": \"m\"} if { input.finding_count > 0; some a in n; some b in n; some c in n; a + b == c * 100000 }
";

/// Compares two values that are small in memory and have 2^depth parts: the
/// interpreter does it in one step.
fn monster(depth: usize) -> String {
    let chain = |name: &str| {
        (1..=depth).map(|i| format!("{name}{i} := [{name}{0}, {name}{0}]\n", i - 1)).collect::<String>()
    };
    format!(
        "x0 := [\"a\"]\ny0 := [\"a\"]\n{}{}deny contains {{\"rule\": \"r\", \"message\": \"m\"}} if {{ input.finding_count > 0; x{depth} == y{depth} }}\n",
        chain("x"),
        chain("y")
    )
}

fn policy(name: &str, body: &str) -> Policy {
    let source = format!("package p\n{body}\n");
    Policy {
        name: name.parse().unwrap(),
        version: 1,
        sha256: source_sha256(&source),
        source: source.into(),
        ..starter::policies()[0].clone()
    }
}

fn config() -> Config {
    Config {
        time_limit_ms: 1_000,
        overrun_ms: 20_000,
        evaluation_limit_ms: 60_000,
        compile_limit_ms: 60_000,
        queue_wait_ms: 60_000,
        workers: 1,
        ..Config::default()
    }
}

struct Bench {
    evaluator: Evaluator,
    clock: Arc<ManualClock>,
    registry: Registry,
}

fn bench(config: Config) -> Bench {
    let (registry, clock) = (Registry::new(), Arc::new(ManualClock::at(Micros(0))));
    let metrics = Metrics::new(&registry, CacheMetrics::register(&registry).unwrap()).unwrap();
    Bench { evaluator: Evaluator::new(config, clock.clone(), metrics), clock, registry }
}

impl Bench {
    /// The reasons policies give for a case with a finding.
    async fn reasons(&self, policies: &[Policy]) -> Vec<String> {
        let mut case = Case::empty(CaseKind::Message);
        case.finding_count = 1;
        let evaluation = self.evaluator.evaluate(policies, &case).await.unwrap();
        assert!(evaluation.decision >= Decision::Review);
        evaluation.reasons.into_iter().map(|reason| format!("{} {}", reason.policy, reason.rule)).collect()
    }

    fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let labelled = |m: &&prometheus::proto::Metric| {
            label.is_empty() || m.get_label().iter().any(|l| l.value() == label)
        };
        let metric = family.get_metric().iter().find(labelled);
        metric.map_or(0.0, |m| m.get_counter().get_value() + m.get_gauge().get_value())
    }
}

#[tokio::test]
async fn a_policy_that_runs_out_of_time_is_set_aside_for_a_while() {
    let bench = bench(Config { time_limit_ms: 20, quarantine_after: 2, quarantine_s: 10, ..config() });
    let slow = [policy("slow", BOMB)];
    assert_eq!(bench.reasons(&slow).await, ["slow@1 policy-timeout"]);
    assert_eq!(bench.reasons(&slow).await, ["slow@1 policy-timeout"]);
    assert_eq!(bench.reasons(&slow).await, ["slow@1 policy-quarantined"]);
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.reasons(&slow).await, ["slow@1 policy-timeout"]);
    assert_eq!(bench.metric("compliance_policy_failures_total", "policy-timeout"), 3.0);
    assert_eq!(bench.metric("compliance_policy_failures_total", "policy-quarantined"), 1.0);
    assert_eq!(bench.metric("compliance_evaluations_total", "review"), 4.0);
}

#[tokio::test]
async fn a_policy_that_does_not_stop_costs_one_thread_for_a_while_and_no_more() {
    let bench = bench(Config { time_limit_ms: 100, overrun_ms: 100, max_stuck: 1, ..config() });
    let stubborn = [policy("stubborn", &monster(26))];
    let other =
        [policy("other", "review contains {\"rule\": \"r\", \"message\": \"m\"} if input.finding_count > 0")];
    assert_eq!(bench.reasons(&stubborn).await, ["stubborn@1 policy-overrun"]);
    assert_eq!(bench.metric("compliance_stuck_threads", ""), 1.0);
    assert_eq!(bench.reasons(&stubborn).await, ["stubborn@1 policy-quarantined"]);
    assert_eq!(bench.reasons(&other).await, ["other@1 r"], "the only worker was replaced");
    let refused = bench.evaluator.check("package p\n".into(), Vec::new()).await;
    assert!(matches!(refused, Err(Error::Busy)), "{refused:?}");
    while bench.evaluator.0.sandbox.stuck() > 0 {
        tokio::task::yield_now().await;
    }
    let refused = bench.evaluator.check("package p\n".into(), Vec::new()).await;
    assert!(matches!(refused, Err(Error::Policy(_))), "{refused:?}");
}

#[tokio::test]
async fn the_time_for_all_policies_is_limited() {
    let bench = bench(Config { time_limit_ms: 200, evaluation_limit_ms: 200, ..config() });
    let all = [policy("a", BOMB), policy("b", &format!("{BOMB}\n")), policy("c", &format!("{BOMB}\n\n"))];
    let mut reasons = bench.reasons(&all).await;
    reasons.sort();
    assert_eq!(reasons, ["a@1 policy-timeout", "b@1 policy-skipped", "c@1 policy-skipped"]);
}

#[tokio::test]
async fn a_stored_policy_that_does_not_compile_asks_for_a_person() {
    let bench = bench(config());
    assert_eq!(bench.reasons(&[policy("old", "deny contains {")]).await, ["old@1 policy-broken"]);
}

#[tokio::test]
async fn a_policy_is_compiled_once() {
    let bench = bench(config());
    let policies = starter::policies().to_vec();
    for _ in 0..3 {
        bench.reasons(&policies).await;
    }
    assert_eq!(bench.metric("cache_misses_total", "policies"), 4.0);
    assert_eq!(bench.metric("cache_hits_total", "policies"), 8.0);
}

#[tokio::test]
async fn a_text_that_is_published_is_rehearsed() {
    let bench = bench(Config { time_limit_ms: 200, ..config() });
    let check = async |body: &str, part: &str| {
        let source = format!("package p\n{body}\n");
        let refused = bench.evaluator.check(source.into(), CaseKind::ALL.to_vec()).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Policy(why) if why.to_string().contains(part)),
            "{body}: {refused}"
        );
    };
    check(&BOMB.replace("input.finding_count > 0; ", ""), "took longer than 200 ms").await;
    check(
        "review contains {\"rule\": \"r\", \"message\": \"m\"} if strings.count(\"a\", input.spam.band) > 1",
        "panic",
    )
    .await;
    check("review contains 7", "cannot be read").await;
    check("f(x) := f(x)\nreview contains {\"rule\": \"r\", \"message\": \"m\"} if f(1)", "line 2, column 1")
        .await;
    let fine =
        "package p\nreview contains {\"rule\": \"r\", \"message\": \"m\"} if input.finding_count > 0\n";
    bench.evaluator.check(fine.into(), Vec::new()).await.unwrap();
    assert_eq!(bench.metric("compliance_policies_refused_total", ""), 4.0);
}
