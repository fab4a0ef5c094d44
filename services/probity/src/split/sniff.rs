//! Guesses what a file is from its first bytes.

/// How the items of a file are held together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Form {
    /// Told from the name and the first bytes of the file.
    #[default]
    Auto,
    /// One JSON document: a package, a list or a single item.
    #[value(name = "json")]
    Document,
    /// JSON Lines: an item a line.
    #[value(name = "jsonl")]
    Lines,
}

/// How many bytes are looked at.
pub(crate) const HEAD_BYTES: u64 = 64 * 1024;
pub(crate) const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";

impl Form {
    /// The form a file name promises.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        if name.ends_with(".jsonl") || name.ends_with(".ndjson") { Self::Lines } else { Self::Auto }
    }

    /// This form, or what the first bytes look like when it is not known.
    pub(crate) fn or_sniffed(self, head: &[u8]) -> Self {
        match self {
            Self::Auto if looks_like_lines(head) => Self::Lines,
            Self::Auto => Self::Document,
            known => known,
        }
    }
}

/// Why the bytes cannot be JSON in UTF-8 at all.
pub(crate) fn unreadable(head: &[u8]) -> Option<String> {
    let is = |mark: &[u8]| head.starts_with(mark);
    let first = head.get(..4).unwrap_or(head);
    if is(b"\xff\xfe") || is(b"\xfe\xff") || first.contains(&0) {
        return Some("the file is in UTF-16 or binary; save it as JSON in UTF-8".to_owned());
    }
    if is(b"\x1f\x8b") || is(b"PK\x03\x04") || is(b"\x28\xb5\x2f\xfd") {
        return Some("the file is compressed; unpack it first".to_owned());
    }
    None
}

/// Where the first line of a file ends, seen as JSON.
#[derive(Debug, PartialEq, Eq)]
enum LineEnd {
    /// Outside every bracket.
    Closed,
    /// Inside a string, which no JSON document allows.
    InString,
    /// Directly inside an object, or directly inside a list.
    In(u8),
}

/// JSON Lines: the first line is a whole object and another follows, or it is a
/// broken one: the next line begins an object where a document could not.
fn looks_like_lines(head: &[u8]) -> bool {
    let begin = head.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(head.len());
    let head = head.get(begin..).unwrap_or_default();
    let Some(end) = head.iter().position(|b| *b == b'\n') else { return false };
    let (first, rest) = head.split_at(end);
    let next = rest.iter().find(|b| !b.is_ascii_whitespace());
    if first.first() != Some(&b'{') {
        return false;
    }
    match line_end(first) {
        LineEnd::Closed => next.is_some(),
        LineEnd::InString | LineEnd::In(b'{') => next == Some(&b'{'),
        LineEnd::In(_) => false,
    }
}

fn line_end(line: &[u8]) -> LineEnd {
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => open.push(*byte),
            b'}' | b']' => {
                open.pop();
            }
            _ => {}
        }
    }
    match open.last() {
        _ if in_string => LineEnd::InString,
        Some(bracket) => LineEnd::In(*bracket),
        None => LineEnd::Closed,
    }
}
