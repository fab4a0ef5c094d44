//! Tenders: one JSON object, or JSON Lines with an object a line.
//!
//! A document does not say which of the two it is, so both readings are followed
//! at once. The first one that fits wins; when neither does, the document counts
//! as lines if one of its first lines stands for itself.

use super::json::{Scanner, Top};
use super::lines::Lines;
use super::place::Place;
use super::{MAX_LINE_BYTES, Problem, Verdict};

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A check in progress.
#[derive(Debug, Default)]
pub(super) struct TenderCheck {
    /// How much of a byte order mark was seen; the largest number once that is settled.
    bom: usize,
    whole: Whole,
    lines: Lines,
    place: Place,
}

/// The document read as one object.
#[derive(Debug, Default)]
struct Whole {
    scanner: Scanner,
    line_bytes: u64,
    broken: Option<Problem>,
}

impl TenderCheck {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        for byte in piece {
            if self.bom < BOM.len() && *byte == BOM[self.bom] {
                self.bom += 1;
                continue;
            }
            self.after_mark();
            self.byte(*byte);
        }
    }

    /// What began like a mark and is none is part of the text.
    fn after_mark(&mut self) {
        match std::mem::replace(&mut self.bom, usize::MAX) {
            usize::MAX => {}
            3 => self.place.offset = BOM.len() as u64,
            begun => BOM[..begun].iter().for_each(|byte| self.byte(*byte)),
        }
    }

    fn byte(&mut self, byte: u8) {
        self.whole.byte(byte, self.place);
        self.lines.byte(byte, self.place);
        self.place.pass(byte);
    }

    pub(super) fn is_decided(&self) -> bool {
        self.whole.broken.is_some() && self.lines.is_ruled_out()
    }

    pub(super) fn finish(mut self) -> Verdict {
        self.after_mark();
        if self.place.offset == 0 {
            return Verdict::refused(Problem::whole("the document is empty"));
        }
        if self.whole.scanner.top() == Top::Nothing && self.whole.broken.is_none() {
            return Verdict::refused(Problem::whole("the document has nothing but white space"));
        }
        match self.whole.finish(self.place) {
            Ok(()) => Verdict { usable: true, problems: super::Problems::default() },
            Err(problem) => self.lines.finish(self.place).unwrap_or_else(|| Verdict::refused(problem)),
        }
    }
}

impl Whole {
    fn byte(&mut self, byte: u8, place: Place) {
        if self.broken.is_some() {
            return;
        }
        self.line_bytes = if byte == b'\n' { 0 } else { self.line_bytes + 1 };
        let was_done = self.scanner.is_done();
        if self.line_bytes > MAX_LINE_BYTES {
            self.broken = Some(too_long(place.line));
        } else if let Err(reason) = self.scanner.push(byte) {
            self.broken = Some(broken(place, &reason));
        } else if !was_done && self.scanner.top() == Top::Other {
            self.broken = Some(no_object(place.line));
        }
    }

    fn finish(&mut self, place: Place) -> Result<(), Problem> {
        match self.broken.take() {
            Some(problem) => Err(problem),
            None => self.scanner.finish().map_err(|reason| broken(place, &reason)),
        }
    }
}

pub(super) fn broken(place: Place, reason: &str) -> Problem {
    Problem::at(place.line, format!("column {} (byte {}): {reason}", place.column, place.offset))
}

pub(super) fn no_object(line: u64) -> Problem {
    Problem::at(line, "a JSON object is expected: an OCDS package, release or record, or one of them a line")
}

pub(super) fn too_long(line: u64) -> Problem {
    let most = MAX_LINE_BYTES >> 20;
    Problem::at(
        line,
        format!("the line is longer than {most} MiB: write one release a line, or break the lines"),
    )
}
