//! Every metric of this service. No label carries an id or a policy's name.

use crate::domain::{Decision, Evaluation, Trouble};
use probity_runtime::CacheMetrics;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use std::time::Duration;

/// The metrics, registered once. Clones count into the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    evaluations: IntCounterVec,
    duration: Histogram,
    troubles: IntCounterVec,
    published: IntCounter,
    refused: IntCounter,
    stuck: IntGauge,
    caches: CacheMetrics,
}

/// The cache of compiled policies, as the label names it.
const CACHE: &str = "policies";

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When one is registered already.
    pub(crate) fn new(registry: &Registry, caches: CacheMetrics) -> prometheus::Result<Self> {
        let buckets =
            vec![0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
        let duration = HistogramOpts::new(
            "compliance_evaluation_duration_seconds",
            "Time to evaluate all policies of a case, without storing the result",
        );
        let labelled = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let metrics = Self {
            evaluations: labelled("compliance_evaluations_total", "Evaluated cases", "decision")?,
            duration: Histogram::with_opts(duration.buckets(buckets))?,
            troubles: labelled(
                "compliance_policy_failures_total",
                "Policies that could not be relied on",
                "reason",
            )?,
            published: counter("compliance_policies_published_total", "Published versions of policies")?,
            refused: counter("compliance_policies_refused_total", "Policy texts that were refused")?,
            stuck: IntGauge::new("compliance_stuck_threads", "Threads lost to policies that do not stop")?,
            caches,
        };
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.stuck.clone()))?;
        // A decision that was never made is 0, not absent.
        for decision in [Decision::Allow, Decision::Review, Decision::Deny] {
            metrics.evaluations.with_label_values(&[decision.as_str()]).inc_by(0);
        }
        Ok(metrics)
    }

    /// A case was evaluated.
    pub(crate) fn evaluated(&self, evaluation: &Evaluation, took: Duration) {
        self.evaluations.with_label_values(&[evaluation.decision.as_str()]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// A policy could not be relied on.
    pub(crate) fn trouble(&self, trouble: &Trouble) {
        self.troubles.with_label_values(&[trouble.rule()]).inc();
    }

    /// A policy was published.
    pub(crate) fn published(&self) {
        self.published.inc();
    }

    /// A policy was refused.
    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    /// So many threads are stuck now.
    pub(crate) fn stuck(&self, threads: usize) {
        self.stuck.set(i64::try_from(threads).unwrap_or(i64::MAX));
    }

    /// A compiled policy was looked up.
    pub(crate) fn looked_up(&self, hit: bool) {
        self.caches.asked(CACHE, hit);
    }
}
