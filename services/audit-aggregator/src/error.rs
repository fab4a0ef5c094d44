//! How the log fails, and the stable code of each way. Pages: `docs/errors/`.

use probity_storage as storage;
use probity_types::{Fault, FaultKind};

/// A failure of the log. Cheap to clone: one failed write is reported to every
/// request that was in it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A field of an entry cannot be logged.
    #[error("{field}: {reason}")]
    Entry {
        /// Path of the field.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// More entries in a request than are taken.
    #[error("entries: {count} are too many; at most {limit} in a request", limit = crate::convert::MAX_ENTRIES)]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A service speaks in the name of another one.
    #[error("entries[{position}].service: {service:?} cannot be said by {caller}")]
    Impostor {
        /// Place in the request.
        position: usize,
        /// The service the entry names.
        service: String,
        /// Who sent it.
        caller: String,
    },
    /// Not in the log, or not for this tenant.
    #[error("{name} is not in the log")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// A name that cannot be one.
    #[error("{field}: {name:?} is no {expected}")]
    Name {
        /// The field.
        field: &'static str,
        /// The name.
        name: String,
        /// What it should look like.
        expected: &'static str,
    },
    /// An index or size that the log does not have.
    #[error("{field}: {reason}")]
    Range {
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A page token of another list, or none of ours.
    #[error("page_token: is not the next_page_token of this list; start again without one")]
    PageToken,
    /// The store does not hold what was signed.
    #[error("the log is damaged: {what}; `probity audit check` names the first bad entry")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// Another process appended to the same log, again and again.
    #[error("other processes append to this log at the same time; try again")]
    Contended,
    /// A check is running already.
    #[error("the log is being checked already; try again when that is done")]
    Busy,
    /// The appender has ended.
    #[error("the log takes no more entries: the service is stopping")]
    Stopped,
    /// The store.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Error {
    /// A damaged log; takes what does not fit by value to stand in `map_err`.
    #[allow(clippy::needless_pass_by_value)]
    pub(crate) fn damaged(what: impl ToString) -> Self {
        Self::Damaged { what: what.to_string() }
    }

    const fn kind_and_code(&self) -> (FaultKind, &'static str) {
        match self {
            Self::Entry { .. } => (FaultKind::Invalid, "AUD-0001"),
            Self::TooMany { .. } => (FaultKind::Invalid, "AUD-0002"),
            Self::Impostor { .. } => (FaultKind::Denied, "AUD-0003"),
            Self::NotFound { .. } => (FaultKind::NotFound, "AUD-0004"),
            Self::Name { .. } => (FaultKind::Invalid, "AUD-0005"),
            Self::Range { .. } => (FaultKind::Invalid, "AUD-0006"),
            Self::PageToken => (FaultKind::Invalid, "AUD-0007"),
            Self::Damaged { .. } => (FaultKind::Corrupt, "AUD-0008"),
            Self::Contended => (FaultKind::Unavailable, "AUD-0009"),
            Self::Busy => (FaultKind::Overloaded, "AUD-0010"),
            Self::Stopped => (FaultKind::Unavailable, "AUD-0011"),
            // Has codes of its own; see the conversion below.
            Self::Storage(_) => (FaultKind::Internal, "STO-0001"),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let (kind, code) = error.kind_and_code();
        match error {
            Error::Storage(error) => error.into(),
            Error::Entry { field, reason } => Self::invalid(code, field, reason),
            Error::Range { field, reason } => Self::invalid(code, field, reason),
            Error::Name { field, name, expected } => {
                Self::invalid(code, field, format!("{name:?} is no {expected}"))
            }
            Error::PageToken => Self::invalid(
                code,
                "page_token",
                "is not the next_page_token of this list; start again without one",
            ),
            other => Self::new(kind, code, other.to_string()),
        }
    }
}
