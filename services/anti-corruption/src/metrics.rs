//! Every metric of the service.

use crate::convert;
use crate::domain::rates::{Rates, Said};
use crate::domain::{Kind, Outcome, rules};
use probity_types::Micros;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use std::time::Duration;

/// The metrics, registered once. Clones count into the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    investigations: IntCounterVec,
    findings: IntCounterVec,
    items: IntCounterVec,
    duration: Histogram,
    screened: IntCounterVec,
    entries: IntGauge,
    oldest: IntGauge,
    imports_refused: IntCounter,
    disposed: IntCounterVec,
    wrong: GaugeVec,
    told: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let buckets = vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0];
        let duration = HistogramOpts::new(
            "anticorruption_investigation_duration_seconds",
            "Time from reading the documents of a case to its stored findings.",
        );
        let metrics = Self {
            investigations: counters(
                "anticorruption_investigations_total",
                "Investigations by kind of case.",
                &["kind"],
            )?,
            findings: counters(
                "anticorruption_findings_total",
                "Findings by rule and severity.",
                &["rule", "severity"],
            )?,
            items: counters(
                "anticorruption_items_total",
                "Items of documents by what became of them.",
                &["kind", "outcome"],
            )?,
            duration: Histogram::with_opts(duration.buckets(buckets))?,
            screened: counters(
                "anticorruption_names_screened_total",
                "Names screened on request.",
                &["outcome"],
            )?,
            entries: IntGauge::new("anticorruption_watchlist_entries", "Entries of all loaded watchlists.")?,
            oldest: IntGauge::new(
                "anticorruption_watchlist_loaded_timestamp_seconds",
                "When the watchlist that is loaded longest was imported, in seconds since 1970; 0 without one.",
            )?,
            imports_refused: IntCounter::new(
                "anticorruption_watchlist_imports_refused_total",
                "Watchlists that were refused because they could not be trusted.",
            )?,
            disposed: counters(
                "probity_findings_disposed_total",
                "What people said of findings, corrections among it, by rule, kind of case and disposition.",
                &["rule", "kind", "disposition"],
            )?,
            wrong: wrong()?,
            told: told()?,
        };
        metrics.register(registry)?;
        Ok(metrics)
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.disposed.clone()))?;
        registry.register(Box::new(self.wrong.clone()))?;
        registry.register(Box::new(self.told.clone()))?;
        registry.register(Box::new(self.investigations.clone()))?;
        registry.register(Box::new(self.findings.clone()))?;
        registry.register(Box::new(self.items.clone()))?;
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.screened.clone()))?;
        registry.register(Box::new(self.entries.clone()))?;
        registry.register(Box::new(self.oldest.clone()))?;
        registry.register(Box::new(self.imports_refused.clone()))?;
        Ok(())
    }

    /// An investigation was stored.
    pub(crate) fn investigated(&self, kind: Kind, outcome: &Outcome, took: Duration) {
        let kind = kind.as_str();
        self.investigations.with_label_values(&[kind]).inc();
        self.items.with_label_values(&[kind, "read"]).inc_by(outcome.items_read);
        self.items.with_label_values(&[kind, "refused"]).inc_by(outcome.items_refused);
        for finding in &outcome.findings {
            self.findings.with_label_values(&[finding.rule, finding.severity.as_str()]).inc();
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// A name was screened against so many lists.
    pub(crate) fn screened(&self, lists: usize, hits: usize) {
        let outcome = match (lists, hits) {
            (0, _) => "unchecked",
            (_, 0) => "clear",
            _ => "hit",
        };
        self.screened.with_label_values(&[outcome]).inc();
    }

    /// How many entries are loaded now, and when the oldest of their lists was imported.
    pub(crate) fn loaded(&self, entries: usize, oldest: Option<Micros>) {
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.oldest.set(oldest.map_or(0, |at| at.0 / 1_000_000));
    }

    /// A person said something new of a finding. What is no rule of ours any more has
    /// one label for all, so that there are never more labels than rules.
    pub(crate) fn disposed(&self, rule: &str, disposition: i32) {
        let disposition = match convert::said(disposition) {
            Some(Said::Confirmed) => "confirmed",
            Some(Said::FalsePositive) => "false_positive",
            Some(Said::Inconclusive) => "inconclusive",
            None => return,
        };
        let (rule, kind) = rules::find(rule).map_or(("other", "other"), |rule| (rule.id, rule.kind.as_str()));
        self.disposed.with_label_values(&[rule, kind, disposition]).inc();
    }

    /// What people say of findings now.
    pub(crate) fn rates(&self, rates: &Rates) {
        for (rule, tally) in &rates.rules {
            let said = [
                ("confirmed", tally.confirmed),
                ("false_positive", tally.false_positives),
                ("inconclusive", tally.inconclusive),
            ];
            for (disposition, count) in said {
                self.told.with_label_values(&[rule.as_str(), disposition]).set(count);
            }
            match tally.rate() {
                Some(rate) => self.wrong.with_label_values(&[rule]).set(rate),
                // Corrected since: nothing can be told any more.
                None => drop(self.wrong.remove_label_values(&[rule])),
            }
        }
    }

    /// A watchlist was refused.
    pub(crate) fn import_refused(&self) {
        self.imports_refused.inc();
    }
}

fn wrong() -> Result<GaugeVec, prometheus::Error> {
    GaugeVec::new(
        Opts::new(
            "probity_findings_false_positive_ratio",
            "Share of wrong flags among those of which people could tell, by rule, over all tenants.",
        ),
        &["rule"],
    )
}

fn told() -> Result<IntGaugeVec, prometheus::Error> {
    IntGaugeVec::new(
        Opts::new(
            "probity_findings_dispositions",
            "What people say of findings now, by rule and disposition, over all tenants.",
        ),
        &["rule", "disposition"],
    )
}
