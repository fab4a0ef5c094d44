//! Logs, traces and metrics behind one [`init`].
//!
//! - Logs are one line a record on stderr, JSON or for a person's eyes, with the
//!   correlation fields of the spans they were written in.
//! - Traces follow W3C Trace Context; they leave the process over OTLP, and only
//!   when an endpoint is configured.
//! - Metrics are a Prometheus registry a service, so that one process can show
//!   several services.
//!
//! **Architecture invariant:** nothing here knows a gRPC method, a case or a
//! tenant by name; what is measured is named where it happens. There is no
//! Jaeger exporter: Jaeger takes OTLP.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
mod error;
mod export;
mod jaeger;
pub mod log;
pub mod metrics;
mod setup;
pub mod span;
pub mod trace;

pub use config::{LogFormat, TelemetryConfig};
pub use error::Error;
pub use metrics::ProcessMetrics;
pub use prometheus::Registry;
pub use setup::{Guard, init};
pub use trace::TraceContext;
