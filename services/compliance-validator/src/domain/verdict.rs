//! What one policy said about one case.

use super::PolicyError;
use std::fmt;
use std::time::Duration;

/// What is decided. Later is stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Nothing stands against it.
    Allow,
    /// A person must look.
    Review,
    /// It breaks a rule.
    Deny,
}

impl Decision {
    /// Its name in logs, metrics and the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Review => "review",
            Self::Deny => "deny",
        }
    }
}

/// What a policy may ask to be done. Later comes first in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Tell the people concerned.
    Notify,
    /// Hold the payments of the case.
    HoldPayment,
    /// Bring it before somebody higher up.
    Escalate,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 3] = [Self::Notify, Self::HoldPayment, Self::Escalate];

    /// Its name in policies and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::HoldPayment => "hold_payment",
            Self::Escalate => "escalate",
        }
    }

    /// The action of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// A rule of a policy that spoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it asks for; [`Decision::Allow`] for a note.
    pub decision: Decision,
    /// Identifier of the rule inside the policy.
    pub rule: String,
    /// A sentence for a person.
    pub message: String,
}

/// What a policy said, and what it did wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The rules that spoke.
    pub entries: Vec<Entry>,
    /// It asks for two people.
    pub four_eyes: bool,
    /// The actions it asks for, as it wrote them.
    pub actions: Vec<String>,
    /// What went wrong: each makes the decision REVIEW at least.
    pub troubles: Vec<Trouble>,
}

impl Verdict {
    /// The verdict of a policy that could not speak.
    #[must_use]
    pub fn of(trouble: Trouble) -> Self {
        Self { troubles: vec![trouble], ..Self::default() }
    }
}

/// Why a policy could not be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It took longer than it may and was stopped.
    Timeout {
        /// What it may take.
        limit: Duration,
    },
    /// It could not be stopped; its thread was given up.
    Overrun {
        /// How long was waited.
        waited: Duration,
    },
    /// It made the interpreter panic.
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// It failed, such as by a builtin function that refused its arguments.
    Failed(PolicyError),
    /// It does not compile; it did when it was published.
    Broken(PolicyError),
    /// It answered something that cannot be read.
    Shape(String),
    /// It is not run, because it ran out of time too often.
    Quarantined,
    /// The time for all policies was used up before its turn.
    NoTimeLeft {
        /// The time for all.
        limit: Duration,
    },
}

impl Trouble {
    /// The same; a time-out names the limit on the whole policy.
    #[must_use]
    pub(super) fn with_limit(self, limit: Duration) -> Self {
        if matches!(self, Self::Timeout { .. }) { Self::Timeout { limit } } else { self }
    }

    /// The rule identifier its reason carries, and its label in metrics.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "policy-timeout",
            Self::Overrun { .. } => "policy-overrun",
            Self::Panicked { .. } => "policy-panicked",
            Self::Failed(_) => "policy-failed",
            Self::Broken(_) => "policy-broken",
            Self::Shape(_) => "policy-answer",
            Self::Quarantined => "policy-quarantined",
            Self::NoTimeLeft { .. } => "policy-skipped",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { limit } => write!(f, "took longer than {} ms and was stopped", limit.as_millis()),
            Self::Overrun { waited } => {
                write!(f, "did not stop within {} ms and was given up", waited.as_millis())
            }
            Self::Panicked { message } => write!(f, "made the interpreter panic ({message})"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Broken(error) => write!(f, "does not compile: {error}"),
            Self::Shape(what) => write!(f, "gave an answer that cannot be read: {what}"),
            Self::Quarantined => f.write_str("ran out of time too often and is not run for a while"),
            Self::NoTimeLeft { limit } => {
                write!(f, "was not evaluated: the {} ms for all policies were used up", limit.as_millis())
            }
        }
    }
}
