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
//! there is), and rules about cases or documents (the services have them).

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
mod login;
mod metrics;
pub mod openapi;
mod platform;
mod seed;
mod store;
pub mod transcode;

pub use config::Config;

use anyhow::Context as _;
use identity::hasher::Hasher;
use identity::keeper::Keeper;
use probity_proto::BoxGrpcService;
use probity_proto::gateway::account_service_server::AccountServiceServer;
use probity_proto::gateway::auth_service_server::AuthServiceServer;
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
        let db = setup.database(store::MIGRATIONS).await?;
        let (store, clock) = (store::Store::new(db.clone()), setup.clock());
        let key = KeyFile::open_or_create(setup.keys_dir(), "users")?.into_signing_key();
        let metrics = metrics::Metrics::new(setup.registry()).context("the metrics cannot be registered")?;
        seed::apply(&config, &store, clock.now()).await?;
        let keeper = Arc::new(Keeper::open(store.clone(), key, clock.clone(), &config.login).await?);
        admin_token::ensure(&config, &keeper, &store, clock.now()).await?;
        keep(setup, &config, &keeper, &store);
        let denials = Denials::new("auth.denied", config.denials_per_second);
        let (written, now) = (denials.clone(), clock.clone());
        setup.spawn("denials", |stop| written.write(db, now, stop));
        let hasher = Hasher::new(&config.login)?;
        let notes = (denials.clone(), metrics.clone());
        let logins =
            login::Logins::new(store.clone(), keeper.clone(), hasher, clock.clone(), notes, &config.login);
        let logins = Arc::new(logins);
        let own = own(setup, &config, &store, (&keeper, &logins))?;
        let identity = identity::Identity::new(keeper, clock, config.remembered_tokens, metrics.clone());
        let door = door::Door::new(config, setup, &own, identity, denials, metrics)?;
        Ok(Self { door: Arc::new(door) })
    }

    fn routes(self) -> Routes {
        Routes::from(door::router(self.door))
    }
}

/// Reads keys and ended sessions again and again, and sees to it that the
/// administrator's token is a good one.
fn keep(setup: &mut Setup, config: &Config, keeper: &Arc<Keeper>, store: &store::Store) {
    let (keeper, config, store, clock) = (keeper.clone(), config.clone(), store.clone(), setup.clock());
    setup.spawn("identity", |stop| {
        let kept = keeper.clone();
        let renew = async move || {
            if let Err(error) = admin_token::ensure(&config, &kept, &store, clock.now()).await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the administrator's token could not be renewed"
                );
            }
        };
        keeper.keep(renew, stop)
    });
}

/// The RPCs the gateway answers itself.
fn own(
    setup: &mut Setup,
    config: &Config,
    store: &store::Store,
    (keeper, logins): (&Arc<Keeper>, &Arc<login::Logins>),
) -> anyhow::Result<BoxGrpcService> {
    let fleet = api::Fleet::new(setup, store.clone(), config);
    let (clock, home_tenant) = (setup.clock(), config.home_tenant.clone());
    let accounts = api::Accounts {
        store: store.clone(),
        logins: logins.clone(),
        keeper: keeper.clone(),
        clock: clock.clone(),
        home_tenant: home_tenant.clone(),
    };
    let auth = api::Auth {
        logins: logins.clone(),
        store: store.clone(),
        keeper: keeper.clone(),
        clock: clock.clone(),
        home_tenant: home_tenant.clone(),
    };
    let api = api::Api {
        keeper: keeper.clone(),
        store: store.clone(),
        clock,
        home_tenant,
        platform: platform::Platform::new(setup),
        methods: catalog::methods().map_err(anyhow::Error::msg)?,
        limits: catalog::limits(config),
    };
    let routes = Routes::new(GatewayServiceServer::new(api))
        .add_service(AuthServiceServer::new(auth))
        .add_service(AccountServiceServer::new(accounts))
        .add_service(DrillServiceServer::new(fleet.clone()))
        .add_service(MonitoringServiceServer::new(fleet));
    Ok(probity_proto::boxed("gateway", routes.prepare()))
}
