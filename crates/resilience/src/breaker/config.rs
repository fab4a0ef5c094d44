//! What a breaker can be told.

use crate::invalid::{Invalid, share, within};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A day: nothing here is sensible beyond it.
const DAY_MS: u64 = 86_400_000;
/// The longest window of calls: a byte each.
const MOST_CALLS: u32 = 100_000;

/// When a breaker opens, for how long, and what closes it again. Times are in
/// milliseconds, rates from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Failures in the window that open it; 1 to 1,000,000.
    pub failure_threshold: u32,
    /// If set, these failures must also be at least this share of the calls in
    /// the window, of which there must be `min_calls`.
    pub failure_rate: Option<f64>,
    /// A call that takes at least this long counts as slow.
    pub slow_call_ms: u64,
    /// If set, opens it when at least this share of `min_calls` or more calls
    /// in the window was slow.
    pub slow_rate: Option<f64>,
    /// The fewest calls a rate is computed of.
    pub min_calls: u32,
    /// The window: what is older is forgotten, exact to a twelfth of it.
    pub window_ms: u64,
    /// If set, the window is the last so many calls, however long ago.
    pub window_calls: Option<u32>,
    /// How long it stays open before probes may pass.
    pub open_ms: u64,
    /// Probes that must succeed in a row to close it.
    pub success_threshold: u32,
    /// Probes at once.
    pub max_probes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            failure_rate: None,
            slow_call_ms: 5_000,
            slow_rate: None,
            min_calls: 10,
            window_ms: 120_000,
            window_calls: None,
            open_ms: 60_000,
            success_threshold: 2,
            max_probes: 2,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("failure_threshold", self.failure_threshold, 1..=1_000_000)?;
        within("slow_call_ms", self.slow_call_ms, 1..=DAY_MS)?;
        within("min_calls", self.min_calls, 1..=1_000_000)?;
        within("window_ms", self.window_ms, 12..=DAY_MS)?;
        within("open_ms", self.open_ms, 1..=DAY_MS)?;
        within("success_threshold", self.success_threshold, 1..=1_000)?;
        within("max_probes", self.max_probes, 1..=1_000)?;
        self.failure_rate.map_or(Ok(()), |rate| share("failure_rate", rate))?;
        self.slow_rate.map_or(Ok(()), |rate| share("slow_rate", rate))?;
        self.window_calls.map_or(Ok(()), |calls| self.validate_calls(calls))
    }

    /// A window of calls must be able to hold what opens the breaker.
    fn validate_calls(&self, calls: u32) -> Result<(), Invalid> {
        let rates = self.failure_rate.is_some() || self.slow_rate.is_some();
        let needed = if rates { self.min_calls.max(self.failure_threshold) } else { self.failure_threshold };
        if needed > MOST_CALLS {
            return within("failure_threshold", needed, 1..=MOST_CALLS);
        }
        within("window_calls", calls, needed..=MOST_CALLS)
    }

    pub(super) const fn open(&self) -> Duration {
        Duration::from_millis(self.open_ms)
    }

    pub(super) const fn slow_call(&self) -> Duration {
        Duration::from_millis(self.slow_call_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_promised_ones() {
        let config: Config = toml::from_str("").unwrap();
        assert_eq!(config, Config::default());
        let Config { failure_threshold, success_threshold, open_ms, window_ms, .. } = config;
        assert_eq!((failure_threshold, success_threshold, open_ms, window_ms), (5, 2, 60_000, 120_000));
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |toml: &str, expect: Option<&str>| {
            let config: Config = toml::from_str(toml).unwrap();
            assert_eq!(config.validate().err().map(|e| e.to_string()).as_deref(), expect, "{toml}");
        };
        check("open_ms = 0", Some("open_ms is 0; it must be from 1 to 86400000"));
        check("open_ms = 86400001", Some("open_ms is 86400001; it must be from 1 to 86400000"));
        check("failure_threshold = 0", Some("failure_threshold is 0; it must be from 1 to 1000000"));
        check("success_threshold = 0", Some("success_threshold is 0; it must be from 1 to 1000"));
        check("max_probes = 0", Some("max_probes is 0; it must be from 1 to 1000"));
        check("window_ms = 11", Some("window_ms is 11; it must be from 12 to 86400000"));
        check("slow_call_ms = 0", Some("slow_call_ms is 0; it must be from 1 to 86400000"));
        check("min_calls = 0", Some("min_calls is 0; it must be from 1 to 1000000"));
        check("failure_rate = 1.5", Some("failure_rate is 1.5; it must be above 0 and at most 1"));
        check("slow_rate = 0.0", Some("slow_rate is 0; it must be above 0 and at most 1"));
        check("window_calls = 4", Some("window_calls is 4; it must be from 5 to 100000"));
        check("window_calls = 5", None);
        check(
            "window_calls = 9\nfailure_rate = 0.5",
            Some("window_calls is 9; it must be from 10 to 100000"),
        );
        check("window_calls = 10\nfailure_rate = 0.5", None);
        check(
            "window_calls = 9\nfailure_threshold = 200000",
            Some("failure_threshold is 200000; it must be from 1 to 100000"),
        );
        assert!(
            toml::from_str::<Config>("open = 3").unwrap_err().to_string().contains("unknown field `open`")
        );
    }
}
