//! Splitting CSV bytes into records (RFC 4180), in one pass and constant memory.
//!
//! A general reader lets one stray quote swallow the rest of the file. Here a
//! record that cannot be read costs its first line only: reading goes on with
//! the next.

use std::borrow::Cow;

/// Longest record, with all its quoted lines.
pub(super) const MAX_RECORD: usize = 64 * 1024;
/// Most columns of a record.
const MAX_COLUMNS: usize = 512;

/// The fields of one record, in buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Fields {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Fields {
    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a field; empty when there is none.
    pub(super) fn bytes(&self, n: usize) -> &[u8] {
        let start = n.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(n).map_or(&[], |end| &self.data[start..*end])
    }

    /// The text of a field, trimmed; `None` when it is not UTF-8.
    pub(super) fn text(&self, n: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(n)).ok().map(str::trim)
    }

    fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
    }

    fn end(&mut self) {
        self.ends.push(self.data.len());
    }
}

/// What was found at a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// A record; its fields are in the [`Fields`] that were handed in.
    Row {
        /// Line it starts in.
        line: u32,
        /// Its bytes in the document.
        start: usize,
        /// Their end.
        end: usize,
    },
    /// A line that is no record.
    Bad {
        /// The line.
        line: u32,
        /// Why.
        reason: String,
    },
}

/// Reads records one after the other.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u32,
    newline: u8,
    delimiter: u8,
}

/// How a field ended.
enum End {
    Field(usize),
    Record(usize),
}

impl<'a> Scanner<'a> {
    /// A scanner that finds out by itself what separates columns and lines.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let newline = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
        let at = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let header = bytes[at..].split(|b| *b == newline).find(|line| !line.trim_ascii().is_empty());
        Self { bytes, at, line: 1, newline, delimiter: delimiter(header.unwrap_or_default()) }
    }

    /// What separates columns.
    pub(super) const fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The next record; blank lines are none.
    pub(super) fn next(&mut self, fields: &mut Fields) -> Option<Record> {
        loop {
            let rest = &self.bytes[self.at..];
            if rest.is_empty() {
                return None;
            }
            let end = self.line_end(self.at);
            if !self.bytes[self.at..end].trim_ascii().is_empty() {
                return Some(self.record(fields, end));
            }
            self.go_to(end + 1);
        }
    }

    fn record(&mut self, fields: &mut Fields, line_end: usize) -> Record {
        let (line, start) = (self.line, self.at);
        match self.fields(fields) {
            Ok(end) => {
                self.go_to(end + 1);
                let cut = self.bytes[start..end].trim_ascii_end().len();
                Record::Row { line, start, end: start + cut }
            }
            Err(reason) => {
                self.go_to(line_end + 1);
                Record::Bad { line, reason }
            }
        }
    }

    /// Reads all fields from here; returns where the record ends.
    fn fields(&self, fields: &mut Fields) -> Result<usize, String> {
        fields.clear();
        let mut at = self.at;
        loop {
            let quoted = self.bytes.get(at) == Some(&b'"');
            let end = if quoted { self.quoted(at + 1, fields)? } else { self.plain(at, fields)? };
            fields.end();
            if fields.len() > MAX_COLUMNS {
                return Err(format!("the row has more than {MAX_COLUMNS} columns"));
            }
            match end {
                End::Field(next) => at = next,
                End::Record(end) => return Ok(end),
            }
        }
    }

    fn plain(&self, start: usize, fields: &mut Fields) -> Result<End, String> {
        let limit = self.limit();
        let length = self.bytes[start..limit].iter().position(|b| *b == self.delimiter || *b == self.newline);
        let end = match length {
            Some(length) => start + length,
            None if limit == self.bytes.len() => limit,
            None => return Err(self.too_long()),
        };
        let field = &self.bytes[start..end];
        if self.bytes.get(end) == Some(&self.delimiter) {
            fields.data.extend_from_slice(field);
            return Ok(End::Field(end + 1));
        }
        fields.data.extend_from_slice(field.strip_suffix(b"\r").unwrap_or(field));
        Ok(End::Record(end))
    }

    fn quoted(&self, start: usize, fields: &mut Fields) -> Result<End, String> {
        let limit = self.limit();
        let mut at = start;
        loop {
            let Some(length) = self.bytes[at..limit].iter().position(|b| *b == b'"') else {
                return Err(if limit == self.bytes.len() {
                    "a quote is opened and never closed".to_owned()
                } else {
                    self.too_long()
                });
            };
            fields.data.extend_from_slice(&self.bytes[at..at + length]);
            at += length + 1;
            if self.bytes.get(at) != Some(&b'"') {
                return self.after_quote(at);
            }
            fields.data.push(b'"');
            at += 1;
        }
    }

    fn after_quote(&self, at: usize) -> Result<End, String> {
        let rest = &self.bytes[at..];
        match rest {
            [] => Ok(End::Record(at)),
            [b, ..] if *b == self.delimiter => Ok(End::Field(at + 1)),
            [b, ..] if *b == self.newline => Ok(End::Record(at)),
            [b'\r', b'\n', ..] => Ok(End::Record(at + 1)),
            [b'\r'] => Ok(End::Record(at + 1)),
            _ => Err("a closing quote is followed by more text: double the quotes inside a quoted field"
                .to_owned()),
        }
    }

    fn limit(&self) -> usize {
        self.bytes.len().min(self.at + MAX_RECORD)
    }

    fn too_long(&self) -> String {
        format!("the row is longer than {} KiB", MAX_RECORD / 1024)
    }

    fn line_end(&self, from: usize) -> usize {
        let length = self.bytes[from..].iter().position(|b| *b == self.newline);
        length.map_or(self.bytes.len(), |length| from + length)
    }

    /// Moves on and counts the lines that were passed.
    fn go_to(&mut self, at: usize) {
        let at = at.min(self.bytes.len());
        let passed = self.bytes[self.at..at].iter().filter(|b| **b == self.newline).count();
        self.line = self.line.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        self.at = at;
    }
}

/// What separates the columns of a header: whatever is there most often.
fn delimiter(header: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    for byte in header {
        quoted ^= *byte == b'"';
        for (delimiter, count) in &mut counts {
            *count += u32::from(!quoted && byte == delimiter);
        }
    }
    // Of equals the first: the comma.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| delimiter)
}

/// A row as it stands in the document, for people.
pub(super) fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Line and cells of each row, line and reason of each other one.
    type Scanned = (Vec<(u32, Vec<String>)>, Vec<(u32, String)>);

    fn all(text: &[u8]) -> Scanned {
        let (mut rows, mut bad) = (Vec::new(), Vec::new());
        let (mut scanner, mut fields) = (Scanner::new(text), Fields::default());
        while let Some(record) = scanner.next(&mut fields) {
            match record {
                Record::Row { line, .. } => {
                    let row =
                        (0..fields.len()).map(|n| String::from_utf8_lossy(fields.bytes(n)).into_owned());
                    rows.push((line, row.collect()));
                }
                Record::Bad { line, reason } => bad.push((line, reason)),
            }
        }
        (rows, bad)
    }

    fn check(text: &str, expect: &[(u32, &[&str])], bad: &[u32]) {
        let (rows, found) = all(text.as_bytes());
        let rows: Vec<(u32, Vec<&str>)> =
            rows.iter().map(|(line, row)| (*line, row.iter().map(String::as_str).collect())).collect();
        let expect: Vec<(u32, Vec<&str>)> = expect.iter().map(|(line, row)| (*line, row.to_vec())).collect();
        assert_eq!(rows, expect, "{text:?}");
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), bad, "{text:?}");
    }

    #[test]
    fn reads_rfc_4180() {
        check("a,b\n1,2\n", &[(1, &["a", "b"]), (2, &["1", "2"])], &[]);
        check("a,b\r\n1,2", &[(1, &["a", "b"]), (2, &["1", "2"])], &[]);
        check("a;b\n1,5;2\n", &[(1, &["a", "b"]), (2, &["1,5", "2"])], &[]);
        check("a\tb\n\n1\t\n", &[(1, &["a", "b"]), (3, &["1", ""])], &[]);
        check("\u{feff}a,b\n", &[(1, &["a", "b"])], &[]);
        check(
            "a,b\n\"x,\"\"y\",\"1\n2\"\n3,4\n",
            &[(1, &["a", "b"]), (2, &["x,\"y", "1\n2"]), (4, &["3", "4"])],
            &[],
        );
        check("a,b\r1,2\r", &[(1, &["a", "b"]), (2, &["1", "2"])], &[]);
        check("a\n5\" pipe\n", &[(1, &["a"]), (2, &["5\" pipe"])], &[]);
        check("\"a;b\",c\n", &[(1, &["a;b", "c"])], &[]);
        check("", &[], &[]);
        check(" \n\n", &[], &[]);
        check("a,b\n\"1\",\"2\"\r\n", &[(1, &["a", "b"]), (2, &["1", "2"])], &[]);
    }

    #[test]
    fn a_broken_row_costs_one_line() {
        check("a,b\n\"1,2\n3,4\n5,6\n", &[(1, &["a", "b"]), (3, &["3", "4"]), (4, &["5", "6"])], &[2]);
        check("a,b\n\"1\"x,2\n3,4\n", &[(1, &["a", "b"]), (3, &["3", "4"])], &[2]);
        let long = format!("a,b\n{},2\n3,4\n", "x".repeat(MAX_RECORD));
        check(&long, &[(1, &["a", "b"]), (3, &["3", "4"])], &[2]);
        let open = format!("a,b\n\"1,2\n{}3,4\n", "7,8\n".repeat(MAX_RECORD));
        assert_eq!(all(open.as_bytes()).1.len(), 1);
        assert_eq!(all(open.as_bytes()).0.len(), MAX_RECORD + 2);
    }

    proptest! {
        /// The `csv` crate is the reference for whatever it writes.
        #[test]
        fn agrees_with_the_reference(
            rows in proptest::collection::vec(proptest::collection::vec("[a-c\",;\n\r ]{0,6}", 2..5), 1..8)
        ) {
            let width = rows[0].len();
            let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            writer.write_record((0..width).map(|n| format!("h{n}"))).unwrap();
            for row in &rows {
                writer.write_record(row.iter().cycle().take(width)).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let (read, bad) = all(&text);
            prop_assert!(bad.is_empty());
            let read: Vec<_> = read.into_iter().skip(1).map(|(_, row)| row).collect();
            let expect: Vec<Vec<_>> = rows.iter().map(|row| row.iter().cycle().take(width).cloned().collect()).collect();
            prop_assert_eq!(read, expect);
        }

        #[test]
        fn every_line_is_accounted_for(text in "[a\",;\n ]{0,200}") {
            let (rows, bad) = all(text.as_bytes());
            let lines = text.split('\n').filter(|line| !line.trim().is_empty()).count();
            prop_assert!(rows.len() + bad.len() <= lines);
            prop_assert!(lines == 0 || rows.len() + bad.len() > 0);
        }
    }
}
