//! How far the audit log is behind.

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};

/// How far the relays of a service are behind, by what they relay.
#[derive(Clone)]
pub(crate) struct OutboxMetrics {
    oldest: GaugeVec,
    waiting: IntGaugeVec,
}

impl OutboxMetrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let oldest = Opts::new(
            "outbox_oldest_age_seconds",
            "How long the oldest event has waited that the audit log does not have yet; 0 when it has all",
        );
        let waiting = Opts::new(
            "outbox_waiting_events",
            "Events that wait for the audit log, as seen at the last look; at most 500 are looked at",
        );
        let metrics = Self {
            oldest: GaugeVec::new(oldest, &["outbox"])?,
            waiting: IntGaugeVec::new(waiting, &["outbox"])?,
        };
        registry.register(Box::new(metrics.oldest.clone()))?;
        registry.register(Box::new(metrics.waiting.clone()))?;
        Ok(metrics)
    }

    /// What the last look at an outbox found: the age of the oldest event, and how
    /// many there are.
    pub(crate) fn seen(&self, outbox: &str, age: f64, events: usize) {
        self.oldest.with_label_values(&[outbox]).set(age);
        self.waiting.with_label_values(&[outbox]).set(i64::try_from(events).unwrap_or(i64::MAX));
    }
}
