//! The functions policies may call.

use super::*;
use crate::domain::{Case, CaseKind, Compiled, Trouble, evaluate};
use std::time::{Duration, Instant};

/// What an expression comes to, or a part of why it fails.
fn check(expression: &str, expect: Result<&str, &str>) {
    let mut engine = Engine::new();
    install(&mut engine).unwrap();
    engine.add_policy("policy.rego".into(), format!("package p\nx := {expression}")).unwrap();
    engine.set_input(Value::new_object());
    match (engine.eval_rule("data.p.x".into()), expect) {
        (Ok(value), Ok(text)) => {
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(read(&value.to_json_str().unwrap()), read(text), "{expression}");
        }
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{expression}: {error}"),
        (got, expect) => panic!("{expression}: {got:?}, expected {expect:?}"),
    }
}

#[test]
fn amounts_are_compared_exactly() {
    check(r#"decimal.compare("0.1", "0.10")"#, Ok("0"));
    check(r#"decimal.compare("9007199254740993", "9007199254740992")"#, Ok("1"));
    check(r#"decimal.compare("-1", "1e3")"#, Ok("-1"));
    check(r#"decimal.compare("50000.00", 50000)"#, Ok("0"));
    check(r#"decimal.compare("12", 1.5)"#, Err("write amounts as text"));
    check(r#"decimal.compare("1,250", "1")"#, Err("no decimal amount"));
    check(r#"decimal.is_valid("1250.00")"#, Ok("true"));
    check(r#"decimal.is_valid("about 3")"#, Ok("false"));
    check("decimal.is_valid(null)", Ok("false"));
}

#[test]
fn guarded_functions_answer_as_the_originals_do() {
    check(
        r#"sprintf("%s has %d of %v, %.2f", ["a", 2, [1, "b"], 1.5])"#,
        Ok(r#""a has 2 of [1, \"b\"], 1.50""#),
    );
    check(r#"concat(", ", ["a", "b"])"#, Ok(r#""a, b""#));
    check(r#"replace("aXbX", "X", "--")"#, Ok(r#""a--b--""#));
    check(r#"split("a,b", ",")"#, Ok(r#"["a","b"]"#));
    check("numbers.range(1, 4)", Ok("[1,2,3,4]"));
    check("array.concat([1], [2])", Ok("[1,2]"));
    check(r#"to_number("12.5")"#, Ok("12.5"));
    check(r#"to_number("x")"#, Err("to_number: could not parse"));
    check(r#"json.marshal({"a": {1}})"#, Ok(r#""{\"a\":[1]}""#));
    check(r#"object.union({"a": 1}, {"b": 2})"#, Ok(r#"{"a":1,"b":2}"#));
    check(r#"time.weekday(0)"#, Ok(r#""Thursday""#));
    assert_eq!(ORIGINALS.len(), table::GUARDED.len());
}

#[test]
fn much_out_of_little_is_refused_at_once() {
    let started = Instant::now();
    check("numbers.range(1, 100000000000)", Err("at most 10000 numbers"));
    check("numbers.range(-9223372036854775807, 9223372036854775807)", Err("at most 10000"));
    check("numbers.range_step(1, 100000000, 1)", Err("at most 10000"));
    check(r#"sprintf("%999999999d", [1])"#, Err("at most 3 digits"));
    check(r#"sprintf("%.99999f", [1.0])"#, Err("at most 3 digits"));
    let long = |n: usize| {
        format!(
            "concat(\"\", [s | some i in numbers.range(1, {n}); s := \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"])"
        )
    };
    check(
        &format!("concat({}, [sprintf(\"%d\", [i]) | some i in numbers.range(1, 5000)])", long(100)),
        Err("too large"),
    );
    check(&format!("replace({}, \"a\", {})", long(100), long(100)), Err("too large"));
    check(&format!("replace({}, \"\", {})", long(100), long(100)), Err("too large"));
    check(&format!("strings.replace_n({{\"a\": {0}, \"b\": {0}}}, {0})", long(50)), Err("too large"));
    check(&format!("regex.replace({0}, \"a\", {0})", long(50)), Err("too large"));
    check(&format!("to_number({})", long(100)), Err("too long"));
    check(r#"time.date([0, "Local"])"#, Err("name the zone"));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_value_that_doubles_with_each_line_is_weighed_as_the_text_it_would_be() {
    let mut source = "package p\nx0 := [\"a\"]\n".to_owned();
    for i in 1..=60 {
        source += &format!("x{i} := [x{0}, x{0}]\n", i - 1);
    }
    source += "deny contains {\"rule\": \"r\", \"message\": json.marshal(x60)}\n";
    let compiled = Compiled::new(&source).unwrap();
    let input = evaluate::input(&Case::empty(CaseKind::Tender)).unwrap();
    let verdict = compiled.evaluate(&input, Duration::from_secs(5));
    assert!(
        matches!(&verdict.troubles[..], [Trouble::Failed(error)] if error.reason.contains("too large")),
        "{verdict:?}"
    );
}

#[test]
fn every_function_of_the_lists_is_known_to_the_interpreter() {
    let guarded = table::GUARDED.iter().map(|(name, ..)| *name);
    for name in table::FREE.iter().copied().chain(guarded) {
        let mut engine = Engine::new();
        engine.add_policy("p.rego".into(), format!("package p\nx := {name}(1, 1, 1, 1, 1, 1)")).unwrap();
        let message = engine.eval_rule("data.p.x".into()).map_or_else(|e| e.to_string(), |_| String::new());
        assert!(!message.contains("could not find function"), "{name}: {message}");
    }
    for name in table::REFUSED.iter().flat_map(|(names, _)| *names) {
        assert!(why_not(name).is_some(), "{name}");
    }
}

#[test]
fn the_authoring_guide_lists_every_function() {
    let guide = include_str!("../../../README.md");
    let guarded = table::GUARDED.iter().map(|(name, ..)| *name);
    for name in table::FREE.iter().chain(table::OWN).copied().chain(guarded) {
        assert!(guide.contains(&format!("`{name}`")), "{name} is not in README.md");
    }
}
