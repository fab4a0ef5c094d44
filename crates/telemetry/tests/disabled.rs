//! With `enabled = false` nothing is observed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_telemetry::metrics::{HttpMetrics, RpcMetrics, encode, registry};
use probity_telemetry::span::{self, Rpc};
use probity_telemetry::{TelemetryConfig, TraceContext};
use std::time::Duration;

const METHOD: &str = "/probity.spam.v1.SpamService/Classify";

#[test]
fn no_span_is_made_and_no_call_counted() {
    let config = TelemetryConfig {
        enabled: false,
        otlp_endpoint: Some("http://127.0.0.1:9".to_owned()),
        ..Default::default()
    };
    let _guard = probity_telemetry::init(&config).unwrap();
    let caller = TraceContext::root(true);
    let span = span::server("spam-detection", Rpc::from_path(METHOD), Some(&caller), "r");
    assert!(span.is_disabled());
    assert_eq!(span.in_scope(span::current), None);
    let registry = registry("spam-detection").unwrap();
    RpcMetrics::server(&registry, [METHOD]).unwrap().observe(METHOD, 0, Duration::from_millis(1));
    HttpMetrics::new(&registry).unwrap().observe("/v1/cases", 200, Duration::from_millis(1));
    let text = encode(&registry);
    assert!(!text.contains("_count{") && !text.contains("status=\"200\""), "{text}");
}
