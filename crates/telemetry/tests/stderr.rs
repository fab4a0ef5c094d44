//! What a process really writes to stderr: this test starts itself again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_telemetry::TelemetryConfig;
use std::process::Command;

const CHILD: &str = "PROBITY_TEST_CHILD";

/// Runs in the child: logs as a service would, then panics over two lines.
fn child() {
    let guard = probity_telemetry::init(&TelemetryConfig::default()).unwrap();
    tracing::info!(port = 8080, "listening");
    let _ = std::panic::catch_unwind(|| panic!("first\nsecond"));
    drop(guard);
}

#[test]
fn records_panics_and_notices_are_one_json_line_each() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "records_panics_and_notices_are_one_json_line_each", "--nocapture"])
        .env(CHILD, "1")
        .env("OTEL_EXPORTER_JAEGER_PASSWORD", "hush")
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages.len(), 3, "{text}");
    assert!(messages[0].starts_with("OTEL_EXPORTER_JAEGER_PASSWORD is ignored"), "{text}");
    assert_eq!(messages[1..], ["listening", "panic"]);
    assert_eq!(lines[2]["fields"]["reason"], "first\nsecond");
    assert!(lines[2]["fields"]["place"].as_str().unwrap().contains("stderr.rs"));
    assert!(!text.contains("hush"));
}
