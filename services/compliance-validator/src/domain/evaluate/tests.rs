//! What policies answer, and what becomes of a wrong answer.

use super::*;
use crate::domain::CaseKind;

const PLENTY: Duration = Duration::from_secs(20);

fn evaluate(body: &str, limit: Duration) -> Verdict {
    let compiled = Compiled::new(&format!("package p\n{body}\n")).unwrap_or_else(|e| panic!("{body}: {e}"));
    compiled.evaluate(&input(&Case::empty(CaseKind::Tender)).unwrap(), limit)
}

/// The only trouble a policy makes.
fn trouble(body: &str, limit: Duration) -> Trouble {
    let mut verdict = evaluate(body, limit);
    assert_eq!(verdict.troubles.len(), 1, "{body}: {verdict:?}");
    verdict.troubles.remove(0)
}

const DENY: &str = r#"deny contains {"rule": "d", "message": "denied"}"#;

#[test]
fn reads_all_outputs() {
    let verdict = evaluate(
        r#"
deny contains {"rule": "d", "message": "denied"} if input.finding_count == 0
review contains {"rule": sprintf("r%d", [i]), "message": "look"} if some i in [1, 2]
note contains {"rule": "n", "message": "by the way", "more": 1}
actions contains a if some a in ["notify", "escalate"]
four_eyes if input.case.kind == "tender"
"#,
        PLENTY,
    );
    let got: Vec<_> = verdict.entries.iter().map(|e| (e.decision, e.rule.as_str())).collect();
    assert_eq!(
        got,
        [(Decision::Deny, "d"), (Decision::Review, "r1"), (Decision::Review, "r2"), (Decision::Allow, "n")]
    );
    assert_eq!(verdict.actions, ["escalate", "notify"]);
    assert!(verdict.four_eyes && verdict.troubles.is_empty());
}

#[test]
fn wrong_shapes_make_trouble_and_hide_nothing() {
    let check = |body: &str, part: &str| {
        let verdict = evaluate(&format!("{DENY}\n{body}"), PLENTY);
        assert!(verdict.entries.iter().any(|e| e.decision == Decision::Deny), "{body}: {verdict:?}");
        assert!(
            matches!(&verdict.troubles[..], [Trouble::Shape(what)] if what.contains(part)),
            "{body}: {verdict:?}"
        );
    };
    check("review contains \"text\"", "entry of `review`");
    check("deny contains {\"rule\": \"r\"}", "entry of `deny`");
    check("deny contains {\"rule\": \"r\", \"message\": 1}", "entry of `deny`");
    check("deny contains {\"rule\": \"r\", \"message\": \"  \"}", "entry of `deny`");
    check("deny contains x if some x in numbers.range(1, 100)", "entry of `deny`");
    check("four_eyes := \"yes\"", "`four_eyes` is a text");
    check("actions contains 1", "`actions` is a number");
    check("default actions := []", "`actions` is an array");
    check("default review := true", "`review` is a boolean");
}

#[test]
fn a_large_answer_is_cut() {
    let verdict = evaluate(
        "deny contains {\"rule\": sprintf(\"r%d\", [i]), \"message\": \"m\"} if some i in numbers.range(1, 1000)",
        PLENTY,
    );
    assert_eq!(verdict.entries.len(), MAX_ENTRIES + 1);
    assert_eq!(verdict.entries[MAX_ENTRIES].message, "and 800 more entries of `deny`");
    let long = "x".repeat(400);
    let verdict = evaluate(
        &format!(
            "deny contains {{\"rule\": \"r\", \"message\": concat(\"\", [\"{long}\", y, y])}} if y := \"{long}\""
        ),
        PLENTY,
    );
    assert_eq!(verdict.entries[0].message.chars().count(), MAX_MESSAGE + 1);
}

#[test]
fn endless_work_is_stopped() {
    let limit = Duration::from_millis(50);
    let bombs = [
        "n := numbers.range(1, 10000)\nreview contains {\"rule\": \"r\", \"message\": \"m\"} if { some a in n; some b in n; some c in n; a + b == c * 100000 }",
        "n := numbers.range(1, 9999)\nx := {[a, b, c] | some a in n; some b in n; some c in n}\nreview contains {\"rule\": \"r\", \"message\": \"m\"} if count(x) > 1",
        "f(x) := y if { y := [1 | some a in x; some b in x; some c in x; a == b; b == c] }\nreview contains {\"rule\": \"r\", \"message\": \"m\"} if count(f(numbers.range(1, 10000))) > 1",
        "review contains {\"rule\": \"r\", \"message\": \"m\"} if { every a in numbers.range(1, 10000) { every b in numbers.range(1, 10000) { a * b > 0 } } }",
    ];
    for body in bombs {
        let started = Instant::now();
        assert_eq!(trouble(body, limit), Trouble::Timeout { limit }, "{body}");
        assert!(started.elapsed() < Duration::from_secs(2), "{body}: {:?}", started.elapsed());
    }
    // What was said before the time was over stands.
    let verdict = evaluate(&format!("{DENY}\n{}", bombs[0]), limit * 10);
    assert!(verdict.entries.len() == 1 && verdict.troubles.len() == 1, "{verdict:?}");
}

#[test]
fn a_panic_is_caught() {
    // The interpreter counts the windows of an empty text and panics.
    let body = "review contains {\"rule\": \"r\", \"message\": \"m\"} if strings.count(input.case.name, input.spam.band) > 1";
    let trouble = trouble(body, PLENTY);
    assert!(matches!(&trouble, Trouble::Panicked { message } if message.contains("non-zero")), "{trouble:?}");
}

#[test]
fn what_fails_says_where() {
    let check = |body: &str, line: u32, part: &str| {
        let trouble = trouble(body, PLENTY);
        assert!(
            matches!(&trouble, Trouble::Failed(e) if e.line == line + 1 && e.reason.contains(part)),
            "{body}: {trouble:?}"
        );
    };
    check(
        "review contains {\"rule\": \"r\", \"message\": \"m\"} if to_number(input.case.name) > 1",
        1,
        "to_number",
    );
    check(
        "x := 1\nx := 2 if input.finding_count == 0\nreview contains {\"rule\": \"r\", \"message\": \"m\"} if x == 3",
        2,
        "conflict",
    );
    check("review contains {\"rule\": \"r\", \"message\": \"m\"} if x > 3\nx := y\ny := x", 2, "recursion");
    check("review contains {\"rule\": \"r\", \"message\": \"m\"} if 1 / input.finding_count > 3", 1, "zero");
}

#[test]
fn what_is_missing_is_silent() {
    let verdict = evaluate(
        "review contains {\"rule\": \"r\", \"message\": \"m\"} if decimal.compare(input.facts.total, \"1\") > 0",
        PLENTY,
    );
    assert_eq!(verdict, Verdict::default());
}

#[test]
fn the_same_input_gives_the_same_answer() {
    let body = r#"review contains {"rule": sprintf("%d", [i * 7 % 13]), "message": sprintf("%v", [{"b": i, "a": {3, 1, 2}}])} if some i in numbers.range(1, 50)"#;
    let compiled = Compiled::new(&format!("package p\n{body}\n")).unwrap();
    let again = Compiled::new(&format!("package p\n{body}\n")).unwrap();
    let input = input(&Case::empty(CaseKind::Tender)).unwrap();
    let first = compiled.evaluate(&input, PLENTY);
    assert_eq!(first.entries.len(), 50);
    for _ in 0..20 {
        assert_eq!(compiled.evaluate(&input, PLENTY), first);
        assert_eq!(again.evaluate(&input, PLENTY), first);
    }
}

/// So many functions around each other.
fn tower(levels: usize, around: &impl Fn(&str) -> String) -> Result<Compiled, PolicyError> {
    let function = |i: usize| format!("f{i}(x) := {}\n", around(&format!("f{}(x)", i - 1)));
    let functions: String = (1..=levels).map(function).collect();
    let deny = "deny contains {\"rule\": \"r\", \"message\": sprintf(\"%d\", [top(1)])}";
    Compiled::new(&format!("package p\nf0(x) := x\n{functions}top(x) := f{levels}(x)\n{deny}\n"))
}

/// The highest tower that passes the check.
fn deepest(around: impl Fn(&str) -> String) -> (usize, Compiled) {
    let (mut fits, mut too_deep) = (1_usize, 300);
    while too_deep - fits > 1 {
        let levels = fits.midpoint(too_deep);
        match tower(levels, &around) {
            Ok(_) => fits = levels,
            Err(error) => {
                assert!(error.reason.contains("expressions deep"), "{error}");
                too_deep = levels;
            }
        }
    }
    (fits, tower(fits, &around).unwrap())
}

fn nested(times: usize, inner: &str, around: impl Fn(&str) -> String) -> String {
    (0..times).fold(inner.to_owned(), |inner, _| around(&inner))
}

/// A quarter of the stack is enough for the deepest policy, in a build that is
/// not optimised.
#[test]
fn the_deepest_policies_fit_the_stack() {
    let quarter = crate::config::Config::default().stack_mib * 1024 * 1024 / 4;
    let shapes = [
        deepest(str::to_owned),
        deepest(|inner| nested(4, inner, |s| format!("[z | z := {s}][0]"))),
        deepest(|inner| nested(4, inner, |s| format!("{{\"a\": {s}}}.a"))),
        deepest(|inner| nested(12, inner, |s| format!("abs({s})"))),
        deepest(|inner| nested(12, inner, |s| format!("(0 + {s})"))),
        deepest(|inner| format!("y if {{ every z in [x] {{ {inner} == z }}; y := x }}")),
    ];
    for (levels, compiled) in shapes {
        assert!(levels > 10, "{levels}");
        let input = input(&Case::empty(CaseKind::Tender)).unwrap();
        let thread = std::thread::Builder::new().stack_size(quarter);
        let verdict = thread.spawn(move || compiled.evaluate(&input, PLENTY)).unwrap().join().unwrap();
        assert_eq!((verdict.entries.len(), verdict.troubles.len()), (1, 0), "{levels}: {verdict:?}");
    }
}
