//! The values of a registry, one by one.

use probity_proto::monitoring::Sample;
use prometheus::Registry;
use prometheus::proto::{Metric, MetricType};
use std::collections::BTreeMap;

/// More values than this are a label that grows; the rest is left out.
const MOST: usize = 10_000;

/// The values of all metrics of a registry whose names begin with `prefix`.
pub(super) fn of(service: &str, registry: &Registry, prefix: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    for family in registry.gather().iter().filter(|family| family.name().starts_with(prefix)) {
        for metric in family.get_metric() {
            let labels: BTreeMap<_, _> =
                metric.get_label().iter().map(|l| (l.name().to_owned(), l.value().to_owned())).collect();
            for (suffix, value) in values(family.get_field_type(), metric) {
                let (service, name) = (service.to_owned(), format!("{}{suffix}", family.name()));
                samples.push(Sample { service, name, labels: labels.clone(), value });
            }
        }
    }
    samples.truncate(MOST);
    samples
}

#[allow(clippy::cast_precision_loss)] // counts are shown, not calculated with
fn values(kind: MetricType, metric: &Metric) -> Vec<(&'static str, f64)> {
    match kind {
        MetricType::COUNTER => vec![("", metric.get_counter().get_value())],
        MetricType::GAUGE => vec![("", metric.get_gauge().get_value())],
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            vec![("_count", histogram.get_sample_count() as f64), ("_sum", histogram.get_sample_sum())]
        }
        MetricType::SUMMARY | MetricType::UNTYPED => Vec::new(),
    }
}
