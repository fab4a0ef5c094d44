//! Documents: immutable bytes, named by their SHA-256.
//!
//! Callers stream documents in, and get them, or ranges of them, streamed out.
//! The same bytes are stored once for a tenant. Small documents live in the
//! database row itself, so that group commit makes many of them durable with one
//! sync; larger ones are objects. The first step of every shipped workflow asks
//! here whether the documents of a case have the form their kind needs.
//!
//! **Architecture invariants.** A document is never changed and never visible
//! before it is whole and durable. A document of another tenant answers like one
//! that does not exist, even if its bytes are here. No document is ever held in
//! memory as a whole, small ones excepted.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod api;
mod config;
mod convert;
pub mod domain;
mod error;
mod metrics;
mod objects;
mod read;
mod store;
mod sweep;
mod upload;

pub use config::Config;
pub use error::Error;
pub use store::MIGRATIONS;

use crate::api::Api;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::objects::folder::Folder;
use crate::store::Store;
use crate::sweep::Sweeper;
use crate::upload::Limits;
use anyhow::Context as _;
use probity_proto::intake::intake_service_server::IntakeServiceServer;
use probity_runtime::{Service, Setup};
use std::sync::Arc;
use std::time::Duration;
use tonic::service::Routes;

/// The service.
pub struct Intake(Api);

impl Service for Intake {
    const NAME: &'static str = "intake";
    const PACKAGES: &'static [&'static str] = &["probity.intake.v1"];
    type Config = Config;

    async fn build(config: Config, setup: &mut Setup) -> anyhow::Result<Self> {
        let store = Store::new(setup.database(MIGRATIONS).await?);
        let metrics = Metrics::new(setup.registry())?;
        let folder = config.objects_dir.clone().unwrap_or_else(|| setup.data_dir().join("objects"));
        let objects: Arc<dyn Objects> = Arc::new(Folder::open(&folder).context("objects_dir")?);
        let sweeper = Sweeper {
            objects: Arc::clone(&objects),
            store: store.clone(),
            clock: setup.clock(),
            metrics: metrics.clone(),
        };
        setup.spawn("sweep", |stop| sweeper.run(stop));
        let limits = Limits { document: config.max_document_bytes, inline: config.max_inline_bytes };
        let kept = Duration::from_secs(config.temporary_hours * 3_600);
        Ok(Self(Api { store, objects, limits, kept, clock: setup.clock(), metrics }))
    }

    fn routes(self) -> Routes {
        let server = IntakeServiceServer::new(self.0);
        Routes::new(server.max_decoding_message_size(convert::MAX_MESSAGE_BYTES))
    }
}
