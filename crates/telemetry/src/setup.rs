//! One start for logs and traces, and the guard that ends them.

use crate::export::{self, Exporter};
use crate::log::{self, LogLayer};
use crate::{Error, LogFormat, TelemetryConfig, jaeger, metrics};
use std::io::IsTerminal as _;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Keeps telemetry running; dropping it sends what is not sent yet.
#[derive(Debug)]
#[must_use = "dropping the guard ends telemetry"]
pub struct Guard {
    exporter: Option<Exporter>,
}

impl Guard {
    /// Sends what is not sent yet, now.
    pub fn flush(&self) {
        if let Some(exporter) = &self.exporter {
            exporter.flush();
        }
    }
}

/// Sets up logs and traces for the whole process: call it once, first thing.
/// Panics are logged as one record too.
pub fn init(config: &TelemetryConfig) -> Result<Guard, Error> {
    config.validate()?;
    if !config.enabled {
        metrics::count_no_calls();
        return Ok(Guard { exporter: None });
    }
    let endpoint = config.endpoint(|name| std::env::var(name).ok());
    let exporter = endpoint.as_deref().map(|url| export::start(config, url)).transpose()?;
    let colour = config.log_format == LogFormat::Pretty && std::io::stderr().is_terminal();
    let logs = LogLayer::new(&config.service, config.log_format, log::stderr()).with_colour(colour);
    tracing_subscriber::registry()
        .with(logs.with_filter(log::filter(&config.log_filter)?))
        .with(exporter.as_ref().map(Exporter::layer))
        .try_init()
        .map_err(|_| Error::AlreadySetUp)?;
    log_panics();
    for notice in jaeger::notices(|name| std::env::var_os(name).is_some()) {
        tracing::warn!("{notice}");
    }
    Ok(Guard { exporter })
}

/// A panic is a defect of ours: it gets a record like every other error, in
/// place of the several lines the standard hook prints.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let reason = panic.payload_as_str().unwrap_or("no reason given");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => backtrace.to_string(),
            _ => String::new(),
        };
        tracing::error!(reason, place, backtrace, "panic");
    }));
}
