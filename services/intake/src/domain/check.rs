//! Does a document have the form its kind of case needs?
//!
//! A document can be worked on when it is whole, or when it is made of lines and
//! at least one of them is: a broken line is named and costs nothing but itself.

mod csv;
mod json;
mod lines;
mod place;
mod tender;
mod text;
mod utf8;

use csv::CsvCheck;
use tender::TenderCheck;
use text::TextCheck;

/// Problems that are told one by one; more are counted.
pub const MAX_PROBLEMS: usize = 100;
/// Longest line of a document.
pub const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// What a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OCDS releases or records: a JSON object, or JSON Lines.
    Tender,
    /// Payment rows: CSV with a header.
    Payment,
    /// A message, MIME or plain.
    Message,
    /// A report of a person.
    Report,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1; 0 when it concerns the whole document.
    pub line: u64,
    /// Column name, when one is to blame.
    pub field: String,
    /// What is wrong and what to do about it.
    pub reason: String,
}

impl Problem {
    pub(crate) fn at(line: u64, reason: impl Into<String>) -> Self {
        Self { line, field: String::new(), reason: reason.into() }
    }

    pub(crate) fn whole(reason: impl Into<String>) -> Self {
        Self::at(0, reason)
    }
}

/// What is wrong with a document; a bounded list and the real number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first [`MAX_PROBLEMS`], in order.
    pub first: Vec<Problem>,
    /// How many there are.
    pub count: u64,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.first.len() < MAX_PROBLEMS {
            self.first.push(problem);
        }
        self.count += 1;
    }

    pub(crate) fn only(problem: Problem) -> Self {
        Self { first: vec![problem], count: 1 }
    }
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// True when there is something to work on.
    pub usable: bool,
    /// What is wrong, also when it is usable.
    pub problems: Problems,
}

impl Verdict {
    pub(crate) fn refused(problem: Problem) -> Self {
        Self { usable: false, problems: Problems::only(problem) }
    }
}

/// A check in progress.
#[derive(Debug)]
pub struct Check(Inner);

#[derive(Debug)]
enum Inner {
    Tender(Box<TenderCheck>),
    Payment(Box<CsvCheck>),
    Text(TextCheck),
}

impl Check {
    /// Begins to check a document.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self(match kind {
            Kind::Tender => Inner::Tender(Box::default()),
            Kind::Payment => Inner::Payment(Box::default()),
            Kind::Message | Kind::Report => Inner::Text(TextCheck::default()),
        })
    }

    /// Takes the next piece of the document.
    pub fn feed(&mut self, piece: &[u8]) {
        match &mut self.0 {
            Inner::Tender(check) => check.feed(piece),
            Inner::Payment(check) => check.feed(piece),
            Inner::Text(check) => check.feed(piece),
        }
    }

    /// True when nothing that follows can change the verdict.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        match &self.0 {
            Inner::Tender(check) => check.is_decided(),
            Inner::Payment(check) => check.is_decided(),
            Inner::Text(check) => check.is_decided(),
        }
    }

    /// The document ends here.
    #[must_use]
    pub fn finish(self) -> Verdict {
        match self.0 {
            Inner::Tender(check) => check.finish(),
            Inner::Payment(check) => check.finish(),
            Inner::Text(check) => check.finish(),
        }
    }
}

#[cfg(test)]
mod tests;
