//! `[audit_aggregator]`.

use probity_merkle::note::check_name;
use probity_runtime::ServiceConfig;
use serde::{Deserialize, Serialize};

/// The configuration of the log.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name of the log: the first line of every checkpoint and the name of its
    /// key. Two logs must not share one. Once entries are signed it cannot be
    /// changed: the checkpoints so far would be those of another log.
    pub origin: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { origin: "probity.local/log".to_owned() }
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), String> {
        check_name(&self.origin).map_err(|error| format!("origin: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_must_fit_a_signature_line() {
        let check = |origin: &str, ok: bool| {
            assert_eq!(Config { origin: origin.to_owned() }.validate().is_ok(), ok, "{origin:?}");
        };
        assert!(Config::default().validate().is_ok());
        check("log.example.org/2026", true);
        check("", false);
        check("two words", false);
        check("a+b", false);
        check("a\nb", false);
    }
}
