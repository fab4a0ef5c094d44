//! What may pass, what needs a person, and why: versioned Rego policies over a
//! case and its findings.
//!
//! **Architecture invariants.** The strictest decision of all applicable policies
//! wins. Nothing that goes wrong with a policy lets a case pass: an error, a
//! panic, a time-out or an answer that cannot be read is a reason to ask a
//! person. The same input and the same policies give the same answer: policies
//! see no clock, no network and no chance. An evaluation, its explanation and
//! its audit event are stored in one transaction.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout))]

mod api;
mod config;
mod convert;
pub mod domain;
mod error;
mod evaluator;
mod metrics;
mod sandbox;
mod store;
mod validator;

pub use config::Config;
pub use error::Error;
pub use store::MIGRATIONS;

use crate::api::Api;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::validator::{Known, Validator};
use probity_proto::compliance::compliance_service_server::ComplianceServiceServer;
use probity_resilience::cache;
use probity_runtime::{Service, Setup};
use std::time::Duration;
use tonic::service::Routes;

/// How long a text is kept that nobody asks for: it never changes.
const SOURCES_KEPT_MS: u64 = 3_600_000;

/// The service.
pub struct ComplianceValidator(Api);

impl Service for ComplianceValidator {
    const NAME: &'static str = "compliance-validator";
    const PACKAGES: &'static [&'static str] = &["probity.compliance.v1"];
    type Config = Config;

    async fn build(config: Config, setup: &mut Setup) -> anyhow::Result<Self> {
        let db = setup.database(MIGRATIONS).await?;
        let store = Store::new(db.clone());
        let caches = setup.cache_metrics()?;
        let metrics = Metrics::new(setup.registry(), caches)?;
        let kept = Duration::from_secs(u64::from(config.idempotency_days) * 86_400);
        setup.keeps_answers_for(&db, kept);
        let max_source_bytes = config.max_source_bytes;
        let kept = cache::Config {
            max_entries: config.cache_entries,
            ttl_ms: SOURCES_KEPT_MS,
            negative_ttl_ms: 0,
            ..cache::Config::default()
        };
        let known = Known {
            newest: setup.fresh("policy_versions")?,
            sources: setup.shared_cache("policy_sources", kept)?,
        };
        let validator = Validator::new(config, store, setup.clock(), metrics, known);
        Ok(Self(Api::new(validator, max_source_bytes)))
    }

    fn routes(self) -> Routes {
        Routes::new(ComplianceServiceServer::new(self.0))
    }
}
