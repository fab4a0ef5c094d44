//! Configuration: flags > environment > file > defaults, the same keys in both
//! shapes.
//!
//! A file is TOML with a section a service (`[anti_corruption]`), `[host]`,
//! `[peers]`, `[resilience]`, `[cache]`, `[tls]` and `[telemetry]`. The environment overrides single keys:
//! `PROBITY_INTAKE__MAX_DOCUMENT_BYTES=1048576`. A key nobody knows is refused
//! with its name rather than ignored.

use crate::edges::edges;
use anyhow::{Context as _, bail};
use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use figment::value::{Dict, Value};
use probity_resilience::retry::BudgetConfig;
use probity_resilience::{Policy, balance, breaker, bulkhead, hedge, limit, performance, stack};
use probity_storage::DbConfig;
use probity_storage::redis::RedisConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The configuration of one service.
pub trait ServiceConfig: DeserializeOwned + Default + Send + Sync + 'static {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key, its value and what is allowed.
    fn validate(&self) -> Result<(), String>;
}

/// `[host]`: the process.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// Folder for everything that is kept; `./data` when absent.
    pub data_dir: Option<PathBuf>,
    /// Folder of the keys; `<data_dir>/keys` when absent. Services in processes
    /// of their own share it, or are given its public halves.
    pub keys_dir: Option<PathBuf>,
    /// Where metrics, probes and the redacted configuration are served.
    pub admin_listen: Option<SocketAddr>,
    /// A platform to try things on: faults can be injected for drills.
    pub development: bool,
    /// How long it goes on as before after it was asked to stop, no longer ready, so that
    /// load balancers look elsewhere; at most 10,000 ms.
    pub drain_lead_ms: u64,
}

impl HostConfig {
    /// A third of the time that an orderly end has.
    const LONGEST_LEAD_MS: u64 = 10_000;

    fn validate(&self) -> Result<(), String> {
        let (lead, most) = (self.drain_lead_ms, Self::LONGEST_LEAD_MS);
        if lead > most {
            return Err(format!("drain_lead_ms = {lead}: must be at most {most}"));
        }
        Ok(())
    }
}

/// `[resilience]`: how every service deals with its peers.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResilienceConfig {
    /// How often and how patiently a call that may be repeated is tried again.
    pub retry: Policy,
    /// How much trying again a peer is worth.
    pub budget: BudgetConfig,
    /// When a peer is left alone.
    pub breaker: breaker::Config,
    /// How many calls to a peer may be under way and wait.
    pub bulkhead: bulkhead::Config,
    /// If set, slow reads are sent twice.
    pub hedge: Option<hedge::Config>,
    /// How the endpoints of a peer that has several share its calls.
    pub balance: balance::Config,
    /// If set, every service finds out how many calls at once are sensible, and
    /// refuses the least important ones beyond that.
    pub limit: Option<limit::Config>,
    /// Which operations count as slow, and how long they are remembered.
    pub performance: performance::Config,
}

impl Default for ResilienceConfig {
    /// A peer that restarts is back within a second or two; what takes longer is
    /// the business of the workflow's own retries, which survive a crash.
    fn default() -> Self {
        let (base, cap) = (Duration::from_millis(50), Duration::from_millis(500));
        Self {
            retry: Policy { base, cap, max_total: Some(Duration::from_secs(5)), ..Policy::QUICK },
            budget: BudgetConfig::default(),
            breaker: breaker::Config::default(),
            bulkhead: bulkhead::Config { max_concurrent: 1_024, max_waiting: 1_024, max_wait_ms: 1_000 },
            hedge: None,
            balance: balance::Config::default(),
            limit: None,
            performance: performance::Config::default(),
        }
    }
}

impl ResilienceConfig {
    /// Refuses what cannot work.
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.settings().validate()?;
        self.balance.outlier.validate().map_err(|error| format!("balance.outlier.{error}"))?;
        self.limit.map_or(Ok(()), |limit| limit.validate()).map_err(|error| format!("limit.{error}"))?;
        self.performance.validate().map_err(|error| format!("performance.{error}"))
    }

    /// The settings of a client stack. Callers set deadlines of their own; the
    /// longest of a step is an hour.
    pub(crate) const fn settings(&self) -> stack::Settings {
        stack::Settings {
            timeout_ms: 3_600_000,
            attempt_timeout_ms: 0,
            retry: self.retry,
            budget: self.budget,
            breaker: self.breaker,
            bulkhead: self.bulkhead,
            hedge: self.hedge,
        }
    }
}

/// `[cache]`: what services keep of what they have read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// The server on which processes share what they have read; each has its own memory
    /// alone when absent. It may go away at any time.
    pub redis: Option<RedisConfig>,
}

/// `[tls]`: mutual TLS between services. Off unless `development` is true or
/// certificate, key and authority are given. The door has no part in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Makes an authority in the folder of the keys, and certificates from it. For
    /// development and single machines.
    pub development: bool,
    /// The certificate of the service with its chain, in PEM. It must carry the DNS
    /// name `<service>.<domain>`.
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key: Option<PathBuf>,
    /// The authorities that certificates of other services are held against, in PEM.
    pub ca: Option<PathBuf>,
    /// What names of services end with in certificates.
    pub domain: String,
    /// How often new certificates are looked for, in milliseconds.
    pub reload_ms: u64,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            development: false,
            certificate: None,
            key: None,
            ca: None,
            domain: "probity.internal".to_owned(),
            reload_ms: 10_000,
        }
    }
}

impl TlsConfig {
    /// Refuses what cannot work.
    fn validate(&self) -> Result<(), String> {
        let given = [&self.certificate, &self.key, &self.ca].into_iter().flatten().count();
        match given {
            0 => {}
            3 if self.development => return Err("has files and development = true; choose one".to_owned()),
            3 => {}
            _ => return Err("needs all of certificate, key and ca, or none of them".to_owned()),
        }
        if !(100..=3_600_000).contains(&self.reload_ms) {
            return Err(format!("reload_ms is {}; it must be from 100 to 3600000", self.reload_ms));
        }
        let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if self.domain.len() > 200 || !self.domain.split('.').all(label) {
            return Err(format!(
                "domain is {:?}; it must be a DNS name such as probity.internal",
                self.domain
            ));
        }
        Ok(())
    }

    /// Where certificates are, if they are files.
    pub(crate) fn files(&self) -> Option<crate::tls::Paths> {
        let (certificate, key) = (self.certificate.clone()?, self.key.clone()?);
        Some(crate::tls::Paths { certificate, key, authority: self.ca.clone()? })
    }
}

/// `[<service>.server]`: the listener of one service.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Where to listen; 127.0.0.1 and the port of `edges.toml` when absent.
    pub listen: Option<SocketAddr>,
    /// Longest time a call may take, in milliseconds.
    pub timeout_ms: u64,
    /// Most connections at once.
    pub max_connections: usize,
    /// Most streams at once on one connection.
    pub max_concurrent_streams: u32,
    /// Most calls in work at once; more are answered RESOURCE_EXHAUSTED.
    pub max_in_flight: usize,
    /// Largest header block in bytes.
    pub max_header_bytes: u32,
    /// Time a client has to send its request headers, in milliseconds.
    pub header_timeout_ms: u64,
    /// Longest time a client may leave what is sent to it unread, in milliseconds.
    pub write_stall_ms: u64,
    /// Age at which a connection is asked to end, in milliseconds; calls under way
    /// on it are finished first. 0 for no limit.
    pub max_connection_age_ms: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: None,
            timeout_ms: 600_000,
            max_connections: 4_096,
            max_concurrent_streams: 256,
            max_in_flight: 2_048,
            max_header_bytes: 32 * 1024,
            header_timeout_ms: 10_000,
            write_stall_ms: 60_000,
            max_connection_age_ms: 3_600_000,
        }
    }
}

/// The whole configuration of a process, read and merged.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[host]`.
    pub host: HostConfig,
    /// `[peers]`: where services that are not in this process listen: an address, or
    /// several with commas between them, each with a weight if it wants one
    /// (`http://10.0.0.7:8086;weight=3`).
    pub peers: BTreeMap<String, String>,
    /// `[telemetry]`.
    pub telemetry: probity_telemetry::TelemetryConfig,
    /// `[resilience]`.
    pub resilience: ResilienceConfig,
    /// `[tls]`.
    pub tls: TlsConfig,
    /// `[cache]`.
    pub cache: CacheConfig,
    sections: Dict,
}

const PREFIX: &str = "PROBITY_";
const COMMON: [&str; 6] = ["host", "peers", "telemetry", "resilience", "tls", "cache"];

/// The section of a service: its name with underscores.
#[must_use]
pub fn section(service: &str) -> String {
    service.replace('-', "_")
}

impl Settings {
    /// Reads the file, if one is given, and the environment over it.
    ///
    /// # Errors
    /// When the file cannot be read, or a key is unknown or of a wrong type;
    /// the message names it.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut figment = Figment::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the configuration file {} cannot be read", path.display()))?;
            figment = figment.merge(Toml::string(&text));
        }
        Self::from_figment(&figment.merge(Env::prefixed(PREFIX).split("__")))
    }

    fn from_figment(figment: &Figment) -> anyhow::Result<Self> {
        let mut sections: Dict = figment.extract().context("the configuration cannot be read")?;
        // Single words in the environment (PROBITY_TOKEN, PROBITY_DATA) are
        // settings of the command line, not sections.
        sections.retain(|_, value| matches!(value, Value::Dict(..)));
        let known =
            |name: &str| COMMON.contains(&name) || edges().services.iter().any(|s| section(&s.name) == name);
        if let Some(unknown) = sections.keys().find(|name| !known(name)) {
            let names: Vec<_> = edges().services.iter().map(|s| section(&s.name)).collect();
            bail!("[{unknown}] is no section; there are {}, {}", COMMON.join(", "), names.join(", "));
        }
        let resilience: ResilienceConfig = take(&mut sections, "resilience")?;
        resilience.validate().map_err(|why| anyhow::anyhow!("[resilience] {why}"))?;
        let tls: TlsConfig = take(&mut sections, "tls")?;
        tls.validate().map_err(|why| anyhow::anyhow!("[tls] {why}"))?;
        let cache: CacheConfig = take(&mut sections, "cache")?;
        let redis = cache.redis.as_ref().map_or(Ok(()), RedisConfig::validate);
        redis.map_err(|why| anyhow::anyhow!("[cache.redis] {why}"))?;
        let host: HostConfig = take(&mut sections, "host")?;
        host.validate().map_err(|why| anyhow::anyhow!("[host] {why}"))?;
        Ok(Self {
            host,
            resilience,
            tls,
            cache,
            peers: take(&mut sections, "peers")?,
            telemetry: take(&mut sections, "telemetry")?,
            sections,
        })
    }

    /// The configuration of one service: its own keys, its database if it says
    /// which, and its listener.
    ///
    /// # Errors
    /// Names the section and the key that is wrong.
    pub fn service<C: ServiceConfig>(&self, name: &str) -> anyhow::Result<ServiceSettings<C>> {
        let section = section(name);
        let mut keys = match self.sections.get(&section) {
            Some(Value::Dict(_, dict)) => dict.clone(),
            _ => Dict::new(),
        };
        let database = keys.remove("database").map(|v| read(&section, "database", &v)).transpose()?;
        let server = keys.remove("server").map(|v| read(&section, "server", &v)).transpose()?;
        let own: C = if keys.is_empty() { C::default() } else { read(&section, "", &Value::from(keys))? };
        own.validate().map_err(|why| anyhow::anyhow!("[{section}] {why}"))?;
        Ok(ServiceSettings { own, database, server: server.unwrap_or_default() })
    }

    /// Sets one key of a service's section, as a flag of the command line does; a key
    /// with dots is one of a section inside.
    pub fn set(&mut self, service: &str, key: &str, value: impl Into<Value>) {
        let mut path: Vec<&str> = key.split('.').collect();
        let last = path.pop().unwrap_or_default();
        let empty = || Value::from(Dict::new());
        let mut slot = self.sections.entry(section(service)).or_insert_with(empty);
        for part in path {
            if !matches!(slot, Value::Dict(..)) {
                *slot = empty();
            }
            let Value::Dict(_, dict) = slot else { return };
            slot = dict.entry(part.to_owned()).or_insert_with(empty);
        }
        if !matches!(slot, Value::Dict(..)) {
            *slot = empty();
        }
        if let Value::Dict(_, dict) = slot {
            dict.insert(last.to_owned(), value.into());
        }
    }
}

/// What [`Settings::service`] gives.
#[derive(Debug)]
pub struct ServiceSettings<C> {
    /// The service's own keys.
    pub own: C,
    /// Its database, when one is named.
    pub database: Option<DbConfig>,
    /// Its listener.
    pub server: ServerConfig,
}

fn take<T: DeserializeOwned + Default>(sections: &mut Dict, name: &str) -> anyhow::Result<T> {
    sections.remove(name).map_or_else(|| Ok(T::default()), |value| read(name, "", &value))
}

fn read<T: DeserializeOwned>(section: &str, key: &str, value: &Value) -> anyhow::Result<T> {
    let place = if key.is_empty() { format!("[{section}]") } else { format!("[{section}.{key}]") };
    // Through a figment of its own, so that the error names the key.
    Figment::from(Serialized::defaults(value))
        .extract()
        .with_context(|| format!("{place} of the configuration cannot be used"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Config {
        limit: u32,
    }
    impl Default for Config {
        fn default() -> Self {
            Self { limit: 5 }
        }
    }
    impl ServiceConfig for Config {
        fn validate(&self) -> Result<(), String> {
            if self.limit == 0 { Err("limit = 0: must be at least 1".into()) } else { Ok(()) }
        }
    }

    fn load(toml: &str) -> anyhow::Result<ServiceSettings<Config>> {
        Settings::from_figment(&Figment::from(Toml::string(toml)))?.service::<Config>("anti-corruption")
    }

    #[test]
    fn reads_a_section_or_takes_defaults() {
        let check = |toml: &str, limit: u32| assert_eq!(load(toml).expect(toml).own.limit, limit);
        check("", 5);
        check("[anti_corruption]\nlimit = 7", 7);
        check("[anti_corruption.server]\ntimeout_ms = 1", 5);
        check("[intake]\nwhatever = 1", 5);
    }

    #[test]
    fn names_what_is_wrong() {
        let check = |toml: &str, part: &str| {
            let text = format!("{:#}", load(toml).expect_err(toml));
            assert!(text.contains(part), "{text}");
        };
        check("[anti_corruption]\nlimit = 0", "must be at least 1");
        check("[anti_corruption]\nlimits = 3", "limits");
        check("[anti_corruption]\nlimit = \"x\"", "limit");
        check("[antycorruption]\nlimit = 3", "antycorruption");
        check("[host]\ndatadir = 3", "datadir");
        check("[host]\ndrain_lead_ms = 10001", "[host] drain_lead_ms = 10001: must be at most 10000");
        check("[anti_corruption.server]\nport = 3", "port");
        check("[resilience]\nbreakers = 3", "breakers");
        check("[resilience.breaker]\nopen_ms = 0", "[resilience] breaker.open_ms is 0; it must be from 1 to");
        check("[resilience.retry]\nmax_attempts = 0\nbase_ms = 1\ncap_ms = 1", "max_attempts is 0");
        check("[resilience.balance]\nstrategy = \"best\"", "strategy");
        check(
            "[resilience.balance.outlier]\nmax_percent = 0",
            "[resilience] balance.outlier.max_percent is 0",
        );
        check("[resilience.limit]\nmin = 0", "[resilience] limit.min is 0");
        check("[tls]\ncertificate = \"a\"", "[tls] needs all of certificate, key and ca");
        check("[tls]\nreload_ms = 1", "[tls] reload_ms is 1; it must be from 100");
        check("[tls]\ndomain = \"a b\"", "domain is \"a b\"");
        check("[tls]\ndevelopment = true\ncertificate = \"a\"\nkey = \"b\"\nca = \"c\"", "choose one");
        check("[cache.redis]\nurl = \"redis://h\"\ntimeout_ms = 1", "[cache.redis]");
        check("[cache]\nttl_ms = 1", "ttl_ms");
        check("[resilience.budget]\ntoken_ratio = 1.5", "[resilience] budget.token_ratio is 1.5");
    }
}
