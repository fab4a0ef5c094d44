//! One tag: its name and its attributes.

use super::entity;

/// A tag longer than this is cut here; no honest one is.
const MAX_TAG_BYTES: usize = 8 * 1024;

/// A start or end tag.
#[derive(Debug)]
pub(super) struct Tag<'a> {
    /// In lower case.
    pub(super) name: String,
    /// True for `</name>`.
    pub(super) closing: bool,
    attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// Splits what begins with `<` into the tag and what follows it. `None`
    /// when no tag begins here.
    pub(super) fn split(from: &'a str) -> Option<(Self, &'a str)> {
        let inner = from.strip_prefix('<')?;
        let closing = inner.starts_with('/');
        let inner = inner.strip_prefix('/').unwrap_or(inner);
        if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?') {
            return None;
        }
        let end = tag_end(inner);
        let (content, rest) = (inner.get(..end)?, inner.get(end..)?);
        let rest = rest.strip_prefix('>').unwrap_or(rest);
        let name_end = content.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(content.len());
        let (name, attributes) = content.split_at(name_end);
        Some((Self { name: name.to_ascii_lowercase(), closing, attributes }, rest))
    }

    /// True when it has no attributes.
    pub(super) fn bare(&self) -> bool {
        self.attributes.is_empty()
    }

    /// The value of an attribute, decoded.
    pub(super) fn attribute(&self, wanted: &str) -> Option<String> {
        let mut rest = self.attributes;
        while let Some((name, value, tail)) = next_attribute(rest) {
            if name.eq_ignore_ascii_case(wanted) {
                let mut decoded = String::with_capacity(value.len());
                entity::decode_into(value, &mut decoded);
                return Some(decoded);
            }
            rest = tail;
        }
        None
    }
}

/// Where the tag ends: at the first `>` outside quotes. A quote that is never
/// closed does not swallow the page: then the first `>` of all counts.
fn tag_end(inner: &str) -> usize {
    let bytes = inner.as_bytes();
    let window = bytes.get(..MAX_TAG_BYTES).unwrap_or(bytes);
    let mut quote = None;
    for (at, byte) in window.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    let first = window.iter().position(|b| *b == b'>').unwrap_or(window.len());
    // A cut in the middle of a character moves back to its beginning.
    (0..=first).rev().find(|at| inner.is_char_boundary(*at)).unwrap_or(0)
}

/// Name, value and what follows, of the first attribute.
fn next_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '/' || c == '=');
    if text.is_empty() {
        return None;
    }
    let end = text.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(value) = rest.trim_start().strip_prefix('=') else { return Some((name, "", rest)) };
    let value = value.trim_start();
    let quoted = value.chars().next().filter(|c| *c == '"' || *c == '\'');
    let (value, rest) = match quoted {
        Some(quote) => {
            let inner = value.get(1..).unwrap_or_default();
            inner.split_once(quote).unwrap_or((inner, ""))
        }
        None => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
    };
    Some((name, value, rest))
}
