//! Turning bytes into text, and text into something that is safe to show.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Most characters of a document quoted in one place.
pub const MAX_QUOTE: usize = 300;

/// The bytes as text: UTF-8 (with or without byte order mark), UTF-16 with a
/// byte order mark, else Latin-1.
///
/// # Errors
/// Says why the bytes are no text.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    if let Some(rest) = bytes.strip_prefix(b"\xEF\xBB\xBF") {
        return decode(rest);
    }
    if let Some(units) = bytes.strip_prefix(b"\xFF\xFE") {
        return utf16(units, u16::from_le_bytes).map(Cow::Owned);
    }
    if let Some(units) = bytes.strip_prefix(b"\xFE\xFF") {
        return utf16(units, u16::from_be_bytes).map(Cow::Owned);
    }
    if let Some(what) = binary_form(bytes) {
        return Err(format!("the document is {what}, not text: save its text as UTF-8 and submit that"));
    }
    Ok(std::str::from_utf8(bytes)
        .map_or_else(|_| Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect()), Cow::Borrowed))
}

/// The bytes as UTF-8 text, as JSON and CSV need it.
///
/// # Errors
/// Says where the first byte stands that is not UTF-8, and what to do.
pub fn utf8(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err("the document is UTF-16: save it as UTF-8".to_owned());
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("line {line} holds bytes that are not UTF-8: save the document as UTF-8")
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units)
        .collect::<Result<_, _>>()
        .map_err(|_| "the document begins like UTF-16 but is not: save it as UTF-8".to_owned())
}

fn binary_form(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [b'%', b'P', b'D', b'F', ..] => Some("a PDF file"),
        [b'P', b'K', 3, 4, ..] => Some("a ZIP or Office file"),
        [0xD0, 0xCF, 0x11, 0xE0, ..] => Some("an old Office file"),
        [0x1F, 0x8B, ..] => Some("a gzip file"),
        _ => bytes.contains(&0).then_some("binary data"),
    }
}

/// Text that can be shown, logged and stored: control, bidirectional and
/// zero-width characters become spaces, and more than `max` characters are cut.
#[must_use]
pub fn clean(text: &str, max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(max * 4));
    for (n, c) in text.chars().enumerate() {
        if n == max {
            shown.pop();
            shown.push('…');
            break;
        }
        shown.push(if is_hidden(c) { ' ' } else { c });
    }
    shown
}

/// [`clean`] with the limit of a quotation.
#[must_use]
pub fn quote(text: &str) -> String {
    clean(text, MAX_QUOTE)
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// `1 payment`, `2 payments`.
#[must_use]
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// The first few of a list in a sentence: `a, b and 3 more`.
#[must_use]
pub fn list<S: AsRef<str>>(items: &[S], most: usize) -> String {
    let mut text = items.iter().take(most).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if items.len() > most {
        // Writing to a string cannot fail.
        let _ = write!(text, " and {} more", items.len() - most);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decodes_what_people_save() {
        let check = |bytes: &[u8], expect: Option<&str>| {
            assert_eq!(decode(bytes).ok().as_deref(), expect, "{bytes:?}");
        };
        check(b"plain", Some("plain"));
        check(b"\xEF\xBB\xBFbom", Some("bom"));
        check("Grüße".as_bytes(), Some("Grüße"));
        check(b"Gr\xFC\xDFe", Some("Grüße"));
        check(b"\xFF\xFEa\0b\0", Some("ab"));
        check(b"\xFE\xFF\0a\0b", Some("ab"));
        check(b"\xFF\xFE\0\xD8", None);
        check(b"%PDF-1.7", None);
        check(b"PK\x03\x04", None);
        check(b"a\0b", None);
        check(b"", Some(""));
    }

    #[test]
    fn says_where_utf8_breaks() {
        assert_eq!(utf8(b"\xEF\xBB\xBFok"), Ok("ok"));
        assert!(utf8(b"a\nb\n\xFFc").is_err_and(|e| e.starts_with("line 3")));
        assert!(utf8(b"\xFF\xFEa\0").is_err_and(|e| e.contains("UTF-16")));
    }

    #[test]
    fn shows_nothing_that_hides() {
        let check = |text: &str, max: usize, expect: &str| assert_eq!(clean(text, max), expect, "{text:?}");
        check("a\u{1b}[31mb", 10, "a [31mb");
        check("x\u{202E}y\r\nz", 10, "x y  z");
        check("abcdef", 4, "abc…");
        check("abcd", 4, "abcd");
        check("", 4, "");
    }

    #[test]
    fn lists_read_well() {
        assert_eq!(list(&["a", "b"], 3), "a, b");
        assert_eq!(list(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(count(1, "row", "rows"), "1 row");
        assert_eq!(count(0, "row", "rows"), "0 rows");
    }

    proptest! {
        #[test]
        fn never_longer_than_asked(text in "\\PC*|[\\s\\S]*", max in 1usize..50) {
            prop_assert!(clean(&text, max).chars().count() <= max);
        }

        #[test]
        fn every_byte_string_is_decided(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = utf8(&bytes);
        }
    }
}
