//! The one way an operation of the platform fails.
//!
//! A [`Fault`] carries a kind (which alone decides the gRPC and the HTTP
//! status), a stable code with a page in `docs/errors/`, a sentence for the
//! caller, and what the caller can do: the fields to mend or the time to wait.
//! What only an operator may read stays in `source` and goes to the log.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Why an operation failed, from the caller's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The request cannot be understood or breaks a limit.
    Invalid,
    /// The caller did not say who it is, or not credibly.
    Unauthenticated,
    /// The caller is known and may not do this.
    Denied,
    /// It does not exist, or not for this tenant.
    NotFound,
    /// It exists already.
    Exists,
    /// The caller worked on an outdated version.
    Stale,
    /// It is in a state in which this cannot be done.
    WrongState,
    /// The idempotency key was used before with another body.
    KeyReused,
    /// A limit of rate or capacity was reached.
    Overloaded,
    /// The time allowed for it is over.
    Timeout,
    /// Something it needs does not answer; trying again later may help.
    Unavailable,
    /// Stored data is damaged.
    Corrupt,
    /// A mistake of ours.
    Internal,
}

impl FaultKind {
    /// All kinds, for tables and tests.
    pub const ALL: [Self; 13] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Denied,
        Self::NotFound,
        Self::Exists,
        Self::Stale,
        Self::WrongState,
        Self::KeyReused,
        Self::Overloaded,
        Self::Timeout,
        Self::Unavailable,
        Self::Corrupt,
        Self::Internal,
    ];

    /// True when the same call may succeed later without any change.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Overloaded | Self::Timeout | Self::Unavailable)
    }

    /// True when the text must not reach the caller.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::Internal | Self::Corrupt)
    }
}

/// A field of the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `documents[2]`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub description: String,
}

/// A failure as the caller will see it. See the module documentation.
#[derive(Debug)]
pub struct Fault {
    /// Decides the status.
    pub kind: FaultKind,
    /// Stable code such as `ORC-0003`.
    pub code: &'static str,
    /// A sentence for the caller: what happened and what to do.
    pub message: String,
    /// The fields to mend.
    pub violations: Vec<Violation>,
    /// How long to wait before trying again.
    pub retry_after: Option<Duration>,
    /// The chain of causes, for the log only.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Fault {
    /// A fault with a kind, a code and a sentence.
    pub fn new(kind: FaultKind, code: &'static str, message: impl Into<String>) -> Self {
        let retry_after =
            matches!(kind, FaultKind::Overloaded | FaultKind::Unavailable).then_some(Duration::from_secs(1));
        Self { kind, code, message: message.into(), violations: Vec::new(), retry_after, source: None }
    }

    /// An [`FaultKind::Invalid`] fault about one field.
    pub fn invalid(code: &'static str, field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        let mut fault = Self::new(FaultKind::Invalid, code, format!("{field}: {description}"));
        fault.violations.push(Violation { field, description });
        fault
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Tells the caller how long to wait.
    #[must_use]
    pub const fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}
