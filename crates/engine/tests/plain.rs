//! Executions that are not cases: what they see, what they give, what workers
//! answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod support;

use probity_engine::fact::Ending;
use probity_engine::{
    CallFailure, Command, Event, Execution, Fact, Opening, Parent, Status, StepStatus, Target, Turn, What,
};
use probity_types::{Micros, Role, Roles};
use serde_json::{Value as Json, json};
use support::definition;

const ORDER: &str = r#"
name: order
input_schema:
  type: object
  required: [amount]
  properties: {amount: {type: integer, minimum: 1}, to: {type: string}}
  additionalProperties: false
steps:
  - {id: price, task: price, queue: fast, input: {amount: input.amount}, output_schema: {type: object, required: [total], properties: {total: {type: integer}}}}
  - {id: tell, needs: [price], when: steps.price.total > 10, task: tell, input: {who: execution.owner, total: steps.price.total}}
"#;

fn opening(input: Json) -> Opening {
    Opening {
        name: "executions/exec_1".into(),
        what: What::Plain,
        input,
        priority: 3,
        owner: "users/sam".into(),
        owner_roles: Roles::new([Role::Submitter]),
        parent: Some(Parent { execution: "executions/exec_0".into(), step: "child".into(), item: Some(2) }),
    }
}

fn open(source: &str, input: Json) -> (Execution, Turn) {
    Execution::open(definition(source), opening(input), Micros(1))
}

fn answer(execution: &mut Execution, step: usize, result: Result<Json, CallFailure>) -> Turn {
    let attempt = execution.steps[step].attempts;
    let event = Event::CallEnded { step, item: None, attempt, compensation: false, result };
    execution.take(event, Micros(2), 0.5).unwrap()
}

#[test]
fn it_runs_from_input_to_output() {
    let (mut execution, turn) = open(ORDER, json!({"amount": 4}));
    let Some(Command::Call { input, key, .. }) = turn.commands.first() else { panic!("{turn:?}") };
    assert_eq!((&**input, key.as_str()), (&json!({"amount": 4}), "price"));
    let turn = answer(&mut execution, 0, Ok(json!({"total": 40})));
    let Some(Command::Call { input, .. }) = turn.commands.first() else { panic!("{turn:?}") };
    assert_eq!(**input, json!({"who": "users/sam", "total": 40}));
    let turn = answer(&mut execution, 1, Ok(json!({"sent": true})));
    assert_eq!(execution.status(), Status::Ended(Ending::Completed));
    assert_eq!(execution.output.as_deref(), Some(&json!({"tell": {"sent": true}})));
    assert!(!turn.facts.iter().any(|f| matches!(f, Fact::CaseMoved { .. } | Fact::Decided { .. })));
}

#[test]
fn the_journal_gives_it_back() {
    let (mut execution, turn) = open(ORDER, json!({"amount": 4, "to": "x"}));
    let mut facts = turn.facts;
    facts.extend(answer(&mut execution, 0, Ok(json!({"total": 4}))).facts);
    let stored: Vec<_> = facts.iter().map(|f| serde_json::to_string(f).unwrap()).collect();
    let read = stored.iter().map(|f| (Micros(1), serde_json::from_str(f).unwrap())).collect::<Vec<_>>();
    let again = Execution::replay(execution.definition.clone(), &read).unwrap();
    assert_eq!(again.opening, execution.opening);
    assert_eq!((again.output, again.ended), (execution.output, Some(Ending::Completed)));
}

#[test]
fn the_output_is_what_the_definition_says() {
    let check = |output: &str, expect: Json| {
        let (mut execution, _) = open(&format!("{ORDER}output: {output}\n"), json!({"amount": 4}));
        answer(&mut execution, 0, Ok(json!({"total": 7})));
        assert_eq!(execution.output.as_deref(), Some(&expect), "{output}");
    };
    check("steps.price.total + input.amount", json!(11));
    check("{total: steps.price.total, by: execution.owner}", json!({"total": 7, "by": "users/sam"}));
    // The last step was skipped and the one before is not a last one.
    let (mut execution, _) = open(ORDER, json!({"amount": 4}));
    answer(&mut execution, 0, Ok(json!({"total": 7})));
    assert_eq!(execution.output.as_deref(), Some(&json!({})));
    // What cannot be computed waits for a person.
    let (mut execution, _) = open(&format!("{ORDER}output: steps.tell.sent\n"), json!({"amount": 4}));
    answer(&mut execution, 0, Ok(json!({"total": 7})));
    assert_eq!(execution.status(), Status::Incident);
}

#[test]
fn an_answer_of_the_wrong_shape_is_an_incident() {
    let (mut execution, _) = open(ORDER, json!({"amount": 4}));
    let turn = answer(&mut execution, 0, Ok(json!({"total": "forty"})));
    let Some(Fact::StepFailed { code, error, retry_at_us: None, .. }) = turn.facts.first() else {
        panic!("{turn:?}")
    };
    assert!(code == "ORC-0023" && error.contains("/total"), "{code} {error}");
    assert_eq!(execution.steps[0].status, StepStatus::Incident);
}

#[test]
fn inputs_are_checked() {
    let definition = definition(ORDER);
    let check = |input: Json, pointer: &str, part: &str| {
        let faults = definition.check_input(&input).expect_err(part);
        assert!(faults.iter().any(|f| f.pointer == pointer && f.message.contains(part)), "{faults:?}");
    };
    assert_eq!(definition.check_input(&json!({"amount": 1})), Ok(()));
    check(json!({}), "", "amount");
    check(json!({"amount": 0}), "/amount", "minimum");
    check(json!({"amount": 1, "mount": 2}), "", "mount");
    check(json!({"amount": 1, "to": "x".repeat(1 << 20)}), "", "at most");
}

#[test]
fn tasks_say_who_does_them() {
    let definition = definition(ORDER);
    assert!(!definition.is_case());
    let targets: Vec<_> = definition.targets().cloned().collect();
    let task = |kind: &str, queue: &str| Target::Task { kind: kind.into(), queue: queue.into() };
    assert_eq!(targets, [task("price", "fast"), task("tell", "default")]);
}
