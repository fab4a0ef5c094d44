//! What a document is, and what makes it fit for a kind of case.
//!
//! **Architecture invariant:** nothing here does I/O or waits; checks are fed
//! piece by piece and keep a bounded amount of memory, whatever the document.

pub mod check;
pub mod filename;
pub mod media;
pub mod name;
pub mod page;
pub mod report;

use crate::domain::name::Hash;
use probity_types::Micros;

/// What is known of a stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// SHA-256 of its bytes: its name.
    pub hash: Hash,
    /// Media type as given or guessed.
    pub media_type: String,
    /// File name for people.
    pub filename: String,
    /// How many bytes.
    pub size: u64,
    /// When it was first stored.
    pub created: Micros,
    /// When it goes unless it is named by then; never when absent.
    pub expires: Option<Micros>,
}
