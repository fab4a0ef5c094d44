//! The metrics of the door. Their labels come from the contracts and from fixed
//! lists, never from a request.

use probity_telemetry::metrics::HttpMetrics;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// All metrics of the gateway.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// `http_requests_total`, `http_request_duration_seconds`,
    /// `http_active_requests`: REST and gRPC together.
    pub(crate) http: HttpMetrics,
    denials: IntCounterVec,
    rate_limited: IntCounterVec,
    logins: IntCounterVec,
    /// Looked up once: every call counts here.
    token_hits: IntCounter,
    token_misses: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let http = HttpMetrics::new(registry)?;
        let counter = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            http,
            denials: counter("auth_denials_total", "Calls refused for want of a token or a role", "code")?,
            rate_limited: counter(
                "rate_limited_total",
                "Calls refused because their caller asks too often",
                "whose",
            )?,
            logins: counter(
                "auth_logins_total",
                "Logins and refreshes of sessions by what became of them",
                "outcome",
            )?,
            token_hits: counter("cache_hits_total", "Lookups that a cache answered", "cache")?
                .with_label_values(&["token"]),
            token_misses: counter("cache_misses_total", "Lookups that no cache answered", "cache")?
                .with_label_values(&["token"]),
        })
    }

    pub(crate) fn denied(&self, code: &str) {
        self.denials.with_label_values(&[code]).inc();
    }

    pub(crate) fn rate_limited(&self, whose: &str) {
        self.rate_limited.with_label_values(&[whose]).inc();
    }

    /// `ok`, `wrong`, `too_many`, `refreshed`, `reused` or `refused`.
    pub(crate) fn login(&self, outcome: &str) {
        self.logins.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn token_known(&self, known: bool) {
        let counter = if known { &self.token_hits } else { &self.token_misses };
        counter.inc();
    }
}
