//! The case machine: seven states and which may follow which.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseState {
    /// Accepted; its documents are being checked.
    Pending,
    /// Being investigated.
    Investigating,
    /// Being held against the policies.
    Validating,
    /// Something is done about it, or a person is asked.
    Remediating,
    /// Decided.
    Resolved,
    /// Ended without a decision.
    Failed,
    /// Taken back.
    Cancelled,
}

use CaseState::{Cancelled, Failed, Investigating, Pending, Remediating, Resolved, Validating};

impl CaseState {
    /// All states.
    pub const ALL: [Self; 7] = [Pending, Investigating, Validating, Remediating, Resolved, Failed, Cancelled];

    /// The transition table: the states that may follow this one.
    #[must_use]
    pub const fn next(self) -> &'static [Self] {
        match self {
            Pending => &[Investigating, Failed, Cancelled],
            Investigating => &[Validating, Failed, Cancelled],
            Validating => &[Remediating, Resolved, Failed, Cancelled],
            Remediating => &[Resolved, Failed, Cancelled],
            Resolved | Failed | Cancelled => &[],
        }
    }

    /// Whether `to` may follow this state.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        self.next().contains(&to)
    }

    /// True when nothing follows.
    #[must_use]
    pub const fn is_final(self) -> bool {
        self.next().is_empty()
    }

    /// The way from here to a later working state or to RESOLVED through legal
    /// transitions, `to` last; empty when `to` is here or behind.
    #[must_use]
    pub fn path_to(self, to: Self) -> Vec<Self> {
        let mut path = Vec::new();
        let mut at = self;
        while at < to && !at.is_final() {
            let step = if at.may_become(to) { Some(to) } else { at.next().first().copied() };
            let Some(next) = step else { break };
            path.push(next);
            at = next;
        }
        path
    }

    /// Its name in definitions and stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Pending => "pending",
            Investigating => "investigating",
            Validating => "validating",
            Remediating => "remediating",
            Resolved => "resolved",
            Failed => "failed",
            Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for CaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CaseState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("{text:?} is no state; one of {}", join(&Self::ALL)))
    }
}

/// The states in words, for messages.
#[must_use]
pub fn join(states: &[CaseState]) -> String {
    states.iter().map(|s| s.as_str().to_uppercase()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_documented_one() {
        let check = |from: CaseState, legal: &[CaseState]| {
            for to in CaseState::ALL {
                assert_eq!(from.may_become(to), legal.contains(&to), "{from} -> {to}");
            }
        };
        check(Pending, &[Investigating, Failed, Cancelled]);
        check(Investigating, &[Validating, Failed, Cancelled]);
        check(Validating, &[Remediating, Resolved, Failed, Cancelled]);
        check(Remediating, &[Resolved, Failed, Cancelled]);
        for last in [Resolved, Failed, Cancelled] {
            check(last, &[]);
            assert!(last.is_final());
        }
    }

    #[test]
    fn paths_are_legal_and_arrive() {
        let check = |from: CaseState, to: CaseState, expect: &[CaseState]| {
            let path = from.path_to(to);
            assert_eq!(path, expect);
            path.iter().fold(from, |at, next| {
                assert!(at.may_become(*next));
                *next
            });
        };
        check(Pending, Investigating, &[Investigating]);
        check(Pending, Resolved, &[Investigating, Validating, Resolved]);
        check(Pending, Remediating, &[Investigating, Validating, Remediating]);
        check(Remediating, Resolved, &[Resolved]);
        check(Validating, Investigating, &[]);
        check(Resolved, Resolved, &[]);
    }
}
