//! What callers and operators bring: calls, tokens, definitions, expressions,
//! filters, schedules, and what proves things afterwards.

use ed25519_dalek::SigningKey;
use probity_engine::expr::{Expr, Variables};
use probity_engine::{Definition, Severity, lint};
use probity_filter::{Field, Filter, Order, Schema};
use probity_gateway::domain::token::TokenKey;
use probity_gateway::transcode::{Limits, Parts, Transcoder};
use probity_merkle::receipt::{self, ProvedEntry};
use probity_merkle::{Checkpoint, NoteSigner, Receipt, VerifierKey, leaf_hash};
use probity_orchestrator::Contracts;
use probity_schedule::{Timing, Zone};
use probity_types::Micros;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use std::sync::LazyLock;

pub(super) const CALL_WORDS: &[&str] = &[
    "GET ",
    "POST ",
    "PATCH ",
    "/v1/",
    "cases",
    "executions",
    "documents",
    ":cancel",
    "?pageSize=",
    "&filter=",
    "updateMask=",
    "%2F",
    "%",
    "..",
    "//",
    "{\"",
    "\":",
    "null",
    "1e30",
    "\"\\ud800\"",
    "@type",
    "base64==",
];
pub(super) const TOKEN_WORDS: &[&str] = &[".", "=", "eyJhbGciOiJub25lIn0", "none", "HS256", "_", "-"];
pub(super) const YAML_WORDS: &[&str] = &[
    "steps:\n",
    "  - id: a\n",
    "needs: [a]",
    "when: ",
    "for_each: ",
    "call: ",
    "task: ",
    "retry: ",
    "timeout: 1s",
    "on_error: ",
    "compensate: ",
    "&a ",
    "*a",
    "<<: ",
    "!!binary ",
    "? ",
    "- - - ",
    "|\n",
    "{",
    "[",
    "limit: ",
];
pub(super) const CEL_WORDS: &[&str] = &[
    "steps.a.b",
    "input",
    "has(",
    "size(",
    ".map(x, ",
    ".filter(x, ",
    ".all(x, ",
    "matches('",
    "(",
    ")",
    "? :",
    "&&",
    "||",
    "!",
    "in",
    "[1,2]",
    "{'a': 1}",
    "timestamp('",
    "duration('",
    "9223372036854775807",
    "-",
    "*",
    "/ 0",
    "b'",
];
pub(super) const FILTER_WORDS: &[&str] = &[
    "state",
    "=",
    "!=",
    ">=",
    ":",
    "*",
    "AND",
    "OR",
    "NOT",
    "-",
    "(",
    ")",
    "\"",
    "create_time",
    "RUNNING",
    ",",
];
pub(super) const CRON_WORDS: &[&str] =
    &["*", "/", "-", ",", "L", "W", "#", "?", "@every", "@daily", "JAN", "MON", " ", "59", "366d", "1s"];
pub(super) const NOTE_WORDS: &[&str] =
    &["\n", "\n\n", "— ", "+", "=", "\"entries\":", "\"leaf\":", "\"index\":", "0"];

/// Now, as far as targets are concerned: the same in every run.
pub(super) const NOW: Micros = Micros(1_800_000_000_000_000);

pub(super) fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

static TRANSCODER: LazyLock<Transcoder> =
    LazyLock::new(|| Transcoder::new(probity_proto::pool(), Limits::default()).expect("routes"));

pub(super) fn calls() -> Vec<Vec<u8>> {
    texts(&[
        "GET /v1/cases/c?pageSize=5",
        "GET /v1/executions?filter=status%20%3D%20RUNNING&pageSize=10&pageToken=a",
        "POST /v1/cases\n{\"kind\":\"CASE_KIND_TENDER\",\"documents\":[\"documents/d\"],\"subject\":\"s\"}",
        "POST /v1/executions\n{\"definition\":\"definitions/a\",\"input\":{\"a\":[1,2.5,null,true]},\"wait\":\"30s\"}",
        "POST /v1/tokens\n{\"actor\":\"users/a\",\"roles\":[\"ROLE_OFFICER\",4],\"ttlSeconds\":\"60\"}",
        "POST /v1/cases/c:cancel\n{\"reason\":\"r\"}",
        "POST /v1/documents\nbytes",
    ])
}

/// What is accepted is a message of the method; what is not says where.
pub(super) fn transcoder(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let Ok(line) = std::str::from_utf8(&bytes[..end]) else { return };
    let (method, uri) = line.split_once(' ').unwrap_or(("GET", line));
    let Ok(method) = http::Method::from_bytes(method.as_bytes()) else { return };
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let Ok(found) = TRANSCODER.find(&method, path) else { return };
    let body = bytes.get(end + 1..).unwrap_or_default().to_vec().into();
    match TRANSCODER.request(&found, &Parts { query, body }) {
        Ok(message) => {
            let read = DynamicMessage::decode(found.rule.method.input.clone(), message);
            assert!(read.is_ok(), "an accepted request is no message of its method: {read:?}");
        }
        Err(fault) => assert!(format!("{fault:?}").len() < 2_000, "{fault:?}"),
    }
}

pub(super) fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Issued with that key once and for all: seeds outlive the process that writes them.
const ISSUED: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImZlODEyYzEyZjNhYjRjZTYiLCJ0eXAiOiJhdCtqd3QifQ.\
    eyJpc3MiOiJwcm9iaXR5IiwiYXVkIjoicHJvYml0eS1hcGkiLCJzdWIiOiJ1c2Vycy9hZGEiLCJ0ZW5hbnQiOiJ0Iiwicm9sZXMiOlsib2ZmaWNlciJdLCJqdGkiOiIwMWEyMDEwYjc5YzU3N2YxOWM1YjRhMDE1OTc3MzhhZiIsImlhdCI6MTgwMDAwMDAwMCwibmJmIjoxODAwMDAwMDAwLCJleHAiOjE4MDAwMDM2MDB9.\
    2TGZBfmrUJqsE_-zUcqaAnYRZvKGIUTWN4itz4MZvc3v77ExyLS34BaiCuLHfdyPTPCQndxpvvxuCu5EcpILCA";

static TOKENS: LazyLock<(TokenKey, String)> = LazyLock::new(|| {
    let key = TokenKey::new(signing_key());
    (key, ISSUED.to_owned())
});

pub(super) fn tokens() -> Vec<Vec<u8>> {
    texts(&[&TOKENS.1, "eyJhbGciOiJub25lIn0.e30.", "..", "a.b.c"])
}

/// No text but the token itself is one.
pub(super) fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (key, good) = &*TOKENS;
    assert_eq!(key.verify(text, NOW).is_ok(), text == good);
}

static CONTRACTS: LazyLock<Contracts> = LazyLock::new(Contracts::new);

pub(super) fn definitions() -> Vec<Vec<u8>> {
    texts(&[
        include_str!("../../../services/orchestrator/definitions/tender.yaml"),
        include_str!("../../../services/orchestrator/definitions/message.yaml"),
        "name: a\nsteps:\n  - id: a\n    task: a\n    for_each: input.list\n    retry: quick\n  - id: b\n    needs: [a]\n    wait: {timer: 5m}\n    when: steps.a.size() > 0\n",
        "name: a\ninput: {type: object, properties: {n: {type: integer}}}\nsteps:\n  - {id: x, workflow: a, input: {n: \"input.n - 1\"}, limit: {key: \"'k'\", running: 3}}\n",
    ])
}

/// What compiles has no errors in lint, what does not compile has, and both are
/// told in words.
pub(super) fn definition(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let findings = lint(source, &*CONTRACTS);
    let is_wrong = findings.iter().any(|finding| finding.severity == Severity::Error);
    match Definition::compile(source, &*CONTRACTS) {
        Ok(accepted) => {
            assert!(!is_wrong, "accepted, and {findings:?}");
            assert!(!accepted.steps.is_empty() && accepted.order.len() == accepted.steps.len());
        }
        Err(error) => assert!(is_wrong && !error.to_string().is_empty(), "{error}: {findings:?}"),
    }
}

/// Variables of an execution in the middle of its way.
struct Env(Value);

impl Variables for Env {
    fn variable(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    fn step(&self, id: &str) -> Option<&Value> {
        self.0.get("steps")?.get(id)
    }

    fn steps(&self) -> Vec<(&str, &Value)> {
        let steps = self.0.get("steps").and_then(Value::as_object);
        steps.into_iter().flatten().map(|(id, value)| (id.as_str(), value)).collect()
    }
}

static ENV: LazyLock<Env> = LazyLock::new(|| {
    Env(
        json!({"input": {"n": 3, "list": [1, 2, 3], "s": "text"}, "steps": {"a": {"b": 2.5, "c": [true, null]}}}),
    )
});

pub(super) fn expressions() -> Vec<Vec<u8>> {
    texts(&[
        "input.list.filter(x, x > 1).map(x, x * 2)",
        "has(steps.a.b) && steps.a.b >= 2.5 ? 'yes' : \"no\"",
        "size(input.s) + input.n % 2",
        "{'a': input.n, 'b': [1, 2u, 3.0, b'x', null]}",
        "timestamp('2026-01-01T00:00:00Z') + duration('1h')",
        "input.s.matches('^[a-z]+$') || !(1 in input.list)",
    ])
}

/// An expression ends, with a value or a sentence.
pub(super) fn cel(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    match Expr::compile(source) {
        Ok(expression) => {
            let value = expression.evaluate(&*ENV);
            assert!(value.as_ref().err().is_none_or(|why| !why.is_empty()), "{value:?}");
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::new("executions")
        .with(Field::ranks("state", "e.state", &[("PENDING", 1), ("RUNNING", 2)]))
        .with(Field::time("create_time", "e.created_us").sortable())
        .with(Field::text("definition", "e.definition"))
        .with(Field::int("attempts", "e.attempts").nullable())
        .with(Field::bool("paused", "e.paused"))
});

pub(super) fn filters() -> Vec<Vec<u8>> {
    texts(&[
        "state = (RUNNING OR PENDING) AND NOT attempts:*",
        "definition = \"a \\\" b\" AND create_time > \"2026-11-01T00:00:00Z\" AND -paused = true",
        "attempts >= 3",
        "create_time desc, state, attempts asc",
    ])
}

/// No text of a caller is ever part of the statement, and errors point into the
/// filter.
pub(super) fn filter(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = Order::parse(source, &SCHEMA) {
        assert!(error.column() >= 1 && error.column() <= source.chars().count() + 1, "{error}");
    }
    let checked = Filter::parse(source).and_then(|filter| filter.check(&SCHEMA));
    match checked {
        Ok(predicate) => {
            let sql = predicate.sql(1);
            let known = |c: char| c.is_ascii_alphanumeric() || " ,._()$=<>!'%+-".contains(c);
            assert!(sql.text.chars().all(known), "{}", sql.text);
            assert!(!sql.text.contains('\'') || !source.contains('\''), "{}", sql.text);
        }
        Err(error) => {
            assert!(error.column() >= 1 && error.column() <= source.chars().count() + 1, "{error}");
            assert!(!error.caret().is_empty());
        }
    }
}

pub(super) fn schedules() -> Vec<Vec<u8>> {
    texts(&["*/15 9-17 * * MON-FRI", "@every 15m", "0 0 L * ?", "30 6 15W JAN,JUL *", "0 0 29 2 *", "@daily"])
}

/// The next time is later than the one before, in every zone.
pub(super) fn schedule(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let Ok(timing) = Timing::parse(source) else { return };
    for zone in ["UTC", "Europe/Berlin", "America/St_Johns"] {
        let zone = Zone::parse(zone).expect("a zone");
        let mut at = NOW;
        for _ in 0..3 {
            let Some(next) = timing.next_after(at, &zone) else { break };
            assert!(next > at, "{source:?}: {next:?} after {at:?}");
            at = next;
        }
    }
}

/// A log of one entry, its signer's key and what it signed.
static LOG: LazyLock<(VerifierKey, Checkpoint, String, String)> = LazyLock::new(|| {
    let signer = NoteSigner::new("log.example", signing_key()).expect("a signer");
    let leaf = b"an entry".to_vec();
    let checkpoint = Checkpoint::new("log.example", 1, leaf_hash(&leaf));
    let note = checkpoint.sign(&signer).expect("signed");
    let entry = ProvedEntry { index: 0, leaf, inclusion: Vec::new() };
    let receipt = Receipt::new("cases/a", 1, vec![entry], note.clone()).to_json().expect("JSON");
    (signer.verifier_key().clone(), checkpoint, note, receipt)
});

pub(super) fn checkpoints() -> Vec<Vec<u8>> {
    texts(&[
        &LOG.2,
        &LOG.0.to_string(),
        "log.example\n1\n",
        "a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
    ])
}

/// Only what was signed opens, and a text that is read is written as it was; keys too.
pub(super) fn checkpoint(bytes: &[u8]) {
    if let Ok(opened) = Checkpoint::open(bytes, &LOG.0) {
        assert_eq!(opened, LOG.1);
    }
    if let Some(read) = std::str::from_utf8(bytes).ok().and_then(|text| Checkpoint::parse(text).ok()) {
        assert_eq!(Checkpoint::parse(&read.to_text()), Ok(read));
    }
    if let Some(key) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<VerifierKey>().ok()) {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}

pub(super) fn receipts() -> Vec<Vec<u8>> {
    texts(&[&LOG.3, "{\"format\":\"probity-receipt/v1\"}", "{}"])
}

/// Nothing is proved but the entry that is in the log.
pub(super) fn receipt(bytes: &[u8]) {
    if let Ok(verified) = receipt::verify(bytes, Some(&LOG.0)) {
        assert_eq!(verified.entries, [(0, b"an entry".to_vec())]);
        assert_eq!(verified.checkpoint, LOG.1);
    }
}
