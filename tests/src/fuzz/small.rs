//! The small things of requests: names, amounts, times, page tokens, and the tokens
//! that sessions are renewed with. Each is one line of the input.

use super::platform::{NOW, signing_key, texts};
use ed25519_dalek::SigningKey;
use probity_anti_corruption::domain::when::When;
use probity_gateway::domain::keyring::{Record, Ring};
use probity_gateway::domain::password::Stored;
use probity_gateway::domain::refresh::Refresh;
use probity_intake::domain::name::Hash;
use probity_intake::domain::page::Cursor;
use probity_intake::domain::{filename, media};
use probity_resilience::deadline::{format_timeout, parse_timeout};
use probity_resilience::retry::ServiceConfig;
use probity_types::id::{CaseId, ExecutionId};
use probity_types::{Micros, Money, correlation};
use std::sync::LazyLock;
use std::time::Duration;

pub(super) const VALUE_WORDS: &[&str] = &[
    "cases/",
    "case_",
    "exec_",
    "documents/",
    "0123456789abcdef0123456789abcdef",
    "EUR",
    "1.25e3",
    "-0.00",
    "79228162514264337593543950335",
    "S",
    "99999999H",
    "text/plain",
    "; charset=",
    "../",
    ".json",
    "$argon2id$v=19$m=19456,t=2,p=1$",
    "$2b$12$",
    "T23:59:60Z",
    "+14:00",
    "{\"methodConfig\":[{\"name\":[{}],\"timeout\":\"1.5s\"}]}",
];

/// The one key of a ring that was never rotated.
fn ring(file: &SigningKey) -> Ring {
    let record = Record { number: 0, salt: Vec::new(), made: NOW, signs: NOW, ends: Micros(0) };
    Ring::new(file, &[record])
}

static SESSION: LazyLock<(Ring, Refresh, String)> = LazyLock::new(|| {
    let ring = ring(&signing_key());
    let session = CaseId::from_bytes(&[3; 16]).expect("sixteen bytes").0;
    let refresh = Refresh::new("t", session, 5, NOW.plus(Duration::from_secs(60)));
    let token = refresh.sign(&ring, NOW).expect("a token");
    (ring, refresh, token)
});

pub(super) fn refreshes() -> Vec<Vec<u8>> {
    let stranger = ring(&SigningKey::from_bytes(&[9; 32]));
    let foreign = SESSION.1.sign(&stranger, NOW).expect("a token");
    texts(&[&SESSION.2, &foreign, "eyJhbGciOiJub25lIiwidHlwIjoicnQrand0In0.e30.", "a.b.c"])
}

/// No text but the token itself renews the session, and it is no token of calls.
pub(super) fn refresh(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (ring, good, token) = &*SESSION;
    let opened = Refresh::open(ring, text, NOW);
    assert_eq!(opened.is_ok(), text == token, "{opened:?}");
    assert!(opened.is_err() || opened.as_ref() == Ok(good));
    assert!(ring.verify(text, NOW).is_err());
}

pub(super) fn values() -> Vec<Vec<u8>> {
    let cursor = Cursor { created: NOW, hash: Hash([7; 32]) }.token();
    let name = Hash([7; 32]).name();
    texts(&[
        "case_01a200b2ab5a707d81465eb3547e7dd2",
        "exec_01a200b2ab5a707d81465eb3547e7dd2",
        &name,
        &cursor,
        "1250.00 EUR",
        "-1.25e3 usd",
        "250m",
        "application/json; charset=utf-8",
        "Ausschreibung Nr. 5.json",
        "2024-03-01T09:00:00+02:00",
        "2024-03-01",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
        "{\"methodConfig\":[{\"name\":[{\"service\":\"a.B\"}],\"retryPolicy\":{\"maxAttempts\":3,\"initialBackoff\":\"0.1s\",\"maxBackoff\":\"1s\",\"backoffMultiplier\":2,\"retryableStatusCodes\":[\"UNAVAILABLE\"]}}]}",
    ])
}

/// What is read is written so that it is read again as the same.
pub(super) fn value(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    fn again<T: PartialEq + std::fmt::Debug, E>(
        read: Result<T, E>,
        write: impl Fn(&T) -> String,
        parse: impl Fn(&str) -> Result<T, E>,
    ) {
        if let Ok(value) = read {
            let written = write(&value);
            assert!(parse(&written).is_ok_and(|same| same == value), "{value:?}, written {written:?}");
        }
    }
    again(text.parse::<CaseId>(), CaseId::to_string, str::parse);
    again(text.parse::<ExecutionId>(), ExecutionId::to_string, str::parse);
    again(text.parse::<Money>(), Money::to_string, str::parse);
    again(Hash::from_name(text), Hash::name, Hash::from_name);
    again(Cursor::from_token(text).ok_or(()), Cursor::token, |text| Cursor::from_token(text).ok_or(()));
    again(filename::clean(text), Clone::clone, filename::clean);
    again(media::parse(text), Clone::clone, media::parse);
    let waited = parse_timeout(text).map(|wait| parse_timeout(&format_timeout(wait)));
    assert!(waited.is_none_or(|again| again.is_some()), "{text:?}");
    let _ = (media::guess(text, bytes), When::parse(text), Stored::parse(text), ServiceConfig::parse(text));
    assert!(!correlation::is_id(text) || !text.chars().any(char::is_control), "{text:?}");
}
