//! The table of rules: what each is about, how serious, with which threshold,
//! and where it comes from.

use super::{Kind, Settings, Severity};
use rust_decimal::Decimal;

/// A rule as it is listed.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Identifier.
    pub id: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Which kind of case it reads.
    pub kind: Kind,
    /// How serious its findings usually are.
    pub severity: Severity,
    /// Where it comes from.
    pub source: &'static str,
    /// The threshold in force, in words.
    pub threshold: fn(&Settings) -> String,
}

/// The Open Contracting Partnership's catalogue.
const OCP: &str = "Open Contracting Partnership, red flags in public procurement";
/// Audit practice, described in the README.
const AUDIT: &str = "Audit practice: tests of payments";
/// Report reading.
const WORDS: &str = "Probity word lists";

/// All rules by identifier.
pub const RULES: &[Rule] = &[
    payment("PAY-BELOW-LIMIT", "Unusually many payments just below a limit", Severity::Medium, |s| {
        let percent = percent(s.payment.just_below_share);
        format!(
            "{} or more payments within {percent}% below the limit, more than chance gives; limit {}",
            s.payment.just_below_min,
            limits(s)
        )
    }),
    payment("PAY-DUP-INVOICE", "An invoice paid more than once", Severity::High, |s| {
        format!(
            "same supplier and invoice number, or the same amount within {} days and an almost equal invoice number",
            s.payment.duplicate_window_days
        )
    }),
    payment("PAY-ROUND", "Unusually many large round amounts", Severity::Low, |s| {
        format!("5 or more multiples of 1,000 from {}, more than chance gives", s.payment.round_min)
    }),
    payment("PAY-SANCTIONED", "A payee has the name of somebody on a watchlist", Severity::Critical, |_| {
        "an entry of the same name after normalisation".to_owned()
    }),
    payment("PAY-SPLIT", "Payments that look like one payment split", Severity::Medium, |s| {
        format!(
            "parts of at least {}% of the limit, each below it and together above, to one supplier within {} days; limit {}",
            percent(s.payment.split_min_share),
            s.payment.split_window_days,
            limits(s)
        )
    }),
    tender("R003", "The submission period is too short", Severity::Medium, |s| {
        let days = s.tender.submission_days.iter().map(|(method, days)| format!("{method} {days} days"));
        format!("less than: {}", days.collect::<Vec<_>>().join(", "))
    }),
    tender("R018", "Single bid received", Severity::Medium, |s| {
        format!("1 bidder in a competitive procedure ({})", s.tender.competitive_methods.join(", "))
    }),
    tender("R028", "Identical bid prices", Severity::High, |_| {
        "2 or more bidders with the same price for the same lots".to_owned()
    }),
    tender("R030", "Late bid won", Severity::High, |_| {
        "received after the end of the submission period".to_owned()
    }),
    tender("R032", "Bidders share the same beneficial owner", Severity::High, |_| {
        "2 or more bidders with an owner of the same name".to_owned()
    }),
    tender("R035", "All except the winning bid disqualified", Severity::High, |_| {
        "1 or more other bidders, all disqualified".to_owned()
    }),
    tender("R036", "Lowest bid disqualified", Severity::Medium, |_| {
        "a disqualified bid below all others where price alone decides".to_owned()
    }),
    tender("R043", "A bidder has the same contact as the buyer", Severity::High, |_| {
        "same telephone number or mail address".to_owned()
    }),
    tender("R044", "Bidders have the same contact", Severity::Medium, |_| {
        "same telephone number or mail address".to_owned()
    }),
    tender("R046", "A bidder has the name of somebody on a watchlist", Severity::Critical, |_| {
        "an entry of the same name after normalisation".to_owned()
    }),
    tender("R058", "Heavily discounted bid", Severity::Low, |s| {
        format!("next valid bid {}% or more above the winning bid", percent(s.tender.discount_share))
    }),
    tender("R059", "Contract well above its award", Severity::Medium, |s| {
        format!("{}% or more above the award", percent(s.tender.contract_difference_share))
    }),
    tender("R068", "More paid than the contract's amount", Severity::Medium, |_| {
        "transactions above the contract's value".to_owned()
    }),
    report("RPT-BID-RIGGING", "Bid rigging or collusion is mentioned", Severity::Medium),
    report("RPT-BRIBERY", "Bribery is mentioned", Severity::Medium),
    report("RPT-CONFLICT", "A conflict of interest is mentioned", Severity::Low),
    report("RPT-CONCEALMENT", "Concealment is mentioned", Severity::Low),
    report("RPT-EMBEZZLEMENT", "Embezzlement is mentioned", Severity::Medium),
    report("RPT-EXTORTION", "Extortion or threats are mentioned", Severity::Medium),
    report("RPT-FALSE-RECORDS", "False invoices or records are mentioned", Severity::Medium),
    report("RPT-KICKBACK", "Kickbacks are mentioned", Severity::Medium),
    report("RPT-LAUNDERING", "Money laundering is mentioned", Severity::Medium),
    report("RPT-NEPOTISM", "Nepotism is mentioned", Severity::Low),
    report("RPT-RETALIATION", "Retaliation is mentioned", Severity::Medium),
    Rule {
        id: "RPT-SANCTIONED",
        title: "A name of a watchlist is mentioned",
        kind: Kind::Report,
        severity: Severity::High,
        source: WORDS,
        threshold: |_| "an entry of the same name after normalisation, two words or more".to_owned(),
    },
];

const fn tender(
    id: &'static str,
    title: &'static str,
    severity: Severity,
    threshold: fn(&Settings) -> String,
) -> Rule {
    Rule { id, title, kind: Kind::Tender, severity, source: OCP, threshold }
}

const fn payment(
    id: &'static str,
    title: &'static str,
    severity: Severity,
    threshold: fn(&Settings) -> String,
) -> Rule {
    Rule { id, title, kind: Kind::Payment, severity, source: AUDIT, threshold }
}

const fn report(id: &'static str, title: &'static str, severity: Severity) -> Rule {
    let threshold =
        |_: &Settings| "1 mention that is not denied; a single one in a message is low".to_owned();
    Rule { id, title, kind: Kind::Report, severity, source: WORDS, threshold }
}

fn percent(share: Decimal) -> Decimal {
    (share * Decimal::ONE_HUNDRED).normalize()
}

fn limits(settings: &Settings) -> String {
    let own = settings.payment.approval_limits.iter().map(|(code, limit)| format!(", {limit} {code}"));
    format!(
        "{} in any currency{}, or the row's own",
        settings.payment.approval_limit,
        own.collect::<String>()
    )
}

/// The rule with that identifier.
#[must_use]
pub fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// How serious findings of a rule usually are.
#[must_use]
pub fn severity(id: &str) -> Severity {
    find(id).map_or(Severity::Low, |rule| rule.severity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_unique_and_sorted_and_thresholds_speak() {
        let ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(ids.len(), sorted.len());
        for rule in RULES {
            assert!(
                !(rule.threshold)(&Settings::default()).is_empty() && !rule.title.is_empty(),
                "{}",
                rule.id
            );
            assert!(find(rule.id).is_some_and(|found| found.title == rule.title));
        }
        assert!(find("R999").is_none());
    }

    #[test]
    fn the_readme_explains_every_rule() {
        let readme = include_str!("../../README.md");
        for rule in RULES {
            assert!(readme.contains(&format!("| {} |", rule.id)), "{} is missing in README.md", rule.id);
        }
    }
}
