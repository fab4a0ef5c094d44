//! A policy: a named, versioned Rego module for some kinds of cases.

use super::CaseKind;
use probity_types::Micros;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name of a policy.
pub const MAX_NAME_LEN: usize = 63;

/// Name of a policy: lower-case letters, digits and hyphens, first a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName(String);

impl PolicyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PolicyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=MAX_NAME_LEN).contains(&text.len())
            && text.bytes().all(plain)
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-');
        if fits { Ok(Self(text.to_owned())) } else { Err(name_rule()) }
    }
}

fn name_rule() -> String {
    format!(
        "must be 1 to {MAX_NAME_LEN} lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen"
    )
}

/// One version of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// Counted from 1.
    pub version: i64,
    /// The Rego module.
    pub source: Arc<str>,
    /// SHA-256 of the source.
    pub sha256: [u8; 32],
    /// The kinds of case it applies to; all when empty.
    pub kinds: Vec<CaseKind>,
    /// Who published it.
    pub published_by: String,
    /// When; absent for those that come with the program.
    pub publish_time: Option<Micros>,
}

impl Policy {
    /// True when it applies to cases of this kind.
    #[must_use]
    pub fn applies_to(&self, kind: CaseKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// The kinds it applies to, spelt out.
    #[must_use]
    pub fn all_kinds(&self) -> &[CaseKind] {
        if self.kinds.is_empty() { &CaseKind::ALL } else { &self.kinds }
    }

    /// `name@version`, as reasons name it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// SHA-256 of a policy's source.
#[must_use]
pub fn source_sha256(source: &str) -> [u8; 32] {
    Sha256::digest(source.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |text: &str, fits: bool| assert_eq!(text.parse::<PolicyName>().is_ok(), fits, "{text:?}");
        check("procurement", true);
        check("eu-2014-24", true);
        check("a", true);
        check(&"a".repeat(63), true);
        for bad in ["", "-a", "a-", "1a", "A", "a_b", "a b", "ä", "a/b", &"a".repeat(64)] {
            check(bad, false);
        }
    }
}
