//! What a service is, and what it is given to build itself with.

use crate::config::ServiceConfig;
use crate::edges::edges;
use crate::faults::Faults;
use crate::idempotency::{self, Once};
use crate::identity::Minter;
use crate::metrics::{CacheMetrics, StoreMetrics};
use crate::monitoring::{DeadLetters, Monitor};
use crate::peers::Peers;
use crate::relay::{Outbox, Relay};
use anyhow::Context as _;
use probity_proto::BoxGrpcService;
use probity_resilience::Observed;
use probity_resilience::cache::{self, Cache, Fresh};
use probity_storage::redis::{RedisLink, Values};
use probity_storage::{Db, DbConfig, Migration};
use probity_types::{Clock, Fault};
use prometheus::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// A service of the platform. The same implementation runs alone in a process
/// and beside others in one.
pub trait Service: Send + Sync + Sized + 'static {
    /// Its name: the directory under `services/`.
    const NAME: &'static str;
    /// The gRPC packages it serves.
    const PACKAGES: &'static [&'static str];
    /// True for the gateway alone: it authenticates users itself, so calls to it
    /// carry no caller token.
    const DOOR: bool = false;
    /// Its configuration section.
    type Config: ServiceConfig;

    /// Builds it: opens its store, reads its models, asks for its peers.
    ///
    /// # Errors
    /// Ends the start with this message.
    fn build(config: Self::Config, setup: &mut Setup) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Its gRPC services.
    fn routes(self) -> Routes;
}

/// Background work of a service.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Dials instances of a service at addresses that are only known at run time.
#[derive(Clone)]
pub struct Dialer {
    peers: Peers,
    caller: &'static str,
    callee: &'static str,
}

impl Dialer {
    /// The client side of the instance at `url`, such as `http://10.0.0.7:8081`. It
    /// connects at the first call, and a call is one attempt.
    ///
    /// # Errors
    /// When the address cannot be read, or `edges.toml` has no such edge.
    pub fn dial(&self, url: &str) -> Result<BoxGrpcService, Fault> {
        self.peers.client_at(self.caller, self.callee, url)
    }
}

/// What a service is given to build itself with.
pub struct Setup {
    pub(crate) service: &'static str,
    pub(crate) database: Option<DbConfig>,
    pub(crate) data_dir: PathBuf,
    pub(crate) keys_dir: PathBuf,
    pub(crate) peers: Peers,
    pub(crate) minter: Arc<Minter>,
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: Vec<(&'static str, Task)>,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) faults: Arc<Faults>,
    /// What processes share of their caches, if there is a server for it.
    pub(crate) tier: Option<RedisLink>,
    pub(crate) caches: Option<CacheMetrics>,
    /// Whether what is put in the outbox of its store reaches the audit log.
    pub(crate) relayed: bool,
    /// Methods whose answers are kept for calls that come again.
    pub(crate) once: Option<Once>,
    pub(crate) outboxes: crate::metrics::OutboxMetrics,
}

impl Setup {
    /// Opens the store of the service and brings its tables up to date: the one
    /// its configuration names, else `<service>.db` in its data folder. A database
    /// that does not answer yet is waited for (`database.start_timeout_ms`). What is
    /// put in its outbox is relayed to the audit log from now on.
    ///
    /// # Errors
    /// When the store cannot be opened or migrated.
    pub async fn database(&mut self, migrations: &[Migration]) -> anyhow::Result<Db> {
        let db = self.database_without_relay(migrations).await?;
        self.relay("table", Arc::new(db.clone()));
        self.relayed = true;
        Ok(db)
    }

    /// As [`Setup::database`] for a service whose outbox is relayed otherwise,
    /// or that is the log itself.
    ///
    /// # Errors
    /// As [`Setup::database`].
    pub async fn database_without_relay(&mut self, migrations: &[Migration]) -> anyhow::Result<Db> {
        std::fs::create_dir_all(&self.data_dir)
            .with_context(|| format!("the folder {} cannot be made", self.data_dir.display()))?;
        let config = self.database.clone().unwrap_or_else(|| {
            let file = self.data_dir.join(format!("{}.db", self.service));
            DbConfig { url: format!("sqlite:{}", file.display()), ..DbConfig::default() }
        });
        let schema = self.service.replace('-', "_");
        let db = Db::open_at_start(&config, &schema, migrations)
            .await
            .with_context(|| format!("the store of {} cannot be opened", self.service))?;
        StoreMetrics::register(&self.registry, db.clone()).context("the store cannot be measured")?;
        self.monitor.add_store(db.clone());
        Ok(db)
    }

    /// Relays an outbox to the audit log, in order, until the process stops. `name`
    /// is its label in metrics.
    pub fn relay(&mut self, name: &'static str, outbox: Arc<dyn Outbox>) {
        let relay = Relay {
            service: self.service,
            outbox,
            audit: self.peers.client(self.service, "audit-aggregator"),
            minter: self.minter.clone(),
            clock: self.clock.clone(),
            name,
            gauges: self.outboxes.clone(),
        };
        let relay: Task = Box::pin(relay.run(self.stop.clone()));
        self.tasks.push(("audit relay", relay));
    }

    /// The client side of a peer, with every client layer.
    #[must_use]
    pub fn peer(&self, service: &'static str) -> BoxGrpcService {
        self.peers.client(self.service, service)
    }

    /// Dials single instances of a service: other replicas of this one, say.
    #[must_use]
    pub fn dialer(&self, service: &'static str) -> Dialer {
        Dialer { peers: self.peers.clone(), caller: self.service, callee: service }
    }

    /// The names of all services of the platform.
    #[must_use]
    pub fn platform_services(&self) -> Vec<&'static str> {
        edges().services.iter().map(|s| s.name.as_str()).collect()
    }

    /// The service's own metrics registry.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// How the service is doing.
    #[must_use]
    pub fn monitor(&self) -> Arc<Monitor> {
        self.monitor.clone()
    }

    /// The faults that the calls of the service meet in drills.
    #[must_use]
    pub fn faults(&self) -> Arc<Faults> {
        self.faults.clone()
    }

    /// Shows the dead letters of the service to whoever monitors it.
    pub fn shows_dead_letters(&mut self, letters: Arc<dyn DeadLetters>) {
        self.monitor.set_letters(letters);
    }

    /// Keeps answers that were stored with their effect for so long; older ones are
    /// deleted every hour.
    pub fn keeps_answers_for(&mut self, store: &Db, time: Duration) {
        self.monitor.set_answers_kept(time);
        let (store, clock) = (store.clone(), self.clock.clone());
        self.spawn("idempotency keys", move |stop| idempotency::forget(store, clock, time, stop));
    }

    /// A cache in the memory of this process.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn cache<V, E>(&mut self, name: &'static str, config: cache::Config) -> anyhow::Result<Cache<V, E>>
    where
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        Ok(Cache::new(name, config, Observed::by(Arc::new(self.cache_metrics()?)))?)
    }

    /// A cache in front of the Redis server that processes share, where `[cache]` names
    /// one. **Only for values that never change and that the reader checks**: nobody is
    /// told of a change, and who can write to that server can write anything.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn shared_cache<V, E>(
        &mut self,
        name: &'static str,
        config: cache::Config,
    ) -> anyhow::Result<Cache<V, E>>
    where
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        let Some(link) = self.tier.clone() else { return self.cache(name, config) };
        let (tier, metrics) = (Values::new(link, self.service), self.cache_metrics()?);
        Ok(Cache::with_tier(name, config, Arc::new(tier), Observed::by(Arc::new(metrics)))?)
    }

    /// Answers that are never older than the question, asked for once for many.
    ///
    /// # Errors
    /// When the metrics of caches cannot be registered.
    pub fn fresh<V, E>(&mut self, name: &'static str) -> anyhow::Result<Fresh<V, E>>
    where
        V: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        Ok(Fresh::new(name, Observed::by(Arc::new(self.cache_metrics()?))))
    }

    /// How often the caches of the service were asked, for those that keep what is no
    /// value of a [`Cache`].
    ///
    /// # Errors
    /// When the service has metrics of these names already.
    pub fn cache_metrics(&mut self) -> anyhow::Result<CacheMetrics> {
        if self.caches.is_none() {
            self.caches = Some(CacheMetrics::register(&self.registry)?);
        }
        self.caches.clone().context("the metrics of caches cannot be registered")
    }

    /// Answers calls of these methods (by their paths) that come again with the same
    /// idempotency key with what was answered first: for methods whose effect is more
    /// than one transaction, which therefore cannot store their answer with it. An
    /// answer is kept for a day; of calls at once one runs, and the others wait.
    pub fn answers_once(&mut self, store: &Db, methods: &'static [&'static str]) {
        self.once = Some(Once { store: store.clone(), methods });
    }

    /// The service's own folder.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The folder of the platform's keys.
    #[must_use]
    pub fn keys_dir(&self) -> &Path {
        &self.keys_dir
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Mints caller tokens in the service's name.
    #[must_use]
    pub fn minter(&self) -> Arc<Minter> {
        self.minter.clone()
    }

    /// Ends when the process drains: background work is over soon after.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Lets health say what goes badly while the service answers all the same. It is
    /// degraded then and stays ready: calls sent elsewhere would not help.
    pub fn degraded_by(&mut self, why: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.monitor.set_complaint(Arc::new(why));
    }

    /// Lets the service be unready while it cannot do what it is there for and another
    /// instance can.
    pub fn unready_while(&mut self, why: impl Fn() -> Option<&'static str> + Send + Sync + 'static) {
        self.monitor.set_hindrance(Arc::new(why));
    }

    /// Starts background work once every service of the process is built. It is
    /// told to stop by the token and must then end soon.
    pub fn spawn<F, Fut>(&mut self, name: &'static str, task: F)
    where
        F: FnOnce(CancellationToken) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let future = task(self.stop.clone());
        self.tasks.push((name, Box::pin(future)));
    }
}
