//! What definitions are refused for, and where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod support;

use probity_engine::definition::Definition;
use proptest::prelude::*;
use support::{Contracts, EVERYTHING, definition};

const HEAD: &str = "name: one\nsteps:\n";
const END: &str = "verdict:\n  - {outcome: clear, reasons: \"[]\"}\n";
const CALL: &str = "    call: probity.spam.v1.SpamService/Classify\n    input: {documents: case.documents}\n";

#[track_caller]
fn check(source: &str, line: u64, part: &str) {
    let error = Definition::compile(source, &Contracts).expect_err(source);
    assert!(error.message.contains(part), "expected {part:?} in: {error}");
    assert_eq!(error.line, line, "{error}");
    assert!(line == 0 || error.column > 0, "{error}");
}

fn steps(steps: &str) -> String {
    format!("{HEAD}{steps}{END}")
}

#[test]
fn the_example_is_accepted() {
    let definition = definition(EVERYTHING);
    assert_eq!(definition.steps.len(), 8);
    assert_eq!(definition.version.len(), 64);
    let order: Vec<_> = definition.order.iter().map(|i| definition.steps[*i].id.as_str()).collect();
    assert_eq!(order.first(), Some(&"documents"));
    assert_eq!(order.last(), Some(&"decision"));
}

#[test]
fn json_is_yaml() {
    let json = r#"{"name": "one", "steps": [{"id": "a", "call": "probity.spam.v1.SpamService/Classify",
        "input": {"documents": "case.documents"}}], "verdict": [{"outcome": "clear", "reasons": "[]"}]}"#;
    assert_eq!(definition(json).steps[0].id, "a");
}

#[test]
fn shapes_are_refused() {
    check("", 1, "end of input");
    check("name: [", 1, "");
    check(&steps("  - id: a\n    cal: x\n"), 4, "cal");
    check(&steps("  - id: a\n"), 3, "exactly one of `call`, `task`, `workflow`, `fail` and `wait`");
    check(&steps(&format!("  - id: a\n{CALL}    fail: \"'x'\"\n")), 3, "exactly one");
    check(&steps("  - id: a\n    wait: {}\n"), 3, "exactly one of `approval`, `timer`, `until` and `signal`");
    check(&steps(&format!("  - id: Big\n{CALL}")), 3, "no step id");
    check(&steps(&format!("  - id: a\n{CALL}  - id: a\n{CALL}")), 6, "two steps");
    check(&steps(&format!("  - id: a\n{CALL}")).replace("name: one", "name: One"), 1, "no name");
    check("name: one\nsteps: []\nverdict: []\n", 1, "0 steps");
    check(&"x".repeat(300_000), 0, "at most");
}

#[test]
fn graphs_are_refused() {
    check(&steps(&format!("  - id: a\n    needs: [b]\n{CALL}")), 4, "no step \"b\"");
    let cycle = format!(
        "  - id: a\n    needs: [c]\n{CALL}  - id: b\n    needs: [a]\n{CALL}  - id: c\n    needs: [b]\n{CALL}"
    );
    let error = Definition::compile(&steps(&cycle), &Contracts).expect_err("a cycle");
    assert!(
        ["a -> c -> b -> a", "b -> a -> c -> b", "c -> b -> a -> c"]
            .iter()
            .any(|path| error.message.contains(path)),
        "{error}"
    );
    check(&steps(&format!("  - id: a\n    needs: [a]\n{CALL}")), 3, "a -> a");
}

#[test]
fn methods_are_refused() {
    check(&steps("  - id: a\n    call: no.Service/Method\n"), 4, "no method");
    check(
        &steps("  - id: a\n    call: probity.orchestrator.v1.CaseService/OpenCase\n"),
        4,
        "may not be a step",
    );
    check(
        &steps("  - id: a\n    call: probity.intake.v1.IntakeService/UploadDocument\n"),
        4,
        "may not be a step",
    );
    let field =
        "  - id: a\n    call: probity.spam.v1.SpamService/Classify\n    input: {docs: case.documents}\n";
    check(&steps(field), 5, "no field \"docs\"; it has documents");
}

#[test]
fn expressions_are_refused() {
    let with = |input: &str| {
        steps(&format!(
            "  - id: a\n    call: probity.spam.v1.SpamService/Classify\n    input: {{documents: \"{input}\"}}\n"
        ))
    };
    check(&with("1 +"), 5, "no CEL expression");
    check(&with("case.documents2"), 5, "no field \"documents2\"");
    check(&with("nothing.x"), 5, "not known here");
    check(&with("case.subject"), 5, "is wanted");
    check(&with("'text' + 1 == 2"), 5, "is wanted");
    check(&with("steps.a.tokens"), 5, "not upstream");
    let two = |when: &str| {
        steps(&format!("  - id: a\n{CALL}  - id: b\n    needs: [a]\n    when: \"{when}\"\n{CALL}"))
    };
    check(&two("steps.a.probability"), 8, "true or false");
    check(
        &two("steps.a.band == 'BAND_SPAMM'"),
        8,
        "one of BAND_UNSPECIFIED, BAND_HAM, BAND_UNSURE, BAND_SPAM",
    );
    check(&two("steps.a.probability == 'high'"), 8, "compared with");
    check(&two("steps.a.bands == 'BAND_SPAM'"), 8, "no field \"bands\"");
    check(&two("steps['a'].band == 'BAND_SPAM'"), 8, "steps.name");
    check(&two("steps.a.tokens.exists(t, t.weigth > 1.0)"), 8, "no field \"weigth\"");
    assert!(Definition::compile(&two("steps.a.tokens.exists(t, t.weight > 1.0)"), &Contracts).is_ok());
    assert!(Definition::compile(&two("steps.a.band in ['BAND_SPAM']"), &Contracts).is_ok());
}

#[test]
fn settings_are_refused() {
    let with = |setting: &str| steps(&format!("  - id: a\n{CALL}    {setting}\n"));
    check(&with("retry: often"), 6, "no retry preset");
    check(&with("retry: {max_attempts: 0, base: 1s, cap: 2s}"), 6, "max_attempts");
    check(&with("retry: {max_attempts: 2, base: 3s, cap: 2s}"), 6, "cap");
    check(&with("timeout: 30"), 6, "no duration");
    check(&with("timeout: 0s"), 6, "above 0");
    check(&with("timeout: 2h"), 6, "at most");
    check(&with("on_error: explode"), 6, "no on_error");
    check(&with("state: resolved"), 6, "cannot enter");
    check(&with("state: nowhere"), 6, "no state");
    let back = format!(
        "  - id: a\n    state: validating\n{CALL}  - id: b\n    state: pending\n    needs: [a]\n{CALL}"
    );
    check(&steps(&back), 8, "comes before");
    let fail = "  - id: a\n    fail: \"'x'\"\n    compensate: {call: probity.spam.v1.SpamService/Classify}\n";
    check(&steps(fail), 5, "compensate");
}

#[test]
fn ends_are_refused() {
    let one = format!("{HEAD}  - id: a\n{CALL}");
    check(
        &format!("{one}verdict:\n  - {{outcome: clear, when: \"true\", reasons: \"[]\"}}\n"),
        1,
        "no `when`",
    );
    check(&format!("{one}verdict:\n  - {{outcome: fine, reasons: \"[]\"}}\n"), 7, "no outcome");
    check(&format!("{one}verdict:\n  - {{outcome: clear, reasons: \"'x'\"}}\n"), 7, "a list of a text");
    check(&format!("findings_from: b\n{one}{END}"), 1, "no step \"b\"");
    check(&format!("findings_from: a\n{one}{END}"), 1, "no field finding_count");
    check(&format!("kind: offer\n{one}{END}"), 1, "no kind of case");
}

#[test]
fn plain_definitions_are_refused() {
    let with = |setting: &str| format!("{HEAD}  - id: a\n    task: work\n    {setting}\n");
    assert!(Definition::compile(&with("input: {x: input.anything.at.all}"), &Contracts).is_ok());
    check(&with("state: pending"), 5, "add `verdict`");
    check(&format!("kind: tender\n{}", with("queue: q")), 1, "add `verdict`");
    check(&with("queue: Q"), 5, "no name of a queue");
    check(&with("input: {x: case.name}"), 5, "there are `input`, `execution` and `steps`");
    check(&with("input: {x: execution.kind}"), 5, "no field \"kind\"");
    check(&with("output_schema: {type: strin}"), 5, "no JSON Schema");
    check(&with("output_schema: {$ref: 'http://example.org/x'}"), 5, "leads outside");
    check(&with("compensate: {queue: q}"), 3, "exactly one of `call`, `task` and `workflow`");
    check(&with("").replace("task: work", "task: ä"), 4, "no type of task");
    check(&format!("{}output: steps.b.x\n", with("")), 6, "not upstream");
    check(&format!("{}output: {{x: nothing}}\n", with("")), 6, "not known here");
    let typed = format!(
        "input_schema: {{type: object, properties: {{n: {{type: integer}}}}, additionalProperties: false}}\n{}",
        with("when: input.n == 'x'")
    );
    check(&typed, 6, "is compared with");
    check(&typed.replace("input.n == 'x'", "input.m == 1"), 6, "no field \"m\"");
    let case = format!("{HEAD}  - id: a\n{CALL}{END}");
    check(&format!("input_schema: {{}}\n{case}"), 1, "remove it or `verdict`");
    check(&format!("{case}output: \"1\"\n"), 8, "remove it or `verdict`");
    check(&steps(&format!("  - id: a\n{CALL}    queue: q\n")), 6, "belongs to `task`");
    check(&steps(&format!("  - id: a\n{CALL}    output_schema: {{}}\n")), 6, "belongs to `task`");
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in ".{0,400}") {
        let _ = Definition::compile(&text, &Contracts);
    }

    #[test]
    fn no_cut_makes_it_panic(cut in 0_usize..EVERYTHING.len(), junk in ".{0,8}") {
        let cut = (0..=cut).rev().find(|i| EVERYTHING.is_char_boundary(*i)).unwrap_or(0);
        let text = format!("{}{junk}{}", &EVERYTHING[..cut], &EVERYTHING[cut..]);
        let _ = Definition::compile(&text, &Contracts);
    }
}
