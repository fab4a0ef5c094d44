//! `[compliance_validator]`: limits on policies and on what they may cost.

use probity_runtime::ServiceConfig;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The configuration of this service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Longest source of a policy in bytes.
    pub max_source_bytes: usize,
    /// Most policies of a tenant, the starter set not counted.
    pub max_policies: usize,
    /// Most bytes of all active policies of a tenant together.
    pub max_total_bytes: usize,
    /// Time one policy may take for one case, in milliseconds.
    pub time_limit_ms: u64,
    /// How long after that a policy that does not stop is given up.
    pub overrun_ms: u64,
    /// Time all policies of a case may take together, in milliseconds.
    pub evaluation_limit_ms: u64,
    /// Time the check of a new policy may take, in milliseconds.
    pub compile_limit_ms: u64,
    /// Time-outs in a row after which a policy is set aside.
    pub quarantine_after: u32,
    /// How long it is set aside, in seconds.
    pub quarantine_s: u64,
    /// Threads that evaluate.
    pub workers: usize,
    /// Stack of each, in MiB; the memory is used only as far as it is needed.
    pub stack_mib: usize,
    /// Most threads that may be lost to policies that do not stop.
    pub max_stuck: usize,
    /// How long a call waits for a thread, in milliseconds.
    pub queue_wait_ms: u64,
    /// Most compiled policies kept in memory.
    pub cache_entries: usize,
    /// Days for which an answer is kept for its idempotency key.
    pub idempotency_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_source_bytes: 256 * 1024,
            max_policies: 64,
            max_total_bytes: 2 * 1024 * 1024,
            time_limit_ms: 100,
            overrun_ms: 1_000,
            evaluation_limit_ms: 2_000,
            compile_limit_ms: 5_000,
            quarantine_after: 3,
            quarantine_s: 300,
            workers: 2,
            stack_mib: 128,
            max_stuck: 4,
            queue_wait_ms: 5_000,
            cache_entries: 256,
            idempotency_days: 90,
        }
    }
}

/// A key, its value, and the values it may have.
type Bound = (&'static str, u64, std::ops::RangeInclusive<u64>);

impl Config {
    fn bounds(&self) -> [Bound; 15] {
        [
            ("max_source_bytes", self.max_source_bytes as u64, 1_024..=1024 * 1024),
            ("max_policies", self.max_policies as u64, 1..=1_000),
            ("max_total_bytes", self.max_total_bytes as u64, 1_024..=3 * 1024 * 1024),
            ("time_limit_ms", self.time_limit_ms, 1..=60_000),
            ("overrun_ms", self.overrun_ms, 100..=60_000),
            ("evaluation_limit_ms", self.evaluation_limit_ms, 1..=60_000),
            ("compile_limit_ms", self.compile_limit_ms, 100..=60_000),
            ("quarantine_after", self.quarantine_after.into(), 1..=1_000),
            ("quarantine_s", self.quarantine_s, 1..=86_400),
            ("workers", self.workers as u64, 1..=64),
            ("stack_mib", self.stack_mib as u64, 64..=1_024),
            ("max_stuck", self.max_stuck as u64, 0..=64),
            ("queue_wait_ms", self.queue_wait_ms, 1..=60_000),
            ("cache_entries", self.cache_entries as u64, 1..=100_000),
            ("idempotency_days", self.idempotency_days.into(), 1..=3_650),
        ]
    }

    /// Time one policy may take.
    #[must_use]
    pub const fn time_limit(&self) -> Duration {
        Duration::from_millis(self.time_limit_ms)
    }

    /// After this a policy is given up. It is tried twice before.
    #[must_use]
    pub const fn give_up_after(&self) -> Duration {
        Duration::from_millis(self.time_limit_ms.saturating_mul(2).saturating_add(self.overrun_ms))
    }

    /// Time all policies of a case may take.
    #[must_use]
    pub const fn evaluation_limit(&self) -> Duration {
        Duration::from_millis(self.evaluation_limit_ms)
    }

    /// Time the check of a policy may take.
    #[must_use]
    pub const fn compile_limit(&self) -> Duration {
        Duration::from_millis(self.compile_limit_ms)
    }

    /// How long a policy is set aside.
    #[must_use]
    pub const fn quarantine(&self) -> Duration {
        Duration::from_secs(self.quarantine_s)
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), String> {
        for (key, value, allowed) in self.bounds() {
            if !allowed.contains(&value) {
                return Err(format!("{key} = {value}: must be {} to {}", allowed.start(), allowed.end()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_nonsense_is_named() {
        Config::default().validate().unwrap();
        let zero = Config { time_limit_ms: 0, ..Config::default() };
        assert_eq!(zero.validate().unwrap_err(), "time_limit_ms = 0: must be 1 to 60000");
        let stack = Config { stack_mib: 8, ..Config::default() };
        assert!(stack.validate().unwrap_err().starts_with("stack_mib = 8"));
    }
}
