//! What an investigation yields: findings with evidence, refused items, facts.
//!
//! Both lists are bounded here, once for all kinds of cases: the most serious
//! findings are kept and all are counted.

use super::settings::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most places quoted for one finding.
pub const MAX_EVIDENCE: usize = 20;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth noting.
    Low,
    /// Worth a look by a person.
    Medium,
    /// Needs a person.
    High,
    /// Needs a person now.
    Critical,
}

impl Severity {
    /// All severities, mildest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its number in contracts and stores: 1 to 4.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Low => 1,
            Self::Medium => 2,
            Self::High => 3,
            Self::Critical => 4,
        }
    }

    /// Its name in sentences, metrics and audit entries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A place in a document that shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// `documents/<sha256>`.
    pub document: Arc<str>,
    /// JSON pointer, `line 3 /tender/value` in JSON Lines, `row 17` in CSV, or
    /// `line 4` in a text.
    pub locator: String,
    /// What stands there, at most 300 characters.
    pub text: String,
}

/// A red flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Identifier of the rule in [`super::RULES`].
    pub rule: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// What was measured.
    pub value: String,
    /// What it was measured against.
    pub threshold: String,
    /// Among whom it stands out.
    pub peer_group: String,
    /// Where it can be seen; at most [`MAX_EVIDENCE`] places.
    pub evidence: Vec<Evidence>,
    /// Sentences for a person: what, why it matters, what to look at next.
    pub explanation: String,
}

/// An item of a document that was refused, or a field that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// `documents/<sha256>`.
    pub document: Arc<str>,
    /// Line counted from 1; 0 for the whole document.
    pub line: u64,
    /// Field or JSON pointer; may be empty.
    pub field: String,
    /// What is wrong and what to do about it.
    pub reason: String,
}

/// Everything an investigation found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The findings that are kept, most serious first.
    pub findings: Vec<Finding>,
    /// How many there were in all.
    pub finding_count: u64,
    /// Items read and evaluated.
    pub items_read: u64,
    /// Items refused as a whole.
    pub items_refused: u64,
    /// The refusals that are kept, and the fields that were set aside.
    pub rejections: Vec<Rejection>,
    /// Facts for policies.
    pub facts: BTreeMap<String, String>,
}

impl Outcome {
    /// The severity of the most serious finding.
    #[must_use]
    pub fn max_severity(&self) -> Option<Severity> {
        self.findings.first().map(|finding| finding.severity)
    }

    /// Puts an outcome together.
    #[must_use]
    pub fn new(
        findings: Findings,
        refusals: Refusals,
        items_read: u64,
        facts: BTreeMap<String, String>,
    ) -> Self {
        Self {
            finding_count: findings.count(),
            findings: findings.into_vec(),
            items_read,
            items_refused: refusals.items,
            rejections: refusals.kept,
            facts,
        }
    }
}

/// Collects findings in bounded memory: of each severity no more than can be
/// kept in all.
#[derive(Debug)]
pub struct Findings {
    keep: usize,
    count: u64,
    buckets: [Vec<Finding>; 4],
}

impl Findings {
    /// An empty collection that keeps as many as the settings allow.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { keep: settings.max_findings, count: 0, buckets: Default::default() }
    }

    /// Adds one; it is counted even when there is no room to keep it.
    pub fn add(&mut self, mut finding: Finding) {
        self.count += 1;
        finding.evidence.truncate(MAX_EVIDENCE);
        let bucket = &mut self.buckets[finding.severity as usize];
        if bucket.len() < self.keep {
            bucket.push(finding);
        }
    }

    /// How many were added.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The kept ones, most serious first; among equals in the order they came.
    #[must_use]
    pub fn into_vec(self) -> Vec<Finding> {
        self.buckets.into_iter().rev().flatten().take(self.keep).collect()
    }
}

/// Collects refusals in bounded memory.
#[derive(Debug)]
pub struct Refusals {
    keep: usize,
    items: u64,
    kept: Vec<Rejection>,
}

impl Refusals {
    /// An empty collection that keeps as many as the settings allow.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { keep: settings.max_rejections, items: 0, kept: Vec::new() }
    }

    /// An item refused as a whole.
    pub fn item(&mut self, rejection: Rejection) {
        self.items += 1;
        self.note(rejection);
    }

    /// Items refused for a reason that is already noted.
    pub fn more_items(&mut self, count: u64) {
        self.items += count;
    }

    /// A field set aside; its item is still evaluated.
    pub fn note(&mut self, rejection: Rejection) {
        if self.kept.len() < self.keep {
            self.kept.push(rejection);
        }
    }

    /// How many items were refused.
    #[must_use]
    pub const fn items(&self) -> u64 {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, value: &str) -> Finding {
        Finding {
            rule: "R018",
            severity,
            value: value.to_owned(),
            threshold: String::new(),
            peer_group: String::new(),
            evidence: Vec::new(),
            explanation: String::new(),
        }
    }

    #[test]
    fn the_most_serious_are_kept_and_all_are_counted() {
        let settings = Settings { max_findings: 3, ..Settings::default() };
        let mut findings = Findings::new(&settings);
        for (severity, value) in [
            (Severity::Low, "a"),
            (Severity::Low, "b"),
            (Severity::Low, "c"),
            (Severity::Low, "d"),
            (Severity::Critical, "e"),
            (Severity::Medium, "f"),
        ] {
            findings.add(finding(severity, value));
        }
        assert_eq!(findings.count(), 6);
        let kept: Vec<_> = findings.into_vec().into_iter().map(|f| f.value).collect();
        assert_eq!(kept, ["e", "f", "a"]);
    }

    #[test]
    fn notes_are_kept_but_are_no_refused_items() {
        let settings = Settings { max_rejections: 2, ..Settings::default() };
        let mut refusals = Refusals::new(&settings);
        let rejection = Rejection {
            document: "documents/x".into(),
            line: 1,
            field: String::new(),
            reason: "r".to_owned(),
        };
        refusals.note(rejection.clone());
        refusals.item(rejection.clone());
        refusals.item(rejection);
        refusals.more_items(5);
        assert_eq!((refusals.items(), refusals.kept.len()), (7, 2));
    }
}
