//! One by one what the language of steps can do, as an execution lives through it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod support;

use probity_engine::fact::Ending;
use probity_engine::{
    CallFailure, CaseState, Command, Event, Execution, Fact, Refusal, Status, StepStatus, Turn,
};
use probity_types::{Micros, Role, Roles};
use serde_json::{Value as Json, json};
use support::flows::{case, items, plain};
use support::play::Play;

fn who() -> String {
    "users/op".to_owned()
}

const ROUTED: &str = "
  - {id: pay, task: pay, retry: never, on_error: {route: rescue}}
  - {id: rescue, needs: [pay], task: rescue, input: {code: steps.pay.error.code}}
  - {id: ship, needs: [pay], task: ship}
  - {id: bill, needs: [ship], task: bill}
  - {id: tell, needs: [bill, rescue], task: tell, input: {failed: has(steps.pay.error)}}
";

#[test]
fn a_failure_is_routed_to_its_handler() {
    let mut play = Play::plain(ROUTED);
    play.fails("pay", true);
    play.expect_facts(&[
        "step.attempt_failed",
        "step.given_up",
        "step.skipped",
        "step.skipped",
        "step.scheduled",
    ]);
    play.expect_calls(&["rescue"]);
    assert_eq!(play.output("pay")["error"], json!({"code": "PEER-1", "message": "it broke"}));
    play.done("rescue");
    play.expect_calls(&["tell"]);
    assert_eq!(*play.execution.steps[4].input, json!({"failed": true}));
}

#[test]
fn a_handler_nobody_needs_is_skipped() {
    let mut play = Play::plain(ROUTED);
    play.done("pay");
    play.expect_calls(&["ship"]);
    assert_eq!(play.status("rescue"), StepStatus::Skipped);
    play.done("ship");
    play.done("bill");
    assert_eq!(*play.execution.steps[4].input, json!({"failed": false}));
}

#[test]
fn what_a_failure_leads_to_is_said_by_on_error() {
    let check = |on_error: &str, facts: &[&str], status: Status| {
        let mut play = Play::plain(&format!(
            "  - {{id: first, task: a, compensate: {{task: b}}}}\n  - {{id: second, needs: [first], task: c, retry: never, on_error: {on_error}}}\n"
        ));
        play.done("first");
        play.fails("second", true);
        assert_eq!(play.execution.status(), status, "{on_error}");
        play.expect_facts(facts);
    };
    check("incident", &["step.attempt_failed", "incident.opened"], Status::Incident);
    check("fail", &["step.attempt_failed", "execution.ended"], Status::Ended(Ending::Failed));
    let back = ["step.attempt_failed", "compensation.started", "compensation.scheduled"];
    check("compensate", &back, Status::Compensating);
    let on = ["step.attempt_failed", "step.skipped", "execution.ended"];
    check("continue", &on, Status::Ended(Ending::Completed));
}

#[test]
fn retries_keep_to_their_schedule() {
    let mut play = Play::plain(
        "  - {id: a, task: a, retry: {max_attempts: 9, base: 1s, cap: 1h, multiplier: 3, jitter: none, total: 10s}, no_retry_on: [NEVER]}\n",
    );
    for wait in [1, 3] {
        play.fails("a", true);
        play.later(wait);
        play.expect_calls(&["a"]);
    }
    // 4 s have passed; 9 more would be beyond the total.
    play.fails("a", true);
    assert_eq!(play.status("a"), StepStatus::Incident);
    play.take(Event::RetryStep { actor: who(), step: "a".into() }).unwrap();
    let never =
        CallFailure { code: "NEVER".into(), message: String::new(), transient: true, retry_after: None };
    play.end("a", Err(never));
    assert_eq!(play.status("a"), StepStatus::Incident);
}

#[test]
fn a_deadline_counts_over_all_attempts() {
    let mut play = Play::plain("  - {id: a, task: a, deadline: 10s, retry: aggressive}\n");
    play.fails("a", true);
    play.later(9);
    play.expect_calls(&["a"]);
    play.later(1);
    play.expect_facts(&["step.attempt_failed", "incident.opened"]);
    let Some(Fact::StepFailed { code, .. }) = play.turn.facts.first() else { panic!() };
    assert_eq!(code, "ORC-0024");
    // Too late is too late; a retry has all the time again.
    play.done("a");
    play.expect_facts(&[]);
    play.take(Event::RetryStep { actor: who(), step: "a".into() }).unwrap();
    play.later(9);
    assert_eq!(play.status("a"), StepStatus::Running);
    play.done("a");
    assert_eq!(play.execution.status(), Status::Ended(Ending::Completed));
}

const EACH: &str = "  - {id: each, for_each: input.items, concurrency: 2, task: one, input: {name: item.name, index: index}, retry: never, compensate: {task: undo, input: {what: steps.each.of}}}\n  - {id: last, needs: [each], task: last, input: {all: steps.each}}\n";

#[test]
fn a_list_is_worked_off_a_few_at_a_time() {
    let mut play = Play::plain(EACH);
    play.expect_calls(&["each[0]", "each[1]"]);
    play.done("each[1]");
    play.expect_calls(&["each[2]"]);
    play.fails("each[2]", true);
    assert_eq!(play.status("each"), StepStatus::Incident);
    play.expect_calls(&["each[3]"]);
    play.done("each[3]");
    play.done("each[0]");
    assert_eq!(play.execution.steps[0].reason, "each[2]: it broke");
    play.take(Event::RetryStep { actor: who(), step: "each[2]".into() }).unwrap();
    play.expect_calls(&["each[2]"]);
    play.done("each[2]");
    play.expect_calls(&["last"]);
    let expect = json!([{"of": "each[0]"}, {"of": "each[1]"}, {"of": "each[2]"}, {"of": "each[3]"}]);
    assert_eq!(play.output("each"), expect);
    play.take(Event::Cancel { actor: who(), reason: String::new() }).unwrap();
    play.done("last");
    for (item, next) in [(3, "each[2]/back"), (2, "each[1]/back"), (1, "each[0]/back")] {
        let state = &play.execution.steps[0].items.as_ref().unwrap().states[item];
        assert_eq!(*state.input, json!({"what": format!("each[{item}]")}));
        play.done(&format!("each[{item}]"));
        play.expect_calls(&[next]);
    }
    play.done("each[0]");
    assert_eq!(play.execution.status(), Status::Ended(Ending::Cancelled));
}

#[test]
fn a_list_may_be_empty_or_too_long() {
    let empty = Play::of(&format!("name: play\nsteps:\n{EACH}"), plain(items(0)));
    empty.expect_calls(&["last"]);
    let long = plain(json!({"items": vec![0; 10_001]}));
    let long = Play::of("name: play\nsteps:\n  - {id: each, for_each: input.items, task: one}\n", long);
    assert!(long.execution.steps[0].reason.contains("at most 10000"), "{}", long.execution.steps[0].reason);
}

/// Ten times the items must not cost a hundred times the time.
#[test]
fn items_cost_the_same_however_many_there_are() {
    let run = |count: u32| {
        let source =
            "name: play\nsteps:\n  - {id: each, for_each: input.items, concurrency: 100, task: one}\n";
        let mut play = Play::of(source, plain(json!({"items": vec![0; count as usize]})));
        let mut calls: std::collections::VecDeque<Command> = std::mem::take(&mut play.turn.commands).into();
        let mut facts = 0;
        while let Some(command) = calls.pop_front() {
            let Command::Call { step, item, attempt, compensation, .. } = command else { continue };
            let event = Event::CallEnded { step, item, attempt, compensation, result: Ok(json!({})) };
            let turn = play.execution.take(event, play.now, 0.5).unwrap();
            facts += turn.facts.len();
            calls.extend(turn.commands);
        }
        assert!(play.execution.ended.is_some());
        facts
    };
    // Two facts an item, the list and the end: nothing is scanned, nothing repeated.
    assert_eq!(run(10_000), run(1_000) + 18_000);
}

#[test]
fn children_are_started_and_cancelled() {
    let child = "  - {id: child, workflow: other, input: {x: \"1\"}}\n  - {id: list, for_each: input.items, workflow: other, concurrency: 2}\n";
    let mut play = Play::plain(child);
    play.expect_calls(&["child", "list[0]", "list[1]"]);
    play.take(Event::Cancel { actor: who(), reason: "no".into() }).unwrap();
    play.expect_calls(&["-child", "-list[0]", "-list[1]"]);
    for slot in ["child", "list[0]", "list[1]"] {
        assert_eq!(play.execution.status(), Status::Compensating);
        play.fails(slot, false);
    }
    assert_eq!(play.execution.status(), Status::Ended(Ending::Cancelled));
}

const SIGNALS: &str = "  - {id: first, task: a}\n  - {id: go, needs: [first], wait: {signal: go, timeout: 1m, schema: {type: object, required: [n]}}}\n  - {id: then, needs: [go], when: steps.go.received, task: b, input: {n: steps.go.payload.n}}\n";

#[test]
fn signals_come_early_in_time_twice_or_never() {
    let mut early = Play::plain(SIGNALS);
    early.signal("1", "go", json!({"n": 1})).unwrap();
    early.signal("1", "go", json!({"n": 2})).unwrap();
    early.expect_facts(&[]);
    early.done("first");
    early.expect_calls(&["then"]);
    assert_eq!(*early.execution.steps[2].input, json!({"n": 1}));

    let mut late = Play::plain(SIGNALS);
    late.done("first");
    late.later(60);
    assert_eq!(late.output("go")["received"], json!(false));
    assert_eq!(late.status("then"), StepStatus::Skipped);

    let mut play = Play::plain(SIGNALS);
    let refused = |play: &mut Play, id: &str, name: &str, payload: Json, part: &str| {
        let why = play.signal(id, name, payload).expect_err(part).to_string();
        assert!(why.contains(part), "{why}");
    };
    refused(&mut play, "1", "stop", json!({}), "there are go");
    refused(&mut play, "1", "go", json!({}), "\"n\" is a required");
    refused(&mut play, "", "go", json!({"n": 1}), "1 to 128");
    refused(&mut play, "1", "go", json!({"n": "x".repeat(1 << 17)}), "65536");
    for id in 0..1_000 {
        play.signal(&format!("{id}"), "go", json!({"n": 1})).unwrap();
    }
    refused(&mut play, "more", "go", json!({"n": 1}), "1000 signals wait");
}

#[test]
fn a_point_in_time_is_waited_for() {
    let at = "2023-11-14T22:13:30Z"; // ten seconds after the beginning
    for until in [format!("\"'{at}'\""), format!("\"timestamp('{at}')\"")] {
        let mut play = Play::plain(&format!("  - {{id: a, wait: {{until: {until}}}}}\n"));
        play.later(9);
        assert!(play.execution.ended.is_none());
        play.later(1);
        assert!(play.execution.ended.is_some(), "{until}");
    }
    let wrong = Play::plain("  - {id: a, wait: {until: \"'tomorrow'\"}}\n");
    assert!(wrong.execution.steps[0].reason.contains("no point in time"));
}

const OFFICERS: &str = "name: play
steps:
  - id: ask
    wait:
      approval:
        {reason: \"'?'\", required: \"1\", assignees: \"['roles/officer', 'users/a']\", due: 10s, remind: [2s, 5s], escalate: {to: [users/boss], after: 8s}, four_eyes: true}
  - {id: sure, needs: [ask], wait: {approval: {reason: \"'?'\", required: \"2\", four_eyes: true}}}
verdict: [{outcome: clear, reasons: \"[]\"}]
";

#[test]
fn approvals_are_for_those_who_are_asked() {
    let mut play = Play::of(OFFICERS, case());
    let check = |play: &mut Play, actor: &str, roles: &[Role], part: &str| {
        let why = play.decide(actor, roles).expect_err(part).to_string();
        assert!(why.contains(part), "{why}");
    };
    check(&mut play, "users/b", &[Role::Auditor], "it is for roles/officer, users/a");
    check(&mut play, "users/0", &[Role::Officer], "they started it");
    let delegate = |to: &str| {
        let (actor, to) = ("users/a".to_owned(), to.to_owned());
        Event::Delegate { actor, roles: Roles::default(), to, step: "ask".into() }
    };
    assert!(play.take(delegate("roles/officer")).is_err());
    assert!(play.take(delegate("users/0")).is_err());
    play.take(delegate("users/b")).unwrap();
    check(&mut play, "users/a", &[], "not asked");
    play.decide("users/b", &[]).unwrap();
    check(&mut play, "users/b", &[], "they decided step \"ask\" before");
    play.decide("users/c", &[]).unwrap();
    assert!(play.execution.ended.is_none());
    play.decide("users/d", &[]).unwrap();
    assert_eq!(play.execution.state, CaseState::Resolved);
}

#[test]
fn people_are_reminded_and_others_asked() {
    let mut play = Play::of(OFFICERS, case());
    play.later(5);
    play.expect_facts(&["approval.reminded"]);
    // Both at once: the clock was away.
    play.later(4);
    play.expect_facts(&["approval.reminded", "approval.escalated"]);
    play.later(100);
    play.expect_facts(&[]);
    play.decide("users/boss", &[]).unwrap();
}

#[test]
fn a_pause_starts_nothing_and_loses_nothing() {
    let mut play = Play::plain(
        "  - {id: a, task: a}\n  - {id: t, wait: {timer: 5s}}\n  - {id: b, needs: [a], task: b}\n",
    );
    play.take(Event::Pause { actor: who(), reason: "look".into() }).unwrap();
    assert_eq!(play.execution.status(), Status::Paused);
    play.done("a");
    play.expect_calls(&[]);
    play.later(6);
    assert_eq!(play.status("t"), StepStatus::Timer(Micros(1_700_000_005_000_000)));
    assert_eq!(
        play.take(Event::Rerun { actor: who(), step: "a".into(), reason: String::new() }),
        Err(Refusal::Paused)
    );
    play.take(Event::Resume { actor: who() }).unwrap();
    play.expect_calls(&["b"]);
    assert_eq!(play.status("t"), StepStatus::Completed);
    assert_eq!(play.take(Event::Resume { actor: who() }), Err(Refusal::NotPaused));
}

#[test]
fn what_is_held_does_nothing_before_it_is_run() {
    let definition = Play::plain("  - {id: a, task: a}\n").execution.definition;
    let now = Micros(1_700_000_000_000_000);
    let run = || Event::Run { actor: who() };
    let (mut held, turn) = Execution::hold(definition.clone(), plain(items(4)), now);
    assert!(held.is_held() && turn.commands.is_empty(), "{turn:?}");
    let facts: Vec<_> = turn.facts.iter().map(|fact| (now, fact.clone())).collect();
    assert!(Execution::replay(definition, &facts).is_some_and(|read| read.is_held()));
    assert_eq!(held.take(Event::Woken, now, 0.5).unwrap().commands, []);
    let turn = held.take(run(), now, 0.5).unwrap();
    assert!(turn.commands.iter().any(|command| matches!(command, Command::Call { .. })), "{turn:?}");
    assert!(held.take(run(), now, 0.5).unwrap().facts.is_empty(), "run twice, it runs once");
    held.take(Event::Pause { actor: who(), reason: "look".into() }, now, 0.5).unwrap();
    assert_eq!(held.take(run(), now, 0.5), Err(Refusal::Paused), "what an operator paused stays so");
}

#[test]
fn what_was_done_is_done_again_under_new_keys() {
    let mut play =
        Play::plain("  - {id: a, task: a}\n  - {id: b, needs: [a], task: b}\n  - {id: c, task: c}\n");
    for step in ["a", "c", "b"] {
        play.done(step);
    }
    assert!(play.execution.ended.is_some());
    play.take(Event::Rerun { actor: who(), step: "a".into(), reason: "again".into() }).unwrap();
    play.expect_calls(&["a#2"]);
    // The answer of the first time comes again.
    play.take(Event::CallEnded {
        step: 0,
        item: None,
        attempt: 1,
        compensation: false,
        result: Ok(json!({})),
    })
    .unwrap();
    assert_eq!(play.status("a"), StepStatus::Running);
    play.done("a");
    play.expect_calls(&["b#2"]);
    play.done("b");
    assert_eq!(play.execution.status(), Status::Ended(Ending::Completed));
    let replayed = Execution::replay(play.execution.definition.clone(), &play.facts).unwrap();
    assert_eq!(support::world::shape(&replayed), support::world::shape(&play.execution));
}

#[test]
fn a_fork_takes_over_what_came_before() {
    let mut play = Play::plain(
        "  - {id: a, task: a}\n  - {id: b, needs: [a], task: b, input: {x: steps.a.of}}\n  - {id: c, needs: [b], task: c}\n",
    );
    ["a", "b", "c"].iter().for_each(|step| play.done(step));
    let (fork, turn) = play.execution.fork("b", plain(Json::Null), play.now).unwrap();
    assert_eq!(
        turn.facts.iter().map(Fact::kind).collect::<Vec<_>>(),
        ["execution.started", "step.copied", "step.scheduled"]
    );
    assert_eq!(*fork.steps[1].input, json!({"x": "a"}));
    assert!(play.execution.fork("x", plain(Json::Null), play.now).is_err());
}

#[test]
fn a_person_mends_a_message() {
    let mut play = Play::plain("  - {id: a, task: a, input: {x: \"1\"}, retry: never}\n");
    let edit = |input: Json| Event::EditInput { actor: who(), step: "a".into(), input };
    assert!(matches!(play.take(edit(json!({}))), Err(Refusal::NoIncident { .. })));
    play.fails("a", true);
    assert!(matches!(play.take(edit(json!([]))), Err(Refusal::Malformed { .. })));
    play.take(edit(json!({"x": 2}))).unwrap();
    play.expect_facts(&["step.input_edited", "step.scheduled"]);
    // Another message is another key: the first may have been carried out.
    play.expect_calls(&["a#2"]);
    assert_eq!(*play.execution.steps[0].input, json!({"x": 2}));
}

#[test]
fn a_lost_answer_is_no_refusal() {
    let mut play = Play::plain("  - {id: a, task: a, retry: never}\n");
    play.fails("a", true);
    let retry = |actor: &str| Event::RetryStep { actor: actor.into(), step: "a".into() };
    play.take(retry("users/a")).unwrap();
    play.take(retry("users/a")).unwrap();
    play.expect_facts(&[]);
    assert!(matches!(play.take(retry("users/b")), Err(Refusal::NoIncident { .. })));
}

const STATES: &str = "name: play
states:
  pending: {due: 10s, remind: [4s], escalate_to: [roles/operator]}
  remediating: {guard: steps.a.good, reason: it is not good}
steps:
  - {id: a, task: a}
  - {id: b, needs: [a], state: remediating, task: b}
verdict: [{outcome: clear, reasons: \"[]\"}]
";

#[test]
fn states_have_deadlines_and_guards() {
    let mut play = Play::of(STATES, case());
    play.later(6);
    play.expect_facts(&["case.reminder"]);
    play.later(4);
    play.expect_facts(&["case.overdue"]);
    play.end("a", Ok(json!({"good": false})));
    play.expect_facts(&["step.completed", "incident.opened"]);
    assert_eq!(play.execution.state, CaseState::Pending);
    assert!(play.execution.steps[1].reason.contains("REMEDIATING: it is not good"));
    let mut play = Play::of(STATES, case());
    play.end("a", Ok(json!({"good": true})));
    assert_eq!(play.execution.state, CaseState::Remediating);
    let why = play.decide("users/x", &[]).expect_err("nobody is asked").to_string();
    assert!(why.contains("RESOLVED, FAILED, CANCELLED"), "{why}");
}

/// Ten thousand waits are one alarm.
#[test]
fn an_execution_needs_one_alarm() {
    let mut play = Play::plain(
        "  - {id: a, wait: {timer: 3s}}\n  - {id: b, wait: {timer: 5s}}\n  - {id: c, wait: {timer: 4s}}\n",
    );
    let alarms = |turn: &Turn| turn.commands.iter().filter(|c| matches!(c, Command::WakeAt(_))).count();
    assert_eq!(alarms(&play.turn), 1);
    for seconds in [3, 1, 1] {
        assert!(play.execution.ended.is_none());
        play.later(seconds);
    }
    assert_eq!((play.execution.status(), alarms(&play.turn)), (Status::Ended(Ending::Completed), 0));
}
