//! The header block of one entity, within its limits.

use mail_parser::{Message as Parsed, MessageParser, MimeHeaders as _};

/// Header block beyond this is not read.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// A header line is read up to here.
const MAX_HEADER_LINE_BYTES: usize = 4 * 1024;

/// What the walk needs to know of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) main: String,
    pub(super) sub: String,
    pub(super) boundary: Option<String>,
    pub(super) charset: Option<String>,
    pub(super) encoding: String,
    /// The name of an attached file, in lower case.
    pub(super) filename: String,
    pub(super) is_attachment: bool,
    pub(super) subject: String,
}

impl Default for Head {
    /// An entity without a header is plain text.
    fn default() -> Self {
        Self {
            main: "text".to_owned(),
            sub: "plain".to_owned(),
            boundary: None,
            charset: None,
            encoding: String::new(),
            filename: String::new(),
            is_attachment: false,
            subject: String::new(),
        }
    }
}

impl Head {
    pub(super) fn of(headers: &Parsed<'_>) -> Self {
        let mut head = Self::default();
        if let Some(content) = headers.content_type() {
            content.ctype().clone_into(&mut head.main);
            content.subtype().unwrap_or_default().clone_into(&mut head.sub);
            head.boundary = content.attribute("boundary").filter(|b| !b.is_empty()).map(str::to_owned);
            head.charset = content.attribute("charset").map(str::to_owned);
        }
        head.encoding = headers.content_transfer_encoding().unwrap_or_default().trim().to_ascii_lowercase();
        head.filename = headers.attachment_name().unwrap_or_default().to_ascii_lowercase();
        head.is_attachment = headers.content_disposition().is_some_and(|d| d.is_attachment());
        headers.subject().unwrap_or_default().clone_into(&mut head.subject);
        head
    }
}

/// Header block and body; a part that starts with an empty line has no header.
pub(super) fn split(raw: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in raw.split_inclusive(|b| *b == b'\n') {
        if line == b"\n" || line == b"\r\n" {
            return (raw.get(..at).unwrap_or_default(), raw.get(at + line.len()..).unwrap_or_default());
        }
        at += line.len();
    }
    (raw, &[])
}

/// The header block within its limits, ending in an empty line. The line
/// `From …` that mailboxes put before each message is left out.
pub(super) fn bounded(head: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(head.len().min(MAX_HEADER_BYTES) + 2);
    for line in head.split_inclusive(|b| *b == b'\n').skip_while(|l| l.starts_with(b"From ")) {
        let cut = line.get(..MAX_HEADER_LINE_BYTES).unwrap_or(line);
        if kept.len() + cut.len() + 2 > MAX_HEADER_BYTES {
            break;
        }
        kept.extend_from_slice(cut);
        if cut.last().is_some_and(|b| *b != b'\n') {
            kept.push(b'\n');
        }
    }
    kept.push(b'\n');
    kept
}

/// Parses what [`bounded`] left. `None` when there is no header field in it.
pub(super) fn parse(head: &[u8]) -> Option<Parsed<'_>> {
    MessageParser::default()
        .parse_headers(head)
        .filter(|m| m.parts.first().is_some_and(|p| !p.headers.is_empty()))
}
