//! JSON Lines: every line that is not blank is an object, on its own.

use super::json::{Scanner, Top};
use super::place::Place;
use super::tender::{broken, no_object, too_long};
use super::{MAX_LINE_BYTES, Problem, Problems, Verdict};

/// So many lines that begin an object are looked at, after the first line, to
/// tell whether lines stand for themselves.
const LOOKED_AT: u32 = 3;

/// The document read as lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    scanner: Scanner,
    /// Why the line is broken.
    bad: Option<Problem>,
    begins_with: Option<u8>,
    line_bytes: u64,
    /// Lines that are not blank, those of them that begin an object (after the
    /// first line), and those that are whole.
    seen: u64,
    objects: u32,
    good: u64,
    /// One of the first lines is whole.
    fits: bool,
    problems: Problems,
}

impl Lines {
    /// True when the document cannot be JSON Lines.
    pub(super) const fn is_ruled_out(&self) -> bool {
        !self.fits && self.objects >= LOOKED_AT
    }

    pub(super) fn byte(&mut self, byte: u8, place: Place) {
        if self.is_ruled_out() {
            return;
        }
        if byte == b'\n' {
            return self.end(place);
        }
        self.line_bytes += 1;
        if self.begins_with.is_none() && !byte.is_ascii_whitespace() {
            self.begins_with = Some(byte);
        }
        if self.bad.is_some() {
            return;
        }
        if self.line_bytes > MAX_LINE_BYTES {
            self.bad = Some(too_long(place.line));
        } else if let Err(reason) = self.scanner.push(byte) {
            self.bad = Some(broken(place, &reason));
        } else if self.scanner.top() == Top::Other {
            self.bad = Some(no_object(place.line));
        }
    }

    /// The line ends here.
    fn end(&mut self, place: Place) {
        let mut scanner = std::mem::take(&mut self.scanner);
        let bad = self.bad.take();
        self.line_bytes = 0;
        let Some(first) = self.begins_with.take() else { return };
        let bad = bad.or_else(|| scanner.finish().err().map(|reason| broken(place, &reason)));
        let counts = self.seen == 0 || (first == b'{' && self.objects < LOOKED_AT);
        self.objects += u32::from(self.seen > 0 && first == b'{' && self.objects < LOOKED_AT);
        self.seen += 1;
        match bad {
            None => {
                self.good += 1;
                self.fits |= counts;
            }
            Some(problem) => self.problems.push(problem),
        }
    }

    /// The verdict, when this is JSON Lines.
    pub(super) fn finish(mut self, place: Place) -> Option<Verdict> {
        if !self.is_ruled_out() {
            self.end(place);
        }
        let lines = self.fits && self.seen > 1;
        lines.then_some(Verdict { usable: self.good > 0, problems: self.problems })
    }
}
