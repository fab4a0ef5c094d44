//! The splitter on good, odd and hostile files, and the laws it keeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_cli::split::{Form, Limits, Outcome, split};
use proptest::prelude::*;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;

const SMALL: Limits = Limits { item_bytes: 200, depth: 6 };

/// `line:bytes` for an item, `line! reason` for a refusal.
fn run_with(input: &mut dyn BufRead, form: Form, limits: Limits) -> Vec<String> {
    let mut seen = Vec::new();
    split(input, form, limits, &mut |outcome| {
        seen.push(match outcome {
            Outcome::Item(item) => format!("{}:{}", item.line, String::from_utf8(item.bytes).unwrap()),
            Outcome::Refused(refusal) => format!("{}! {}", refusal.line, refusal.reason),
        });
        ControlFlow::Continue(())
    })
    .unwrap();
    seen
}

/// The same outcome whatever the size of the reads: each file is read in pieces
/// of several sizes.
fn run(text: &[u8], form: Form, limits: Limits) -> Vec<String> {
    let whole = run_with(&mut &*text, form, limits);
    for size in [1, 7, 64] {
        let pieces = run_with(&mut BufReader::with_capacity(size, text), form, limits);
        assert_eq!(pieces, whole, "in pieces of {size}");
    }
    whole
}

#[track_caller]
fn check_as(form: Form, text: impl AsRef<[u8]>, expect: &[&str]) {
    let seen = run(text.as_ref(), form, SMALL);
    assert_eq!(seen.len(), expect.len(), "{seen:#?}");
    for (seen, expect) in seen.iter().zip(expect) {
        // A refusal may say more than the table asks for.
        let fits = if expect.contains('!') { seen.starts_with(expect) } else { seen == expect };
        assert!(fits, "{seen:?} is not {expect:?}");
    }
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, expect: &[&str]) {
    check_as(Form::Auto, &text, expect);
}

#[test]
fn a_file_may_end_anywhere() {
    let record = r#"{"records":[{"ocid":"a","compiledRelease":{"ocid":"a"}},7],"version":"1.1"}"#;
    let release = "[ {\"releases\" : [{\"ocid\":\"a\"}] ,\n\"version\" : 1 } ]";
    for text in [record, release] {
        for form in [Form::Auto, Form::Document, Form::Lines] {
            for end in 0..text.len() {
                let seen = run(&text.as_bytes()[..end], form, SMALL);
                assert!(!seen.is_empty() || end == 0, "{form:?}, {end} bytes: nothing is told");
            }
        }
    }
}

#[test]
fn takes_items_out_of_every_shape() {
    let a = r#"{"ocid":"a"}"#;
    let b = r#"{"ocid":"b"}"#;
    check(a, &[r#"1:{"ocid":"a"}"#]);
    check(format!("\n\n  {a}\n"), &[r#"3:{"ocid":"a"}"#]);
    check(format!("\u{feff}{a}"), &[r#"1:{"ocid":"a"}"#]);
    check(format!("[{a},\n{b}]"), &[r#"1:{"ocid":"a"}"#, r#"2:{"ocid":"b"}"#]);
    check(
        format!("{{\"uri\":\"u\",\"releases\":[{a},{b}],\"x\":[{a}]}}"),
        &["1:{\"ocid\":\"a\"}", "1:{\"ocid\":\"b\"}"],
    );
    check(format!("{{\n\"records\":\n[{a}]}}"), &[r#"3:{"ocid":"a"}"#]);
    check(format!("{{\"records\":[{a}],\"releases\":[{b}]}}"), &["1:{\"ocid\":\"a\"}", "1:{\"ocid\":\"b\"}"]);
    check(format!("{a}\n{b}\n"), &[r#"1:{"ocid":"a"}"#, r#"2:{"ocid":"b"}"#]);
    check(format!("{a}\r\n\r\n{b}"), &[r#"1:{"ocid":"a"}"#, r#"3:{"ocid":"b"}"#]);
    check("{\n\"ocid\":1}\n{\n\"ocid\":2}", &["1:{\n\"ocid\":1}", "3:{\n\"ocid\":2}"]);
}

#[test]
fn a_record_is_one_item_though_it_has_releases() {
    let record = r#"{"releases":[{"ocid":"a"}],"ocid":"a","compiledRelease":{}}"#;
    check(record, &[&format!("1:{record}")]);
    check(format!("{{\"records\":[{record}]}}"), &[&format!("1:{record}")]);
}

#[test]
fn packages_in_lines_and_lists_are_opened() {
    let package = r#"{"releases":[{"ocid":"a"},{"ocid":"b"}]}"#;
    let both = ["1:{\"ocid\":\"a\"}", "1:{\"ocid\":\"b\"}"];
    check(format!("[{package}]"), &both);
    check_as(Form::Lines, package, &both);
    check_as(Form::Lines, format!("\n{package}\n"), &["2:{\"ocid\":\"a\"}", "2:{\"ocid\":\"b\"}"]);
}

#[test]
fn what_looks_like_structure_inside_strings_is_text() {
    let item = r#"{"ocid":"a","t":"]}{[\"\\","releases":"no"}"#;
    check(format!("{{\"releases\":[{item},{item}]}}"), &[&format!("1:{item}"), &format!("1:{item}")]);
    check(item, &[&format!("1:{item}")]);
}

#[test]
fn broken_files_are_refused_with_line_and_reason() {
    check("", &["1! the file is empty"]);
    check(" \n\t\n", &["1! the file is empty"]);
    check_as(Form::Lines, "", &["1! the file is empty"]);
    check("hello", &["1! this is no JSON: `h`"]);
    check("<xml>\n<b>\n", &["1! this is no JSON: `<`"]);
    check("{\"a\":1}", &["1! this is no OCDS"]);
    check(
        "[1,\"x\",null,[2],{\"ocid\":1}]",
        &[
            "1! this is a number",
            "1! this is a text",
            "1! this is null",
            "1! this is a list",
            "1:{\"ocid\":1}",
        ],
    );
    check("{\"releases\":[]}", &["1! the package holds no releases"]);
    check("{\"releases\":{}}", &["1! this is no OCDS"]);
    check("{\"ocid\":\"a\"", &["1! the file ends in the middle"]);
    check("{\"ocid\":tru}", &["1! is not valid JSON"]);
    check(b"\xff\xfe{\0", &["1! the file is in UTF-16"]);
    check(b"{\0\"\0o\0", &["1! the file is in UTF-16"]);
    check(b"\x1f\x8b\x08\0", &["1! the file is in UTF-16 or binary"]);
    check(b"\x1f\x8b\x08\x08", &["1! the file is compressed"]);
}

#[test]
fn one_bad_item_does_not_spoil_the_others() {
    let good = r#"{"ocid":"g"}"#;
    let package = |bad: &str| format!("{{\"releases\":[{good},\n{bad},\n{good}]}}");
    let expect = |reason: &'static str| ["1:{\"ocid\":\"g\"}", reason, "3:{\"ocid\":\"g\"}"];
    check(package("{\"a\":tru}"), &expect("2! is not valid JSON"));
    check(package("{\"a\" 1}"), &expect("2! is not valid JSON"));
    check(package("{\"a\":1,}"), &expect("2! is not valid JSON"));
    check(package("7"), &expect("2! this is a number"));
    check(package(&format!("{}{}", "[".repeat(9), "]".repeat(9))), &expect("2! nests 9 levels"));
    check(package(&format!("{{\"a\":\"{}\"}}", "x".repeat(300))), &expect("2! has 308 bytes"));
    check(package("{\"a\":1]"), &expect("2! is not valid JSON"));
    check(package("{\"a\":\"no end}"), &["1:{\"ocid\":\"g\"}", "2! is not valid JSON"]);
    check(
        package("{\"a\":\"no end\n}"),
        &["1:{\"ocid\":\"g\"}", "2! is not valid JSON", "4:{\"ocid\":\"g\"}"],
    );
    check(package("}"), &expect("2! a closing bracket"));
    check(package("{\"a\":1]]}"), &expect("2! is not valid JSON"));
}

#[test]
fn wrong_encoding_is_told_with_its_line() {
    let mut text = b"{\"releases\":[{\"ocid\":1},\n{\n\"t\":\"caf".to_vec();
    text.extend(b"\xe9\"},{\"ocid\":2}]}");
    check(text, &["1:{\"ocid\":1}", "3! is not UTF-8 (byte 0xe9)", "3:{\"ocid\":2}"]);
}

#[test]
fn lines_are_refused_one_by_one() {
    let long = format!("{{\"ocid\":\"{}\"}}", "x".repeat(1_000));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let text = [
        r#"{"ocid":"a"}"#,
        r#"{"ocid":"b""#,
        r#"{"ocid":"c}"#,
        &long,
        r#"{"ocid":"d"} {"ocid":"e"}"#,
        "nonsense",
        "",
        r#"{"other":1}"#,
        r#"{"ocid":"z"}"#,
    ]
    .join("\n");
    let expect = [
        "1:{\"ocid\":\"a\"}",
        "2! the line ends in the middle",
        "3! the line ends in the middle",
        "4! the line has 1011 bytes",
        "5! the line goes on after",
        "6! is not valid JSON",
        "8! this is no OCDS",
        "9:{\"ocid\":\"z\"}",
    ];
    check_as(Form::Lines, &text, &expect);
    check(&text, &expect);
    let wide = Limits { item_bytes: 100_000, ..SMALL };
    let seen = run(format!("{deep}\n{{\"ocid\":1}}").as_bytes(), Form::Lines, wide);
    assert!(seen[0].starts_with("1! nests 10000 levels deep"), "{seen:?}");
    assert_eq!(seen[1], "2:{\"ocid\":1}");
}

#[test]
fn a_first_line_that_is_broken_still_begins_json_lines() {
    check("{\"ocid\":\n{\"ocid\":\"b\"}", &["1! the line ends in the middle", "2:{\"ocid\":\"b\"}"]);
    check("{\"ocid\":\"a\n{\"ocid\":\"b\"}", &["1! the line ends in the middle", "2:{\"ocid\":\"b\"}"]);
    // A package with its list opened on the first line is no such thing.
    check("{\"releases\":[\n{\"ocid\":\"b\"}]}", &["2:{\"ocid\":\"b\"}"]);
}

#[test]
fn unclosed_nesting_costs_one_refusal() {
    let text = format!("{{\"releases\":[{{\"ocid\":1}},{}", "[{\"a\":".repeat(10_000));
    check(text, &["1:{\"ocid\":1}", "1! nests 20000 levels deep"]);
}

/// A reader that gives `count` copies of a piece between a head and a tail.
struct Endless {
    head: &'static [u8],
    piece: &'static [u8],
    count: u64,
    tail: &'static [u8],
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let part = match (self.head.is_empty(), self.count) {
                (false, _) => self.head,
                (true, 0) => self.tail,
                (true, _) => self.piece,
            };
            let rest = &part[self.at..];
            if !rest.is_empty() || (self.head.is_empty() && self.count == 0) {
                let n = rest.len().min(buffer.len());
                buffer[..n].copy_from_slice(&rest[..n]);
                self.at += n;
                return Ok(n);
            }
            self.at = 0;
            if self.head.is_empty() { self.count -= 1 } else { self.head = b"" }
        }
    }
}

#[test]
fn a_line_of_200_megabytes_is_refused_without_keeping_it() {
    let piece = [b'x'; 4_096];
    let endless = Endless {
        head: b"{\"ocid\":\"a\"}\n{\"ocid\":\"",
        piece: Box::leak(Box::new(piece)),
        count: 51_200,
        tail: b"\"}\n{\"ocid\":\"c\"}\n",
        at: 0,
    };
    let mut input = BufReader::with_capacity(1 << 16, endless);
    let seen = run_with(&mut input, Form::Auto, Limits::default());
    assert_eq!(seen[0], "1:{\"ocid\":\"a\"}");
    assert!(seen[1].starts_with("2! the line has 209715211 bytes"), "{}", seen[1]);
    assert_eq!(seen[2], "3:{\"ocid\":\"c\"}");
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_package_larger_than_any_item_is_streamed() {
    let endless = Endless {
        head: b"{\"uri\":\"x\",\"releases\":[{\"ocid\":\"first\"}",
        piece: b",\n{\"ocid\":\"next\",\"t\":\"0123456789012345678901234567890123456789\"}",
        count: 20_000,
        tail: b",{\"ocid\":\"last\"}],\"license\":\"x\"}",
        at: 0,
    };
    let mut counts = (0, 0, 0);
    let limits = Limits { item_bytes: 4_096, depth: 8 };
    split(&mut BufReader::new(endless), Form::Auto, limits, &mut |outcome| {
        match outcome {
            Outcome::Item(item) => {
                counts.0 += 1;
                counts.2 = item.line;
            }
            Outcome::Refused(_) => counts.1 += 1,
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(counts, (20_002, 0, 20_001));
}

#[test]
fn the_receiver_can_break_off() {
    let mut seen = 0;
    let text = "[{\"ocid\":1},{\"ocid\":2},{\"ocid\":3}]";
    split(&mut text.as_bytes(), Form::Auto, SMALL, &mut |_| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(seen, 2);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[ -~\"\\\\é\n{}\\[\\]]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn release() -> impl Strategy<Value = String> {
    (proptest::collection::btree_map("[a-z]{1,5}", json(), 0..4), any::<u16>(), any::<bool>()).prop_map(
        |(map, n, pretty)| {
            let mut object: serde_json::Map<_, _> = map.into_iter().collect();
            object.insert("ocid".into(), format!("ocds-{n}").into());
            let value = serde_json::Value::Object(object);
            if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() }
        },
    )
}

fn items_of(seen: &[String]) -> Vec<&str> {
    seen.iter()
        .filter_map(|s| s.split_once(':').filter(|(line, _)| !line.contains('!')).map(|(_, b)| b))
        .collect()
}

proptest! {
    #[test]
    fn joining_and_splitting_gives_the_same_items(items in proptest::collection::vec(release(), 1..6)) {
        let limits = Limits::default();
        let package = format!("{{\"version\":\"1.1\",\"releases\":[{}],\"uri\":\"u\"}}", items.join(",\n"));
        let list = format!("[{}]", items.join(" , "));
        let joined = items.join("\n");
        for text in [package, list, joined] {
            let seen = run(text.as_bytes(), Form::Document, limits);
            prop_assert_eq!(items_of(&seen), items.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(seen.len(), items.len());
        }
    }

    #[test]
    fn a_truncated_file_loses_only_its_end(
        items in proptest::collection::vec(release(), 1..5),
        share in 0.0_f64..1.0,
    ) {
        let text = format!("{{\"releases\":[{}]}}", items.join(","));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let cut = (text.len() as f64 * share) as usize;
        let seen = run(&text.as_bytes()[..cut], Form::Auto, Limits::default());
        let kept = items_of(&seen);
        prop_assert!(kept.len() <= items.len());
        for (kept, original) in kept.iter().zip(&items) {
            prop_assert_eq!(*kept, original.as_str());
        }
        // What is missing is told, once.
        prop_assert_eq!(seen.len(), kept.len() + 1, "{:?}", seen);
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for form in [Form::Auto, Form::Document, Form::Lines] {
            prop_assert!(!run(&bytes, form, SMALL).is_empty());
        }
    }

    #[test]
    fn no_text_of_json_characters_makes_it_fail(text in "[{}\\[\\]:,\"a1\n\\\\ ]{0,200}") {
        for form in [Form::Auto, Form::Document, Form::Lines] {
            prop_assert!(!run(text.as_bytes(), form, SMALL).is_empty());
        }
    }
}
