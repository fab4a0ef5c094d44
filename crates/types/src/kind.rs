//! What a case is about.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a case is about: decides which workflow, rules and policies apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseKind {
    /// A procurement procedure: OCDS releases or records.
    Tender,
    /// A file of payment rows.
    Payment,
    /// A message, MIME or plain.
    Message,
    /// A report of a person.
    Report,
}

impl CaseKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Tender, Self::Payment, Self::Message, Self::Report];

    /// Its name in definitions, policies, metrics and stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tender => "tender",
            Self::Payment => "payment",
            Self::Message => "message",
            Self::Report => "report",
        }
    }

    /// Its name in the contracts, `CASE_KIND_…`.
    #[must_use]
    pub const fn proto_name(self) -> &'static str {
        match self {
            Self::Tender => "CASE_KIND_TENDER",
            Self::Payment => "CASE_KIND_PAYMENT",
            Self::Message => "CASE_KIND_MESSAGE",
            Self::Report => "CASE_KIND_REPORT",
        }
    }

    /// The kind of that name, if there is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for CaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CaseKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
            .ok_or_else(|| format!("{text:?} is no kind of case; one of tender, payment, message, report"))
    }
}
