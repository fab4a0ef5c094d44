//! Messages and reports: text in some charset.
//!
//! A message says in its own headers which charset its parts are in, and old
//! reports come in Latin-1, so bytes that are not UTF-8 are no fault here. A NUL
//! is: there is none in any text a person wrote, except in UTF-16.

use super::place::Place;
use super::{MAX_LINE_BYTES, Problem, Verdict};

/// A check in progress.
#[derive(Debug, Default)]
pub(super) struct TextCheck {
    place: Place,
    line_bytes: u64,
    has_text: bool,
    head: [u8; 4],
    problem: Option<Problem>,
}

impl TextCheck {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        for byte in piece {
            if self.problem.is_some() {
                return;
            }
            self.byte(*byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        if let Some(slot) = usize::try_from(self.place.offset).ok().and_then(|at| self.head.get_mut(at)) {
            *slot = byte;
        }
        self.has_text |= !byte.is_ascii_whitespace() && !matches!(byte, 0xEF | 0xBB | 0xBF);
        self.line_bytes = if byte == b'\n' { 0 } else { self.line_bytes + 1 };
        if byte == 0 {
            self.problem = Some(self.nul());
        } else if self.line_bytes > MAX_LINE_BYTES {
            let most = MAX_LINE_BYTES >> 20;
            self.problem = Some(Problem::at(self.place.line, format!("the line is longer than {most} MiB")));
        }
        self.place.pass(byte);
    }

    fn nul(&self) -> Problem {
        if self.head.starts_with(b"\xFF\xFE") || self.head.starts_with(b"\xFE\xFF") {
            return Problem::whole("the document is UTF-16: save it as UTF-8");
        }
        let Place { offset, line, .. } = self.place;
        Problem::at(
            line,
            format!("byte {offset} is a NUL: this is no text; save it as UTF-8 text or a message"),
        )
    }

    pub(super) const fn is_decided(&self) -> bool {
        self.problem.is_some()
    }

    pub(super) fn finish(self) -> Verdict {
        match self.problem {
            Some(problem) => Verdict::refused(problem),
            None if self.place.offset == 0 => Verdict::refused(Problem::whole("the document is empty")),
            None if !self.has_text => Verdict::refused(Problem::whole("the document has no text")),
            None => Verdict { usable: true, problems: super::Problems::default() },
        }
    }
}
