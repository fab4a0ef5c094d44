//! Walks the parts of a MIME message and gathers the text a person would see.
//!
//! Headers, addresses, encoded words, base64 and charsets are decoded by
//! mail-parser; the walk over the parts is ours, so that depth, number of parts
//! and bytes are bounded whatever the message claims. Nothing here fails: what
//! is broken is read as text and noted.

mod head;

pub use head::MAX_HEADER_BYTES;

use super::facts::{Fact, Facts};
use super::{headers, html};
use head::Head;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use std::borrow::Cow;

/// Text beyond this is not considered.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// Parts inside parts are followed this far.
pub const MAX_DEPTH: usize = 8;
/// So many parts are looked at.
pub const MAX_PARTS: usize = 100;
/// Less visible text than this beside images makes a message an image.
const LITTLE_TEXT_BYTES: usize = 40;

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walked {
    /// The decoded subject.
    pub subject: String,
    /// The visible text.
    pub text: String,
    /// What was noted.
    pub facts: Facts,
    /// How many links the HTML held.
    pub links: usize,
}

/// Reads a MIME message. `None` when it has no header block at all.
#[must_use]
pub fn walk(raw: &[u8]) -> Option<Walked> {
    let (head, body) = head::split(raw);
    let head = head::bounded(head);
    let parsed = head::parse(&head)?;
    let mut state = State::default();
    headers::inspect(&parsed, &mut state.facts);
    let head = Head::of(&parsed);
    let text = state.entity(&head, body, 0);
    state.facts.note_if(state.images > 0 && text.trim().len() < LITTLE_TEXT_BYTES, Fact::MostlyImages);
    state.facts.note_if(state.html_parts > 0 && state.plain_parts == 0, Fact::HtmlOnly);
    Some(Walked { subject: head.subject, text, facts: state.facts, links: state.links })
}

#[derive(Default)]
struct State {
    facts: Facts,
    links: usize,
    images: usize,
    parts: usize,
    html_parts: usize,
    plain_parts: usize,
    text_bytes: usize,
}

impl State {
    /// The visible text of one entity and everything in it.
    fn entity(&mut self, head: &Head, body: &[u8], depth: usize) -> String {
        self.parts += 1;
        if self.parts > MAX_PARTS || depth > MAX_DEPTH {
            self.facts.note(Fact::Malformed);
            return String::new();
        }
        match (head.main.as_str(), head.sub.as_str(), &head.boundary) {
            ("multipart", sub, Some(boundary)) => self.multipart(sub, boundary, body, depth),
            ("multipart", ..) => self.leaf(head, body),
            ("message", "rfc822" | "global", _) => self.nested(head, body, depth),
            ("text", ..) if !head.is_attachment => self.leaf(head, body),
            ("image", ..) => {
                self.images += 1;
                String::new()
            }
            _ => {
                self.facts.note(Fact::Attachment);
                self.facts.note_if(is_program(&head.filename), Fact::Program);
                String::new()
            }
        }
    }

    fn multipart(&mut self, kind: &str, boundary: &str, body: &[u8], depth: usize) -> String {
        let parts = split_parts(body, boundary.as_bytes());
        if parts.is_empty() {
            self.facts.note(Fact::Malformed);
            return self.text(body, None, false);
        }
        let mut texts = Vec::new();
        for part in parts {
            let text = self.part(part, depth + 1);
            if !text.trim().is_empty() {
                texts.push(text);
            }
        }
        // Of alternatives a reader sees the last one that can be shown.
        if kind == "alternative" { texts.pop().unwrap_or_default() } else { texts.join("\n") }
    }

    fn part(&mut self, part: &[u8], depth: usize) -> String {
        let (head, body) = head::split(part);
        let head = head::bounded(head);
        let head = head::parse(&head).map(|parsed| Head::of(&parsed)).unwrap_or_default();
        self.entity(&head, body, depth)
    }

    fn nested(&mut self, outer: &Head, body: &[u8], depth: usize) -> String {
        let body = self.decoded(outer, body);
        let (head, inner) = head::split(&body);
        let head = head::bounded(head);
        let Some(head) = head::parse(&head).map(|parsed| Head::of(&parsed)) else {
            return self.text(&body, None, false);
        };
        let text = self.entity(&head, inner, depth + 1);
        format!("{}\n{text}", head.subject)
    }

    fn leaf(&mut self, head: &Head, body: &[u8]) -> String {
        let charset = head.charset.as_deref();
        let is_html = head.sub == "html";
        if is_html {
            self.html_parts += 1;
        } else {
            self.plain_parts += 1;
        }
        self.facts.note_if(head.encoding == "base64" && is_ascii_charset(charset), Fact::WrappedText);
        let bytes = self.decoded(head, body);
        self.text(&bytes, charset, is_html)
    }

    /// The bytes behind the transfer encoding.
    fn decoded<'b>(&mut self, head: &Head, body: &'b [u8]) -> Cow<'b, [u8]> {
        match head.encoding.as_str() {
            "base64" => Cow::Owned(self.base64(body)),
            "quoted-printable" => Cow::Owned(quoted_printable(bounded(body, 3 * MAX_TEXT_BYTES))),
            _ => Cow::Borrowed(body),
        }
    }

    fn text(&mut self, bytes: &[u8], charset: Option<&str>, is_html: bool) -> String {
        let left = MAX_TEXT_BYTES.saturating_sub(self.text_bytes);
        let bytes = bounded(bytes, left);
        self.text_bytes += bytes.len();
        let text = decode(bytes, charset);
        if !is_html {
            return text.into_owned();
        }
        let page = html::visible(&text);
        self.links += page.links;
        self.images += page.images;
        for fact in page.facts.iter() {
            self.facts.note(fact);
        }
        page.text
    }

    fn base64(&mut self, body: &[u8]) -> Vec<u8> {
        let clean = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
        let mut text: Vec<u8> = bounded(body, 2 * MAX_TEXT_BYTES)
            .iter()
            .take_while(|b| **b != b'=')
            .filter(clean)
            .copied()
            .collect();
        // A lone last digit carries less than a byte: it is cut text.
        if text.len() % 4 == 1 {
            text.pop();
        }
        base64_decode(&text).unwrap_or_else(|| {
            self.facts.note(Fact::Malformed);
            Vec::new()
        })
    }
}

/// Extensions that a double click would run.
fn is_program(name: &str) -> bool {
    const RUN: [&str; 14] =
        ["exe", "scr", "pif", "com", "bat", "cmd", "vbs", "js", "jar", "msi", "lnk", "hta", "ps1", "iso"];
    name.rsplit_once('.').is_some_and(|(_, extension)| RUN.contains(&extension))
}

fn is_ascii_charset(charset: Option<&str>) -> bool {
    charset.is_none_or(|c| c.eq_ignore_ascii_case("us-ascii") || c.eq_ignore_ascii_case("iso-8859-1"))
}

fn bounded(bytes: &[u8], limit: usize) -> &[u8] {
    bytes.get(..limit).unwrap_or(bytes)
}

/// The pieces between the lines `--boundary`.
fn split_parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let (mut at, mut start) = (0, None);
    for line in body.split_inclusive(|b| *b == b'\n') {
        let marker = line.strip_prefix(b"--").and_then(|l| l.strip_prefix(boundary));
        if let Some(rest) = marker.filter(|rest| is_marker_end(rest)) {
            parts.extend(start.and_then(|from| body.get(from..at)));
            start = (!rest.starts_with(b"--")).then_some(at + line.len());
            if start.is_none() || parts.len() >= MAX_PARTS {
                return parts;
            }
        }
        at += line.len();
    }
    // The closing line is missing: the rest is the last part.
    parts.extend(start.and_then(|from| body.get(from..)));
    parts
}

/// After the boundary only `--` and blanks may follow, else it is another one.
fn is_marker_end(rest: &[u8]) -> bool {
    rest.strip_prefix(b"--").unwrap_or(rest).iter().all(u8::is_ascii_whitespace) || rest.starts_with(b"--")
}

/// Quoted-printable as it is found in the wild: what is no escape stays.
fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    loop {
        rest = match rest {
            [] => return out,
            [b'=', b'\r', b'\n', tail @ ..] | [b'=', b'\n', tail @ ..] => tail,
            [b'=', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(nibble(*high) << 4 | nibble(*low));
                tail
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a') + 10,
    }
}

/// Bytes as text: what the charset says if it is known, else UTF-8, else the
/// Windows Latin set, which has a character for nearly every byte.
#[must_use]
pub fn decode<'a>(bytes: &'a [u8], charset: Option<&str>) -> Cow<'a, str> {
    let wide = bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]);
    let named = if wide { Some("utf-16") } else { charset.filter(|c| !is_utf8(c)) };
    if let Some(decoder) = named.and_then(|c| charset_decoder(c.as_bytes())) {
        return Cow::Owned(decoder(bytes));
    }
    let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(bad) if mostly_utf8(bytes, bad.valid_up_to()) => String::from_utf8_lossy(bytes),
        Err(_) => charset_decoder(b"windows-1252")
            .map_or_else(|| String::from_utf8_lossy(bytes), |decoder| Cow::Owned(decoder(bytes))),
    }
}

fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
}

/// A text that was valid UTF-8 beyond some non-ASCII character is UTF-8 with a
/// flaw, not another charset.
fn mostly_utf8(bytes: &[u8], valid: usize) -> bool {
    bytes.get(..valid).is_some_and(|head| !head.is_ascii())
}

#[cfg(test)]
mod tests;
