//! How people decide, and how cases and executions end.

use crate::case::CaseState;
use serde::{Deserialize, Serialize};

/// What a person decided about a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Disposition {
    /// There was something to it.
    Confirmed,
    /// There was nothing to it.
    FalsePositive,
    /// It cannot be told.
    Inconclusive,
}

impl Disposition {
    /// Its name in outputs and stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "CONFIRMED",
            Self::FalsePositive => "FALSE_POSITIVE",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing was found.
    Clear,
    /// A person confirmed the suspicion.
    Confirmed,
    /// A person found it unfounded.
    Unfounded,
    /// A person could not tell.
    Inconclusive,
    /// It was spam.
    Spam,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 5] =
        [Self::Clear, Self::Confirmed, Self::Unfounded, Self::Inconclusive, Self::Spam];

    /// Its name in definitions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Confirmed => "confirmed",
            Self::Unfounded => "unfounded",
            Self::Inconclusive => "inconclusive",
            Self::Spam => "spam",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == name)
    }
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// As defined.
    Completed,
    /// As failed, by its definition or a person.
    Failed,
    /// Taken back by a person.
    Cancelled,
}

impl Ending {
    /// Its name in stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state the case ends in.
    #[must_use]
    pub const fn state(self) -> CaseState {
        match self {
            Self::Completed => CaseState::Resolved,
            Self::Failed => CaseState::Failed,
            Self::Cancelled => CaseState::Cancelled,
        }
    }
}
