//! Dry runs and simulated runs of the shipped definitions and of small ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod support;

use probity_engine::trial::{Answers, Script, Scripted, dry_run, simulate};
use serde_json::json;
use std::time::Duration;
use support::flows::{CASE, FLOW, case, items, plain};
use support::{EVERYTHING, definition};

#[test]
fn a_dry_run_tells_what_would_be_called() {
    let answers = Answers::from([
        ("documents".into(), json!({"acceptable": true, "reason": ""})),
        ("triage".into(), json!({"band": "BAND_HAM", "explanation": "", "probability": 0.1})),
        ("investigate".into(), json!({"finding_count": 7, "summary": "seven", "findings": []})),
        ("decision".into(), json!({"disposition": "FALSE_POSITIVE", "note": "no"})),
    ]);
    let plan = dry_run(&definition(EVERYTHING), case(), &answers);
    let called: Vec<_> = plan.calls.iter().map(|c| c.step.as_str()).collect();
    assert_eq!(called, ["documents", "triage", "investigate", "tell", "hold"]);
    assert_eq!(plan.calls[4].input["reason"], json!("seven"));
    let held: Vec<_> = plan.conditions.iter().map(|c| (c.step.as_str(), c.held)).collect();
    assert_eq!(held, [("unusable", false), ("tell", true), ("hold", true), ("decision", true)]);
    assert!(plan.waits.iter().any(|w| w.what.contains("2 of anybody to decide: seven")), "{plan}");
    assert_eq!((plan.ends.as_str(), &plan.gives["outcome"]), ("completed", &json!("clear")), "{plan}");
}

#[test]
fn what_is_not_given_is_made_up() {
    let plan = dry_run(&definition(EVERYTHING), case(), &Answers::new());
    // Documents with every default are not acceptable.
    assert_eq!(plan.ends, "failed", "{plan}");
    let officers = dry_run(&definition(CASE), case(), &Answers::from([("look".into(), json!({"score": 1}))]));
    assert_eq!(officers.ends, "completed", "{officers}");
    let flow = dry_run(&definition(FLOW), plain(items(3)), &Answers::new());
    assert_eq!(flow.ends, "completed", "{flow}");
    assert_eq!(flow.calls.iter().filter(|c| c.step.starts_with("each[")).count(), 3);
}

#[test]
fn what_would_stop_it_is_told() {
    let broken = definition(
        "name: x\nsteps:\n  - {id: a, task: a}\n  - {id: b, needs: [a], task: b, input: {x: steps.a.missing}}\n",
    );
    let plan = dry_run(&broken, plain(json!({})), &Answers::new());
    assert_eq!(plan.ends, "incident");
    assert!(plan.trouble[0].contains("missing"), "{plan}");
    assert!(plan.to_string().contains("ends  incident"));
}

#[test]
fn a_simulation_has_a_clock_and_failures() {
    let definition = definition(
        "name: x\nsteps:\n  - {id: a, task: a, retry: {max_attempts: 5, base: 1s, cap: 1m, jitter: none}}\n  - {id: t, needs: [a], wait: {timer: 2h}}\n  - {id: go, needs: [t], wait: {signal: go}}\n",
    );
    let slow = Scripted { failures: 2, takes: Duration::from_secs(5), ..Scripted::default() };
    let script = Script { steps: [("a".to_owned(), slow)].into(), ..Script::default() };
    let timeline = simulate(&definition, plain(json!({})), &script, 1);
    assert_eq!(timeline.ends, "completed", "{timeline}");
    let at = |what: &str| timeline.lines.iter().find(|l| l.what == what).map(|l| l.at.as_secs());
    // Three attempts of 5 s with waits of 1 s and 2 s between them, then two hours.
    assert_eq!((at("step.completed"), at("signal.awaited")), (Some(18), Some(18 + 7_200)), "{timeline}");
    assert_eq!(at("signal.taken"), Some(18 + 7_200 + 60));
}

#[test]
fn the_same_seed_gives_the_same_timeline() {
    let often = Scripted { failures: 2, ..Scripted::default() };
    let script = Script { steps: [("fetch".to_owned(), often)].into(), ..Script::default() };
    let run = |seed| simulate(&definition(FLOW), plain(items(3)), &script, seed).to_string();
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn deadlines_and_decisions_take_their_time() {
    let slow = Scripted { takes: Duration::from_secs(3_600), ..Scripted::default() };
    let script = Script {
        answers: Answers::from([("look".into(), json!({"score": 1}))]),
        steps: [("first".to_owned(), slow)].into(),
    };
    let timeline = simulate(&definition(CASE), case(), &script, 0);
    let kinds: Vec<_> = timeline.lines.iter().map(|l| l.what).collect();
    for wanted in ["approval.reminded", "approval.escalated", "case.decided"] {
        assert!(kinds.contains(&wanted), "{wanted}: {timeline}");
    }
}
