//! Media types: as given, or guessed from the file name and the first bytes.

use crate::domain::filename;

/// Longest media type in bytes, with its parameters.
pub const MAX_BYTES: usize = 255;
/// So many first bytes are looked at.
pub const HEAD_BYTES: usize = 512;

/// The media type in lower case, its parameters as they were.
///
/// # Errors
/// When it is too long or not of the form `type/subtype`.
pub fn parse(given: &str) -> Result<String, String> {
    let given = given.trim();
    if given.len() > MAX_BYTES {
        return Err(format!("has {} bytes; at most {MAX_BYTES} are kept", given.len()));
    }
    let (kind, parameters) = given.split_at(given.find(';').unwrap_or(given.len()));
    let kind = kind.trim().to_ascii_lowercase();
    let well_formed = kind.split_once('/').is_some_and(|(one, two)| is_token(one) && is_token(two));
    if well_formed && given.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Ok(format!("{kind}{parameters}"));
    }
    let shown: String = given.chars().take(40).collect();
    Err(format!("{shown:?} is no media type such as `application/json`"))
}

/// A token of RFC 9110.
fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

/// Guesses from the file name, then from the first bytes.
#[must_use]
pub fn guess(name: &str, head: &[u8]) -> &'static str {
    let by_name = filename::extension(name).and_then(|extension| by_extension(&extension));
    by_name.unwrap_or_else(|| by_content(head))
}

fn by_extension(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "json" => "application/json",
        "jsonl" | "ndjson" => "application/jsonl",
        "csv" => "text/csv",
        "eml" => "message/rfc822",
        "txt" | "text" => "text/plain",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        _ => return None,
    })
}

/// First bytes that only one format has.
const SIGNATURES: [(&[u8], &str); 7] = [
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"<?xml", "application/xml"),
    (b"From ", "message/rfc822"),
];

/// Header fields a message begins with.
const FIELDS: [&str; 12] = [
    "received",
    "return-path",
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "delivered-to",
    "mime-version",
    "reply-to",
    "content-type",
    "x-",
];

fn by_content(head: &[u8]) -> &'static str {
    if let Some((_, kind)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        return kind;
    }
    if head.contains(&0) || !is_text(head) {
        return "application/octet-stream";
    }
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
    match text.first() {
        Some(b'{' | b'[') => "application/json",
        _ if looks_like_message(text) => "message/rfc822",
        _ => "text/plain",
    }
}

/// UTF-8, or something in a charset with one byte a character: few controls.
fn is_text(head: &[u8]) -> bool {
    let controls = head.iter().filter(|b| matches!(b, 0..=8 | 14..=26 | 28..=31 | 127)).count();
    controls * 50 <= head.len()
}

fn looks_like_message(text: &[u8]) -> bool {
    let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let Some(colon) = line.iter().position(|b| *b == b':') else { return false };
    let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
    FIELDS.iter().any(|field| name == *field || (field.ends_with('-') && name.starts_with(field)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_media_types() {
        let check =
            |given: &str, expect: Option<&str>| assert_eq!(parse(given).ok().as_deref(), expect, "{given:?}");
        check("application/json", Some("application/json"));
        check(" Text/CSV; charset=ISO-8859-1", Some("text/csv; charset=ISO-8859-1"));
        check("application/vnd.api+json", Some("application/vnd.api+json"));
        for bad in ["json", "/", "a/", "/b", "a/b/c", "a b/c", "text/ht\nml", "text/html\u{7f}", "té/xt", ""]
        {
            check(bad, None);
        }
        check(&format!("a/{}", "b".repeat(254)), None);
    }

    #[test]
    fn guesses() {
        let check =
            |name: &str, head: &[u8], expect: &str| assert_eq!(guess(name, head), expect, "{name} {head:?}");
        check("a.csv", b"{}", "text/csv");
        check("A.EML", b"", "message/rfc822");
        check("", b"  {\"a\":1}", "application/json");
        check("", b"\xEF\xBB\xBF[1]", "application/json");
        check("", b"From a@b Thu Jan 1", "message/rfc822");
        check("", b"Received: from x\r\n", "message/rfc822");
        check("", b"X-Mailer: y\n", "message/rfc822");
        check("", b"Note: this is text", "text/plain");
        check("", b"", "text/plain");
        check("", b"Gr\xfc\xdfe", "text/plain");
        check("", b"a\0b", "application/octet-stream");
        check("", b"\x01\x02\x03\x04", "application/octet-stream");
        check("photo", b"\x89PNG\r\n\x1a\n", "image/png");
        check("x.unknown", b"%PDF-1.7", "application/pdf");
    }

    proptest! {
        #[test]
        fn a_guess_is_a_media_type(name in "\\PC{0,20}", head: Vec<u8>) {
            let guessed = guess(&name, &head);
            prop_assert_eq!(parse(guessed), Ok(guessed.to_owned()));
        }
    }
}
