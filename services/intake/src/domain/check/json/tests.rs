//! JSON and what only looks like it; the same answers as another reader gives.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn scan(text: &[u8]) -> Result<(), String> {
    let mut scanner = Scanner::default();
    text.iter().try_for_each(|byte| scanner.push(*byte))?;
    scanner.finish()
}

#[test]
fn takes_json_and_nothing_else() {
    let check = |text: &str, good: bool| assert_eq!(scan(text.as_bytes()).is_ok(), good, "{text:?}");
    for good in [
        "{}",
        "[]",
        " [ ] ",
        "0",
        "-0",
        "-0.0e+0",
        "1E9",
        "12.5",
        "true",
        "null",
        "\"\"",
        "\"\\u00e9\\n\"",
        "{\"a\":[1,{\"b\":null}],\"a\":\"\"}",
        "\"\\ud83d\\ude00\"",
        "\"\u{1F600}\"",
        "[1 ,2]\n",
    ] {
        check(good, true);
    }
    for bad in [
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\"}",
        "{\"a\":}",
        "[1 2]",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "tru",
        "truex",
        "True",
        "NaN",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\t\"",
        "[}",
        "{]",
        "]",
        "{}{}",
        "1 2",
        "\u{FEFF}{}",
        "//x\n{}",
    ] {
        check(bad, false);
    }
    assert!(scan(b"\"\xC3\"").unwrap_err().contains("0x22 is not UTF-8"));
    assert!(scan(b"\"\xFF\"").unwrap_err().contains("0xFF is not UTF-8"));
}

#[test]
fn goes_as_deep_as_allowed() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(scan(nested(64).as_bytes()).is_ok());
    assert!(scan(nested(65).as_bytes()).unwrap_err().contains("deeper than 64"));
    let objects = format!("{}1{}", "{\"a\":".repeat(64), "}".repeat(64));
    assert!(scan(objects.as_bytes()).is_ok());
    assert!(scan("[{\"a\":".repeat(5_000).as_bytes()).is_err());
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,4}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn takes_what_a_writer_writes(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        prop_assert_eq!(scan(text.unwrap().as_bytes()), Ok(()));
    }

    /// One byte of good JSON is cut out, changed or added: both say the same.
    #[test]
    fn agrees_with_another_reader(value in json(), at: prop::sample::Index, byte in prop_oneof![
        prop::sample::select(b"{}[]\",:\\u019.eE+-tfn \n\x00\x1f\x7f\xc3\xa9\xed\xff".to_vec()), any::<u8>()
    ], how in 0..3) {
        let mut text = serde_json::to_vec(&value).unwrap();
        let at = at.index(text.len());
        match how {
            0 => text[at] = byte,
            1 => text.insert(at, byte),
            _ => { text.remove(at); }
        }
        let other: Result<Value, _> = serde_json::from_slice(&text);
        // It also refuses numbers it cannot keep; we do not keep any.
        let too_large = matches!(&other, Err(error) if error.to_string().contains("out of range"));
        prop_assert!(too_large || scan(&text).is_ok() == other.is_ok(), "{:?}", String::from_utf8_lossy(&text));
    }
}
