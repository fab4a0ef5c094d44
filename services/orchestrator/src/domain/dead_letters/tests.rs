use super::*;
use probity_engine::definition::{Catalog, MethodSpec};
use probity_engine::{CallFailure, Definition, Event, Opening, What};
use probity_types::{Micros, Role, Roles};
use serde_json::json;

struct NoMethods;

impl Catalog for NoMethods {
    fn method(&self, _: &str) -> Option<MethodSpec> {
        None
    }

    fn callable(&self) -> Vec<String> {
        Vec::new()
    }
}

const SOURCE: &str = "
name: two
steps:
  - {id: first, task: fetch, queue: slow, retry: never, input: {page: '7'}}
  - {id: second, task: count, needs: [first], input: {n: steps.first.n}}
  - {id: third, task: each, needs: [second], retry: never, for_each: steps.second.list, input: {of: item}}
";

/// An execution with the letters that follow it.
struct Run {
    execution: Execution,
    letters: Letters,
    facts: Vec<Fact>,
}

impl Run {
    fn begin() -> (Self, Vec<Change>) {
        let opening = Opening {
            name: "executions/exec_x".into(),
            what: What::Plain,
            input: Json::Null,
            priority: 2,
            owner: "users/a".into(),
            owner_roles: Roles::new([Role::Operator]),
            parent: None,
        };
        let definition = Definition::compile(SOURCE, &NoMethods).unwrap();
        let (execution, turn) = Execution::open(definition.into(), opening, Micros(1));
        let mut run = Self { execution, letters: Letters::default(), facts: Vec::new() };
        let changes = run.took(turn.facts);
        (run, changes)
    }

    fn took(&mut self, facts: Vec<Fact>) -> Vec<Change> {
        let changes = self.letters.take(&facts, &self.execution, |_| "nobody");
        self.facts.extend(facts);
        // A process that starts again knows the same.
        assert_eq!(Letters::replay(self.facts.iter()), self.letters);
        changes
    }

    fn take(&mut self, event: Event) -> Vec<Change> {
        let turn = self.execution.take(event, Micros(2), 0.5).unwrap();
        self.took(turn.facts)
    }

    fn answer(&mut self, step: usize, attempt: u32, result: Result<Json, &str>) -> Vec<Change> {
        self.answer_item(step, None, attempt, result)
    }

    fn answer_item(
        &mut self,
        step: usize,
        item: Option<u32>,
        attempt: u32,
        result: Result<Json, &str>,
    ) -> Vec<Change> {
        let failed = |message: &str| CallFailure {
            code: "BUSY".into(),
            message: message.into(),
            transient: false,
            retry_after: None,
        };
        let result = result.map_err(failed);
        self.take(Event::CallEnded { step, item, attempt, compensation: false, result })
    }
}

fn left(changes: &[Change]) -> Vec<(&str, State, &str)> {
    let left = changes.iter().filter_map(|change| match change {
        Change::Left { slot, to, note } => Some((slot.step.as_str(), *to, note.as_str())),
        Change::Opened(_) => None,
    });
    left.collect()
}

#[test]
fn a_failure_opens_a_letter_that_says_what_was_asked_of_whom() {
    let (mut run, none) = Run::begin();
    assert_eq!(none, []);
    let changes = run.answer(0, 1, Err("page 7 is \"gone\""));
    let [Change::Opened(failure)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((failure.code.as_str(), failure.attempts), ("BUSY", 1));
    assert_eq!((failure.peer.as_str(), failure.operation.as_str()), ("queues/slow", "fetch"));
    assert_eq!((failure.template.as_str(), &*failure.payload), ("page <n> is <text>", &json!({"page": 7})));
    assert_eq!(failure.definition, "definitions/two");
    assert_eq!(payload_of(run.facts.iter(), &failure.slot), Some(&failure.payload));
}

#[test]
fn whatever_ends_the_incident_moves_the_letter() {
    let check = |event: Event, expect: &[(&str, State, &str)]| {
        let (mut run, _) = Run::begin();
        run.answer(0, 1, Err("no"));
        assert_eq!(left(&run.take(event)), expect);
    };
    let (actor, step, reason) = (String::from("users/o"), String::from("first"), String::from("not needed"));
    check(Event::RetryStep { actor: actor.clone(), step: step.clone() }, &[("first", State::Requeued, "")]);
    let skip = Event::SkipStep { actor: actor.clone(), step, reason: reason.clone() };
    let (mut run, _) = Run::begin();
    run.answer(0, 1, Err("no"));
    // What was skipped has no output: the step after it cannot be computed.
    let changes = run.take(skip);
    assert_eq!(left(&changes), [("first", State::Discarded, "not needed")]);
    let [_, Change::Opened(second)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((second.slot.step.as_str(), second.code.as_str()), ("second", "ORC-0043"));
    check(Event::Cancel { actor, reason }, &[("first", State::Discarded, "the execution ended: not needed")]);
}

#[test]
fn a_step_that_fails_again_opens_its_letter_again() {
    let (mut run, _) = Run::begin();
    run.answer(0, 1, Err("no"));
    run.take(Event::RetryStep { actor: "users/o".into(), step: "first".into() });
    let changes = run.answer(0, 2, Err("still no"));
    assert!(matches!(&changes[..], [Change::Opened(f)] if f.attempts == 2), "{changes:?}");
    run.take(Event::RetryStep { actor: "users/o".into(), step: "first".into() });
    assert_eq!(run.answer(0, 3, Ok(json!({"n": 1}))), []);
    assert_eq!(run.letters, Letters::default());
}

#[test]
fn each_item_has_a_letter_of_its_own() {
    let (mut run, _) = Run::begin();
    run.answer(0, 1, Ok(json!({"n": 1})));
    run.answer(1, 1, Ok(json!({"list": ["a", "b"]})));
    let changes = run.answer_item(2, Some(1), 1, Err("no"));
    let [Change::Opened(failure)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((failure.slot.item, &*failure.payload, failure.attempts), (Some(1), &json!({"of": "b"}), 1));
    let edited =
        Event::EditInput { actor: "users/o".into(), step: "third[1]".into(), input: json!({"of": "c"}) };
    let changes = run.take(edited);
    let [Change::Left { slot, to: State::Requeued, .. }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(slot.item, Some(1));
    assert_eq!(payload_of(run.facts.iter(), slot).map(|json| json["of"].clone()), Some(json!("c")));
}
