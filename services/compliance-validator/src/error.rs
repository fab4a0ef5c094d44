//! How this service fails. Each code has a page in `docs/errors/`.

use crate::domain::PolicyError;
use probity_types::{Fault, FaultKind};
use std::sync::Arc;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request is wrong.
    #[error("{field}: {reason}")]
    Field {
        /// Path of the field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A policy text is refused.
    #[error("the policy is refused: {0}")]
    Policy(#[source] PolicyError),
    /// There is no such policy, or no such version.
    #[error("there is no policy {label}")]
    NoPolicy {
        /// `name` or `name@version`.
        label: String,
    },
    /// The tenant has as many policies as it may.
    #[error(
        "that would be more than the {limit} allowed; replace a policy or ask an operator of the platform"
    )]
    TooManyPolicies {
        /// How many, or how large, are allowed.
        limit: String,
    },
    /// Two people published the same policy at the same time.
    #[error(
        "{name} was published by somebody else at the same time; look at that version, then publish again"
    )]
    PublishedMeanwhile {
        /// The policy.
        name: String,
    },
    /// Policies wait for a thread.
    #[error("too many policies are being evaluated; try again")]
    Busy,
    /// A stored record cannot be read.
    #[error("a stored {what} cannot be read: {reason}")]
    Damaged {
        /// What it is.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A mistake of ours.
    #[error("{0}")]
    Internal(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] probity_storage::Error),
}

impl Error {
    /// A wrong field.
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field { field: field.into(), reason: reason.into() }
    }
}

/// What several who waited for the same read were told.
impl From<Arc<Error>> for Error {
    fn from(shared: Arc<Error>) -> Self {
        match &*shared {
            Self::Store(error) => Self::Store(error.clone()),
            Self::Damaged { what, reason } => Self::Damaged { what, reason: reason.clone() },
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Field { field, reason } => Self::invalid("CMP-0001", field, reason),
            Error::Policy(why) => Self::invalid("CMP-0002", "source", why.to_string()),
            Error::NoPolicy { .. } => Self::new(FaultKind::NotFound, "CMP-0003", text),
            Error::TooManyPolicies { .. } => Self::new(FaultKind::WrongState, "CMP-0004", text),
            Error::PublishedMeanwhile { .. } => Self::new(FaultKind::Stale, "CMP-0005", text),
            Error::Busy => Self::new(FaultKind::Overloaded, "CMP-0006", text),
            Error::Damaged { .. } => Self::new(FaultKind::Corrupt, "CMP-0007", text),
            Error::Internal(_) => Self::new(FaultKind::Internal, "CMP-0008", text),
            Error::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_kind_and_code() {
        let check = |error: Error, kind: FaultKind, code: &str| {
            let fault = Fault::from(error);
            assert_eq!((fault.kind, fault.code), (kind, code));
            assert!(!fault.message.is_empty());
        };
        check(Error::field("kind", "is missing"), FaultKind::Invalid, "CMP-0001");
        check(Error::Policy(PolicyError::at(3, 5, "no")), FaultKind::Invalid, "CMP-0002");
        check(Error::NoPolicy { label: "a@2".into() }, FaultKind::NotFound, "CMP-0003");
        check(Error::TooManyPolicies { limit: "64 policies".into() }, FaultKind::WrongState, "CMP-0004");
        check(Error::PublishedMeanwhile { name: "a".into() }, FaultKind::Stale, "CMP-0005");
        check(Error::Busy, FaultKind::Overloaded, "CMP-0006");
        check(Error::Damaged { what: "policy", reason: "x".into() }, FaultKind::Corrupt, "CMP-0007");
        check(Error::Internal("x".into()), FaultKind::Internal, "CMP-0008");
        check(Error::Store(probity_storage::Error::NulInText), FaultKind::Invalid, "STO-0015");
    }

    #[test]
    fn a_refused_policy_says_where() {
        let fault = Fault::from(Error::Policy(PolicyError::at(3, 5, "no such thing")));
        assert_eq!(fault.violations[0].field, "source");
        assert_eq!(fault.violations[0].description, "line 3, column 5: no such thing");
    }
}
