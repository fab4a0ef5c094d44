//! Red flags in tenders, payments and reports, and name screening.
//!
//! A case's documents are read through intake, every rule of their kind is
//! applied, and the findings are stored with their evidence in one transaction
//! with the answer and the audit event. Watchlists are imported from documents
//! and searched in memory.
//!
//! **Architecture invariants.** Rules are pure ([`domain`]). A finding always
//! says what was measured, against what, and where it can be seen. Nothing here
//! changes a case: the answer is a summary, and who acts on it is the workflow.
//! That no list was searched is said in every answer, never left to be guessed.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod api;
mod config;
mod convert;
pub mod domain;
mod error;
mod investigate;
mod metrics;
mod screening;
mod standing;
mod store;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use error::Error;
pub use store::MIGRATIONS;

use crate::api::Api;
use crate::investigate::Investigator;
use crate::metrics::Metrics;
use crate::screening::{Known, Screening};
use crate::store::Store;
use anyhow::Context as _;
use probity_proto::anticorruption::anti_corruption_service_server::AntiCorruptionServiceServer;
use probity_runtime::documents::Reader;
use probity_runtime::{Service, Setup};
use std::sync::Arc;
use std::time::Duration;
use tonic::service::Routes;

/// The service.
pub struct AntiCorruption(Api);

impl Service for AntiCorruption {
    const NAME: &'static str = "anti-corruption";
    const PACKAGES: &'static [&'static str] = &["probity.anticorruption.v1"];
    type Config = Config;

    async fn build(config: Config, setup: &mut Setup) -> anyhow::Result<Self> {
        let db = setup.database(MIGRATIONS).await?;
        setup.keeps_answers_for(&db, Duration::from_hours(24 * u64::from(config.idempotency_days)));
        let store = Store::new(db);
        let metrics = Metrics::new(setup.registry())?;
        let reader = Reader::new(setup.peer("intake"));
        let config = Arc::new(config);
        let screening = Screening::new(
            store.clone(),
            reader.clone(),
            Arc::clone(&config),
            setup.clock(),
            metrics.clone(),
            Known {
                lists: setup.fresh("watchlist_versions")?,
                loads: setup.fresh("watchlist_loads")?,
                metrics: setup.cache_metrics()?,
            },
        );
        screening.load_all().await.context("the watchlists cannot be loaded")?;
        let investigator = Investigator::new(
            store.clone(),
            reader,
            screening.clone(),
            Arc::clone(&config),
            setup.clock(),
            metrics.clone(),
        );
        let (counted, measured) = (store.clone(), metrics.clone());
        setup.spawn("dispositions", |stop| standing::watch(counted, measured, stop));
        Ok(Self(Api::new(store, investigator, screening, config, setup.clock(), metrics)))
    }

    fn routes(self) -> Routes {
        Routes::new(AntiCorruptionServiceServer::new(self.0))
    }
}
