//! Documents and what is said about them.

use super::*;
use proptest::prelude::*;

fn check(kind: Kind, document: &[u8]) -> Verdict {
    let mut check = Check::new(kind);
    check.feed(document);
    check.finish()
}

/// Checks usability and the problems, each as `line field: a part of the reason`.
fn expect(kind: Kind, document: impl AsRef<[u8]>, usable: bool, problems: &[&str]) {
    let document = document.as_ref();
    let shown = String::from_utf8_lossy(&document[..document.len().min(60)]).into_owned();
    let verdict = check(kind, document);
    assert_eq!(verdict.usable, usable, "{shown:?}: {verdict:?}");
    assert_eq!(verdict.problems.count, problems.len() as u64, "{shown:?}: {verdict:?}");
    for (problem, expect) in verdict.problems.first.iter().zip(problems) {
        let (place, reason) = expect.split_once(": ").unwrap();
        let got = format!("{} {}", problem.line, problem.field);
        assert_eq!(got.trim(), place, "{shown:?}: {verdict:?}");
        assert!(problem.reason.contains(reason), "{shown:?}: {problem:?} {reason:?}");
    }
}

#[test]
fn tenders() {
    let good = |text: &str| expect(Kind::Tender, text, true, &[]);
    good("{}");
    good("{\"ocid\":\"ocds-1\"}\n");
    good("\u{FEFF}{\n  \"releases\": [\n    {\"a\": 1}\n  ]\n}\n\n");
    good("{\"a\":1}\n{\"a\":2}\n");
    good("{\"a\":1}\r\n\r\n  {\"a\":2}\r\n");
    good("\n\n{\"a\":1}\n{\"a\":2}");

    let bad = |text: &str, problem: &str| expect(Kind::Tender, text, false, &[problem]);
    bad("", "0: empty");
    bad(" \n\t", "0: white space");
    bad("\u{FEFF}", "0: white space");
    bad("[{\"a\":1}]", "1: object is expected");
    bad("\"text\"", "1: object is expected");
    bad("ocid,title\n1,2\n", "1: column 1 (byte 0): a value is expected, not `o`");
    bad("{\"a\":1} x", "1: column 9 (byte 8): something follows");
    bad("{\n  \"a\": 1,\n}", "3: column 1 (byte 12): a key in quotes is expected, not `}`");
    bad(
        "{\"releases\":[{\"ocid\":\"1\"},{\"oc",
        "1: column 31 (byte 30): the JSON breaks off within a string",
    );
    bad("{\"é\": é}", "1: column 7 (byte 7): a value is expected");
    bad("\u{FEFF}{]", "1: column 2 (byte 4): a key");
    bad("{\n\"a\": {\n} {", "3: column 3 (byte 11): a comma or the end of the object");
}

#[test]
fn a_broken_line_costs_nothing_but_itself() {
    let usable = |text: &str, problems: &[&str]| expect(Kind::Tender, text, true, problems);
    usable("{\"a\":1}\n{\"a\":\n{\"a\":3}\n", &["2: breaks off within an object"]);
    usable("{\"a\":1,}\n{\"a\":2}\n", &["1: a key in quotes"]);
    usable("{\"a\": [1\n{\"a\":2}\n[1]\n7\n{}", &["1: breaks off within an array", "3: object", "4: object"]);
    usable("{\"a\":1}\n{\"a\":2} {\"a\":3}\n{}\n", &["2: something follows"]);
    let bytes = [&b"{\"a\":\"ok\"}\n{\"a\":\"\xFF\"}\n{}\n"[..]].concat();
    expect(Kind::Tender, bytes, true, &["2: 0xFF is not UTF-8"]);
    let many = format!("{{}}\n{}", "{\n".repeat(500));
    let verdict = check(Kind::Tender, many.as_bytes());
    assert!(verdict.usable && verdict.problems.count == 500 && verdict.problems.first.len() == MAX_PROBLEMS);
}

#[test]
fn a_package_with_a_release_a_line_is_not_lines() {
    let text = "{\"releases\":[\n{\"a\":1},\n{\"a\":2},\n{\"a\":3},\n{\"a\":4}\n]";
    expect(Kind::Tender, text, false, &["6: breaks off within an object"]);
    expect(Kind::Tender, format!("{text}}}"), true, &[]);
}

#[test]
fn hostile_tenders() {
    let deep = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    expect(Kind::Tender, deep(63), true, &[]);
    expect(Kind::Tender, deep(10_000), false, &["1: nested deeper than 64"]);
    expect(Kind::Tender, "{\"a\":".repeat(100_000), false, &["1: nested deeper than 64"]);
    let keys: String = (0..100_000).map(|n| format!("\"k{n}\":{n},")).collect();
    expect(Kind::Tender, format!("{{{keys}\"z\":0}}"), true, &[]);
    expect(Kind::Tender, [&b"{\"a\":\""[..], &[0; 10], b"\"}"].concat(), false, &["1: 0x00 must be"]);
    expect(
        Kind::Tender,
        "\u{FEFF}{\0}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
        false,
        &["1: value"],
    );
    expect(Kind::Tender, "\x1f\u{8b}\x08\0", false, &["1: byte 0x1F"]);
}

/// Feeds `head`, then `filler` until `bytes` are reached, then `tail`.
fn long(kind: Kind, head: &[u8], filler: &[u8], bytes: usize, tail: &[u8]) -> Verdict {
    let mut check = Check::new(kind);
    check.feed(head);
    for _ in 0..bytes / filler.len() {
        check.feed(filler);
    }
    check.feed(tail);
    check.finish()
}

#[test]
fn lines_of_many_mib_are_refused() {
    let filler = vec![b'x'; 1 << 20];
    let verdict = long(Kind::Tender, b"{\"a\":\"", &filler, 17 << 20, b"\"}");
    assert!(
        !verdict.usable && verdict.problems.first[0].reason.contains("longer than 16 MiB"),
        "{verdict:?}"
    );
    let verdict = long(Kind::Tender, b"{}\n{\"a\":\"", &filler, 17 << 20, b"\"}\n{}\n");
    assert!(
        verdict.usable && verdict.problems.count == 1 && verdict.problems.first[0].line == 2,
        "{verdict:?}"
    );
    let verdict = long(Kind::Message, b"Subject: x\n\n", &filler, 17 << 20, b"");
    assert!(!verdict.usable && verdict.problems.first[0].line == 3, "{verdict:?}");
    let verdict = long(Kind::Payment, b"id,amount\na,1\n", &filler, 4 << 20, b"\nb,2\n");
    assert!(verdict.usable && verdict.problems.first[0].reason.contains("longer than 64 KiB"), "{verdict:?}");
    let verdict = long(Kind::Payment, b"", &filler, 4 << 20, b"\nb,2\n");
    assert!(!verdict.usable && verdict.problems.first[0].line == 1, "{verdict:?}");
}

#[test]
fn payments() {
    let good = |text: &str| expect(Kind::Payment, text, true, &[]);
    good("id,amount\n1,2\n");
    good("\u{FEFF}id;amount\r\n1;2");
    good("\n\nid\tamount\n\n1\t2\n\n");
    good("id,note\n1,\"a \"\"quote\"\", a comma\nand a line\"\n2,\"\"\r\n3,\"x\"");
    good("id,amount\r1,2\r3,4\r");
    good("id,\"a,5\",é\n1,2,3\n");
    good("reference\nA-1\n");

    let bad = |text: &str, problem: &str| expect(Kind::Payment, text, false, &[problem]);
    bad("", "0: empty");
    bad("\n \r\n", "0: no header");
    bad("\u{FEFF}", "0: no header");
    bad("id,amount\n", "0: no row that can be read");
    bad("id,amount", "0: no row that can be read");
    bad("A-1,12.50,2024-01-31\nA-2,1,2\n", "1: must name the columns, but it holds the value \"12.50\"");
    bad("\nid,\"amount\n1,2\n", "2: never closed");
    bad("id,amount\n1,\0\n", "2: NUL");
}

#[test]
fn a_stray_quote_costs_one_line() {
    let usable = |text: &str, problems: &[&str]| expect(Kind::Payment, text, true, problems);
    usable("id,a\n1,\"x\n2,y\n3,z\n", &["2: never closed"]);
    usable("id,a\n1,\"x\n2,\"y\n3,z\n", &["2: closing quote", "3: never closed"]);
    usable("id,a\n1,\"x\" y\n2,y\n", &["2: closing quote"]);
    usable("id,a\n1,\"x\"\ry\n2,y\n", &["2: closing quote"]);
    usable(&format!("id,a\n1{}\n2,y\n", ",".repeat(600)), &["2: more than 512 columns"]);
    expect(Kind::Payment, "id,a\n1,\"x\n", false, &["0: no row", "2: never closed"]);
    let text = [&b"id,name\n1,K\xF6ln\n2,\"K\xC3\"\n3,K\xC3\n4,K\xC3\xB6ln\n"[..]].concat();
    let problems = ["2 name: byte 11 (0xF6)", "3 name: byte 19 (0xC3)", "4 name: byte 25 (0xC3)"];
    expect(Kind::Payment, text, true, &problems);
}

#[test]
fn rows_of_quotes_take_no_time() {
    for row in ["\"\n", "\"\"x\n", "\"a\"\"\n", "a,\"\n", "\"\"\"x\n"] {
        let text = format!("id,a\n1,2\n\"\n{}", row.repeat(60_000));
        assert!(check(Kind::Payment, text.as_bytes()).usable);
    }
}

#[test]
fn texts() {
    for kind in [Kind::Message, Kind::Report] {
        let good = |text: &[u8]| expect(kind, text, true, &[]);
        good(b"hello");
        good("\u{FEFF}Köln".as_bytes());
        good(b"Content-Type: text/plain; charset=iso-8859-1\n\nK\xF6ln");
        good(b"\xA4\xE5\xA4\xCE");
        expect(kind, "", false, &["0: empty"]);
        expect(kind, " \r\n\t ", false, &["0: no text"]);
        expect(kind, "\u{FEFF}\n", false, &["0: no text"]);
        expect(kind, b"a\nb\0c", false, &["2: byte 3 is a NUL"]);
        expect(kind, b"\xFF\xFEh\0i\0", false, &["0: UTF-16"]);
        expect(kind, b"%PDF-1.7\n\0\0", false, &["2: NUL"]);
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Tender, Kind::Payment, Kind::Message, Kind::Report])
}

/// Bytes that mean something to one of the checks.
fn documents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            "\"",
            "\"\"",
            ":",
            ",",
            ";",
            "\n",
            "\r\n",
            "\r",
            "{}\n",
            "{\"a\":1}\n",
            "1,2\n",
            "id,amount\n",
            "\u{FEFF}",
            "é",
            " ",
            "\\u12",
            "\0",
            "-1.5e3",
            "true",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn pieces_do_not_matter(kind in kinds(), document in documents(), size in 1..8_usize) {
        let mut pieces = Check::new(kind);
        document.chunks(size).for_each(|piece| pieces.feed(piece));
        prop_assert_eq!(pieces.finish(), check(kind, &document));
    }

    #[test]
    fn what_is_refused_has_a_reason(kind in kinds(), document in documents()) {
        let verdict = check(kind, &document);
        let lines = document.iter().filter(|b| matches!(b, b'\n' | b'\r')).count() as u64 + 1;
        prop_assert!(verdict.usable || verdict.problems.count > 0);
        prop_assert!(verdict.problems.count >= verdict.problems.first.len() as u64);
        prop_assert!(verdict.problems.first.iter().all(|p| p.line <= lines && !p.reason.is_empty()));
    }

    #[test]
    fn a_decided_check_does_not_change_its_mind(kind in kinds(), one in documents(), two in documents()) {
        let mut short = Check::new(kind);
        short.feed(&one);
        if short.is_decided() {
            prop_assert!(!short.finish().usable);
            prop_assert!(!check(kind, &[one, two].concat()).usable);
        }
    }

    #[test]
    fn csv_of_any_values_is_usable(rows in prop::collection::vec(
        prop::collection::vec("[^\\x00]{0,8}", 2), 1..8
    )) {
        let quoted = |row: &Vec<String>| row.iter().map(|v| format!("\"{}\"", v.replace('"', "\"\""))).collect::<Vec<_>>().join(",");
        let text = format!("id,amount\n{}\n", rows.iter().map(quoted).collect::<Vec<_>>().join("\n"));
        let verdict = check(Kind::Payment, text.as_bytes());
        prop_assert!(verdict.usable && verdict.problems.count == 0, "{text:?} {verdict:?}");
    }
}
