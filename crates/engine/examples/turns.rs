//! How long the core takes for an execution, without storing or calling anything:
//! `cargo run --release -p probity-engine --example turns`.
//!
//! Prints microseconds an execution, the best of several rounds, for four tasks
//! (two of them side by side, answers of about 200 bytes) and for the shipped
//! definition of tenders with answers that ask a person.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../tests/support/mod.rs"]
mod support;

use probity_engine::{
    CaseKind, Command, Definition, Disposition, Event, Execution, Opening, Status, StepStatus, What,
};
use probity_types::{Micros, Role, Roles};
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::definition;

const FOUR: &str = r#"
name: four
steps:
  - {id: triage, task: triage, input: {text: input.text, priority: execution.priority}}
  - {id: money, needs: [triage], when: steps.triage.score > 0.2, task: check, input: {amount: input.amount, band: steps.triage.band}}
  - {id: people, needs: [triage], task: check, input: {names: steps.triage.names}}
  - {id: audit, needs: [money, people], task: audit, input: {money: steps.money, people: steps.people.names}}
output: {band: steps.triage.band, audit: steps.audit.score}
"#;
const TENDER: &str = include_str!("../../../services/orchestrator/definitions/tender.yaml");
const ROUNDS: usize = 20;
const RUNS: u32 = 2_000;

fn plain() -> Opening {
    Opening {
        name: "executions/exec_019".into(),
        what: What::Plain,
        input: json!({"text": "a text of some length that is to be looked at", "amount": 1_250_000, "to": ["a", "b"]}),
        priority: 2,
        owner: "users/sam".into(),
        owner_roles: Roles::new([Role::Submitter]),
        parent: None,
    }
}

fn case() -> Opening {
    let what = What::Case {
        kind: CaseKind::Tender,
        subject: "a tender".into(),
        documents: vec![format!("documents/{}", "a".repeat(64))],
    };
    Opening { name: "cases/case_019".into(), what, input: Json::Null, ..plain() }
}

fn small(_: &str) -> Json {
    json!({"score": 0.75, "band": "BAND_UNSURE", "names": ["Anna Ardent", "Bert Bold", "Cleo Calm"],
        "note": "an answer of about two hundred bytes, as most answers of a step are; no more than that"})
}

fn of_tender(step: &str) -> Json {
    match step {
        "documents" => json!({"acceptable": true, "reason": ""}),
        "investigate" => {
            let one =
                json!({"code": "R001", "severity": "SEVERITY_HIGH", "value": "0.93", "threshold": "0.8"});
            json!({"finding_count": 3, "summary": "three red flags", "findings": [one, one, one], "facts": []})
        }
        "validate" => json!({"decision": "DECISION_REVIEW", "actions": ["notify"], "required_approvals": 1,
            "summary": "needs a person", "reasons": [{"message": "a rule says so"}]}),
        _ => json!({"name": "cases/case_019/actions/act_1"}),
    }
}

/// One execution from its start to its end; the answers are made outside the clock.
fn run(definition: &Arc<Definition>, opening: Opening, answer: fn(&str) -> Json) -> Duration {
    let mut spent = Duration::ZERO;
    let mut now = Micros(1_700_000_000_000_000);
    let started = Instant::now();
    let (mut execution, turn) = Execution::open(definition.clone(), opening, now);
    spent += started.elapsed();
    let mut calls: VecDeque<Command> = turn.commands.into();
    while execution.ended.is_none() {
        now = Micros(now.0 + 100);
        let event = match calls.pop_front() {
            Some(Command::Call { step, item, attempt, compensation, .. }) => {
                let result = Ok(answer(&definition.steps[step].id));
                Event::CallEnded { step, item, attempt, compensation, result }
            }
            Some(_) => Event::Woken,
            None if execution.status() == Status::Waiting => {
                let (actor, note) = ("users/otto".to_owned(), "seen".to_owned());
                Event::Decide { actor, roles: Roles::default(), disposition: Disposition::Confirmed, note }
            }
            None => {
                panic!("stuck: {:?}", execution.steps.iter().map(|s| s.status).collect::<Vec<StepStatus>>())
            }
        };
        let started = Instant::now();
        let turn = black_box(execution.take(event, now, 0.5)).expect("taken");
        spent += started.elapsed();
        calls.extend(turn.commands);
    }
    spent
}

fn measure(name: &str, source: &str, opening: fn() -> Opening, answer: fn(&str) -> Json) {
    let definition = definition(source);
    let round = || (0..RUNS).map(|_| run(&definition, opening(), answer)).sum::<Duration>();
    let best = (0..ROUNDS).map(|_| round()).min().unwrap();
    println!("{name:8} {:6.2} µs an execution", best.as_secs_f64() * 1e6 / f64::from(RUNS));
}

fn main() {
    measure("four", FOUR, plain, small);
    measure("tender", TENDER, case, of_tender);
}
