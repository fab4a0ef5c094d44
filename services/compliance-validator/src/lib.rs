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
use crate::validator::Validator;
use probity_proto::compliance::compliance_service_server::ComplianceServiceServer;
use probity_runtime::{Service, Setup};
use probity_types::{Clock, Micros};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// How often answers kept for idempotency keys are looked through.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// The service.
pub struct ComplianceValidator(Api);

impl Service for ComplianceValidator {
    const NAME: &'static str = "compliance-validator";
    const PACKAGES: &'static [&'static str] = &["probity.compliance.v1"];
    type Config = Config;

    async fn build(config: Config, setup: &mut Setup) -> anyhow::Result<Self> {
        let store = Store::new(setup.database(MIGRATIONS).await?);
        let metrics = Metrics::new(setup.registry())?;
        let kept = Duration::from_secs(u64::from(config.idempotency_days) * 86_400);
        setup.keeps_answers_for(kept);
        let (forgetful, clock) = (store.clone(), setup.clock());
        setup.spawn("forget idempotency keys", move |stop| forget(forgetful, clock, kept, stop));
        let max_source_bytes = config.max_source_bytes;
        let validator = Validator::new(config, store, setup.clock(), metrics);
        Ok(Self(Api::new(validator, max_source_bytes)))
    }

    fn routes(self) -> Routes {
        Routes::new(ComplianceServiceServer::new(self.0))
    }
}

/// Until the process stops.
async fn forget(store: Store, clock: Arc<dyn Clock>, kept: Duration, stop: CancellationToken) {
    let kept = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
    loop {
        let before = Micros(clock.now().0.saturating_sub(kept));
        if let Err(error) = store.forget_keys(before).await {
            tracing::warn!(%error, "old idempotency keys could not be forgotten");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FORGET_EVERY) => {}
        }
    }
}
