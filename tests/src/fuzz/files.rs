//! What people hand in as files beside the documents of cases: exports to be split,
//! policies.

use super::cases;
use probity_cli::split::{Form, Limits, Outcome, split};
use probity_compliance_validator::domain::compile::Compiled;
use probity_compliance_validator::domain::starter;
use serde::de::IgnoredAny;
use std::io::BufReader;
use std::ops::ControlFlow;

pub(super) const REGO_WORDS: &[&str] = &[
    "package p\n",
    "import rego.v1\n",
    "violation contains ",
    "note contains ",
    "four_eyes if ",
    "some i, x in ",
    "every x in ",
    "input.findings",
    " := ",
    " == ",
    "not ",
    "sprintf(\"%v\", [",
    "regex.match(\"",
    "{x | ",
    "[x | ",
    "{\"a\": ",
    "with input as ",
    "else := ",
    "default ",
    "`",
    "1e400",
    "data.p.",
    "} \n",
];

pub(super) fn exports() -> Vec<Vec<u8>> {
    let mut seeds = cases::tenders();
    seeds.truncate(3);
    seeds.push(b"\xef\xbb\xbf{\"ocid\":\"a\"}\n\n{\"ocid\":\"b\"}\n[1, {\"ocid\":\"c\"}]\n".to_vec());
    seeds.push(b"[{\"ocid\":\"a\",\"n\":1.10},{\"ocid\":\"b\"},]".to_vec());
    seeds.push(br#"{"records":[{"ocid":"a","compiledRelease":{"ocid":"a"}},7],"version":"1.1"}"#.to_vec());
    seeds
}

/// The same whatever pieces the file comes in; what is handed on is one JSON object of
/// the file, no larger than allowed, and lines only go up.
pub(super) fn export(bytes: &[u8]) {
    for form in [Form::Auto, Form::Lines, Form::Document] {
        let found = outcomes(bytes, form, 8 * 1024);
        assert_eq!(found, outcomes(bytes, form, 7), "{form:?} in sevens");
        for item in
            found.iter().filter_map(|one| if let Outcome::Item(item) = one { Some(item) } else { None })
        {
            assert!(item.bytes.len() <= LIMITS.item_bytes, "{} bytes", item.bytes.len());
            assert_eq!(item.bytes.trim_ascii_start().first(), Some(&b'{'), "line {}", item.line);
            // Its form, and no more: JSON has numbers nobody can count with, and halves of letters.
            let read: Result<IgnoredAny, _> = serde_json::from_slice(&item.bytes);
            assert!(read.is_ok(), "line {}: {read:?}", item.line);
        }
    }
}

/// Small enough for mutations to reach them.
const LIMITS: Limits = Limits { item_bytes: 4 * 1024, depth: 16 };

fn outcomes(bytes: &[u8], form: Form, piece: usize) -> Vec<Outcome> {
    let mut found = Vec::new();
    let mut input = BufReader::with_capacity(piece, bytes);
    split(&mut input, form, LIMITS, &mut |outcome| {
        found.push(outcome);
        ControlFlow::Continue(())
    })
    .expect("bytes in memory can be read");
    found
}

pub(super) fn policies() -> Vec<Vec<u8>> {
    let shipped = starter::policies().iter().map(|policy| policy.source.as_bytes().to_vec());
    let small = "package p\n\nimport rego.v1\n\nviolation contains v if {\n  some f in input.findings\n  f.severity == \"SEVERITY_HIGH\"\n  v := {\"reason\": sprintf(\"%s\", [f.rule])}\n}\n\nfour_eyes if count(input.findings) > 2\n";
    shipped.chain([small.as_bytes().to_vec()]).collect()
}

/// A policy that is refused is refused in words, with a place that is in it.
pub(super) fn policy(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = Compiled::new(source) {
        assert!(!error.reason.is_empty(), "{error:?}");
        assert!(error.line as usize <= source.split('\n').count() + 1, "{error:?}");
    }
}
