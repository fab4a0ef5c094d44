//! The `[orchestrator]` section.

use crate::gate::FOR_GOOD;
use probity_queue::{Policy, Rate, TenantRule};
use probity_runtime::ServiceConfig;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Configuration of the orchestrator.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name of this replica: who owns the lane. A replica that starts again under
    /// its old name takes over at once; another waits for the lease to end.
    pub replica: String,
    /// Where other replicas call this one, such as `http://10.0.0.7:8081`; empty when
    /// it is the only one.
    pub advertise: String,
    /// How long the lane belongs to its owner without a sign of life, in ms.
    pub lease_ttl_ms: u64,
    /// Most messages that wait for the lane; more are answered RESOURCE_EXHAUSTED.
    pub queue: usize,
    /// Most turns in one commit.
    pub max_batch: usize,
    /// Most calls to peers at once.
    pub max_calls_in_flight: usize,
    /// Most open dead letters of a tenant; with as many nothing new is started for it.
    pub dead_letter_capacity: u64,
    /// How long requeued and discarded dead letters are kept, in days.
    pub dead_letter_retention_days: u64,
    /// Of how many executions it is kept in memory what is shown of them.
    pub views_kept: usize,
    /// Days for which an answer is kept for its idempotency key.
    pub idempotency_days: u32,
    /// Health is degraded when something that could be done has waited longer than this,
    /// in ms; never when 0.
    pub degraded_after_ms: u64,
    /// The server on which replicas share their tasks, so that a worker of any of them
    /// gets the tasks of all; each keeps its own when absent.
    pub redis: Option<Redis>,
    /// What each tenant may use for calls of its steps.
    pub calls: Calls,
}

/// The `[orchestrator.calls]` section. Each replica counts by itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calls {
    /// Most calls of a tenant at once; as many as there is room for when absent.
    pub max_per_tenant: Option<u32>,
    /// How many calls of a tenant may begin a second; as many as come when absent.
    pub rate_per_tenant: Option<u32>,
    /// Others for single tenants, by name.
    pub tenants: BTreeMap<String, TenantCalls>,
}

/// What one tenant may use.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantCalls {
    /// Most calls at once.
    pub max: Option<u32>,
    /// How many may begin a second.
    pub rate: Option<u32>,
}

impl Calls {
    /// The rules as the gate takes them; none when nothing is limited.
    pub(crate) fn policy(&self) -> Option<Policy> {
        let rule = |max: Option<u32>, rate: Option<u32>| TenantRule {
            concurrency: max,
            rate: rate.map(Rate::per_second),
            ..TenantRule::default()
        };
        let tenant = rule(self.max_per_tenant, self.rate_per_tenant);
        let own = self.tenants.iter().map(|(name, own)| (name.clone(), rule(own.max, own.rate)));
        let policy = Policy { lease: FOR_GOOD, tenant, tenants: own.collect(), ..Policy::default() };
        (policy.tenant != TenantRule::default() || !policy.tenants.is_empty()).then_some(policy)
    }
}

/// The `[orchestrator.redis]` section.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://[user:password@]host[:port][/database]`.
    pub url: String,
    /// What every key begins with; platforms that share a server need different ones.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// The longest a connection or an answer may take, in ms.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

/// Without the address, which may hold a password.
impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn prefix() -> String {
    "probity".to_owned()
}

const fn timeout_ms() -> u64 {
    2_000
}

impl Redis {
    /// As the queue takes it. Payloads are whole tasks: an input of 1 MiB and what
    /// is around it.
    pub(crate) fn queue(&self) -> probity_queue::RedisConfig {
        let limits = probity_queue::Limits { payload_bytes: 2 << 20, ..probity_queue::Limits::default() };
        probity_queue::RedisConfig {
            prefix: self.prefix.clone(),
            timeout: Duration::from_millis(self.timeout_ms),
            limits,
            ..probity_queue::RedisConfig::new(self.url.clone())
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            replica: "orchestrator-0".to_owned(),
            advertise: String::new(),
            lease_ttl_ms: 5_000,
            queue: 8_192,
            max_batch: 256,
            max_calls_in_flight: 256,
            dead_letter_capacity: 100_000,
            dead_letter_retention_days: 30,
            views_kept: 1_024,
            idempotency_days: 90,
            degraded_after_ms: 60_000,
            redis: None,
            calls: Calls::default(),
        }
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), String> {
        let at_least = |name: &str, value: u64, least: u64| {
            if value < least { Err(format!("{name} = {value}: must be at least {least}")) } else { Ok(()) }
        };
        if self.replica.is_empty() {
            return Err("replica must not be empty".to_owned());
        }
        at_least("lease_ttl_ms", self.lease_ttl_ms, 500)?;
        at_least("queue", self.queue as u64, 1)?;
        at_least("max_batch", self.max_batch as u64, 1)?;
        at_least("max_calls_in_flight", self.max_calls_in_flight as u64, 1)?;
        at_least("dead_letter_capacity", self.dead_letter_capacity, 1)?;
        at_least("dead_letter_retention_days", self.dead_letter_retention_days, 1)?;
        at_least("views_kept", self.views_kept as u64, 1)?;
        at_least("idempotency_days", self.idempotency_days.into(), 1)?;
        let shared = self.redis.as_ref().map_or(Ok(()), |redis| redis.queue().validate());
        shared.map_err(|error| format!("redis: {error}"))?;
        let calls = self.calls.policy().map_or(Ok(()), |policy| policy.validate());
        calls.map_err(|error| format!("calls: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let check = |config: Config, part: &str| {
            assert!(config.validate().is_err_and(|why| why.contains(part)));
        };
        check(Config { lease_ttl_ms: 0, ..Config::default() }, "lease_ttl_ms");
        check(Config { dead_letter_capacity: 0, ..Config::default() }, "dead_letter_capacity");
        check(Config { dead_letter_retention_days: 0, ..Config::default() }, "retention_days");
        check(Config { queue: 0, ..Config::default() }, "queue");
        let redis = |url: &str, timeout_ms| Some(Redis { url: url.to_owned(), prefix: prefix(), timeout_ms });
        check(Config { redis: redis("redis://localhost", 0), ..Config::default() }, "redis");
        let calls = Calls { max_per_tenant: Some(0), ..Calls::default() };
        check(Config { calls, ..Config::default() }, "calls");
        check(Config { replica: String::new(), ..Config::default() }, "replica");
    }
}
