//! Characters of a source: spaces, words, quoted texts with their escapes and stars.

use crate::Error;
use crate::parse::is_end_of_value;
use crate::tree::{Literal, Span};

/// A place in a source that only goes forward. Between two reads it stands on no space.
pub(crate) struct Scan<'a> {
    source: &'a str,
    at: usize,
    last: Span,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self { source, at: 0, last: Span::default() }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What was taken last, without the space after it.
    pub(crate) fn last(&self) -> Span {
        self.last
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == self.source.len()
    }

    pub(crate) fn text(&self, span: Span) -> &'a str {
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The character at a byte, whether a space or not.
    pub(crate) fn peek_raw(&self, at: usize) -> Option<char> {
        self.source.get(at..).and_then(|rest| rest.chars().next())
    }

    /// The bytes of the next character; none at the end.
    pub(crate) fn next_char(&self) -> (usize, usize) {
        (self.at, self.at + self.peek().map_or(0, char::len_utf8))
    }

    pub(crate) fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn advance(&mut self, bytes: usize) -> Span {
        self.last = Span { start: self.at, end: self.at + bytes };
        self.at += bytes;
        self.last
    }

    /// Takes a text that stands here, and the space after it.
    pub(crate) fn take_text(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.advance(text.len());
            self.skip_space();
        }
        found
    }

    pub(crate) fn take(&mut self, c: char) -> bool {
        self.take_text(c.encode_utf8(&mut [0; 4]))
    }

    pub(crate) fn sees_keyword(&self, word: &str) -> bool {
        let ends = |c: char| c.is_whitespace() || "()\"'".contains(c);
        self.rest().strip_prefix(word).is_some_and(|rest| rest.chars().next().is_none_or(ends))
    }

    /// Takes a keyword that something follows.
    pub(crate) fn take_keyword(&mut self, word: &str) -> bool {
        self.sees_keyword(word) && self.take_text(word)
    }

    /// Takes characters up to one that ends the word; the space after it stays.
    pub(crate) fn word(&mut self, ends: fn(char) -> bool) -> Span {
        let rest = self.rest();
        self.advance(rest.find(ends).unwrap_or(rest.len()))
    }

    /// A value: in quotes, or up to the next space or mark.
    pub(crate) fn literal(&mut self) -> Result<Literal, Error> {
        let literal = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => {
                let at = self.word(is_end_of_value);
                self.bare(at)?
            }
        };
        self.skip_space();
        Ok(literal)
    }

    /// A value without quotes: it has stars, and no escapes.
    pub(crate) fn bare(&self, at: Span) -> Result<Literal, Error> {
        let mut text = Text::default();
        for (index, c) in self.text(at).char_indices() {
            text.push(c, at.start + index, true);
        }
        text.finish(self, at)
    }

    fn quoted(&mut self, quote: char) -> Result<Literal, Error> {
        let (start, mut text) = (self.at, Text::default());
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((index, c)) = chars.next() {
            let at = start + index;
            if c == quote {
                let span = self.advance(index + quote.len_utf8());
                return text.finish(self, span);
            }
            if c != '\\' {
                text.push(c, at, true);
                continue;
            }
            match chars.next() {
                Some((_, 'n')) => text.push('\n', at, false),
                Some((_, 't')) => text.push('\t', at, false),
                Some((_, c @ ('\\' | '"' | '\'' | '*'))) => text.push(c, at, false),
                Some((_, c)) => {
                    let known = "after a backslash stands one of \\ \" ' * n t";
                    return Err(self.error(at, at + 1 + c.len_utf8(), known));
                }
                None => break,
            }
        }
        Err(self.error(start, start + 1, "this quote is never closed"))
    }

    pub(crate) fn error(&self, start: usize, end: usize, message: impl Into<String>) -> Error {
        Error::new(self.source, Span { start, end }, message)
    }

    pub(crate) fn error_here(&self, message: impl Into<String>) -> Error {
        let (start, end) = self.next_char();
        self.error(start, end, message)
    }
}

/// A text that is being read, and where its stars stand.
#[derive(Default)]
struct Text {
    text: String,
    length: usize,
    /// Place among the characters, and byte of the source.
    stars: Vec<(usize, usize)>,
}

impl Text {
    fn push(&mut self, c: char, at: usize, may_be_star: bool) {
        if c == '*' && may_be_star {
            self.stars.push((self.length, at));
        } else {
            self.text.push(c);
        }
        self.length += 1;
    }

    fn finish(self, scan: &Scan<'_>, at: Span) -> Result<Literal, Error> {
        let ends = [0, self.length.wrapping_sub(1)];
        if let Some((_, star)) = self.stars.iter().find(|(place, _)| !ends.contains(place)) {
            let text = "a * stands at the start or the end of a text; write \\* in quotes for the character";
            return Err(scan.error(*star, star + 1, text));
        }
        let any = self.text.is_empty() && !self.stars.is_empty();
        let open = |place: usize| any || self.stars.iter().any(|(star, _)| *star == place);
        Ok(Literal { open_start: open(ends[0]), open_end: open(ends[1]), text: self.text, at })
    }
}

/// Reads a whole number.
pub(crate) fn int(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a whole number such as 42".to_owned());
    }
    text.parse().map_err(|_| format!("a number from {} to {}", i64::MIN, i64::MAX))
}

/// Reads a point in time as microseconds: RFC 3339, or a date for its first moment in UTC.
pub(crate) fn time(text: &str) -> Result<i64, String> {
    const WANTED: &str = "a time such as 2026-11-20T09:30:00Z or a date such as 2026-11-20";
    let shaped = |pattern: &str| text.len() >= pattern.len() && text.bytes().zip(pattern.bytes()).all(shape);
    if text.len() == 10 && shaped("0000-00-00") {
        return time(&format!("{text}T00:00:00Z"));
    }
    if !shaped("0000-00-00T00:00:00") || text.contains('[') || text.contains(',') {
        return Err(WANTED.to_owned());
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| WANTED.to_owned())?;
    if time.subsec_nanosecond() % 1_000 != 0 {
        return Err(format!("{WANTED}; nothing is stored finer than a microsecond"));
    }
    Ok(time.as_microsecond())
}

fn shape((byte, pattern): (u8, u8)) -> bool {
    if pattern == b'0' { byte.is_ascii_digit() } else { byte.eq_ignore_ascii_case(&pattern) }
}

const UNITS: [(&str, i128); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Reads a duration as microseconds: numbers with units, such as `90s`, `1.5h` or `1h30m`.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    const WANTED: &str = "a duration such as 90s, 1.5h or 1h30m (units us, ms, s, m, h, d)";
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut sum = 0_i128;
    while !rest.is_empty() {
        let (part, after) = part(rest).ok_or(WANTED)?;
        sum = sum.checked_add(part).ok_or(WANTED)?;
        rest = after;
    }
    if text.trim_start_matches('-').is_empty() {
        return Err(WANTED.to_owned());
    }
    i64::try_from(sign * sum).map_err(|_| "a duration below 292,000 years".to_owned())
}

/// One number with its unit, in microseconds, and what follows.
fn part(text: &str) -> Option<(i128, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at_checked(digits)?;
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at_checked(letters)?;
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || whole.len() > 18 || fraction.len() > 9 {
        return None;
    }
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = fraction.parse::<i128>().ok()? * size;
    (scaled % scale == 0).then_some(())?;
    Some((whole.parse::<i128>().ok()? * size + scaled / scale, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(int(text).ok(), expect, "{text}");
        check("0", Some(0));
        check("-9223372036854775808", Some(i64::MIN));
        for bad in ["", "-", "+1", "1.0", "1e3", "9223372036854775808", "0x1", "١", "--1"] {
            check(bad, None);
        }
    }

    #[test]
    fn times() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(time(text).ok(), expect, "{text}");
        check("1970-01-01", Some(0));
        check("1970-01-01T00:00:01Z", Some(1_000_000));
        check("1970-01-01t02:00:00.5+02:00", Some(500_000));
        check("1969-12-31T23:59:59.999999Z", Some(-1));
        check("1970-01-01T00:00:00.0000005Z", None);
        for bad in
            ["", "now", "1970", "1970-01-01T00:00:00", "1970-13-01", "1970-01-01 00:00:00Z", "1970-02-30"]
        {
            check(bad, None);
        }
        check("1970-01-01T00:00:00+01:00[Europe/Vienna]", None);
    }

    #[test]
    fn durations() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(duration(text).ok(), expect, "{text}");
        check("90s", Some(90_000_000));
        check("1.5h", Some(5_400_000_000));
        check("1h30m", Some(5_400_000_000));
        check("-250ms", Some(-250_000));
        check("0.000001s", Some(1));
        check("0us", Some(0));
        for bad in ["", "-", "5", "s", "1x", "1.s", ".5s", "1..5s", "0.1us", "1h 30m", "999999999999999999d"]
        {
            check(bad, None);
        }
    }
}
