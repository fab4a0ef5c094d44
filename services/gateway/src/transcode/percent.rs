//! Percent-decoding, strictly: what is not well-formed is refused, never
//! guessed at or passed through.

use std::borrow::Cow;

/// What `+` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    /// Itself, as in paths.
    Literal,
    /// A space, as in queries.
    Space,
}

/// Decodes one component. With `keep_slash`, `%2F` stays as it is, so that a
/// resource name keeps its segments.
///
/// # Errors
/// Says what is malformed.
pub(super) fn decode(text: &str, plus: Plus, keep_slash: bool) -> Result<Cow<'_, str>, String> {
    let plain = |b: u8| b != b'%' && (b != b'+' || plus == Plus::Literal);
    if text.bytes().all(plain) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'%' => rest = escape(tail, keep_slash, &mut out)?,
            b'+' if plus == Plus::Space => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| "the percent-encoded bytes are not UTF-8".to_owned())
}

fn escape<'t>(tail: &'t [u8], keep_slash: bool, out: &mut Vec<u8>) -> Result<&'t [u8], String> {
    let (Some(high), Some(low)) = (tail.first().and_then(hex), tail.get(1).and_then(hex)) else {
        return Err("a % is not followed by two hexadecimal digits; write a literal % as %25".to_owned());
    };
    match high << 4 | low {
        b'/' if keep_slash => out.extend_from_slice(b"%2F"),
        byte => out.push(byte),
    }
    Ok(tail.get(2..).unwrap_or_default())
}

fn hex(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_or_refuses() {
        let check = |text: &str, plus: Plus, keep: bool, expect: Option<&str>| {
            assert_eq!(decode(text, plus, keep).ok().as_deref(), expect, "{text}");
        };
        let path = |text, expect| check(text, Plus::Literal, false, expect);
        path("plain", Some("plain"));
        path("a%20b", Some("a b"));
        path("a+b", Some("a+b"));
        path("%c3%A9", Some("é"));
        path("%2F", Some("/"));
        path("%00", Some("\0"));
        path("%", None);
        path("%4", None);
        path("%zz", None);
        path("%+1", None);
        path("%e9", None);
        path("%c3", None);
        path("%ed%a0%80", None);
        check("a%2fb%20c", Plus::Literal, true, Some("a%2Fb c"));
        check("a+b%2Bc", Plus::Space, false, Some("a b+c"));
    }
}
