//! Prometheus metrics: a registry a service, and the metrics of calls.
//!
//! **Architecture invariant:** no label carries an id, a path or any other value
//! a caller chooses. RPC labels come from the list of methods given at the start;
//! what is not in it is counted as `unknown`.

mod process;

pub use process::ProcessMetrics;

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
    proto::MetricFamily,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// The content type of the text format.
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

/// Upper bounds for the duration of calls, in seconds.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const UNKNOWN: (&str, &str) = ("unknown", "unknown");

/// Whether calls are counted; see `TelemetryConfig::enabled`.
static COUNTED: AtomicBool = AtomicBool::new(true);

/// Calls are not counted from now on.
pub(crate) fn count_no_calls() {
    COUNTED.store(false, Relaxed);
}

/// A registry whose metrics all carry the label `service`.
pub fn registry(service: &str) -> prometheus::Result<Registry> {
    let labels = HashMap::from([("service".to_owned(), service.to_owned())]);
    Registry::new_custom(None, Some(labels))
}

/// All metrics of a registry in the Prometheus text format.
#[must_use]
pub fn encode(registry: &Registry) -> String {
    encode_all([registry])
}

/// The metrics of several registries as one page: a metric they share appears
/// once, with the series of each.
#[must_use]
pub fn encode_all<'a>(registries: impl IntoIterator<Item = &'a Registry>) -> String {
    let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
    for family in registries.into_iter().flat_map(Registry::gather) {
        match families.get_mut(family.name()) {
            Some(known) if known.get_field_type() == family.get_field_type() => {
                known.mut_metric().extend(family.get_metric().iter().cloned());
            }
            Some(_) => {} // the same name for another kind of metric: the first one stays
            None => {
                families.insert(family.name().to_owned(), family);
            }
        }
    }
    let mut text = Vec::new();
    let families: Vec<_> = families.into_values().collect();
    // Fails on a family without series only; those before it are in the text.
    let _ = TextEncoder::new().encode(&families, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// How many calls there are and how long they take, by method and status.
#[derive(Debug, Clone)]
pub struct RpcMetrics {
    duration: HistogramVec,
    active: IntGauge,
    methods: HashMap<&'static str, (&'static str, &'static str)>,
}

impl RpcMetrics {
    /// The metrics of calls a service answers; `methods` are the paths
    /// (`/package.Service/Method`) that get labels of their own.
    pub fn server(
        registry: &Registry,
        methods: impl IntoIterator<Item = &'static str>,
    ) -> prometheus::Result<Self> {
        let duration = HistogramVec::new(
            HistogramOpts::new("rpc_server_duration_seconds", "How long calls took to answer")
                .buckets(DURATION_BUCKETS.to_vec()),
            &["rpc_service", "rpc_method", "rpc_grpc_status_code"],
        )?;
        let active = IntGauge::new("rpc_server_active_requests", "Calls being answered now")?;
        Self::register(registry, duration, active, methods)
    }

    /// The metrics of calls a service makes.
    pub fn client(
        registry: &Registry,
        methods: impl IntoIterator<Item = &'static str>,
    ) -> prometheus::Result<Self> {
        let duration = HistogramVec::new(
            HistogramOpts::new("rpc_client_duration_seconds", "How long calls to peers took")
                .buckets(DURATION_BUCKETS.to_vec()),
            &["rpc_service", "rpc_method", "rpc_grpc_status_code"],
        )?;
        let active = IntGauge::new("rpc_client_active_requests", "Calls to peers under way now")?;
        Self::register(registry, duration, active, methods)
    }

    fn register(
        registry: &Registry,
        duration: HistogramVec,
        active: IntGauge,
        methods: impl IntoIterator<Item = &'static str>,
    ) -> prometheus::Result<Self> {
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(active.clone()))?;
        let methods = methods.into_iter().map(|path| (path, split(path))).collect();
        Ok(Self { duration, active, methods })
    }

    /// Counts a call that ended with a gRPC status code after `elapsed`.
    pub fn observe(&self, path: &str, code: i32, elapsed: Duration) {
        if !COUNTED.load(Relaxed) {
            return;
        }
        let (service, method) = self.methods.get(path).copied().unwrap_or(UNKNOWN);
        self.duration.with_label_values(&[service, method, code_label(code)]).observe(elapsed.as_secs_f64());
    }

    /// Counts a call as active until the guard is dropped.
    #[must_use]
    pub fn begin(&self) -> Active {
        Active::new(&self.active)
    }
}

/// How many HTTP requests there are and how long they take.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    active: IntGauge,
}

impl HttpMetrics {
    /// Registers the metrics of an HTTP door.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("http_requests_total", "HTTP requests answered, by status"),
            &["status"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new("http_request_duration_seconds", "How long HTTP requests took")
                .buckets(DURATION_BUCKETS.to_vec()),
            &["route"],
        )?;
        let active = IntGauge::new("http_active_requests", "HTTP requests being answered now")?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(active.clone()))?;
        Ok(Self { requests, duration, active })
    }

    /// Counts a request. `route` is the template that matched, never the path.
    pub fn observe(&self, route: &str, status: u16, elapsed: Duration) {
        if !COUNTED.load(Relaxed) {
            return;
        }
        let mut digits = [0; 3];
        self.requests.with_label_values(&[status_label(status, &mut digits)]).inc();
        self.duration.with_label_values(&[route]).observe(elapsed.as_secs_f64());
    }

    /// Counts a request as active until the guard is dropped.
    #[must_use]
    pub fn begin(&self) -> Active {
        Active::new(&self.active)
    }
}

/// Something counted as active while this lives.
#[derive(Debug)]
pub struct Active(IntGauge);

impl Active {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn split(path: &'static str) -> (&'static str, &'static str) {
    path.strip_prefix('/').and_then(|p| p.split_once('/')).unwrap_or(UNKNOWN)
}

/// The three digits of an HTTP status, without an allocation.
fn status_label(status: u16, digits: &mut [u8; 3]) -> &str {
    for (digit, unit) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / unit % 10).unwrap_or_default();
    }
    std::str::from_utf8(digits).unwrap_or_default()
}

/// The number of a gRPC code as a label; what is no code counts as UNKNOWN (2).
const fn code_label(code: i32) -> &'static str {
    const CODES: [&str; 17] =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];
    match code {
        #[allow(clippy::cast_sign_loss)] // between 0 and 16
        0..=16 => CODES[code as usize],
        _ => "2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSIFY: &str = "/probity.spam.v1.SpamService/Classify";

    #[test]
    fn calls_are_counted_by_method_and_status() {
        let registry = registry("spam-detection").unwrap();
        let metrics = RpcMetrics::server(&registry, [CLASSIFY]).unwrap();
        metrics.observe(CLASSIFY, 0, Duration::from_millis(3));
        metrics.observe("/evil/../../etc", 12, Duration::from_millis(1));
        metrics.observe(CLASSIFY, 99, Duration::from_millis(1));
        let text = encode(&registry);
        let check = |line: &str| assert!(text.contains(line), "{line} is not in\n{text}");
        check(
            "rpc_server_duration_seconds_bucket{rpc_grpc_status_code=\"0\",rpc_method=\"Classify\",rpc_service=\"probity.spam.v1.SpamService\",service=\"spam-detection\",le=\"0.005\"} 1",
        );
        check(
            "rpc_server_duration_seconds_count{rpc_grpc_status_code=\"12\",rpc_method=\"unknown\",rpc_service=\"unknown\",service=\"spam-detection\"} 1",
        );
        check("rpc_grpc_status_code=\"2\"");
        assert!(!text.contains("evil"));
    }

    #[test]
    fn active_calls_go_up_and_down() {
        let registry = registry("gateway").unwrap();
        let metrics = HttpMetrics::new(&registry).unwrap();
        let guards = [metrics.begin(), metrics.begin()];
        assert!(encode(&registry).contains("http_active_requests{service=\"gateway\"} 2"));
        drop(guards);
        metrics.observe("/v1/cases", 201, Duration::from_millis(2));
        let text = encode(&registry);
        assert!(text.contains("http_active_requests{service=\"gateway\"} 0"));
        assert!(text.contains("http_requests_total{status=\"201\",service=\"gateway\"} 1"), "{text}");
    }

    #[test]
    fn services_of_one_process_share_a_page() {
        let registries = ["intake", "gateway"].map(|name| registry(name).unwrap());
        for registry in &registries {
            RpcMetrics::client(registry, [CLASSIFY]).unwrap().observe(CLASSIFY, 0, Duration::ZERO);
        }
        let text = encode_all(&registries);
        assert_eq!(text.matches("# TYPE rpc_client_duration_seconds histogram").count(), 1);
        for service in ["intake", "gateway"] {
            assert!(text.contains(&format!("service=\"{service}\"")), "{text}");
        }
    }

    #[test]
    fn a_metric_can_be_registered_once() {
        let registry = registry("gateway").unwrap();
        assert!(HttpMetrics::new(&registry).is_ok());
        assert!(HttpMetrics::new(&registry).is_err());
    }
}
