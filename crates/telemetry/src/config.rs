//! The `[telemetry]` section of a configuration.

use crate::Error;
use serde::{Deserialize, Serialize};

/// How a log record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A JSON object a line, for machines.
    #[default]
    Json,
    /// A line of text, for a person at a terminal.
    Pretty,
}

/// How a process logs and traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// `false`: nothing is logged, no call has a span or is counted. To measure what
    /// that costs; a trace ends where it comes to such a process.
    pub enabled: bool,
    /// The service a record belongs to when no span says otherwise.
    pub service: String,
    /// How a log record is written.
    pub log_format: LogFormat,
    /// What is logged: a level, or `target=level` pairs separated by commas.
    pub log_filter: String,
    /// Where spans go, such as `http://localhost:4317`. Without it, the standard
    /// variables `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` count; without those, spans stay inside.
    pub otlp_endpoint: Option<String>,
    /// The share of traces begun here that is recorded, from 0 to 1. A trace
    /// begun elsewhere keeps the caller's decision.
    pub sample_ratio: f64,
    /// How long one export may take.
    pub export_timeout_ms: u64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            service: "probity".to_owned(),
            log_format: LogFormat::default(),
            log_filter: "info".to_owned(),
            otlp_endpoint: None,
            sample_ratio: 1.0,
            export_timeout_ms: 5_000,
        }
    }
}

impl TelemetryConfig {
    /// Checks every setting without starting anything.
    pub fn validate(&self) -> Result<(), Error> {
        crate::log::filter(&self.log_filter)?;
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err(Error::SampleRatio(self.sample_ratio));
        }
        self.otlp_endpoint.as_deref().map_or(Ok(()), |endpoint| crate::export::endpoint(endpoint).map(|_| ()))
    }

    /// The endpoint in force, from the setting or the environment.
    pub(crate) fn endpoint(&self, env: impl Fn(&str) -> Option<String>) -> Option<String> {
        const STANDARD: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let given = self.otlp_endpoint.clone();
        given.or_else(|| STANDARD.iter().find_map(|name| env(name))).filter(|text| !text.trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_one_by_one() {
        let check = |change: fn(&mut TelemetryConfig), expect: &str| {
            let mut config = TelemetryConfig::default();
            change(&mut config);
            let got = config.validate().err().map_or_else(String::new, |e| e.to_string());
            assert!(got.contains(expect) && got.is_empty() == expect.is_empty(), "{got:?} for {expect:?}");
        };
        check(|_| (), "");
        check(|c| c.log_filter = "info,probity_engine=debug".to_owned(), "");
        check(|c| c.log_filter = "loud=yes".to_owned(), "log_filter \"loud=yes\"");
        check(|c| c.sample_ratio = 1.5, "sample_ratio is 1.5");
        check(|c| c.sample_ratio = f64::NAN, "sample_ratio is NaN");
        check(|c| c.otlp_endpoint = Some("http://localhost:4317".to_owned()), "");
        check(|c| c.otlp_endpoint = Some("localhost:4317".to_owned()), "http://HOST:4317");
        check(|c| c.otlp_endpoint = Some("https://collector:4317".to_owned()), "without TLS");
    }

    #[test]
    fn the_endpoint_comes_from_the_setting_then_the_environment() {
        let check = |set: Option<&str>, env: &[(&str, &str)], expect: Option<&str>| {
            let config = TelemetryConfig { otlp_endpoint: set.map(str::to_owned), ..Default::default() };
            let found = config.endpoint(|name| {
                env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            });
            assert_eq!(found.as_deref(), expect);
        };
        check(None, &[], None);
        check(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1")], Some("http://a:1"));
        check(
            None,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:1"),
            ],
            Some("http://b:1"),
        );
        check(Some("http://c:1"), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1")], Some("http://c:1"));
        check(Some(" "), &[], None);
    }
}
