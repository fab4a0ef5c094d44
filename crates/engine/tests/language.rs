//! The published JSON Schema of the language, the shipped definitions, the examples
//! of the guide and the compiler all say the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod support;

use probity_engine::definition::SCHEMA;
use probity_engine::schema::Schema;
use probity_engine::{Definition, Severity, lint};
use serde_json::Value as Json;
use std::sync::LazyLock;
use support::Contracts;
use support::flows::{CASE, FLOW};

static LANGUAGE: LazyLock<Schema> =
    LazyLock::new(|| Schema::compile(&serde_json::from_str(SCHEMA).unwrap()).unwrap());

const SHIPPED: [&str; 4] = [
    include_str!("../../../services/orchestrator/definitions/tender.yaml"),
    include_str!("../../../services/orchestrator/definitions/payment.yaml"),
    include_str!("../../../services/orchestrator/definitions/message.yaml"),
    include_str!("../../../services/orchestrator/definitions/report.yaml"),
];

const GUIDE: &str = include_str!("../../../docs/guides/definitions.md");

fn read(source: &str) -> Json {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(source, options).expect(source)
}

/// Whole definitions among the examples of the guide.
fn of_guide() -> Vec<String> {
    let blocks = GUIDE.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.filter(|block| block.starts_with("name:")).collect()
}

#[test]
fn what_is_shipped_and_shown_is_right() {
    let guide = of_guide();
    assert!(guide.len() >= 3, "the guide shows a case, a plain definition and one of every feature");
    let all = SHIPPED.iter().copied().chain([support::EVERYTHING, CASE, FLOW]);
    for source in all.chain(guide.iter().map(String::as_str)) {
        assert_eq!(LANGUAGE.check(&read(source)), Ok(()), "{source}");
        let wrong = lint(source, &Contracts);
        assert!(wrong.iter().all(|f| f.severity == Severity::Warning), "{source}: {wrong:?}");
    }
}

/// One step, and the end of a definition for cases.
fn step(step: &str) -> String {
    format!("name: x\nsteps:\n  - {{id: a, {step}}}\nverdict: [{{outcome: clear, reasons: \"[]\"}}]\n")
}

#[test]
fn schema_and_compiler_agree_on_what_is_wrong() {
    let whole = |text: &str| text.to_owned();
    let plain = |more: &str| format!("name: x\n{more}\nsteps: [{{id: a, task: t}}]\n");
    let of_state = |state: &str| format!("{}states: {{{state}}}\n", step("task: t"));
    let wrong = [
        whole("steps: [{id: a, task: t}]"),
        whole("name: X\nsteps: [{id: a, task: t}]"),
        whole("name: x\nsteps: []"),
        whole("name: x\nsteps: [{task: t}]"),
        whole("name: x\nsteps: [{id: a-b, task: t}]"),
        whole("name: x\nsteps: [{id: a, task: t, state: pending}]"),
        plain("kind: tender"),
        plain("findings_from: a"),
        plain("colour: red"),
        plain("input_schema: 3"),
        plain("states: {pending: {due: 1d}}"),
        step("id2: a"),
        step("when: \"true\""),
        step("task: t, fail: \"'x'\""),
        step("task: t, call: a.B/C"),
        step("task: \"not a type\""),
        step("task: t, queue: Q"),
        step("fail: \"'x'\", queue: q"),
        step("workflow: \"definitions/other\""),
        step("task: t, timeout: 30"),
        step("task: t, timeout: soon"),
        step("task: t, retry: often"),
        step("task: t, retry: {max_attempts: 3}"),
        step("task: t, retry: {max_attempts: 0, base: 1s, cap: 1s}"),
        step("task: t, retry: {max_attempts: 3, base: 1s, cap: 1s, jitter: some}"),
        step("task: t, retry: {max_attempts: 3, base: 1s, cap: 1s, multiplier: 11}"),
        step("task: t, on_error: explode"),
        step("task: t, on_error: {rout: b}"),
        step("task: t, state: resolved"),
        step("task: t, concurrency: 3"),
        step("task: t, limit: {}"),
        step("task: t, limit: {key: \"1\", colour: red}"),
        step("call: a.B/C, limit: {running: 0}"),
        step("call: a.B/C, limit: {running: 10001}"),
        step("call: a.B/C, limit: {rate: {count: 1}}"),
        step("call: a.B/C, limit: {rate: {count: 0, per: 1s}}"),
        plain("limit: {}"),
        plain("limit: {key: input.x}"),
        plain("limit: {running: 0}"),
        plain("limit: {rate: {count: 1}}"),
        plain("limit: {running: 1, colour: red}"),
        step("task: t, for_each: \"[1]\", concurrency: 0"),
        step("task: t, for_each: \"[1]\", concurrency: 101"),
        step("fail: \"'x'\", for_each: \"[1]\""),
        step("fail: \"'x'\", compensate: {task: t}"),
        step("task: t, compensate: {task: t, call: a.B/C}"),
        step("wait: {timer: 5m, signal: s}"),
        step("wait: {timer: 5m, timeout: 1s}"),
        step("wait: {signal: Go}"),
        step("wait: {approval: {reason: \"'x'\"}}"),
        step("wait: {approval: {reason: \"'x'\", required: \"1\", remind: [1d]}}"),
        step("wait: {approval: {reason: \"'x'\", required: \"1\", escalate: {to: [users/a], after: 1d}}}"),
        step(
            "wait: {approval: {reason: \"'x'\", required: \"1\", assignees: \"['users/a']\", escalate: {to: [anna], after: 1d}}}",
        ),
        step("wait: {approval: {reason: \"'x'\", required: \"1\", four_eyes: maybe}}"),
        of_state("failed: {due: 1d}"),
        of_state("pending: {remind: [1d]}"),
        of_state("pending: {escalate_to: [roles/officer]}"),
        of_state("pending: {due: 1d, escalate_to: [roles/nobody]}"),
        of_state("investigating: {reason: x}"),
        format!("{}input_schema: {{}}\n", step("task: t")),
        format!("{}output: \"1\"\n", step("task: t")),
        whole("name: x\nsteps: [{id: a, task: t}]\nverdict: [{outcome: fine, reasons: \"[]\"}]"),
        whole("name: x\nsteps: [{id: a, task: t}]\nverdict: [{outcome: clear}]"),
    ];
    assert!(wrong.len() >= 40);
    for source in wrong {
        assert!(LANGUAGE.check(&read(&source)).is_err(), "the schema allows\n{source}");
        assert!(Definition::compile(&source, &Contracts).is_err(), "the compiler allows\n{source}");
    }
}

#[track_caller]
fn check_lint(source: &str, expect: &[&str]) {
    let found = lint(source, &Contracts);
    let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), expect.len(), "{texts:#?}");
    for (text, part) in texts.iter().zip(expect) {
        assert!(text.contains(part), "expected {part:?} in {text}");
    }
}

#[test]
fn limits_are_where_they_can_be_kept() {
    let check = |more: &str, expect: &[&str]| {
        check_lint(&format!("name: x\nsteps: [{{id: a, {more}}}]\n"), expect);
    };
    check("task: t, limit: {key: input.supplier}", &[]);
    check("task: t, limit: {running: 3}", &["`limit` of a `task` is its `key`"]);
    check("task: t, limit: {key: \"1\", running: 3}", &["max_running_per_key"]);
    check("task: t, limit: {key: \"1\", rate: {count: 1, per: 1s}}", &["UpdateQueue with rate"]);
    check("workflow: w, limit: {running: 3}", &["belongs to `call` and `task`"]);
    check("task: t, for_each: \"[1]\", limit: {key: item}", &[]);
    check("task: t, limit: {key: item}", &["item"]);
    check("task: t, limit: {key: steps.b.x}", &["steps.b is not upstream"]);

    let whole = |limit: &str, expect: &[&str]| {
        check_lint(&format!("name: x\nlimit: {limit}\nsteps: [{{id: a, task: t}}]\n"), expect);
    };
    whole("{running: 3}", &[]);
    whole("{key: \"input.supplier + execution.owner\", rate: {count: 5, per: 1m}}", &[]);
    whole("{key: input.supplier}", &["line 2, column 8: `limit` needs `running`, `rate` or both"]);
    whole("{key: steps.a.x, running: 1}", &["steps.a is not upstream"]);
    whole("{key: execution.name, running: 1}", &["name"]);
    let case = "name: x\nlimit: {key: case.subject, running: 1}\nsteps: [{id: a, task: t}]\n\
        verdict: [{outcome: clear, reasons: \"[]\"}]\n";
    check_lint(case, &[]);
}

#[test]
fn the_linter_tells_everything_at_once() {
    let source = "name: Bad
steps:
  - {id: a, task: t, when: steps.b.x, retry: often, timeout: soon}
  - {id: b, needs: [c], task: t, on_error: {route: a}}
  - {id: a, call: no.Such/Method}
";
    let expect = [
        "no name",
        "steps.b is not upstream",
        "no retry preset",
        "no duration",
        "no step \"c\"",
        "must have \"b\"",
        "two steps",
        "no method",
    ];
    check_lint(source, &expect);
}

#[test]
fn the_linter_warns_of_what_is_probably_not_meant() {
    let source = "name: x
steps:
  - {id: a, task: t, timeout: 1h, deadline: 5m, output_schema: {type: object}}
  - {id: ask, needs: [a], wait: {approval: {reason: \"'?'\", required: \"1\"}}, retry: quick}
verdict: [{outcome: clear, reasons: \"[]\"}]
";
    let expect = [
        "nothing reads steps.a",
        "longer than the deadline",
        "no `due`",
        "nothing reads steps.ask",
        "`retry` means nothing here",
    ];
    let found: Vec<_> = lint(source, &Contracts).iter().map(ToString::to_string).collect();
    for part in expect {
        assert!(found.iter().any(|f| f.starts_with("warning: ") && f.contains(part)), "{part}: {found:#?}");
    }
    assert!(Definition::compile(source, &Contracts).is_ok());
    SHIPPED.iter().for_each(|source| assert!(lint(source, &Contracts).len() <= 1));
}

#[test]
fn new_mistakes_are_told_with_their_place() {
    let check = |source: &str, line: u64, part: &str| {
        let error = Definition::compile(source, &Contracts).expect_err(source);
        assert!(error.message.contains(part), "expected {part:?} in {error}");
        assert_eq!(error.line, line, "{error}");
    };
    let one = |more: &str| format!("name: x\nsteps:\n  - id: a\n    task: t\n    {more}\n");
    check(&one("on_error: {route: b}"), 5, "no step \"b\"");
    check(&one("on_error: [x]"), 5, "`on_error` is incident");
    check(&one("retry: {max_attempts: 2, base: 1s, cap: 2s, total: 1ms}"), 5, "total");
    check(&one("retry: {max_attempts: 2, base: 1s, cap: 2s, jitter: x}"), 5, "full, equal, none");
    check(&one("deadline: 500d"), 5, "at most");
    check(&one("for_each: input.x\n    concurrency: 200"), 6, "1 to 100");
    check(&one("for_each: \"'text'\""), 5, "a list");
    check(&one("input: {x: item}"), 5, "not known here");
    let each = "name: x\nsteps:\n  - id: a\n    for_each: \"['x']\"\n    task: t\n    when: item == 'x'\n";
    check(each, 6, "not known here");
    check(&each.replace("when: item == 'x'", "input: {x: item + 1 == 2, y: item.z}"), 6, "no field \"z\"");
    check(&one("compensate: {workflow: X}"), 5, "no name of a definition");
    let wait = |wait: &str| format!("name: x\nsteps:\n  - id: a\n    wait: {{{wait}}}\n");
    check(&wait("until: \"1 + 1\""), 4, "is wanted");
    check(&wait("signal: go, schema: {type: x}"), 4, "no JSON Schema");
    let ask = |more: &str| wait(&format!("approval: {{reason: \"'?'\", required: \"1\", {more}}}"));
    check(&ask("due: 1h, remind: [2h]"), 4, "not shorter than `due`");
    check(&ask("remind: [2h]"), 4, "add `due`");
    check(&ask("assignees: \"'users/a'\""), 4, "a list of a text");
    check(&ask("escalate: {to: [users/a], after: 1h}"), 4, "everybody may decide this anyway");
    let error = "name: x\nsteps:\n  - {id: a, task: t}\n  - {id: b, needs: [a], task: t, input: {x: steps.a.error.cod}}\n";
    assert!(Definition::compile(error, &Contracts).is_ok(), "an answer without a schema is not typed");
    check(&error.replace("task: t}", "task: t, on_error: continue}"), 4, "no field \"cod\"");
    let states = |states: &str| {
        format!(
            "name: x\nsteps:\n  - {{id: a, task: t}}\nverdict: [{{outcome: clear, reasons: \"[]\"}}]\nstates:\n  {states}\n"
        )
    };
    check(&states("resolved: {due: 1d}"), 6, "stays resolved");
    check(&states("pending: {guard: \"true\"}"), 6, "no way in");
    check(&states("nowhere: {due: 1d}"), 6, "no state");
    check(&states("validating: {guard: case.kind}"), 6, "true or false");
}

#[test]
fn every_unknown_key_is_told_and_so_is_the_rest() {
    let source = "name: x
colour: red
steps:
  - id: a
    task: t
    inputs: {}
    timeout: soon
    limit: {key: input.x, most: 3}
  - id: b
    wait: {signal: go, until_when: 3}
  - {id: c, task: t, input: {any: '1'}, output_schema: {colour: red}}
output: {any: '1'}
limit: {running: 1, of: what}
";
    check_lint(
        source,
        &[
            "line 2, column 1: there is no key \"colour\" here; there are description, findings_from",
            "line 6, column 5: there is no key \"inputs\" here",
            "line 7",
            "line 8, column 27: there is no key \"most\" here; there are key, rate, running",
            "line 10, column 24: there is no key \"until_when\"",
            "there is no key \"of\" here",
        ],
    );
}
