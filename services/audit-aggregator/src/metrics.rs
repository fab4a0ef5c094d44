//! Every metric of the log.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};
use std::time::Duration;

/// The metrics, registered once. Clones count into the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    appended: IntCounter,
    duplicates: IntCounter,
    tree_size: IntGauge,
    /// The age is `time() -` this; an age itself would be stale when scraped.
    last_checkpoint: IntGauge,
    append: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let append = HistogramOpts::new(
            "audit_append_duration_seconds",
            "Time from taking a batch of entries to its durable checkpoint.",
        );
        let metrics = Self {
            appended: IntCounter::new("audit_entries_appended_total", "Entries added to the log.")?,
            duplicates: IntCounter::new(
                "audit_entries_duplicate_total",
                "Entries handed in that were in the log already.",
            )?,
            tree_size: IntGauge::new("audit_tree_size", "Entries in the log.")?,
            last_checkpoint: IntGauge::new(
                "audit_last_checkpoint_timestamp_seconds",
                "When the newest checkpoint was signed, in seconds since 1970.",
            )?,
            append: Histogram::with_opts(append.buckets(buckets))?,
        };
        registry.register(Box::new(metrics.appended.clone()))?;
        registry.register(Box::new(metrics.duplicates.clone()))?;
        registry.register(Box::new(metrics.tree_size.clone()))?;
        registry.register(Box::new(metrics.last_checkpoint.clone()))?;
        registry.register(Box::new(metrics.append.clone()))?;
        Ok(metrics)
    }

    /// A group of requests was written.
    pub(crate) fn written(&self, accepted: u64, duplicates: u64, took: Duration) {
        self.appended.inc_by(accepted);
        self.duplicates.inc_by(duplicates);
        self.append.observe(took.as_secs_f64());
    }

    /// The newest checkpoint.
    pub(crate) fn head(&self, size: u64, time_us: i64) {
        self.tree_size.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.last_checkpoint.set(time_us / 1_000_000);
    }
}
