//! The metrics of spam detection.

use crate::domain::Band;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};
use std::time::Duration;

/// All metrics of spam detection.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    classified: IntCounterVec,
    duration: Histogram,
    cut: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        // From 50 microseconds: most messages take a tenth of a millisecond.
        let buckets = prometheus::exponential_buckets(0.000_05, 3.0, 10)?;
        let metrics = Self {
            classified: IntCounterVec::new(
                Opts::new("spam_classifications_total", "Messages classified, by band"),
                &["band"],
            )?,
            duration: Histogram::with_opts(
                HistogramOpts::new(
                    "spam_classification_duration_seconds",
                    "How long messages took to classify, without reading them from intake",
                )
                .buckets(buckets),
            )?,
            cut: IntCounter::new(
                "spam_documents_cut_total",
                "Documents too large to be read whole: classified by their beginning",
            )?,
        };
        registry.register(Box::new(metrics.classified.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.cut.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn classified(&self, band: Band, took: Duration) {
        self.classified.with_label_values(&[band.name()]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub(crate) fn cut(&self) {
        self.cut.inc();
    }
}
