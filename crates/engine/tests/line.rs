//! Executions whose definition limits how many run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod support;

use probity_engine::fact::Ending;
use probity_engine::{Event, Execution, Opening, Status, StepStatus, What};
use probity_types::{Micros, Role, Roles};
use serde_json::{Value as Json, json};
use support::definition;
use support::play::Play;

const LIMITED: &str = "name: limited\nlimit: {key: input.of, running: 1}\nsteps:\n  - {id: a, task: a, deadline: 1h}\n\
    \x20 - {id: b, needs: [a], task: b, on_error: fail}\n  - {id: c, needs: [a], task: c}\n";

fn opening(input: Json) -> Opening {
    Opening {
        name: "executions/exec_1".into(),
        what: What::Plain,
        input,
        priority: 2,
        owner: "users/sam".into(),
        owner_roles: Roles::new([Role::Submitter]),
        parent: None,
    }
}

fn play() -> Play {
    Play::of(LIMITED, opening(json!({"of": "acme"})))
}

fn queued(play: &Play) -> bool {
    assert_eq!(play.execution.is_queued(), play.execution.status() == Status::Queued);
    play.execution.is_queued() && !play.execution.is_active() && play.execution.outstanding().is_empty()
}

fn check_replay(play: &Play) {
    let replayed = Execution::replay(play.execution.definition.clone(), &play.facts).unwrap();
    assert_eq!(replayed.line, play.execution.line);
    assert_eq!(replayed.outstanding(), play.execution.outstanding());
}

#[test]
fn it_does_nothing_before_it_has_a_place_and_keeps_it_to_its_end() {
    let mut play = play();
    play.expect_facts(&["execution.started", "execution.queued"]);
    play.expect_calls(&[]);
    assert!(queued(&play));
    play.later(10_000);
    assert!(queued(&play), "time alone changes nothing");
    check_replay(&play);
    play.take(Event::Admit).unwrap();
    play.expect_facts(&["execution.admitted", "step.scheduled"]);
    play.expect_calls(&["a"]);
    assert!(play.execution.line.as_ref().is_some_and(|line| line.admitted && line.key == "acme"));
    play.take(Event::Admit).unwrap();
    play.expect_facts(&[]);
    check_replay(&play);
    play.done("a");
    play.done("b");
    assert!(play.execution.line.is_some());
    play.done("c");
    assert_eq!(play.execution.status(), Status::Ended(Ending::Completed));
    assert_eq!(play.execution.line, None);
    check_replay(&play);
}

#[test]
fn people_may_end_pause_and_start_what_waits() {
    let mut cancelled = play();
    cancelled.take(Event::Cancel { actor: "users/o".into(), reason: "x".into() }).unwrap();
    assert_eq!(cancelled.execution.status(), Status::Ended(Ending::Cancelled));
    cancelled.take(Event::Admit).unwrap();
    cancelled.expect_facts(&[]);

    let mut paused = play();
    paused.take(Event::Pause { actor: "users/o".into(), reason: "x".into() }).unwrap();
    paused.take(Event::Admit).unwrap();
    paused.expect_facts(&["execution.admitted"]);
    paused.take(Event::Resume { actor: "users/o".into() }).unwrap();
    paused.expect_calls(&["a"]);

    // What is only made does not stand in line.
    let (mut held, _) = Execution::hold(definition(LIMITED), opening(json!({"of": "x"})), Micros(1));
    assert_eq!(held.line, None);
    let turn = held.take(Event::Run { actor: "users/o".into() }, Micros(2), 0.5).unwrap();
    assert!(turn.commands.is_empty() && held.is_queued(), "{turn:?}");
}

#[test]
fn what_is_run_again_stands_in_line_again() {
    let mut play = play();
    play.take(Event::Admit).unwrap();
    play.done("a");
    play.fails("b", false);
    assert_eq!(play.execution.status(), Status::Ended(Ending::Failed));
    let again = Event::Rerun { actor: "users/o".into(), step: "b".into(), reason: "x".into() };
    play.take(again).unwrap();
    play.expect_calls(&[]);
    assert!(queued(&play));
    check_replay(&play);
    play.take(Event::Admit).unwrap();
    // c was under way beside b.
    play.expect_calls(&["c", "b#2"]);
    check_replay(&play);
    assert_eq!(play.status("c"), StepStatus::Running);

    let (fork, turn) = play.execution.fork("b", opening(json!({"of": "acme"})), play.now).unwrap();
    assert!(fork.is_queued() && turn.commands.is_empty(), "{turn:?}");
}

#[test]
fn keys_do_not_depend_on_names() {
    let check = |source: &str, input: Json, expect: Option<&str>| {
        let definition = definition(source);
        let other = Opening { name: String::new(), ..opening(input.clone()) };
        let key = Execution::line_key(&definition, &opening(input));
        assert_eq!(key.as_deref(), expect);
        assert_eq!(Execution::line_key(&definition, &other), key);
    };
    let limit = |limit: &str| format!("name: x\nlimit: {limit}\nsteps: [{{id: a, task: t}}]\n");
    check("name: x\nsteps: [{id: a, task: t}]\n", json!({}), None);
    check(&limit("{running: 1}"), json!({}), Some(""));
    check(&limit("{running: 1, key: input.n}"), json!({"n": 3}), Some("3"));
    check(&limit("{running: 1, key: execution.owner}"), json!({}), Some("users/sam"));
    check(&limit("{running: 1, key: input.n}"), json!({}), Some("no key: input.n: No such key: n"));
}
