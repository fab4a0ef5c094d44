//! Payments: CSV (RFC 4180) with a header row and at least one more row.
//!
//! The columns are separated by whatever the header has most of: comma,
//! semicolon, tab or bar. A row that cannot be read costs its first line only;
//! reading goes on with the next, so one stray quote does not swallow the rest.

use super::utf8::{Byte, Utf8};
use super::{Problem, Problems, Verdict};
use std::collections::VecDeque;

/// Longest row, with all its quoted lines.
const MAX_ROW_BYTES: usize = 64 * 1024;
/// Most columns of a row.
const MAX_COLUMNS: usize = 512;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Where in a row we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// At the first byte of a field.
    #[default]
    Start,
    /// In a field without quotes.
    Plain,
    /// In a field with quotes.
    Quoted,
    /// After a quote within such a field: the end, or the first half of a pair.
    Quote,
    /// After the end of such a field, at the CR of a line end.
    Return,
    /// In a row that was given up: up to the end of the line.
    Skip,
}

/// A check in progress.
#[derive(Debug, Default)]
pub(super) struct CsvCheck {
    state: State,
    /// The row so far, to begin again at its second line.
    row: Vec<u8>,
    /// Bytes to be read before the next piece.
    again: VecDeque<u8>,
    columns: usize,
    utf8: Utf8,
    not_utf8: Option<NotUtf8>,
    /// Where the row starts.
    offset: u64,
    line: u64,
    /// Line ends within the row.
    row_lines: u64,
    format: Option<Format>,
    /// The names of the columns.
    names: Vec<String>,
    rows: u64,
    stop: Option<Problem>,
    problems: Problems,
}

/// The first byte of a row that is not UTF-8.
#[derive(Debug, Clone, Copy)]
struct NotUtf8 {
    byte: u8,
    /// Its place in the row.
    at: usize,
    column: usize,
}

/// What the header says.
#[derive(Debug, Clone, Copy)]
struct Format {
    delimiter: u8,
    newline: u8,
}

impl CsvCheck {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        let mut piece = piece.iter();
        while let Some(byte) = self.again.pop_front().or_else(|| piece.next().copied()) {
            if self.is_decided() {
                return;
            }
            self.byte(byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        if byte == 0 {
            let reason = "there is a NUL: this is no CSV text; if it is UTF-16, save it as UTF-8";
            self.stop = Some(Problem::at(self.line + self.row_lines + 1, reason));
            return;
        }
        let Some(format) = self.format else { return self.before_header(byte) };
        if self.state == State::Skip {
            return self.skip(byte, format);
        }
        self.row.push(byte);
        if self.utf8.push(byte) == Byte::Wrong && self.not_utf8.is_none() {
            self.not_utf8 = Some(self.wrong_byte());
        }
        self.row_lines += u64::from(byte == format.newline);
        match self.step(byte, format) {
            Ok(Some(state)) => self.state = state,
            Ok(None) => self.end_of_row(),
            Err(reason) => self.give_up(&reason, format),
        }
    }

    /// The byte that was just read is wrong; a plain one only ends a character
    /// that needed more, so the one before it is to blame.
    fn wrong_byte(&self) -> NotUtf8 {
        let last = self.row.len().saturating_sub(1);
        let at = if self.row[last].is_ascii() { last.saturating_sub(1) } else { last };
        NotUtf8 { byte: self.row[at], at, column: self.columns }
    }

    /// The next state; `None` at the end of the row.
    fn step(&mut self, byte: u8, format: Format) -> Result<Option<State>, String> {
        if self.row.len() > MAX_ROW_BYTES {
            return Err(format!("the row is longer than {} KiB", MAX_ROW_BYTES / 1024));
        }
        match self.state {
            State::Start if byte == b'"' => Ok(Some(State::Quoted)),
            State::Quoted => Ok(Some(if byte == b'"' { State::Quote } else { State::Quoted })),
            State::Quote if byte == b'"' => Ok(Some(State::Quoted)),
            _ if byte == format.newline => Ok(None),
            State::Return => Err(AFTER_QUOTE.to_owned()),
            _ if byte == format.delimiter => self.next_column(),
            State::Quote if byte == b'\r' => Ok(Some(State::Return)),
            State::Quote => Err(AFTER_QUOTE.to_owned()),
            _ => Ok(Some(State::Plain)),
        }
    }

    fn next_column(&mut self) -> Result<Option<State>, String> {
        self.columns += 1;
        if self.columns >= MAX_COLUMNS {
            return Err(format!("the row has more than {MAX_COLUMNS} columns"));
        }
        Ok(Some(State::Start))
    }

    /// Gathers the first line that is not blank; then the row is read again.
    fn before_header(&mut self, byte: u8) {
        self.row.push(byte);
        if byte == b'\n' || self.row.len() > MAX_ROW_BYTES {
            self.learn();
        }
    }

    fn learn(&mut self) {
        let newline = if self.row.contains(&b'\n') { b'\n' } else { b'\r' };
        let marked = self.offset == 0 && self.row.starts_with(BOM);
        let line = self.row.split(|b| *b == newline).find(|line| !line.trim_ascii().is_empty());
        let header = line.map(|line| if marked { line.strip_prefix(BOM).unwrap_or(line) } else { line });
        let blank = header.is_none_or(|header| header.trim_ascii().is_empty());
        if blank && self.row.ends_with(b"\n") {
            return self.start_row();
        }
        self.format = Some(Format { delimiter: delimiter(header.unwrap_or_default()), newline });
        let skipped = if marked { BOM.len() } else { 0 };
        self.offset += skipped as u64;
        self.again = self.row.drain(..).skip(skipped).collect();
    }

    fn end_of_row(&mut self) {
        let row = self.row.trim_ascii();
        if row.is_empty() {
            return self.start_row();
        }
        let wrong = self.not_utf8.or_else(|| (!self.utf8.is_whole()).then(|| self.wrong_byte()));
        if self.rows == 0 {
            self.names = self.header_names();
            self.stop = self.not_a_header();
        }
        if let Some(NotUtf8 { byte, at, column }) = wrong {
            let place = self.offset + at as u64;
            let reason = format!("byte {place} (0x{byte:02X}) is not UTF-8: save the file as UTF-8");
            let field = self.names.get(column).cloned().unwrap_or_default();
            self.problems.push(Problem { line: self.line + 1, field, reason });
        }
        self.rows += u64::from(wrong.is_none() || self.rows == 0);
        self.start_row();
    }

    fn header_names(&self) -> Vec<String> {
        let delimiter = self.format.map_or(b',', |format| format.delimiter);
        let mut quoted = false;
        let fields = self.row.split(|b| {
            quoted ^= *b == b'"';
            *b == delimiter && !quoted
        });
        let name =
            |field: &[u8]| String::from_utf8_lossy(field).trim().trim_matches('"').chars().take(64).collect();
        fields.map(name).collect()
    }

    /// A header names columns: none of its fields is a number or a date.
    fn not_a_header(&self) -> Option<Problem> {
        let value = self.names.iter().find(|name| is_value(name))?;
        let reason = format!("the first row must name the columns, but it holds the value {value:?}");
        Some(Problem::at(self.line + 1, reason))
    }

    fn start_row(&mut self) {
        self.offset += self.row.len() as u64;
        self.line +=
            self.row.iter().filter(|b| **b == self.format.map_or(b'\n', |f| f.newline)).count() as u64;
        self.row.clear();
        self.state = State::Start;
        (self.columns, self.row_lines) = (0, 0);
        (self.utf8, self.not_utf8) = (Utf8::default(), None);
    }

    /// The row cannot be read: goes on behind its first line.
    fn give_up(&mut self, reason: &str, format: Format) {
        let problem = Problem::at(self.line + 1, reason);
        if self.rows == 0 {
            self.stop = Some(problem);
            return;
        }
        self.problems.push(problem);
        let Some(end) = self.row.iter().position(|b| *b == format.newline) else {
            self.offset += self.row.len() as u64;
            self.row.clear();
            self.state = State::Skip;
            return;
        };
        for byte in self.row.drain(end + 1..).rev() {
            self.again.push_front(byte);
        }
        self.start_row();
    }

    fn skip(&mut self, byte: u8, format: Format) {
        self.offset += 1;
        if byte == format.newline {
            self.line += 1;
            self.start_row();
        }
    }

    pub(super) const fn is_decided(&self) -> bool {
        self.stop.is_some()
    }

    pub(super) fn finish(mut self) -> Verdict {
        if self.format.is_none() && !self.row.is_empty() {
            self.learn();
        }
        self.feed(&[]);
        while !self.is_decided() && !self.row.is_empty() {
            match (self.state, self.format) {
                (State::Quoted, Some(format)) => self.give_up("a quote is opened and never closed", format),
                _ => self.end_of_row(),
            }
            self.feed(&[]);
        }
        let refused = match self.rows {
            _ if self.stop.is_some() => self.stop.take(),
            0 if self.offset == 0 => Some(Problem::whole("the document is empty")),
            0 => Some(Problem::whole("the document has no header row")),
            1 => Some(Problem::whole("there is no row that can be read after the header")),
            _ => None,
        };
        let usable = refused.is_none();
        if let Some(problem) = refused {
            self.problems.first.insert(0, problem);
            self.problems.first.truncate(super::MAX_PROBLEMS);
            self.problems.count += 1;
        }
        Verdict { usable, problems: self.problems }
    }
}

const AFTER_QUOTE: &str = "a closing quote is followed by more text: double the quotes inside a quoted field";

/// What separates the columns of a header: whatever is there most often.
fn delimiter(header: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0_u32), (b';', 0), (b'\t', 0), (b'|', 0)];
    for byte in header {
        quoted ^= *byte == b'"';
        for (delimiter, count) in &mut counts {
            *count += u32::from(!quoted && byte == delimiter);
        }
    }
    // Of equals the first: the comma.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| delimiter)
}

fn is_value(field: &str) -> bool {
    field.bytes().any(|b| b.is_ascii_digit())
        && field.bytes().all(|b| b.is_ascii_digit() || b"+-.,:/ '".contains(&b))
}
