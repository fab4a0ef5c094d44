//! The one door: everything from outside comes in here, over REST or gRPC on the
//! same port, and goes on to the service that answers it.
//!
//! A request meets, in this order: limits ([`config`]), the route ([`transcode`]
//! for REST, the method table for gRPC), the bearer token ([`identity`]), the
//! role the method asks for ([`domain::access`]), and the peer, which is called
//! with a caller token of the platform's own. What is refused is counted into
//! the audit log (`probity_runtime::denials`).
//!
//! Deliberately absent: REST handlers that repeat an RPC (the contracts say what
//! there is), rules about cases or documents (the services have them), and any
//! store of users (tokens carry who they speak of).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod admin_token;
mod api;
mod catalog;
pub mod config;
mod convert;
pub mod domain;
mod door;
pub mod error;
mod identity;
mod metrics;
pub mod openapi;
mod platform;
mod store;
pub mod transcode;

pub use config::Config;

use anyhow::Context as _;
use domain::token::TokenKey;
use probity_proto::gateway::gateway_service_server::GatewayServiceServer;
use probity_proto::monitoring::drill_service_server::DrillServiceServer;
use probity_proto::monitoring::monitoring_service_server::MonitoringServiceServer;
use probity_runtime::denials::Denials;
use probity_runtime::keys::KeyFile;
use probity_runtime::{Service, Setup};
use std::sync::Arc;
use tonic::service::Routes;

/// The gateway.
pub struct Gateway {
    door: Arc<door::Door>,
}

impl Service for Gateway {
    const NAME: &'static str = "gateway";
    const PACKAGES: &'static [&'static str] = &["probity.gateway.v1", "probity.monitoring.v1"];
    const DOOR: bool = true;
    type Config = Config;

    async fn build(config: Config, setup: &mut Setup) -> anyhow::Result<Self> {
        let db = setup.database(&[]).await?;
        let store = store::Store::new(db.clone());
        let key = KeyFile::open_or_create(setup.keys_dir(), "users")?.into_signing_key();
        let key = Arc::new(TokenKey::new(key));
        let metrics = metrics::Metrics::new(setup.registry()).context("the metrics cannot be registered")?;
        admin_token::ensure(&config, &key, &store, setup.clock().now()).await?;
        let denials = Denials::new("auth.denied", config.denials_per_second);
        let (written, clock) = (denials.clone(), setup.clock());
        setup.spawn("denials", |stop| written.write(db, clock, stop));
        let fleet = api::Fleet::new(setup, store.clone(), &config);
        let api = api::Api {
            key: key.clone(),
            store,
            clock: setup.clock(),
            home_tenant: config.home_tenant.clone(),
            platform: platform::Platform::new(setup),
            methods: catalog::methods().map_err(anyhow::Error::msg)?,
            limits: catalog::limits(&config),
        };
        let identity = identity::Identity::new(key, setup.clock(), config.remembered_tokens, metrics.clone());
        let own = Routes::new(GatewayServiceServer::new(api))
            .add_service(DrillServiceServer::new(fleet.clone()))
            .add_service(MonitoringServiceServer::new(fleet));
        let own = probity_proto::boxed("gateway", own.prepare());
        let door = door::Door::new(config, setup, &own, identity, denials, metrics)?;
        Ok(Self { door: Arc::new(door) })
    }

    fn routes(self) -> Routes {
        Routes::from(door::router(self.door))
    }
}
