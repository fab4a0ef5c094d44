//! A process: one service, or all of them.
//!
//! Start: configuration → keys → stores and migrations → listeners → background
//! work → ready. The end is [`Shutdown`]'s: refuse → drain → stop background work
//! → close the stores, the last opened first.

use crate::admin::{self, Process};
use crate::config::{ServerConfig, Settings};
use crate::edges::edges;
use crate::faults::{Drills, Faults};
use crate::idempotency;
use crate::identity::{Minter, Verifier};
use crate::listener;
use crate::metrics::TlsMetrics;
use crate::monitoring::{self, Monitor};
use crate::peers::Peers;
use crate::server::Inbound;
use crate::service::{Service, Setup, Task};
use crate::tls::{Secure, Tls};
use anyhow::Context as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use probity_proto::BoxGrpcService;
use probity_proto::monitoring::drill_service_server::DrillServiceServer;
use probity_proto::monitoring::monitoring_service_server::MonitoringServiceServer;
use probity_proto::prost_reflect::ServiceDescriptor;
use probity_resilience::shutdown::{Limits, Outcome, Shutdown, Signal, State, signals};
use probity_resilience::{Limiter, Observed};
use probity_storage::Db;
use probity_storage::redis::RedisLink;
use probity_telemetry::metrics::RpcMetrics;
use probity_types::{Clock, SystemClock};
use prometheus::Registry;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Where a process keeps its data and listens.
#[derive(Debug, Clone, Default)]
pub struct HostSettings {
    /// Folder for everything that is kept; the configuration's, else `./data`.
    pub data_dir: Option<PathBuf>,
    /// The configuration file.
    pub config_file: Option<PathBuf>,
    /// Where the door (or the only service) listens; over the configuration.
    pub listen: Option<SocketAddr>,
    /// Where the admin port listens; over the configuration.
    pub admin_listen: Option<SocketAddr>,
    /// Every service listens, not only the door.
    pub listen_all: bool,
    /// Single keys over the configuration: service, key, value.
    pub set: Vec<(&'static str, &'static str, String)>,
    /// Addresses of peers, over the configuration: name, URL.
    pub peers: Vec<(String, String)>,
    /// A platform to try things on, whatever the configuration says.
    pub development: bool,
}

/// What every service serves beside its own packages.
const MONITORING: &str = "probity.monitoring.v1";

type BuildFn = Box<dyn for<'a> FnOnce(&'a mut Parts) -> BoxFuture<'a, anyhow::Result<()>> + Send>;

/// A process about to start.
pub struct Host {
    settings: HostSettings,
    builds: Vec<BuildFn>,
    fakes: Vec<(&'static str, BoxGrpcService)>,
}

/// What grows while the services are built.
struct Parts {
    settings: Settings,
    options: HostSettings,
    data_dir: PathBuf,
    keys_dir: PathBuf,
    peers: Peers,
    tier: Option<RedisLink>,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    tasks: Vec<(&'static str, Task)>,
    /// Whether there is one service only.
    alone: bool,
    built: Vec<Built>,
}

/// One built service.
struct Built {
    name: &'static str,
    door: bool,
    listens: bool,
    server: ServerConfig,
    service: BoxGrpcService,
    monitor: Arc<Monitor>,
    /// What its listener asks of whoever connects; the door asks for tokens instead.
    secure: Option<Secure>,
}

impl Host {
    /// A process with these settings and no service yet.
    #[must_use]
    pub fn new(settings: HostSettings) -> Self {
        Self { settings, builds: Vec::new(), fakes: Vec::new() }
    }

    /// Adds a service.
    pub fn add<S: Service>(&mut self) -> &mut Self {
        self.builds.push(Box::new(|parts| Box::pin(parts.build::<S>())));
        self
    }

    /// Puts something else in the place of a peer.
    #[cfg(feature = "testing")]
    pub(crate) fn add_fake_peer(&mut self, name: &'static str, service: BoxGrpcService) {
        self.fakes.push((name, service));
    }

    /// Opens every store, so that its tables are those of this release, and closes it
    /// again. No address is listened on and no background work is begun.
    ///
    /// # Errors
    /// When the configuration is wrong or a store cannot be opened or migrated.
    pub async fn migrate(self) -> anyhow::Result<()> {
        let mut parts = Parts::new(self.settings, self.builds.len())?;
        for build in self.builds {
            build(&mut parts).await?;
        }
        for store in parts.built.iter().flat_map(|built| built.monitor.stores()) {
            store.close().await;
        }
        Ok(())
    }

    /// Builds every service, starts background work and listeners.
    ///
    /// # Errors
    /// When the configuration is wrong, a store cannot be opened or an address
    /// cannot be listened on.
    pub async fn start(self) -> anyhow::Result<Running> {
        let mut parts = Parts::new(self.settings, self.builds.len())?;
        for (name, service) in self.fakes {
            parts.peers.add_local(name, service);
        }
        for build in self.builds {
            build(&mut parts).await?;
        }
        parts.run().await
    }
}

impl Parts {
    fn new(options: HostSettings, services: usize) -> anyhow::Result<Self> {
        let mut settings = Settings::load(options.config_file.as_deref())?;
        for (service, key, value) in &options.set {
            settings.set(service, key, typed(value));
        }
        settings.peers.extend(options.peers.iter().cloned());
        let from_config = settings.host.data_dir.clone().unwrap_or_else(|| PathBuf::from("data"));
        let data_dir = options.data_dir.clone().unwrap_or(from_config);
        let keys_dir = settings.host.keys_dir.clone().unwrap_or_else(|| data_dir.join("keys"));
        std::fs::create_dir_all(&data_dir)
            .with_context(|| format!("the data folder {} cannot be made", data_dir.display()))?;
        let peers = Peers::new(settings.peers.clone(), settings.resilience);
        let tier = settings.cache.redis.as_ref().map(RedisLink::new).transpose()?;
        let lead = Duration::from_millis(settings.host.drain_lead_ms);
        let shutdown = Shutdown::new(Limits { lead, ..Limits::default() });
        Ok(Self {
            settings,
            options,
            data_dir,
            keys_dir,
            peers,
            tier,
            clock: Arc::new(SystemClock),
            shutdown,
            tasks: Vec::new(),
            alone: services == 1,
            built: Vec::new(),
        })
    }

    async fn build<S: Service>(&mut self) -> anyhow::Result<()> {
        let settings = self.settings.service::<S::Config>(S::NAME)?;
        let registry = probity_telemetry::metrics::registry(S::NAME)?;
        let shared = self.peers.measure(S::NAME, &registry)?;
        let monitor = Arc::new(Monitor::new(
            S::NAME,
            registry.clone(),
            shared.breakers,
            shared.performance,
            self.shutdown.clone(),
            self.clock.clone(),
        ));
        let secure = self.secure::<S>(&registry)?;
        let faults = Arc::new(Faults::new(self.settings.host.development || self.options.development));
        self.peers.drill(S::NAME, faults.clone());
        let mut setup = Setup {
            service: S::NAME,
            database: settings.database,
            data_dir: self.data_dir.join(S::NAME),
            keys_dir: self.keys_dir.clone(),
            peers: self.peers.clone(),
            minter: Arc::new(Minter::open(&self.keys_dir, S::NAME, self.clock.clone())?),
            registry: registry.clone(),
            clock: self.clock.clone(),
            stop: self.shutdown.background(),
            tasks: Vec::new(),
            monitor: monitor.clone(),
            faults: faults.clone(),
            relayed: false,
            once: None,
            tier: self.tier.clone(),
            caches: None,
            outboxes: crate::metrics::OutboxMetrics::new(&registry)?,
        };
        let service =
            S::build(settings.own, &mut setup).await.with_context(|| format!("{} cannot start", S::NAME))?;
        self.tasks.append(&mut setup.tasks);
        let stores = monitor.stores();
        self.close_at_the_end(&stores);
        let inbound = self.inbound::<S>(&monitor, &settings.server)?;
        let once =
            setup.once.take().map(|once| once.layer(&settings.server, self.clock.clone())).transpose()?;
        if let Some(once) = &once {
            let cleaned = once.guard().clone().keep_clean(self.shutdown.background());
            self.tasks.push(("idempotency runs", Box::pin(cleaned)));
        }
        idempotency::register(&registry, &stores)?;
        let (reporter, health) = tonic_health::server::health_reporter();
        self.say_when_draining(reporter.clone());
        let routes = service.routes().add_service(health);
        let routes = with_standard_services::<S>(routes, &reporter, &monitor, faults).await;
        let routes = if self.listens::<S>() { with_reflection::<S>(routes)? } else { routes };
        let boxed = inbound.wrap(routes, once.as_ref());
        self.peers.add_local(S::NAME, boxed.clone());
        if let Some(store) = stores.first().filter(|_| setup.relayed) {
            let written =
                inbound.denials().write(store.clone(), self.clock.clone(), self.shutdown.background());
            self.tasks.push(("denials", Box::pin(written)));
        }
        self.built.push(Built {
            name: S::NAME,
            door: S::DOOR,
            listens: self.listens::<S>(),
            server: settings.server,
            service: boxed,
            monitor,
            secure,
        });
        Ok(())
    }

    fn say_when_draining(&mut self, reporter: HealthReporter) {
        let said = not_serving_while_draining(reporter, self.shutdown.clone());
        self.tasks.push(("health", Box::pin(said)));
    }

    /// Whether a service can be called from outside this process. Who asks for descriptions
    /// of the contracts comes from there, and each service that has them holds all of them.
    fn listens<S: Service>(&self) -> bool {
        S::DOOR || self.alone || self.options.listen_all
    }

    fn close_at_the_end(&self, stores: &[Db]) {
        for store in stores {
            let store = store.clone();
            self.shutdown.on_stop("store", move || async move {
                store.close().await;
                Ok(())
            });
        }
    }

    /// The certificates of a service, if there are any: it calls with them, and its
    /// listener asks for them.
    fn secure<S: Service>(&mut self, registry: &Registry) -> anyhow::Result<Option<Secure>> {
        let tls = Tls::open(&self.settings.tls, &self.keys_dir, S::NAME, self.clock.now());
        let Some(tls) = tls.context("[tls] of the configuration cannot be used")? else { return Ok(None) };
        let metrics = TlsMetrics::register(registry)?;
        self.peers.secure(S::NAME, tls.clone());
        let watched = tls.clone().watch(metrics.clone(), self.clock.clone(), self.shutdown.background());
        self.tasks.push(("certificates", Box::pin(watched)));
        Ok((!S::DOOR).then(|| Secure::new(tls, S::NAME, metrics)))
    }

    fn inbound<S: Service>(&self, monitor: &Monitor, server: &ServerConfig) -> anyhow::Result<Arc<Inbound>> {
        let verifier = (!S::DOOR)
            .then(|| Verifier::new(&self.keys_dir, edges().callers_of(S::NAME), self.clock.clone()));
        // The door answers for every service.
        let own = |path: &str| {
            S::DOOR || S::PACKAGES.iter().chain(&[MONITORING]).any(|p| path.starts_with(&format!("/{p}.")))
        };
        let paths = probity_proto::access::methods().map(|(path, _)| path).filter(|path| own(path));
        let metrics = RpcMetrics::server(monitor.registry(), paths)?;
        let config = self.settings.resilience.limit;
        let limiter = config.map(|config| Limiter::new(S::NAME, config, Observed::default())).transpose()?;
        let measured = (monitor.performance().clone(), limiter);
        Ok(Inbound::new(S::NAME, verifier, metrics, server, self.shutdown.clone(), measured))
    }

    /// Binds everything first, so that a taken port ends the start before any
    /// background work begins.
    async fn run(self) -> anyhow::Result<Running> {
        let mut listeners = Vec::new();
        for built in self.built.iter().filter(|built| built.listens) {
            let first = built.door || self.alone;
            let chosen = self.options.listen.filter(|_| first).or(built.server.listen);
            let addr = chosen.unwrap_or_else(|| default_addr(built.name, |s| s.port));
            listeners.push((built.name, bind(addr, built.name).await?));
        }
        let admin = self.admin_listener().await?;
        let signals = signals().context("signals cannot be watched")?.boxed();
        let registry = Registry::new();
        probity_telemetry::ProcessMetrics::register(&registry)?;
        Ok(self.go(listeners, admin, registry, signals))
    }

    async fn admin_listener(&self) -> anyhow::Result<TcpListener> {
        let name = if self.alone { self.built.first().map_or("gateway", |b| b.name) } else { "gateway" };
        let chosen = self.options.admin_listen.or(self.settings.host.admin_listen);
        bind(chosen.unwrap_or_else(|| default_addr(name, |s| s.admin_port)), "the admin port").await
    }

    fn go(
        self,
        listeners: Vec<(&'static str, TcpListener)>,
        admin: TcpListener,
        registry: Registry,
        signals: BoxStream<'static, Signal>,
    ) -> Running {
        let addrs = listeners.iter().filter_map(|(n, l)| Some((*n, l.local_addr().ok()?))).collect();
        let admin_addr = admin.local_addr().unwrap_or_else(|_| default_addr("gateway", |s| s.admin_port));
        let shutdown = self.shutdown;
        for (name, listener) in listeners {
            if let Some(built) = self.built.iter().find(|b| b.name == name) {
                let (config, service) = (built.server.clone(), built.service.clone());
                let secure = built.secure.clone();
                let accepting = shutdown.accepting();
                shutdown.listen(listener::serve(listener, config, service, secure, accepting));
            }
        }
        for (name, task) in self.tasks {
            shutdown.spawn(name, |_| task);
        }
        let monitors = Arc::new(self.built.into_iter().map(|b| b.monitor).collect::<Vec<_>>());
        let process = Arc::new(Process { monitors: monitors.clone(), registry });
        shutdown.spawn("performance", |stop| monitoring::clean(monitors, stop));
        shutdown.spawn("admin port", |stop| admin::serve(admin, process, stop));
        Running { addrs, admin_addr, shutdown, signals, peers: self.peers }
    }
}

/// A value of the command line: a number, a truth value, or a list or a table in brackets
/// where it reads as one.
fn typed(text: &str) -> figment::value::Value {
    if text.starts_with(['[', '{']) {
        return text.parse().unwrap_or_else(|never| match never {});
    }
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    if let Ok(number) = text.parse::<f64>() {
        return number.into();
    }
    text.parse::<bool>().map_or_else(|_| text.into(), Into::into)
}

pub(crate) fn default_addr(name: &str, port: impl Fn(&crate::edges::ServiceEntry) -> u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, edges().service(name).map_or(0, port)))
}

async fn bind(addr: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| {
        format!("{what} cannot listen on {addr}; is another process there, or choose a port")
    })
}

/// Describes the contracts, the health service and the details of errors, so that
/// a tool that knows none of them can show them.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(probity_proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health")
}

/// Whoever follows the health of this instance calls another one from the beginning of
/// the drain on.
async fn not_serving_while_draining(reporter: HealthReporter, shutdown: Shutdown) {
    let mut states = shutdown.watch();
    let _ = states.wait_for(|state| *state != State::Serving).await;
    reporter.set_service_status("", ServingStatus::NotServing).await;
}

/// Whether a service of the contracts is answered by `S` itself.
fn is_own<S: Service>(service: &ServiceDescriptor) -> bool {
    let file = service.parent_file();
    S::PACKAGES.contains(&file.package_name()) || file.package_name() == MONITORING
}

/// Monitoring and drills beside the service's own, and what its health is asked for. The
/// door answers monitoring itself, for all services.
async fn with_standard_services<S: Service>(
    routes: Routes,
    reporter: &HealthReporter,
    monitor: &Arc<Monitor>,
    faults: Arc<Faults>,
) -> Routes {
    for service in probity_proto::pool().services().filter(is_own::<S>) {
        reporter.set_service_status(service.full_name(), ServingStatus::Serving).await;
    }
    if S::DOOR {
        return routes;
    }
    let monitoring = MonitoringServiceServer::new(monitoring::Api(monitor.clone()));
    let drills = DrillServiceServer::new(Drills { service: S::NAME, faults });
    routes.add_service(monitoring).add_service(drills)
}

/// Reflection of the service's own contracts; the door has all of them.
fn with_reflection<S: Service>(routes: Routes) -> anyhow::Result<Routes> {
    let (mut v1, mut v1alpha) = (reflection(), reflection());
    for service in probity_proto::pool().services().filter(|service| S::DOOR || is_own::<S>(service)) {
        v1 = v1.with_service_name(service.full_name());
        v1alpha = v1alpha.with_service_name(service.full_name());
    }
    Ok(routes.add_service(v1.build_v1()?).add_service(v1alpha.build_v1alpha()?))
}

/// A process that runs.
pub struct Running {
    addrs: HashMap<&'static str, SocketAddr>,
    admin_addr: SocketAddr,
    shutdown: Shutdown,
    signals: BoxStream<'static, Signal>,
    peers: Peers,
}

impl Running {
    /// Where a service listens, if it does.
    #[must_use]
    pub fn addr(&self, service: &str) -> Option<SocketAddr> {
        self.addrs.get(service).copied()
    }

    /// Where the door listens: the gateway, else the only service.
    #[must_use]
    pub fn door_addr(&self) -> SocketAddr {
        let door = self.addr("gateway").or_else(|| self.addrs.values().next().copied());
        door.unwrap_or(self.admin_addr)
    }

    /// Where metrics and probes are served.
    #[must_use]
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// The client side of a service of this process, as `caller` sees it.
    #[must_use]
    pub fn client(&self, caller: &'static str, callee: &'static str) -> BoxGrpcService {
        self.peers.client(caller, callee)
    }

    /// The in-bound side of a service of this process, without client layers.
    #[cfg(feature = "testing")]
    pub(crate) fn local(&self, name: &'static str) -> BoxGrpcService {
        self.peers.local(name)
    }

    /// Waits for SIGTERM or SIGINT.
    pub async fn wait_for_signal(&mut self) {
        if self.signals.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends in order; a signal on the way ends it at once. Answers whether
    /// nothing was left undone.
    pub async fn stop(self) -> bool {
        self.shutdown.begin();
        match self.shutdown.run(self.signals).await {
            Outcome::Finished(report) => report.is_clean(),
            Outcome::Forced(_) => false,
        }
    }
}
