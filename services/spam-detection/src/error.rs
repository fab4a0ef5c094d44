//! How spam detection fails, and the stable code of each way. Pages:
//! `docs/errors/`.

use probity_types::{Fault, FaultKind};

/// A failure of spam detection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request is wrong.
    #[error("{field}: {reason}")]
    Field {
        /// Its path.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The bytes of a document do not have the hash they are named by.
    #[error("the bytes of {name} are not those it is named by")]
    Damaged {
        /// Which document.
        name: String,
    },
    /// The work on a message broke off.
    #[error("the classification broke off")]
    Broken {
        /// How.
        #[from]
        source: tokio::task::JoinError,
    },
    /// Intake refused or did not answer.
    #[error("{0}")]
    Peer(Fault),
}

impl Error {
    pub(crate) fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field { field: field.into(), reason: reason.into() }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Field { field, reason } => Self::invalid("SPM-0001", field, reason),
            Error::Damaged { .. } => Self::new(FaultKind::Corrupt, "SPM-0002", text),
            Error::Broken { source } => Self::new(FaultKind::Internal, "SPM-0003", text).with_source(source),
            Error::Peer(fault) => fault,
        }
    }
}
