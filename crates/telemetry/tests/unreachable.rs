//! A collector that is away does not hold up the end of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_telemetry::TelemetryConfig;
use probity_telemetry::span::{self, Rpc};
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_guard_gives_up_on_a_dead_collector() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = TelemetryConfig {
        otlp_endpoint: Some(format!("http://{free}")),
        export_timeout_ms: 300,
        log_filter: "off".to_owned(),
        ..Default::default()
    };
    let guard = probity_telemetry::init(&config).unwrap();
    let begun = Instant::now();
    for _ in 0..5_000 {
        drop(span::server("gateway", Rpc::from_path("/a.A/B"), None, "r"));
    }
    drop(guard); // inside a runtime with one thread, where blocking on it would hang
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
