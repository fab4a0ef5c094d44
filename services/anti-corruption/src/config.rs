//! `[anti_corruption]`.

use crate::domain::Settings;
use probity_runtime::ServiceConfig;
use serde::{Deserialize, Serialize};

/// The configuration of the service.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes of all documents of one investigation together.
    pub max_input_bytes: usize,
    /// Investigations in work at once; more wait.
    pub max_concurrent: usize,
    /// Bytes of the documents of one watchlist together.
    pub max_watchlist_bytes: usize,
    /// Days for which an answer is kept for its idempotency key.
    pub idempotency_days: u32,
    /// Thresholds of the rules and bounds of what is kept.
    pub rules: Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_input_bytes: 256 * 1024 * 1024,
            max_concurrent: 8,
            max_watchlist_bytes: 64 * 1024 * 1024,
            idempotency_days: 90,
            rules: Settings::default(),
        }
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), String> {
        within("max_input_bytes", self.max_input_bytes, 1_024, 2 * 1024 * 1024 * 1024)?;
        within("max_concurrent", self.max_concurrent, 1, 1_024)?;
        within("max_watchlist_bytes", self.max_watchlist_bytes, 1_024, 1024 * 1024 * 1024)?;
        within("idempotency_days", self.idempotency_days as usize, 1, 3_650)?;
        self.rules.validate().map_err(|error| format!("rules.{error}"))
    }
}

fn within(key: &str, value: usize, least: usize, most: usize) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{key} is {value}; it must be from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_unknown_ones_refused() {
        let text = r#"{"max_concurrent":2,"rules":{"payment":{"approval_limit":"5000.50","approval_limits":{"JPY":"9"}},
            "tender":{"submission_days":{"open":30}}}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.rules.payment.approval_limit.to_string(), "5000.50");
        assert_eq!(config.rules.payment.limit_of("JPY").to_string(), "9");
        assert_eq!(config.rules.tender.submission_days.get("selective"), None);
        assert_eq!(config.max_input_bytes, Config::default().max_input_bytes);
        assert!(serde_json::from_str::<Config>(r#"{"rules":{"max_row":1}}"#).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let check = |change: fn(&mut Config), key: &str| {
            let mut config = Config::default();
            change(&mut config);
            assert!(config.validate().is_err_and(|error| error.contains(key)), "{key}");
        };
        assert_eq!(Config::default().validate(), Ok(()));
        check(|config| config.max_input_bytes = 0, "max_input_bytes");
        check(|config| config.max_concurrent = 0, "max_concurrent");
        check(|config| config.max_watchlist_bytes = usize::MAX, "max_watchlist_bytes");
        check(|config| config.idempotency_days = 0, "idempotency_days");
        check(|config| config.rules.max_rows = 0, "rules.max_rows");
    }
}
