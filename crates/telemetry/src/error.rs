//! Why telemetry could not be set up.

/// A setting of telemetry is wrong. The text names the setting and the fix.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `log_filter` cannot be read.
    #[error(
        "log_filter {text:?}: {reason}; write a level (error, warn, info, debug, trace) or \
         comma-separated `target=level` pairs such as `info,probity_engine=debug`"
    )]
    Filter {
        /// What was configured.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `sample_ratio` is outside its range.
    #[error("sample_ratio is {0}; it must be between 0 (trace nothing) and 1 (trace everything)")]
    SampleRatio(f64),
    /// `otlp_endpoint` is no address to export to.
    #[error("otlp_endpoint {endpoint:?}: {reason}; write it as http://HOST:4317")]
    Endpoint {
        /// What was configured.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The exporter could not be built.
    #[error("the OTLP exporter could not be started: {0}")]
    Exporter(String),
    /// A thread for the exporter could not be started.
    #[error("the OTLP exporter could not be started")]
    Runtime(#[from] std::io::Error),
    /// Telemetry was set up before in this process.
    #[error("telemetry is already set up in this process; call init once, before anything logs")]
    AlreadySetUp,
}
