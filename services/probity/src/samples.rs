//! Sample cases made up from a seed: fictional tenders, payments, messages and
//! reports, some with known corruption hidden in them.
//!
//! The same seed gives the same bytes. What is hidden is known
//! ([`Item::expected`]) so that a demonstration, a benchmark or a test can hold
//! the platform against it. All names and texts are our own; no place, person or
//! company in them exists.

mod dice;
mod message;
mod mix;
mod payment;
mod report;
mod set;
mod tender;
mod words;

use crate::kind::Kind;
use serde::Serialize;

pub use mix::Mix;
pub use set::{Set, Sizes, write};

/// One made-up document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    kind: Kind,
    filename: String,
    subject: String,
    bytes: Vec<u8>,
    expected: Expected,
}

/// What the platform should make of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// Rules that should raise a finding; none means that none should.
    pub rules: Vec<&'static str>,
    /// For messages and reports: whether it is spam.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spam: Option<bool>,
    /// What was hidden, in words.
    pub planted: Vec<String>,
}

impl Expected {
    /// True when nothing is wrong with the item.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.rules.is_empty() && self.spam != Some(true)
    }

    fn plant(&mut self, rule: &'static str, what: String) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
        self.planted.push(what);
    }
}

impl Item {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        self.kind.media_type(&self.filename)
    }

    /// A file name for it.
    #[must_use]
    pub fn filename(&self) -> &str {
        &self.filename
    }

    /// One line for people.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What the platform should make of it.
    #[must_use]
    pub const fn expected(&self) -> &Expected {
        &self.expected
    }
}
