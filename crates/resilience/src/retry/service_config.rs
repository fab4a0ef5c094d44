//! A gRPC service config: who is retried, hedged and for how long, as JSON that
//! every gRPC implementation reads.
//!
//! The parts `methodConfig` (`name`, `timeout`, `retryPolicy`, `hedgingPolicy`)
//! and `retryThrottling` are read; others are ignored, as the
//! [specification](https://github.com/grpc/grpc/blob/master/doc/service_config.md)
//! asks. As in gRFC A6, more than five attempts count as five. Deliberately
//! unlike it, a method is still repeated only when its contract says that it
//! does no harm: a service config can make calls less patient, never less safe.

use super::{BudgetConfig, Codes, Jitter, Policy};
use crate::invalid::Invalid;
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;

/// The longest text, and the most methods in it.
const MAX_BYTES: usize = 256 * 1024;
const MAX_NAMES: usize = 10_000;
/// More attempts than this count as this (gRFC A6).
const MAX_ATTEMPTS: u32 = 5;

/// What one method is told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MethodConfig {
    /// The longest a call may take.
    pub timeout: Option<Duration>,
    /// How it is retried.
    pub retry: Option<Policy>,
    /// How it is hedged: copies in all, and how long after each other.
    pub hedging: Option<Hedging>,
}

/// `hedgingPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedging {
    /// Copies in all, the first included; 2 to 5.
    pub max_attempts: u32,
    /// How long to wait for one before the next is sent.
    pub delay: Duration,
    /// Failures of a copy that do not end the call.
    pub non_fatal: Codes,
}

/// A service config that was read and checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServiceConfig {
    methods: HashMap<String, MethodConfig>,
    throttling: Option<BudgetConfig>,
}

/// A text that is no service config.
#[derive(Debug, thiserror::Error)]
pub enum BadServiceConfig {
    /// It is too long.
    #[error("the service config has {bytes} bytes; at most {MAX_BYTES} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is no JSON of that shape; the text names line and column.
    #[error("the service config cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A value is out of range.
    #[error("methodConfig[{entry}].{invalid}")]
    Entry {
        /// Which entry of `methodConfig`, from 0.
        entry: usize,
        /// The field and the range.
        invalid: Invalid,
    },
    /// The throttling is out of range.
    #[error("retryThrottling.{0}")]
    Throttling(Invalid),
    /// A method is named twice.
    #[error("methodConfig[{entry}] names {name:?}, which an earlier entry names too")]
    Twice {
        /// Which entry of `methodConfig`, from 0.
        entry: usize,
        /// The method, as `service/method`.
        name: String,
    },
    /// Too many methods are named.
    #[error("the service config names more than {MAX_NAMES} methods")]
    TooMany,
}

impl ServiceConfig {
    /// Reads a service config.
    ///
    /// # Errors
    /// Says where the text is wrong: line and column, or field and range.
    pub fn parse(json: &str) -> Result<Self, BadServiceConfig> {
        if json.len() > MAX_BYTES {
            return Err(BadServiceConfig::TooLong { bytes: json.len() });
        }
        let written: Written = serde_json::from_str(json)?;
        let throttling = written.retry_throttling.map(|t| t.read()).transpose();
        let mut config =
            Self { methods: HashMap::new(), throttling: throttling.map_err(BadServiceConfig::Throttling)? };
        for (entry, method) in written.method_config.into_iter().enumerate() {
            config.add(entry, method)?;
        }
        Ok(config)
    }

    fn add(&mut self, entry: usize, written: Entry) -> Result<(), BadServiceConfig> {
        let names: Vec<_> = written.name.iter().map(Name::key).collect();
        let method = written.read().map_err(|invalid| BadServiceConfig::Entry { entry, invalid })?;
        for name in names {
            if self.methods.insert(name.clone(), method.clone()).is_some() {
                return Err(BadServiceConfig::Twice { entry, name });
            }
            if self.methods.len() > MAX_NAMES {
                return Err(BadServiceConfig::TooMany);
            }
        }
        Ok(())
    }

    /// What the method at an HTTP/2 path (`/package.Service/Method`) is told: by
    /// its own entry, else its service's, else the one for all.
    #[must_use]
    pub fn method(&self, path: &str) -> Option<&MethodConfig> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let service = path.split_once('/').map_or(path, |(service, _)| service);
        let find = |name: &str| self.methods.get(name);
        find(path).or_else(|| find(service)).or_else(|| find(""))
    }

    /// The retry budget, if there is one.
    #[must_use]
    pub const fn throttling(&self) -> Option<BudgetConfig> {
        self.throttling
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    method_config: Vec<Entry>,
    retry_throttling: Option<Throttling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    max_tokens: u32,
    token_ratio: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    name: Vec<Name>,
    timeout: Option<String>,
    retry_policy: Option<RetryPolicy>,
    hedging_policy: Option<HedgingPolicy>,
}

#[derive(Deserialize)]
struct Name {
    #[serde(default)]
    service: String,
    #[serde(default)]
    method: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetryPolicy {
    max_attempts: u32,
    initial_backoff: String,
    max_backoff: String,
    backoff_multiplier: f64,
    retryable_status_codes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HedgingPolicy {
    max_attempts: u32,
    #[serde(default)]
    hedging_delay: Option<String>,
    #[serde(default)]
    non_fatal_status_codes: Vec<String>,
}

impl Name {
    fn key(&self) -> String {
        if self.method.is_empty() {
            self.service.clone()
        } else {
            format!("{}/{}", self.service, self.method)
        }
    }
}

impl Throttling {
    fn read(&self) -> Result<BudgetConfig, Invalid> {
        let budget = BudgetConfig { max_tokens: self.max_tokens, token_ratio: self.token_ratio };
        budget.validate().map(|()| budget)
    }
}

impl Entry {
    fn read(self) -> Result<MethodConfig, Invalid> {
        if self.retry_policy.is_some() && self.hedging_policy.is_some() {
            return Err(Invalid::new("hedgingPolicy", "set", "absent where there is a retryPolicy"));
        }
        Ok(MethodConfig {
            timeout: self.timeout.as_deref().map(|text| seconds("timeout", text)).transpose()?,
            retry: self.retry_policy.map(RetryPolicy::read).transpose()?,
            hedging: self.hedging_policy.map(HedgingPolicy::read).transpose()?,
        })
    }
}

impl RetryPolicy {
    fn read(self) -> Result<Policy, Invalid> {
        let multiplier = self.backoff_multiplier;
        if !(1.0..=100.0).contains(&multiplier) {
            return Err(Invalid::new("retryPolicy.backoffMultiplier", multiplier, "from 1 to 100"));
        }
        let codes = codes("retryPolicy.retryableStatusCodes", &self.retryable_status_codes)?;
        if codes.is_empty() {
            return Err(Invalid::new("retryPolicy.retryableStatusCodes", "[]", "at least one code"));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 100 to 10,000
        let multiplier_percent = (multiplier * 100.0) as u32;
        let policy = Policy {
            max_attempts: attempts("retryPolicy.maxAttempts", self.max_attempts)?,
            base: seconds("retryPolicy.initialBackoff", &self.initial_backoff)?,
            cap: seconds("retryPolicy.maxBackoff", &self.max_backoff)?,
            multiplier_percent,
            codes,
            jitter: Jitter::Full,
            max_total: None,
        };
        policy.validate().map(|()| policy)
    }
}

impl HedgingPolicy {
    fn read(self) -> Result<Hedging, Invalid> {
        Ok(Hedging {
            max_attempts: attempts("hedgingPolicy.maxAttempts", self.max_attempts)?,
            delay: self
                .hedging_delay
                .map_or(Ok(Duration::ZERO), |text| seconds("hedgingPolicy.hedgingDelay", &text))?,
            non_fatal: codes("hedgingPolicy.nonFatalStatusCodes", &self.non_fatal_status_codes)?,
        })
    }
}

fn attempts(field: &'static str, attempts: u32) -> Result<u32, Invalid> {
    if attempts < 2 {
        return Err(Invalid::new(field, attempts, "at least 2"));
    }
    Ok(attempts.min(MAX_ATTEMPTS))
}

fn codes(field: &'static str, names: &[String]) -> Result<Codes, Invalid> {
    let read = Codes::parse(names.iter().map(String::as_str));
    read.map_err(|why| Invalid::new(field, why, "a list of names such as UNAVAILABLE"))
}

/// A duration as protobuf writes it in JSON: decimal seconds and an `s`.
fn seconds(field: &'static str, text: &str) -> Result<Duration, Invalid> {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = text.strip_suffix('s').filter(|text| plain(text)).and_then(|text| text.parse::<f64>().ok());
    let duration = number.filter(|n| *n <= 86_400.0).and_then(|n| Duration::try_from_secs_f64(n).ok());
    duration.ok_or_else(|| {
        Invalid::new(field, format_args!("{text:?}"), "seconds such as \"0.5s\", at most a day")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    const FULL: &str = r#"{
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {"name": [{"service": "a.B", "method": "C"}], "timeout": "2.5s",
             "retryPolicy": {"maxAttempts": 9, "initialBackoff": "0.1s", "maxBackoff": "1s",
                             "backoffMultiplier": 1.5, "retryableStatusCodes": ["UNAVAILABLE", "aborted"]}},
            {"name": [{"service": "a.B"}], "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.05s"}},
            {"name": [{}], "timeout": "30s"}
        ],
        "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.5}
    }"#;

    #[test]
    fn the_nearest_entry_counts() {
        let config = ServiceConfig::parse(FULL).unwrap();
        assert_eq!(config.throttling(), Some(BudgetConfig { max_tokens: 20, token_ratio: 0.5 }));
        let own = config.method("/a.B/C").unwrap();
        assert_eq!(own.timeout, Some(Duration::from_millis(2_500)));
        let retry = own.retry.unwrap();
        assert_eq!((retry.max_attempts, retry.multiplier_percent), (5, 150));
        assert_eq!(retry.codes, Codes::of(&[Code::Unavailable, Code::Aborted]));
        let waits: Vec<_> = (1..=8).map(|n| retry.bound(n).as_millis()).collect();
        assert_eq!(waits, [100, 150, 225, 337, 506, 759, 1_000, 1_000]);
        let service = config.method("/a.B/Other").unwrap().hedging.unwrap();
        assert_eq!((service.max_attempts, service.delay), (3, Duration::from_millis(50)));
        assert_eq!(config.method("/x.Y/Z").unwrap().timeout, Some(Duration::from_secs(30)));
        assert_eq!(ServiceConfig::parse("{}").unwrap().method("/x.Y/Z"), None);
    }

    #[test]
    fn what_cannot_work_is_refused_by_place() {
        let check = |text: &str, part: &str| {
            let error = ServiceConfig::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        };
        let entry = |inside: &str| format!(r#"{{"methodConfig": [{{"name": [{{}}], {inside}}}]}}"#);
        let retry = |attempts: &str, base: &str, factor: &str, codes: &str| {
            entry(&format!(
                r#""retryPolicy": {{"maxAttempts": {attempts}, "initialBackoff": {base}, "maxBackoff": "1s",
                "backoffMultiplier": {factor}, "retryableStatusCodes": {codes}}}"#
            ))
        };
        check("{", "line 1 column 1");
        check(&" ".repeat(MAX_BYTES + 1), "at most 262144");
        check(&entry(r#""timeout": "3""#), "methodConfig[0].timeout is \"3\"");
        check(&entry(r#""timeout": "-1s""#), "it must be seconds such as");
        check(&entry(r#""timeout": "1e9s""#), "it must be seconds such as");
        check(&entry(r#""timeout": "86401s""#), "at most a day");
        check(&retry("1", r#""0.1s""#, "2", r#"["UNAVAILABLE"]"#), "maxAttempts is 1; it must be at least 2");
        check(&retry("3", r#""0s""#, "2", r#"["UNAVAILABLE"]"#), "base_ms is 0 ms");
        check(&retry("3", r#""0.1s""#, "0.5", r#"["UNAVAILABLE"]"#), "backoffMultiplier is 0.5");
        check(&retry("3", r#""0.1s""#, "2", "[]"), "at least one code");
        check(&retry("3", r#""0.1s""#, "2", r#"["NOPE"]"#), "\"NOPE\" is no gRPC code");
        check(
            r#"{"retryThrottling": {"maxTokens": 0, "tokenRatio": 0.1}}"#,
            "retryThrottling.max_tokens is 0",
        );
        check(r#"{"methodConfig": [{"name": [{}]}, {"name": [{}]}]}"#, "methodConfig[1] names \"\"");
        let both = r#""retryPolicy": {"maxAttempts": 2, "initialBackoff": "1s", "maxBackoff": "1s",
            "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}, "hedgingPolicy": {"maxAttempts": 2}"#;
        check(&entry(both), "absent where there is a retryPolicy");
    }
}
