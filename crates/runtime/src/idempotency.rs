//! Idempotency keys of a service: which methods answer once, how long answers that
//! were stored with their effect are kept, and the metrics of both.

use crate::config::ServerConfig;
use crate::metrics::KeyMetrics;
use anyhow::Context as _;
use http::request;
use probity_resilience::idempotency::{Config, Guard, IdempotencyLayer};
use probity_storage::Db;
use probity_storage::idempotency::{Runs, purge};
use probity_types::{Clock, Ctx, Micros};
use prometheus::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often answers are looked through.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// The layer in front of the handlers of a service.
pub(crate) type OnceLayer = IdempotencyLayer<Runs>;

/// Methods whose answers are kept for calls that come again, and where.
pub(crate) struct Once {
    pub(crate) store: Db,
    pub(crate) methods: &'static [&'static str],
}

impl Once {
    /// A run may take as long as a call may: nobody takes its key over before.
    pub(crate) fn layer(self, server: &ServerConfig, clock: Arc<dyn Clock>) -> anyhow::Result<OnceLayer> {
        let usual = Config::default();
        let lease_ms = server.timeout_ms.clamp(usual.lease_ms, usual.ttl_ms);
        let guard = Guard::new(Arc::new(Runs::new(self.store)), clock, Config { lease_ms, ..usual });
        let guard = guard.context("idempotency keys cannot be kept")?;
        Ok(IdempotencyLayer::new(guard, tenant).only(self.methods))
    }
}

/// Whose a call is: the verified caller's tenant.
fn tenant(parts: &request::Parts) -> Option<String> {
    Some(parts.extensions.get::<Ctx>()?.tenant.clone())
}

/// Counts the requests with a key that came to the stores of a service.
pub(crate) fn register(registry: &Registry, stores: &[Db]) -> prometheus::Result<()> {
    if stores.is_empty() {
        return Ok(());
    }
    let stores = stores.to_vec();
    let counted = move || {
        let stats = stores.iter().map(Db::stats);
        stats.fold((0, 0), |(asked, repeated), s| (asked + s.keyed, repeated + s.repeated))
    };
    registry.register(Box::new(KeyMetrics::new(counted)?))
}

/// Deletes answers older than `kept` until the process stops.
pub(crate) async fn forget(store: Db, clock: Arc<dyn Clock>, kept: Duration, stop: CancellationToken) {
    let kept = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
    loop {
        let before = Micros(clock.now().0.saturating_sub(kept));
        if let Err(error) = purge(&store, before).await {
            tracing::warn!(%error, "old idempotency keys could not be forgotten");
        }
        if stop.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_none() {
            return;
        }
    }
}
