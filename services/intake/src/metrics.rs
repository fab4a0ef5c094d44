//! The metrics of intake.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// All metrics of intake.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    stored: IntCounterVec,
    stored_bytes: IntCounter,
    repeated: IntCounter,
    checked: IntCounterVec,
    swept: IntCounter,
    expired: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            stored: IntCounterVec::new(
                Opts::new("documents_stored_total", "Documents stored, by where their bytes are"),
                &["place"],
            )?,
            stored_bytes: IntCounter::new("document_bytes_stored_total", "Bytes of the documents stored")?,
            repeated: IntCounter::new(
                "documents_repeated_total",
                "Uploads of documents that were there already",
            )?,
            checked: IntCounterVec::new(
                Opts::new(
                    "documents_checked_total",
                    "Documents checked for a case, by whether they can be used",
                ),
                &["usable"],
            )?,
            swept: IntCounter::new("objects_swept_total", "Files of unfinished uploads removed later")?,
            expired: IntCounter::new(
                "documents_expired_total",
                "Temporary documents removed that no execution has named",
            )?,
        };
        registry.register(Box::new(metrics.stored.clone()))?;
        registry.register(Box::new(metrics.stored_bytes.clone()))?;
        registry.register(Box::new(metrics.repeated.clone()))?;
        registry.register(Box::new(metrics.checked.clone()))?;
        registry.register(Box::new(metrics.swept.clone()))?;
        registry.register(Box::new(metrics.expired.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn stored(&self, size: u64, in_row: bool, is_new: bool) {
        if !is_new {
            return self.repeated.inc();
        }
        self.stored.with_label_values(&[if in_row { "row" } else { "object" }]).inc();
        self.stored_bytes.inc_by(size);
    }

    pub(crate) fn checked(&self, usable: bool) {
        self.checked.with_label_values(&[if usable { "yes" } else { "no" }]).inc();
    }

    pub(crate) fn expired(&self, count: usize) {
        self.expired.inc_by(count as u64);
    }

    pub(crate) fn swept(&self, count: usize) {
        self.swept.inc_by(count as u64);
    }
}
