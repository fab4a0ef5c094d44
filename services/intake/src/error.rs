//! How intake fails, and the stable code of each way. Pages: `docs/errors/`.

use probity_storage as storage;
use probity_types::{Fault, FaultKind};
use std::io;
use std::path::PathBuf;

/// A failure of intake.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not exist, or not for this tenant.
    #[error("there is no document {name}")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// A field of the request is wrong.
    #[error("{field}: {reason}")]
    Field {
        /// Its path.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The document is over the limit.
    #[error("the document is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The bytes are not those that were announced.
    #[error("the bytes have the SHA-256 {got}, not {wanted} as announced; nothing of them was stored")]
    Digest {
        /// What was announced.
        wanted: String,
        /// What they have.
        got: String,
    },
    /// The upload has no first message, or broke off.
    #[error("the upload {reason}; nothing of it was stored")]
    Upload {
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes of a stored document are not what they should be.
    #[error("the object of {name} {reason}")]
    Damaged {
        /// Which document.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The folder of objects cannot be used.
    #[error("the object store cannot {action} {path}", path = path.display())]
    Objects {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Storage(#[from] storage::Error),
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
            Error::NotFound { .. } => Self::new(FaultKind::NotFound, "INT-0001", text),
            Error::Field { field, reason } => Self::invalid("INT-0002", field, reason),
            Error::TooLarge { .. } => Self::invalid("INT-0003", "data", text),
            Error::Upload { .. } => Self::invalid("INT-0004", "data", text),
            Error::Digest { .. } => Self::invalid("INT-0007", "sha256", text),
            Error::Damaged { .. } => Self::new(FaultKind::Corrupt, "INT-0005", text),
            Error::Objects { .. } => {
                let text = "the store of documents does not answer; try again";
                Self::new(FaultKind::Unavailable, "INT-0006", text).with_source(error)
            }
            Error::Storage(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_never_reads_a_path() {
        let error = Error::Objects {
            action: "write",
            path: "/srv/secret".into(),
            source: io::ErrorKind::StorageFull.into(),
        };
        let fault = Fault::from(error);
        assert!(!fault.message.contains("secret") && fault.kind.is_transient() && fault.source.is_some());
    }
}
