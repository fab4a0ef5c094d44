//! The tamper-evident log: every decision a leaf, every leaf provable.
//!
//! Services hand in what happened through their outboxes; the log numbers the
//! entries, hashes them into one RFC 6962 tree over all tenants, signs a
//! checkpoint over it and answers once both are durable. From then on it proves:
//! that an entry is in the log, that a later log is an extension of an earlier
//! one, and, by recomputing everything, that the store still holds what was
//! signed.
//!
//! **Architecture invariants.** The bytes of a leaf are written once and never
//! encoded again: they are what was hashed. There is one appender, and the tree
//! it keeps in memory is the tree of the last commit or nothing. No proof leaves
//! the service that does not lead to a signed checkpoint. Entries are visible to
//! their own tenant alone; checkpoints, proofs and the key are for everybody.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod api;
mod appender;
mod check;
mod config;
mod convert;
pub mod domain;
mod error;
mod log;
mod metrics;
mod nodes;
mod offline;
mod receipt;
mod store;
#[cfg(test)]
mod tests;

pub use check::{check, check_with_witness};
pub use config::Config;
pub use domain::check::CheckReport;
pub use error::Error;
pub use offline::{check_folder, folder_key};
pub use store::MIGRATIONS;

use crate::api::Api;
use crate::appender::Appender;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::store::Store;
use anyhow::Context as _;
use probity_merkle::NoteSigner;
use probity_proto::audit::audit_service_server::AuditServiceServer;
use probity_runtime::keys::KeyFile;
use probity_runtime::{Service, Setup};
use std::sync::Arc;
use tonic::service::Routes;

/// Name of the key of the log in the folder of keys: `log.key`, `log.pub`.
pub const KEY_NAME: &str = "log";

/// The service.
pub struct AuditAggregator(Api);

impl Service for AuditAggregator {
    const NAME: &'static str = "audit-aggregator";
    const PACKAGES: &'static [&'static str] = &["probity.audit.v1"];
    type Config = Config;

    async fn build(config: Config, setup: &mut Setup) -> anyhow::Result<Self> {
        let key = KeyFile::open_or_create(setup.keys_dir(), KEY_NAME).context("the key of the log")?;
        let signer = NoteSigner::new(&config.origin, key.into_signing_key()).context("origin")?;
        let store = Store::new(setup.database_without_relay(MIGRATIONS).await?);
        let metrics = Metrics::new(setup.registry())?;
        let log = Log::new(store.clone(), signer.verifier_key().clone());
        let appender = Appender::start(store, Arc::new(signer), setup.clock(), metrics);
        // Signs the head of a new log. A damaged log must not keep the service
        // from starting: it can still be read and checked.
        if let Err(error) = appender.append(Vec::new()).await {
            tracing::error!(%error, "the log takes no entries until it is repaired");
        }
        Ok(Self(Api::new(log, appender)))
    }

    fn routes(self) -> Routes {
        let server = AuditServiceServer::new(self.0);
        Routes::new(server.max_decoding_message_size(convert::MAX_APPEND_BYTES))
    }
}
