//! One service in this process, with a throw-away store and peers of the test's
//! own making. For tests of services.

mod fake;

pub use fake::Fake;

use crate::call::REQUEST_ID;
use crate::host::{Host, HostSettings, Running};
use crate::identity::{CALLER_HEADER, Minter};
use crate::service::Service;
use probity_proto::{BoxGrpcService, boxed};
use probity_types::{Ctx, Role, Roles, SystemClock};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use tonic::service::Routes;
use tower::ServiceExt as _;

/// Builds a [`Harness`].
#[derive(Default)]
pub struct HarnessBuilder {
    peers: Vec<(&'static str, Routes)>,
    beside: Vec<fn(&mut Host)>,
    set: Vec<(&'static str, &'static str, String)>,
    dir: Option<std::path::PathBuf>,
    port: u16,
}

/// A running service under test.
pub struct Harness {
    running: Running,
    name: &'static str,
    minter: Minter,
    dir: std::path::PathBuf,
}

impl Harness {
    /// A harness to be filled.
    #[must_use]
    pub fn builder() -> HarnessBuilder {
        HarnessBuilder::default()
    }

    /// A client that calls as an administrator of the tenant `test`.
    #[must_use]
    pub fn client(&self) -> BoxGrpcService {
        self.client_as(&ctx("test", "users/admin", &[Role::Admin, Role::Service]))
    }

    /// A client that calls as somebody.
    ///
    /// # Panics
    /// When no token can be minted: the test is broken then.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn client_as(&self, ctx: &Ctx) -> BoxGrpcService {
        let token = self.minter.mint(ctx).expect("a caller token");
        let request_id = ctx.request_id.clone();
        let inner = self.running.local(self.name);
        BoxGrpcService::new(tower::service_fn(move |mut request: http::Request<_>| {
            if let Ok(value) = token.parse() {
                request.headers_mut().insert(CALLER_HEADER, value);
            }
            if let Ok(value) = request_id.parse() {
                request.headers_mut().insert(REQUEST_ID, value);
            }
            let inner = inner.clone();
            async move { inner.oneshot(request).await }
        }))
    }

    /// A client without any caller token.
    #[must_use]
    pub fn client_without_token(&self) -> BoxGrpcService {
        self.running.local(self.name)
    }

    /// The data folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the service listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.running.door_addr()
    }

    /// Where its admin port listens.
    #[must_use]
    pub const fn admin_addr(&self) -> SocketAddr {
        self.running.admin_addr()
    }

    /// Stops the service and answers its data folder, to start it again on.
    pub async fn stop(self) -> std::path::PathBuf {
        self.running.stop().await;
        self.dir
    }
}

impl HarnessBuilder {
    /// Adds a peer: routes that answer as the test likes. They see no caller
    /// token check.
    #[must_use]
    pub fn peer(mut self, name: &'static str, routes: Routes) -> Self {
        self.peers.push((name, routes));
        self
    }

    /// Adds a real service to the same process, with everything a call to it
    /// passes.
    #[must_use]
    pub fn beside<S: Service>(mut self) -> Self {
        self.beside.push(|host| {
            host.add::<S>();
        });
        self
    }

    /// Sets one key of a service's configuration.
    #[must_use]
    pub fn set(mut self, service: &'static str, key: &'static str, value: impl Into<String>) -> Self {
        self.set.push((service, key, value.into()));
        self
    }

    /// Uses this folder instead of a new temporary one.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<std::path::PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Listens on this port of the loopback address instead of a free one.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the service.
    ///
    /// # Panics
    /// When it does not start.
    #[allow(clippy::expect_used, clippy::panic)]
    pub async fn start<S: Service>(self) -> Harness {
        let dir = self.dir.unwrap_or_else(fresh_dir);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut host = Host::new(HostSettings {
            data_dir: Some(dir.clone()),
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))),
            admin_listen: Some(any),
            set: self.set,
            ..HostSettings::default()
        });
        host.add::<S>();
        self.beside.into_iter().for_each(|add| add(&mut host));
        for (name, routes) in self.peers {
            host.add_fake_peer(name, fake(routes));
        }
        let running = host.start().await.unwrap_or_else(|e| panic!("{} did not start: {e:#}", S::NAME));
        let minter = Minter::open(&dir.join("keys"), "gateway", Arc::new(SystemClock)).expect("a minter");
        // Services that the gateway may not call are called as the orchestrator.
        Harness { running, name: S::NAME, minter, dir }
    }
}

fn fake(routes: Routes) -> BoxGrpcService {
    boxed("a peer of the test", routes.prepare())
}

#[allow(clippy::expect_used)]
fn fresh_dir() -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("probity-test-{}", uuid::Uuid::now_v7().as_simple()));
    std::fs::create_dir_all(&dir).expect("a temporary folder");
    dir
}

/// A caller for tests.
#[must_use]
pub fn ctx(tenant: &str, actor: &str, roles: &[Role]) -> Ctx {
    Ctx {
        tenant: tenant.to_owned(),
        actor: actor.to_owned(),
        roles: Roles::new(roles.iter().copied()),
        request_id: format!("test-{}", uuid::Uuid::now_v7().as_simple()),
        trace_id: String::new(),
    }
}
