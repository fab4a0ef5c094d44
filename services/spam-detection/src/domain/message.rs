//! A message as triage sees it: subject, visible text and facts.

use super::facts::{Fact, Facts};
use super::{fold, html, mime};
use std::panic::catch_unwind;

/// How the bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// A MIME message with headers.
    Mime,
    /// Plain text.
    Text,
    /// Whichever it looks like.
    #[default]
    Guess,
}

/// A message after decoding and folding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Subject and visible text, folded: NFKC, without invisible characters and
    /// accents, look-alike letters of other scripts replaced.
    pub text: String,
    /// What was noted of the structure.
    pub facts: Facts,
    /// Links in HTML; links in the text are counted with its tokens.
    pub links: usize,
}

impl Message {
    /// Reads bytes in the given form. Never fails: what cannot be read as a
    /// message is read as text.
    #[must_use]
    pub fn read(content: &[u8], form: Form) -> Self {
        let content = content.get(..2 * mime::MAX_TEXT_BYTES).unwrap_or(content);
        let as_mail = match form {
            Form::Mime => true,
            Form::Text => false,
            Form::Guess => looks_like_mail(content),
        };
        let walked = if as_mail { walk(content) } else { None };
        walked.map_or_else(|| Self::from_text(content), |w| Self::fold(&w.subject, &w.text, w.facts, w.links))
    }

    fn from_text(content: &[u8]) -> Self {
        let content = content.get(..mime::MAX_TEXT_BYTES).unwrap_or(content);
        let text = mime::decode(content, None);
        let (subject, body) = leading_subject(&text);
        if html::looks_like_html(body) {
            let page = html::visible(body);
            return Self::fold(subject, &page.text, page.facts, page.links);
        }
        Self::fold(subject, body, Facts::default(), 0)
    }

    fn fold(subject: &str, body: &str, mut facts: Facts, links: usize) -> Self {
        let mut text = String::with_capacity(subject.len() + body.len() + 2);
        let noted = [fold::into(subject, &mut text), fold::into(body, &mut text)];
        facts.note_if(noted.iter().any(|n| n.invisible), Fact::Invisible);
        facts.note_if(noted.iter().any(|n| n.mixed_script), Fact::MixedScript);
        Self { text, facts, links }
    }
}

/// Walks a mail. The parser of headers is not ours: should a message make it
/// panic, the message is read as text.
fn walk(content: &[u8]) -> Option<mime::Walked> {
    catch_unwind(|| mime::walk(content)).unwrap_or_default()
}

/// Exports of mailboxes often keep the subject as the first line of the text.
fn leading_subject(text: &str) -> (&str, &str) {
    let named = text.get(..8).is_some_and(|head| head.eq_ignore_ascii_case("subject:"));
    let first = text.lines().next().unwrap_or_default();
    if !named {
        return ("", text);
    }
    (first.get(8..).unwrap_or_default(), text.get(first.len()..).unwrap_or_default())
}

/// Header fields that begin a message, as mail programs and servers write it.
const FIRST_FIELDS: [&str; 16] = [
    "received",
    "return-path",
    "delivered-to",
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "reply-to",
    "sender",
    "x-mailer",
    "dkim-signature",
    "authentication-results",
];

/// True when the first lines are header fields, two of them known ones, up to
/// an empty line.
fn looks_like_mail(content: &[u8]) -> bool {
    let head = content.get(..8192).unwrap_or(content);
    let mut known = 0;
    for (number, line) in head.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line {
            [] => return known >= 2,
            [b' ' | b'\t', ..] if number > 0 => {}
            _ if number == 0 && line.starts_with(b"From ") => {}
            _ => match field_name(line) {
                Some(name) => known += usize::from(FIRST_FIELDS.contains(&name.as_str())),
                None => return false,
            },
        }
    }
    known >= 2
}

fn field_name(line: &[u8]) -> Option<String> {
    let colon = line.iter().position(|b| *b == b':')?;
    let name = line.get(..colon)?;
    let sound = !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    sound.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_is_told_from_text() {
        let check = |text: &str, expect: bool| assert_eq!(looks_like_mail(text.as_bytes()), expect, "{text}");
        check("From: a@b.example\nSubject: x\n\nhello", true);
        check("From a@b.example Thu Jan  1\nReceived: by x\n\tfor y\nTo: c\n\nhello", true);
        check("Subject: x\nhello there\n\nmore", false);
        check("Subject: x\n\nhello", false);
        check("Note: call me\nWhere: here\n\nhello", false);
        check("hello", false);
        check("", false);
    }

    #[test]
    fn text_is_read_whatever_it_is() {
        let check = |content: &[u8], expect: &str| {
            assert_eq!(Message::read(content, Form::Guess).text.trim(), expect, "{content:?}");
        };
        check(b"", "");
        check(b"plain", "plain");
        check(b"Subject: Hello\nthere", "Hello\n\nthere");
        check(b"\xEF\xBB\xBFbom", "bom");
        check(b"\xFF\xFEh\0i\0", "hi");
        check(b"caf\xE9 \x80 5", "cafe \u{20ac} 5");
        check(b"<html><body>Hi <b>you</b></body></html>", "Hi you");
        check(b"From: a@b.example\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\nbody", "Gru\u{df}e\nbody");
    }

    #[test]
    fn a_mail_without_a_header_is_read_as_text() {
        let message = Message::read(b"\n\nonly a body", Form::Mime);
        assert_eq!(message.text.trim(), "only a body");
    }
}
