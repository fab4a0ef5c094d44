//! A Jaeger that takes spans by OTLP and keeps the latest in memory.

use super::driver::{Call, Line, Target};
use probity_testkit::{Child, free_port};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long it may take to answer.
const START: Duration = Duration::from_secs(60);
/// The series that counts what it took.
const TAKEN: &str = "otelcol_receiver_accepted_spans";

/// A running Jaeger.
pub struct Jaeger {
    /// Where spans go.
    pub otlp: String,
    counts: Target,
    _process: Child,
}

impl Jaeger {
    /// Starts the program `jaeger`.
    ///
    /// # Panics
    /// When there is none on the path.
    pub async fn start(dir: &Path) -> Self {
        let [otlp, query, counts] = [(); 3].map(|()| free_port());
        let config = dir.join("jaeger.yaml");
        std::fs::write(&config, configuration(otlp, query, counts)).expect("Jaeger's configuration");
        let mut command = Command::new("jaeger");
        command.arg("--config").arg(&config);
        let counts = Target::reads(([127, 0, 0, 1], counts).into());
        let jaeger =
            Self { otlp: format!("http://127.0.0.1:{otlp}"), counts, _process: Child::spawn(command) };
        let ready = async {
            while jaeger.ask().await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(START, ready).await.expect("Jaeger answers");
        jaeger
    }

    /// Spans it has taken so far.
    pub async fn spans(&self) -> f64 {
        let text = self.ask().await.expect("Jaeger's own metrics");
        let lines = text.lines().filter(|line| line.starts_with(TAKEN));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    async fn ask(&self) -> Result<String, String> {
        let answer = Line::new(&self.counts).call(&Call::get("/metrics")).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

fn configuration(otlp: u16, query: u16, counts: u16) -> String {
    format!(
        r#"service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [jaeger_storage_exporter]}}
  telemetry:
    logs: {{level: warn}}
    metrics:
      level: basic
      readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {counts}}}}}}}}}]
extensions:
  jaeger_query:
    storage: {{traces: kept}}
    http: {{endpoint: "127.0.0.1:{query}"}}
    grpc: {{endpoint: "127.0.0.1:0"}}
  jaeger_storage: {{backends: {{kept: {{memory: {{max_traces: 5000}}}}}}}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{otlp}"}}}}}}
processors:
  batch: {{timeout: 1s}}
exporters:
  jaeger_storage_exporter: {{trace_storage: kept}}
"#
    )
}
