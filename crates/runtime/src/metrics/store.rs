//! What is measured of the store of a service, read when a page is asked for.

use probity_storage::{Db, Stats};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Registry};

/// Reads one value.
type Read = fn(&Stats) -> usize;

/// The connections and the write queue of a store.
pub(crate) struct StoreMetrics {
    store: Db,
    gauges: Vec<(IntGauge, Read)>,
    operations: IntCounter,
    transactions: IntCounter,
}

impl StoreMetrics {
    /// Adds the metrics of a store to the registry of its service.
    pub(crate) fn register(registry: &Registry, store: Db) -> prometheus::Result<()> {
        let gauges = [
            (
                IntGauge::new("db_connections_in_use", "Read-only connections of this replica in use")?,
                (|stats| stats.readers_busy) as Read,
            ),
            (IntGauge::new("db_connections_max", "Read-only connections this replica may have")?, |stats| {
                stats.readers_most
            }),
            (
                IntGauge::new("db_writes_waiting", "Operations that wait for the writing connection")?,
                |stats| stats.waiting,
            ),
            (
                IntGauge::new("db_writes_waiting_max", "Operations that may wait; more are refused")?,
                |stats| stats.waiting_most,
            ),
        ]
        .into();
        let operations = IntCounter::new("db_operations_total", "Operations that were stored")?;
        let transactions = IntCounter::new(
            "db_transactions_total",
            "Transactions they were stored in, groups of operations",
        )?;
        registry.register(Box::new(Self { store, gauges, operations, transactions }))
    }
}

impl Collector for StoreMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let counters = self.operations.desc().into_iter().chain(self.transactions.desc());
        self.gauges.iter().flat_map(|(gauge, _)| gauge.desc()).chain(counters).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let stats = self.store.stats();
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(&stats)).unwrap_or(i64::MAX));
        }
        for (counter, now) in [(&self.operations, stats.operations), (&self.transactions, stats.transactions)]
        {
            counter.reset();
            counter.inc_by(now);
        }
        let counters = self.operations.collect().into_iter().chain(self.transactions.collect());
        self.gauges.iter().flat_map(|(gauge, _)| gauge.collect()).chain(counters).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_storage::DbConfig;

    #[tokio::test]
    async fn a_page_shows_the_store_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&DbConfig::sqlite(dir.path().join("a.db")), "a", &[]).await.unwrap();
        let registry = probity_telemetry::metrics::registry("intake").unwrap();
        StoreMetrics::register(&registry, db.clone()).unwrap();
        db.write(|_| Box::pin(async { Ok::<_, probity_storage::Error>(()) })).await.unwrap();
        let most = db.stats().readers_most;
        for _ in 0..2 {
            let page = probity_telemetry::metrics::encode(&registry);
            let check = |line: &str| assert!(page.contains(line), "{line} is not in\n{page}");
            check("db_connections_in_use{service=\"intake\"} 0");
            check(&format!("db_connections_max{{service=\"intake\"}} {most}"));
            check("db_operations_total{service=\"intake\"} 1");
            check("db_writes_waiting{service=\"intake\"} 0");
        }
        db.close().await;
    }
}
