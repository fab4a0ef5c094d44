//! Spam triage of messages and reports with an explainable linear model.
//!
//! Documents come in as MIME or plain text; out go a probability, a band (ham,
//! unsure, spam) and the tokens that spoke. The model is part of the binary and
//! was trained by the repository's own tool (`examples/train`).
//!
//! **Architecture invariants.** The service keeps no message and decides nothing: it
//! says how likely a message is spam, and workflows and people act on it. No
//! input, however broken, is an error as long as it is there: what cannot be read
//! as a message is read as text. Feature extraction is the same code in the
//! service and in the trainer.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod api;
mod config;
mod convert;
mod documents;
pub mod domain;
mod error;
mod metrics;
mod triage;

pub use config::Config;
pub use error::Error;

use crate::api::Api;
use crate::documents::Documents;
use crate::domain::Model;
use crate::metrics::Metrics;
use crate::triage::Triage;
use anyhow::Context as _;
use probity_proto::spam::spam_service_server::SpamServiceServer;
use probity_runtime::{Service, Setup};
use tonic::service::Routes;

/// The service.
pub struct SpamDetection(Api);

impl Service for SpamDetection {
    const NAME: &'static str = "spam-detection";
    const PACKAGES: &'static [&'static str] = &["probity.spam.v1"];
    type Config = Config;

    async fn build(config: Config, setup: &mut Setup) -> anyhow::Result<Self> {
        // Nothing is kept here but an outbox: calls that are denied are audit events.
        setup.database(&[]).await?;
        let model = Model::shipped().context("the model in this build cannot be read")?;
        let thresholds = config.thresholds(model.training()).map_err(anyhow::Error::msg)?;
        let metrics = Metrics::new(setup.registry())?;
        let documents = Documents::new(setup.peer("intake"), metrics.clone());
        tracing::info!(model = model.version(), weights = model.weights(), "model loaded");
        Ok(Self(Api { documents, triage: Triage::new(model, thresholds, metrics) }))
    }

    fn routes(self) -> Routes {
        // Room for the largest content and its wrapping.
        let server = SpamServiceServer::new(self.0);
        Routes::new(server.max_decoding_message_size(2 * convert::MAX_CONTENT_BYTES))
    }
}
