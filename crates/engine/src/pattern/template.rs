//! Messages without what differs from one failure to the next.

/// Longest template in characters.
pub const MAX_TEMPLATE: usize = 200;
/// How much of a message is read, in characters.
const MAX_MESSAGE: usize = 4_096;

/// A message with placeholders: `<n>` for digits, `<id>` for ids and long random words, `<time>`
/// for times, `<address>` for network and mail addresses, `<url>`, and `<text>` for what stands
/// in quotes. White space becomes one space; what is longer than [`MAX_TEMPLATE`] is cut.
///
/// Codes such as `STO-0004` stay, and so does everything inside `<…>`: the template of a
/// template is itself.
///
/// ```
/// use probity_engine::pattern::template;
/// assert_eq!(
///     template("cases/case_01hx3k9 gave no answer from 10.0.0.7:8082 within 2500 ms: \"try later\""),
///     "cases/case_<id> gave no answer from <address> within <n> ms: <text>"
/// );
/// ```
#[must_use]
pub fn template(message: &str) -> String {
    let chars: Vec<char> = message.chars().take(MAX_MESSAGE).collect();
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() && out.len() <= MAX_TEMPLATE * 4 {
        at = next(&chars, at, &mut out);
    }
    cut(out.trim_end())
}

/// Writes what begins at a place, and answers where the next thing begins.
fn next(chars: &[char], at: usize, out: &mut String) -> usize {
    let c = chars[at];
    if c.is_whitespace() || c.is_control() {
        if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
        return at + 1;
    }
    if let Some(end) = end_of_placeholder(chars, at) {
        out.extend(&chars[at..end]);
        return end;
    }
    if let Some(end) = end_of_quoted(chars, at) {
        out.push_str("<text>");
        return end;
    }
    if is_delimiter(c) {
        out.push(c);
        return at + 1;
    }
    let mut text = word(chars, at, is_delimiter);
    if text.contains("://") {
        text = word(chars, at, ends_url);
    }
    let bare = text.trim_end_matches(['.', ':', '!', '?', ',', ';']);
    classify(bare, out);
    out.push_str(&text[bare.len()..]);
    at + text.chars().count()
}

/// The characters from a place up to one that ends them.
fn word(chars: &[char], at: usize, ends: fn(char) -> bool) -> String {
    chars[at..].iter().copied().take_while(|c| !ends(*c)).collect()
}

/// An address on the web has parameters, so it ends at fewer characters than a word.
fn ends_url(c: char) -> bool {
    is_delimiter(c) && !",;=|".contains(c)
}

/// What a word ends at. Quotes are among them, so that `code='x'` has one.
fn is_delimiter(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "()[]{}<>,;=|\"'`".contains(c)
}

/// `<n>` and its like, where a message has them already.
fn end_of_placeholder(chars: &[char], at: usize) -> Option<usize> {
    let rest: String = chars[at..].iter().take("<address>".len()).collect();
    let known = ["<n>", "<id>", "<time>", "<address>", "<url>", "<text>"];
    known.iter().find(|known| rest.starts_with(**known)).map(|known| at + known.len())
}

/// A quote that opens (not the apostrophe inside a word), and the same one that closes.
fn end_of_quoted(chars: &[char], at: usize) -> Option<usize> {
    let quote = chars[at];
    // A placeholder may stand for letters or digits, and so may what was cut off.
    let in_word =
        |c: Option<&char>, edge: char| c.is_some_and(|c| c.is_alphanumeric() || *c == edge || *c == '…');
    let opens = "\"'`".contains(quote) && !in_word(at.checked_sub(1).and_then(|i| chars.get(i)), '>');
    let closes = |i: &usize| chars[*i] == quote && !in_word(chars.get(i + 1), '<');
    if !opens {
        return None;
    }
    (at + 1..chars.len()).find(closes).map(|end| end + 1)
}

fn classify(word: &str, out: &mut String) {
    if word.contains("://") {
        return out.push_str("<url>");
    }
    if is_time(word) {
        return out.push_str("<time>");
    }
    if is_address(word) {
        return out.push_str("<address>");
    }
    for (index, part) in word.split('/').enumerate() {
        out.push_str(if index == 0 { "" } else { "/" });
        classify_part(part, out);
    }
}

fn classify_part(part: &str, out: &mut String) {
    if is_code(part) {
        return out.push_str(part);
    }
    match part.split_once('_') {
        Some((prefix, id)) if is_word(prefix) && is_tail(id) => {
            out.push_str(prefix);
            out.push_str("_<id>");
        }
        _ if is_id(part) => out.push_str("<id>"),
        _ => digits(part, out),
    }
}

/// Runs of digits, with the separators of thousands and decimals between them.
fn digits(part: &str, out: &mut String) {
    let chars: Vec<char> = part.chars().collect();
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    let mut at = 0;
    while at < chars.len() {
        if !digit(at) {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        while digit(at) || (chars.get(at) == Some(&'.') && digit(at + 1)) {
            at += 1;
        }
        out.push_str("<n>");
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic())
}

/// A stable code of this platform: two to five capitals, a dash, four digits.
fn is_code(text: &str) -> bool {
    let Some((prefix, number)) = text.split_once('-') else { return false };
    let capitals = prefix.bytes().all(|b| b.is_ascii_uppercase());
    (2..=5).contains(&prefix.len())
        && capitals
        && number.len() == 4
        && number.bytes().all(|b| b.is_ascii_digit())
}

/// At least eight characters of hex with dashes, or of letters and digits mixed, as no word has
/// them.
fn is_id(text: &str) -> bool {
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let mixed = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+=".contains(&b));
    let numbers = text.bytes().filter(u8::is_ascii_digit).count();
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    text.len() >= 8 && numbers > 0 && letters > 0 && (hex || (mixed && (numbers >= 3 || text.len() >= 20)))
}

/// What stands behind the prefix of an id: at least six letters and digits, two of them digits.
fn is_tail(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    is_id(text) || (text.len() >= 6 && digits >= 2 && text.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// A date, or a date and a time.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let date = b"0000-00-00";
    let shaped =
        |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    bytes.len() >= date.len()
        && bytes.iter().zip(date).all(shaped)
        && bytes.get(date.len()).is_none_or(|b| matches!(b, b'T' | b't'))
        && bytes.iter().all(|b| b.is_ascii_digit() || b"-:.+TtZz".contains(b))
}

/// `1.2.3.4`, `1.2.3.4:80`, `host:80` or `a@b.c`.
fn is_address(text: &str) -> bool {
    if let Some((user, host)) = text.split_once('@') {
        return !user.is_empty() && host.contains('.');
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let has_port = (2..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<_> = host.split('.').collect();
    let ip = parts.len() == 4 && parts.iter().all(|part| part.parse::<u8>().is_ok());
    let name = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let named = name && host.bytes().any(|b| b.is_ascii_alphabetic());
    (ip && (has_port || port.is_empty())) || (named && has_port)
}

/// The beginning, without half a placeholder at its end.
fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_TEMPLATE {
        return text.to_owned();
    }
    let head: String = text.chars().take(MAX_TEMPLATE - 1).collect();
    let open = head.rfind('<').filter(|open| !head[*open..].contains('>'));
    let whole = open.map_or(head.as_str(), |open| &head[..open]);
    format!("{}…", whole.trim_end())
}
