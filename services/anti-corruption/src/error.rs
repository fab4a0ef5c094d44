//! How the service fails, and the stable code of each way. Pages: `docs/errors/`.

use probity_storage as storage;
use probity_types::{Fault, FaultKind};
use std::sync::Arc;

/// A failure of the service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request is wrong.
    #[error("{field}: {reason}")]
    Request {
        /// The field.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// There is no such finding, or not for this tenant.
    #[error("{name} does not exist")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// A page token of another list, or none of ours.
    #[error("page_token: is not the next_page_token of this list; start again without one")]
    PageToken,
    /// A watchlist that cannot be trusted.
    #[error("the watchlist {name} was not loaded and the one in force stays: {reason}")]
    Watchlist {
        /// The list.
        name: String,
        /// Why.
        reason: String,
    },
    /// The documents are too large together.
    #[error("the documents are larger than {limit} bytes together: split them over several cases")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The evaluation itself broke.
    #[error("the evaluation of {case} broke: {reason}")]
    Broken {
        /// What was evaluated.
        case: String,
        /// How.
        reason: String,
    },
    /// A stored row cannot be read back.
    #[error("the stored {what} cannot be read: {reason}")]
    Unreadable {
        /// What.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A peer refused.
    #[error("{0}")]
    Peer(Fault),
    /// The store.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Error {
    /// A wrong field.
    pub(crate) fn request(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Request { field: field.into(), reason: reason.into() }
    }

    const fn kind_and_code(&self) -> (FaultKind, &'static str) {
        match self {
            Self::Request { .. } => (FaultKind::Invalid, "COR-0001"),
            Self::NotFound { .. } => (FaultKind::NotFound, "COR-0002"),
            Self::PageToken => (FaultKind::Invalid, "COR-0003"),
            Self::Watchlist { .. } => (FaultKind::Invalid, "COR-0004"),
            Self::TooLarge { .. } => (FaultKind::Invalid, "COR-0005"),
            Self::Broken { .. } => (FaultKind::Internal, "COR-0006"),
            Self::Unreadable { .. } => (FaultKind::Corrupt, "COR-0007"),
            // These two have codes of their own; see the conversion below.
            Self::Peer(_) | Self::Storage(_) => (FaultKind::Internal, "COR-0006"),
        }
    }
}

/// What several who waited for the same read were told.
impl From<Arc<Error>> for Error {
    fn from(shared: Arc<Error>) -> Self {
        match &*shared {
            Self::Storage(error) => Self::Storage(error.clone()),
            Self::Unreadable { what, reason } => Self::Unreadable { what, reason: reason.clone() },
            other => Self::Broken { case: "the watchlists".to_owned(), reason: other.to_string() },
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let (kind, code) = error.kind_and_code();
        match error {
            Error::Storage(error) => error.into(),
            Error::Peer(fault) => fault,
            Error::Request { field, reason } => Self::invalid(code, field, reason),
            Error::PageToken => Self::invalid(
                code,
                "page_token",
                "is not the next_page_token of this list; start again without one",
            ),
            other => Self::new(kind, code, other.to_string()),
        }
    }
}
