//! Red flags in files of payments.
//!
//! Rows are read once, in a stream, into compact records ([`table`]); every rule
//! is a sort and a pass over them. Deliberately absent: anything that needs
//! payments from outside the case.

mod amount;
mod below_limit;
mod date;
mod duplicates;
mod header;
mod names;
mod read;
mod round;
mod scan;
mod split;
mod table;

use super::{
    Document, Evidence, Finding, Findings, Index, Outcome, Refusals, Settings, Severity, rules, text,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use table::{Row, Table};

/// Reads the payment files of a case and applies every rule.
#[must_use]
pub fn investigate(documents: &[Document], index: &Index, settings: &Settings) -> Outcome {
    let mut refusals = Refusals::new(settings);
    let table = read::table(documents, settings, &mut refusals);
    let mut case = Case { table: &table, documents, settings, findings: Findings::new(settings) };
    names::sanctioned(&mut case, index);
    duplicates::invoices(&mut case);
    split::split(&mut case);
    below_limit::below_limit(&mut case);
    round::round(&mut case);
    let findings = case.findings;
    Outcome::new(findings, refusals, table.rows.len() as u64, facts(&table))
}

/// True when a text is a date as tables have them.
pub(super) fn is_date(text: &str) -> bool {
    date::parse(text).is_ok()
}

/// What a rule has at hand, and where its findings go.
struct Case<'c> {
    table: &'c Table,
    documents: &'c [Document],
    settings: &'c Settings,
    findings: Findings,
}

/// The parts of a finding that a rule fills in.
struct Flag<'r> {
    rule: &'static str,
    severity: Option<Severity>,
    value: String,
    threshold: String,
    peer_group: String,
    rows: &'r [&'r Row],
    explanation: String,
}

impl Case<'_> {
    /// Adds the finding of a flag.
    fn flag(&mut self, flag: Flag<'_>) {
        let Flag { rule, severity, value, threshold, peer_group, rows, explanation } = flag;
        let evidence = rows.iter().take(super::finding::MAX_EVIDENCE).map(|row| self.evidence(row)).collect();
        self.findings.add(Finding {
            rule,
            severity: severity.unwrap_or_else(|| rules::severity(rule)),
            value: text::quote(&value),
            threshold: text::quote(&threshold),
            peer_group: text::quote(&peer_group),
            evidence,
            explanation: text::clean(&explanation, 1_500),
        });
    }

    /// A row as evidence.
    fn evidence(&self, row: &Row) -> Evidence {
        let document = self.documents.get(row.document as usize);
        let bytes =
            document.and_then(|d| d.bytes.get(row.start as usize..row.end as usize)).unwrap_or_default();
        Evidence {
            document: document.map_or_else(|| "".into(), |document| document.name.clone()),
            locator: format!("row {}", row.line),
            text: text::quote(&scan::shown(bytes)),
        }
    }

    /// The limit a row is measured against.
    fn limit(&self, row: &Row) -> Decimal {
        let table = self.table;
        row.limit.map_or_else(
            || self.settings.payment.limit_of(table.currency(row)),
            |limit| table.limits[limit as usize],
        )
    }

    /// `currency=EUR supplier=ACME`.
    fn peer_group(&self, row: &Row) -> String {
        format!("currency={} supplier={}", self.table.currency(row), self.table.supplier(row))
    }
}

/// An amount with its currency, for sentences.
fn money(amount: Decimal, currency: &str) -> String {
    format!("{} {currency}", amount.normalize()).trim_end().to_owned()
}

/// The lines of rows: `rows 2, 3 and 9`.
fn lines(rows: &[&Row]) -> String {
    let lines: Vec<_> = rows.iter().map(|row| row.line.to_string()).collect();
    format!("{} {}", if rows.len() == 1 { "row" } else { "rows" }, text::list(&lines, 10))
}

/// What policies are told about the payments.
fn facts(table: &Table) -> BTreeMap<String, String> {
    let mut totals: BTreeMap<&str, Option<Decimal>> = BTreeMap::new();
    let mut largest = Decimal::ZERO;
    for row in &table.rows {
        let total = totals.entry(table.currency(row)).or_insert(Some(Decimal::ZERO));
        *total = total.and_then(|total| total.checked_add(row.amount));
        largest = largest.max(row.amount);
    }
    let mut facts = BTreeMap::from([
        ("row_count".to_owned(), table.rows.len().to_string()),
        ("suppliers".to_owned(), table.supplier_count().to_string()),
    ]);
    let mixed = totals.len() > 1;
    for (currency, total) in &totals {
        let name = if mixed { format!("total_amount_{currency}") } else { "total_amount".to_owned() };
        facts.extend(total.map(|total| (name, total.to_string())));
    }
    let only = totals.keys().next().filter(|_| !mixed);
    facts.extend(only.map(|currency| ("currency".to_owned(), (*currency).to_owned())));
    facts
        .extend(mixed.then(|| ("currencies".to_owned(), text::list(&totals.keys().collect::<Vec<_>>(), 20))));
    facts.extend(only.map(|_| ("max_amount".to_owned(), largest.to_string())));
    let days = table.rows.iter().filter_map(|row| row.day);
    let span = days.clone().min().zip(days.max());
    facts.extend(span.map(|(first, last)| ("period_days".to_owned(), (last - first + 1).to_string())));
    facts
}

#[cfg(test)]
mod testing {
    //! One way to try the payment rules: CSV in, findings out.

    use super::*;

    /// Everything about a file, as the service would see it.
    pub(super) fn outcome(csv: &str, index: &Index, settings: &Settings) -> Outcome {
        let documents = [Document { name: "documents/d".into(), bytes: csv.as_bytes().to_vec().into() }];
        investigate(&documents, index, settings)
    }

    /// The findings of one rule, each as its evidence rows.
    pub(super) fn rows(rule: &str, csv: &str) -> Vec<(Severity, Vec<String>)> {
        let outcome = outcome(csv, &Index::default(), &Settings::default());
        assert_eq!(outcome.items_refused, 0, "{:?}", outcome.rejections);
        let of_rule = outcome.findings.into_iter().filter(|finding| finding.rule == rule);
        let row = |e: Evidence| e.locator.trim_start_matches("row ").to_owned();
        of_rule.map(|f| (f.severity, f.evidence.into_iter().map(row).collect())).collect()
    }

    /// Checks the rows of one rule's findings.
    pub(super) fn check(rule: &str, csv: &str, expect: &[(Severity, &[&str])]) {
        let found = rows(rule, csv);
        let found: Vec<_> =
            found.iter().map(|(s, rows)| (*s, rows.iter().map(String::as_str).collect())).collect();
        let expect: Vec<(Severity, Vec<&str>)> = expect.iter().map(|(s, rows)| (*s, rows.to_vec())).collect();
        assert_eq!(found, expect, "{rule}\n{csv}");
    }
}

#[cfg(test)]
mod tests {
    use super::testing::outcome;
    use crate::domain::{Index, Settings};

    #[test]
    fn facts_are_exact() {
        let facts = |csv: &str| outcome(csv, &Index::default(), &Settings::default()).facts;
        let one = facts("supplier,amount,currency,date\nA,0.1,EUR,2024-01-01\nB,0.2,EUR,2024-01-31\n");
        let check =
            |name: &str, value: &str| assert_eq!(one.get(name).map(String::as_str), Some(value), "{name}");
        check("row_count", "2");
        check("total_amount", "0.3");
        check("currency", "EUR");
        check("suppliers", "2");
        check("max_amount", "0.2");
        check("period_days", "31");
        let two = facts("supplier,amount,currency\nA,1,EUR\nA,2,USD\n");
        assert_eq!((two["total_amount_EUR"].as_str(), two["total_amount_USD"].as_str()), ("1", "2"));
        assert_eq!((two["currencies"].as_str(), two.get("total_amount")), ("EUR, USD", None));
    }
}
