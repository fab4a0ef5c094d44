//! What this service knows about corruption risks: pure functions from bytes to
//! findings.
//!
//! **Architecture invariant:** nothing here is async, does I/O, reads a clock or
//! knows protobuf or SQL. Whatever a rule needs (documents, watchlists,
//! thresholds) is handed in, so every rule can be tried on a table of cases.

pub mod finding;
pub mod json;
pub mod name;
pub mod ocds;
pub mod payments;
pub mod rates;
pub mod report;
pub mod rules;
pub mod settings;
pub mod stats;
pub mod tender;
pub mod text;
pub mod watchlist;
pub mod when;

pub use finding::{Evidence, Finding, Findings, Outcome, Refusals, Rejection, Severity};
pub use probity_types::CaseKind as Kind;
pub use rules::{RULES, Rule};
pub use settings::Settings;
pub use watchlist::Index;

use bytes::Bytes;
use std::sync::Arc;

/// A document with its bytes.
#[derive(Debug, Clone)]
pub struct Document {
    /// `documents/<sha256>`.
    pub name: Arc<str>,
    /// Its content.
    pub bytes: Bytes,
}

/// Reads the documents of a case and applies every rule of its kind.
#[must_use]
pub fn investigate(kind: Kind, documents: &[Document], index: &Index, settings: &Settings) -> Outcome {
    let mut outcome = match kind {
        Kind::Tender => tender::investigate(documents, index, settings),
        Kind::Payment => payments::investigate(documents, index, settings),
        Kind::Message | Kind::Report => report::investigate(kind, documents, index, settings),
    };
    outcome.facts.insert("watchlists_searched".to_owned(), index.lists().to_string());
    outcome
}
