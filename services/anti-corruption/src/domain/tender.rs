//! Red flags of procurement procedures.
//!
//! A rule reads one [`Procedure`] and says nothing when a field it needs is
//! missing: absence of data is not a sign. Deliberately absent: rules that need
//! many procedures of a buyer or a market to mean anything.

mod bids;
mod contacts;
mod facts;
mod period;
mod prices;
mod screening;
mod single_bid;
mod values;
mod winner;

use super::json::Place;
use super::ocds::model::Procedure;
use super::{
    Document, Evidence, Finding, Findings, Index, Outcome, Refusals, Settings, Severity, ocds, rules, text,
};

/// Reads the procedures of a case and applies every rule.
#[must_use]
pub fn investigate(documents: &[Document], index: &Index, settings: &Settings) -> Outcome {
    let mut findings = Findings::new(settings);
    let mut refusals = Refusals::new(settings);
    let mut facts = facts::Facts::default();
    let items_read = ocds::read(documents, settings, &mut refusals, |procedure| {
        facts.add(procedure);
        let case = Case { procedure, documents, index, settings };
        for finding in RULES.iter().flat_map(|rule| rule(&case)) {
            findings.add(finding);
        }
    });
    Outcome::new(findings, refusals, items_read, facts.into_map())
}

/// What a rule has at hand.
struct Case<'c> {
    procedure: &'c Procedure,
    documents: &'c [Document],
    index: &'c Index,
    settings: &'c Settings,
}

type RuleFn = fn(&Case<'_>) -> Vec<Finding>;

const RULES: [RuleFn; 13] = [
    period::short_submission,
    single_bid::single_bid,
    winner::others_disqualified,
    winner::lowest_disqualified,
    winner::late_bid_won,
    prices::identical,
    prices::discounted,
    contacts::shared_owner,
    contacts::shared_with_buyer,
    contacts::shared_between_bidders,
    screening::listed,
    values::contract_above_award,
    values::paid_above_contract,
];

/// The parts of a finding that a rule fills in.
struct Flag {
    rule: &'static str,
    severity: Option<Severity>,
    value: String,
    threshold: String,
    /// More of the peer group than method and currency.
    among: Option<String>,
    evidence: Vec<Evidence>,
    explanation: String,
}

impl Case<'_> {
    /// A place of the procedure as evidence.
    fn evidence(&self, at: &Place, shown: &str) -> Evidence {
        let document = self.documents.get(at.document()).map_or_else(|| "".into(), |d| d.name.clone());
        Evidence { document, locator: text::quote(&at.locator()), text: text::quote(shown) }
    }

    /// The finding of a flag: adds the peer group, the rule's severity and what
    /// procedure it is about.
    fn finding(&self, flag: Flag) -> Finding {
        let severity = flag.severity.unwrap_or_else(|| rules::severity(flag.rule));
        Finding {
            rule: flag.rule,
            severity,
            value: text::quote(&flag.value),
            threshold: flag.threshold,
            peer_group: text::quote(&self.peer_group(flag.among)),
            evidence: flag.evidence,
            explanation: text::clean(&format!("{}: {}", self.label(), flag.explanation), 1_500),
        }
    }

    fn peer_group(&self, among: Option<String>) -> String {
        let tender = &self.procedure.tender;
        let method = tender.method.as_ref().map(|method| format!("method={}", method.value));
        let currency = tender.value.as_ref().map(|value| format!("currency={}", value.value.currency));
        [currency, method, among].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn label(&self) -> String {
        let procedure = self.procedure;
        let title = procedure.tender.title.as_ref().map(|title| text::clean(&title.value, 120));
        match (title, &procedure.ocid) {
            (Some(title), Some(ocid)) => format!("Procedure {ocid} ({title})"),
            (None, Some(ocid)) => format!("Procedure {ocid}"),
            (Some(title), None) => format!("Procedure {title}"),
            (None, None) => format!("The procedure at {}", procedure.at.locator()),
        }
    }

    fn method(&self) -> Option<&str> {
        self.procedure.tender.method.as_ref().map(|method| method.value.as_str())
    }
}

#[cfg(test)]
mod testing {
    //! One way to try the tender rules: JSON in, `(rule, value)` out.

    use super::*;

    /// Everything about a release, as the service would see it.
    pub(super) fn outcome(release: &str, index: &Index, settings: &Settings) -> Outcome {
        let documents = [Document { name: "documents/d".into(), bytes: release.as_bytes().to_vec().into() }];
        crate::domain::investigate(crate::domain::Kind::Tender, &documents, index, settings)
    }

    /// The values of one rule's findings in a release.
    pub(super) fn values(rule: &str, release: &str) -> Vec<String> {
        let outcome = outcome(release, &Index::default(), &Settings::default());
        assert_eq!(outcome.items_refused, 0, "{:?}", outcome.rejections);
        for finding in &outcome.findings {
            assert!(rules::find(finding.rule).is_some(), "{} is not in the table", finding.rule);
            assert!(!finding.evidence.is_empty() && !finding.threshold.is_empty(), "{finding:?}");
            assert!(finding.evidence.iter().all(|e| e.locator.starts_with('/')), "{finding:?}");
        }
        outcome.findings.into_iter().filter(|f| f.rule == rule).map(|f| f.value).collect()
    }

    /// Checks the values of one rule's findings.
    pub(super) fn check(rule: &str, release: &str, expect: &[&str]) {
        assert_eq!(values(rule, release), expect, "{rule} {release}");
    }

    /// A bid as JSON.
    pub(super) fn bid(id: &str, status: &str, who: &str, amount: &str, more: &str) -> String {
        format!(
            r#"{{"id":"{id}","status":{status},"tenderers":[{who}],"value":{{"amount":{amount},"currency":"EUR"}}{more}}}"#
        )
    }

    /// A tenderer as JSON.
    pub(super) fn who(id: &str) -> String {
        format!(r#"{{"id":"{id}","name":"Firm {id}"}}"#)
    }

    /// A release as JSON.
    pub(super) fn release(tender: &str, bids: &[String], awards: &str) -> String {
        format!(
            r#"{{"ocid":"o","date":"2024-06-01T00:00:00Z","tender":{{{tender}}},"bids":{{"details":[{}]}},"awards":[{awards}]}}"#,
            bids.join(",")
        )
    }

    /// An open procedure.
    pub(super) const OPEN: &str = r#""procurementMethod":"open""#;
}
