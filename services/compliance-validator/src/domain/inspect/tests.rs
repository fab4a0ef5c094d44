//! What is refused before a policy ever runs.

use crate::domain::Compiled;

const DENY: &str = "deny contains {\"rule\": \"r\", \"message\": \"m\"} if input.finding_count > 0";

/// The line (from 1, below the package) and a part of the reason; nothing when
/// the policy passes.
fn check(body: &str, expect: Option<(u32, &str)>) {
    let source = format!("package a.b\n{body}\n{DENY}\n");
    match (Compiled::new(&source).err(), expect) {
        (None, None) => {}
        (Some(error), Some((line, part))) => {
            assert!(error.line == line + 1 && error.reason.contains(part), "{body}\n=> {error}");
        }
        (got, expect) => panic!("{body}\n=> {got:?}, expected {expect:?}"),
    }
}

#[test]
fn ordinary_rules_pass() {
    check("", None);
    check("import rego.v1", None);
    check("import future.keywords", None);
    check("import input.facts\nx := facts.total", None);
    check("f(x) := y if { y := x } else := 2\ng(x) := f(f(x))\nz := g(data.a.b.f(1))", None);
    check("x := y\ny contains z if some z in [1]\nw if count(y) > 1", None);
    check("labels.one := 1\nlabels.two := 2\nx := labels.one", None);
    check("x if deny with input.finding_count as 3", None);
    check("x := decimal.compare(input.facts.a, \"1\")", None);
    check("default f(_) := 1\nf(x) := 2 if x > 1", None);
    check(
        "deny contains {\"rule\": \"a\", \"message\": \"b\"} if { every f in input.findings { f.severity_rank > 1 } }",
        None,
    );
}

#[test]
fn functions_that_call_themselves_are_refused() {
    check("f(x) := f(x + 1)", Some((1, "`f` calls itself")));
    check("f(x) := g(x)\ng(x) := h(x)\nh(x) := f(x)", Some((1, "`f`, `g`, `h` call each other")));
    check("f(x) := data.a.b.f(x)", Some((1, "calls itself")));
    check("f(x) := data.a[\"b\"].f(x)", Some((1, "calls itself")));
    check("import data.a.b.f\nf(x) := f(x)", Some((1, "nothing else")));
    check("default f(_) := 1\nf(x) := y if { y := [z | z := f(x)] }", Some((1, "calls itself")));
    check("f(x) := 1 if { x } else := f(x)", Some((1, "calls itself")));
    check("f(x) := count([1 | f(x)])", Some((1, "calls itself")));
    check("f(x) := x if not f(x)", Some((1, "calls itself")));
    check("f(x) := {\"a\": [f(x)]}", Some((1, "calls itself")));
}

#[test]
fn what_reaches_outside_or_differs_from_run_to_run_is_refused() {
    check("x := http.send({\"method\": \"get\", \"url\": \"http://a\"})", Some((1, "reaches the network")));
    check("x := time.now_ns()", Some((1, "as a fact")));
    check("x := rand.intn(\"a\", 3)", Some((1, "differs")));
    check("x := opa.runtime()", Some((1, "`opa.runtime`")));
    check("x if print(1)", Some((1, "prints")));
    check("x := [p | walk(input, [p, _])]", Some((1, "`walk`")));
    check("x := nothing.like.this(1)", Some((1, "is not known")));
    check("x := y if y with input.finding_count as time.now_ns()\ny := 1", Some((1, "as a fact")));
    check("f(x) := x\ny if f(1) with f as count", Some((2, "`with` may replace")));
    check("y if count([1]) with count as time.now_ns", Some((1, "`with` may replace")));
    check("x if data.a.b.y with data.a.b.y as 1\ny := 2", Some((1, "`with` may replace")));
}

#[test]
fn data_and_fields_nobody_has_are_refused() {
    check("x := data.watchlist", Some((1, "no data but")));
    check("x := data", Some((1, "no data but")));
    check("x := data.a", Some((1, "no data but")));
    check("x := data[input.facts.y]", Some((1, "no data but")));
    check("import data.other", Some((1, "nothing else")));
    check("import input.facts\nfacts := 1", Some((1, "is a rule of this policy")));
    check("import input.facts as f", Some((1, "without `as`")));
    check("x := input.finding", Some((1, "`input` has no field `finding`; it has case, facts")));
    check("x := input.spam.prob", Some((1, "`input.spam` has no field `prob`")));
    check("x := input[\"cases\"]", Some((1, "no field `cases`")));
    check("import input.facst", Some((1, "no field `facst`")));
    check("x := input.facts.anything_at_all", None);
    check("x := input[y] if some y in [\"facts\"]", None);
}

#[test]
fn a_slip_in_a_name_is_refused() {
    check("x := yy", Some((1, "`yy` is neither")));
    check("x contains fnd if some finding in input.findings", Some((1, "`fnd` is neither")));
    check("x if { some f in input.findings\nff.rule == \"a\" }", Some((2, "`ff` is neither")));
    check("x if { count(inptu.findings) > 1 }", Some((1, "`inptu` is neither")));
    check("x contains y if { some i, f in input.findings; y := [i, f] }", None);
    check("x contains y if { some i; y := input.findings[i] }", None);
    check("x contains i if { input.findings[i].rule == \"a\" }", None);
    check("x contains a if { [a, b] = [1, 2]; b > 1 }", None);
    check("x contains a if { {\"a\": a} = {\"a\": 1} }", None);
    check("x if { every k, v in input.facts { k != v } }", None);
    check("f(a, [b, c]) := a + b + c\ng(_) := 1", None);
    check("x := {k: v | some k, v in input.facts}", None);
    check("x contains y if input.facts[_] = y", None);
}

#[test]
fn outputs_must_have_the_form_they_are_read_in() {
    check("deny := true", Some((1, "write `deny contains")));
    check("review if input.finding_count > 1", Some((1, "write `review contains")));
    check("deny(x) := x", Some((1, "write `deny contains")));
    check("deny.a contains 1", Some((1, "write `deny contains")));
    check("four_eyes contains 1", Some((1, "write `four_eyes if")));
    check("actions := {\"notify\"}", Some((1, "write `actions contains")));
    check("four_eyes := true", None);
    check("default four_eyes := false", None);
    check("note contains {\"rule\": \"r\", \"message\": \"m\"}", None);
}

#[test]
fn towers_are_refused_and_circles_of_rules_are_left_to_the_evaluation() {
    let tower = |n: usize| (1..=n).fold("r0 := 1\n".to_owned(), |s, i| format!("{s}r{i} := r{}\n", i - 1));
    check(&tower(100), None);
    check(&tower(400), Some((300, "expressions deep")));
    check("x := y\ny := x", None);
    let functions =
        (1..=400).fold("f0(x) := x\n".to_owned(), |s, i| format!("{s}f{i}(x) := f{}(x)\n", i - 1));
    check(&functions, Some((201, "expressions deep")));
}

#[test]
fn packages_are_plain() {
    let check = |package: &str, expect: Option<&str>| {
        let got = Compiled::new(&format!("package {package}\n{DENY}\n"));
        assert_eq!(got.is_ok(), expect.is_none(), "{package}: {got:?}");
    };
    check("probity.policy", None);
    check("p", None);
    check("a[\"b\"]", None);
    check("a[\"b.c\"]", Some("identifiers"));
}
