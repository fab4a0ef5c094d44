//! How a filter is refused: where, why, and what would be right.

use crate::Span;
use probity_types::Violation;
use std::fmt;

/// Widest line [`Error::caret`] prints, in characters.
const WIDTH: usize = 100;

/// Why a filter or an order was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The bytes of the source it is about.
    pub span: Span,
    /// What is wrong and how to mend it.
    pub message: String,
    source: String,
}

impl Error {
    pub(crate) fn new(source: &str, span: Span, message: impl Into<String>) -> Self {
        let source = if source.len() > crate::MAX_LENGTH { String::new() } else { source.to_owned() };
        Self { span, message: message.into(), source }
    }

    /// The place in characters, counted from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        1 + self.source.get(..self.span.start).map_or(0, |before| before.chars().count())
    }

    /// The line of the source with a mark below the place, and the message:
    ///
    /// ```text
    /// state = RUNING
    ///         ^^^^^^ state is one of RUNNING, WAITING; did you mean RUNNING?
    /// ```
    ///
    /// A long source is cut around the place.
    #[must_use]
    pub fn caret(&self) -> String {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let chars: Vec<char> = self.source.chars().map(printable).collect();
        let start = self.column() - 1;
        let marked = self.source.get(self.span.start..self.span.end).map_or(0, |at| at.chars().count());
        let first = if start + marked < WIDTH { 0 } else { start.saturating_sub(WIDTH / 4) };
        let line: String = chars.iter().skip(first).take(WIDTH).collect();
        let room = WIDTH.saturating_sub(start - first).max(1);
        let (gap, marks) = (" ".repeat(start - first), "^".repeat(marked.clamp(1, room)));
        format!("{line}\n{gap}{marks} {}", self.message)
    }

    /// As a violation of the request field that held the source, such as `filter`.
    #[must_use]
    pub fn violation(&self, field: &str) -> Violation {
        Violation { field: field.to_owned(), description: self.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column(), self.message)
    }
}

impl std::error::Error for Error {}

/// ` did you mean x?` when one of the names is near, or nothing.
pub(crate) fn suggestion<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> String {
    let near = names.map(|name| (distance(given, name), name)).min_by_key(|(far, _)| *far);
    match near {
        Some((far, name)) if far <= 1 + name.len() / 4 => format!("; did you mean {name}?"),
        _ => String::new(),
    }
}

/// How many letters must be changed, added, dropped or swapped with their neighbour to make
/// one name of the other, whatever their case (the restricted edit distance of Damerau).
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| text.chars().take(64).map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let above = &rows[i - 1];
            let changed = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let check = |given: &str, expect: &str| {
            let names = ["state", "create_time", "end_time", "priority"];
            assert_eq!(suggestion(given, names.into_iter()), expect, "{given}");
        };
        check("stat", "; did you mean state?");
        check("sttae", "; did you mean state?");
        check("STATE", "; did you mean state?");
        check("createTime", "; did you mean create_time?");
        check("colour", "");
        check("", "");
    }

    #[test]
    fn the_mark_stands_below_the_place() {
        let check = |source: &str, span: (usize, usize), expect: &str| {
            let error = Error::new(source, Span { start: span.0, end: span.1 }, "no");
            assert_eq!(error.caret(), expect);
        };
        check("a = b", (4, 5), "a = b\n    ^ no");
        check("é = bc", (5, 7), "é = bc\n    ^^ no");
        check("a\nb", (3, 3), "a b\n   ^ no");
        check("", (0, 0), "\n^ no");
        let long = format!("{}bad{}", "x".repeat(300), "y".repeat(300));
        let error = Error::new(&long, Span { start: 300, end: 303 }, "no");
        let text = error.caret();
        let (line, marks) = text.split_once('\n').unwrap();
        assert_eq!(line.chars().count(), WIDTH);
        assert_eq!(line.find("bad"), marks.find("^^^"));
    }
}
