//! The case a policy is asked about, and the document it reads as `input`.

pub use probity_types::CaseKind;

use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
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
    /// All severities, in order.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// 1 to 4, so that a policy can compare.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Low => 1,
            Self::Medium => 2,
            Self::High => 3,
            Self::Critical => 4,
        }
    }
}

/// A finding in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Identifier of the rule.
    pub rule: String,
    /// How serious it is.
    pub severity: Severity,
    /// A sentence for a person.
    pub explanation: String,
    /// The measured value, as text.
    pub value: String,
    /// The threshold, as text.
    pub threshold: String,
}

/// What the spam triage said.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Spam {
    /// Probability, 0 to 1.
    pub probability: f64,
    /// `ham`, `unsure`, `spam`, or empty when it was not asked.
    pub band: String,
}

/// A case as policies see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// `cases/<id>`.
    pub name: String,
    /// What it is about.
    pub kind: CaseKind,
    /// The findings, most serious first.
    pub findings: Vec<Finding>,
    /// How many findings there are in all.
    pub finding_count: u64,
    /// Facts read from the documents.
    pub facts: BTreeMap<String, String>,
    /// What the spam triage said.
    pub spam: Spam,
}

impl Case {
    /// A case of a kind about which nothing is known.
    #[must_use]
    pub fn empty(kind: CaseKind) -> Self {
        Self {
            name: "cases/none".to_owned(),
            kind,
            findings: Vec::new(),
            finding_count: 0,
            facts: BTreeMap::new(),
            spam: Spam::default(),
        }
    }

    /// The JSON text policies read as `input`. The same case has the same text.
    #[must_use]
    pub fn document(&self) -> String {
        let document = Document {
            case: Head { name: &self.name, kind: self.kind },
            findings: self.findings.iter().map(Item::from).collect(),
            finding_count: self.finding_count,
            facts: &self.facts,
            spam: &self.spam,
        };
        // Strings, integers and a finite probability always have a JSON text.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// SHA-256 of the document: what exactly was decided about.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.document().as_bytes()).into()
    }
}

/// The fields of `input` and what is directly below those that have fixed fields:
/// the check of a policy refuses every other name as a slip of the pen.
pub const INPUT_FIELDS: &[(&str, &[&str])] = &[
    ("case", &["kind", "name"]),
    ("facts", &[]),
    ("finding_count", &[]),
    ("findings", &[]),
    ("spam", &["band", "probability"]),
];

#[derive(Serialize)]
struct Document<'a> {
    case: Head<'a>,
    findings: Vec<Item<'a>>,
    finding_count: u64,
    facts: &'a BTreeMap<String, String>,
    spam: &'a Spam,
}

#[derive(Serialize)]
struct Head<'a> {
    name: &'a str,
    kind: CaseKind,
}

#[derive(Serialize)]
struct Item<'a> {
    rule: &'a str,
    severity: Severity,
    severity_rank: u8,
    explanation: &'a str,
    value: &'a str,
    threshold: &'a str,
}

impl<'a> From<&'a Finding> for Item<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            rule: &finding.rule,
            severity: finding.severity,
            severity_rank: finding.severity.rank(),
            explanation: &finding.explanation,
            value: &finding.value,
            threshold: &finding.threshold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_what_the_readme_promises() {
        let mut case = Case::empty(CaseKind::Payment);
        case.facts.insert("total_amount".into(), "10.50".into());
        case.findings.push(Finding {
            rule: "PAY-SPLIT".into(),
            severity: Severity::High,
            explanation: "why".into(),
            value: "3".into(),
            threshold: "2".into(),
        });
        case.finding_count = 1;
        let expect = concat!(
            r#"{"case":{"name":"cases/none","kind":"payment"},"findings":[{"rule":"PAY-SPLIT","severity":"high","#,
            r#""severity_rank":3,"explanation":"why","value":"3","threshold":"2"}],"finding_count":1,"#,
            r#""facts":{"total_amount":"10.50"},"spam":{"probability":0.0,"band":""}}"#
        );
        assert_eq!(case.document(), expect);
        let top: serde_json::Map<String, serde_json::Value> = serde_json::from_str(expect).unwrap();
        let names: Vec<_> = top.keys().map(String::as_str).collect();
        let mut known: Vec<_> = INPUT_FIELDS.iter().map(|(name, _)| *name).collect();
        known.sort_by_key(|name| names.iter().position(|n| n == name));
        assert_eq!(known, names);
    }

    #[test]
    fn a_difference_anywhere_changes_the_hash() {
        let base = Case::empty(CaseKind::Tender);
        let mut other = base.clone();
        assert_eq!(base.sha256(), other.sha256());
        other.spam.probability = 0.5;
        assert_ne!(base.sha256(), other.sha256());
        assert_ne!(base.sha256(), Case::empty(CaseKind::Report).sha256());
    }
}
