//! `probity seed`, `rollout` and `trace`: what operators do with a platform that runs.

use super::Connect;
use clap::{Args, Subcommand};
use std::time::Duration;

/// `probity seed`.
#[derive(Debug, Args)]
pub struct SeedArgs {
    /// How to reach the platform.
    #[command(flatten)]
    pub connect: Connect,
    /// How many sets of sixteen cases; the same set is never opened twice.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub sets: u16,
    /// Wait until each case is decided or waits for a person, and decide the latter
    /// as somebody who knows what is hidden in them would.
    #[arg(long)]
    pub decide: bool,
}

/// `probity rollout`.
#[derive(Debug, Args)]
pub struct RolloutArgs {
    /// The service with a canary, such as gateway.
    pub service: String,
    /// Address of Prometheus.
    #[arg(long, env = "PROBITY_PROMETHEUS", default_value = "http://127.0.0.1:9090")]
    pub prometheus: String,
    /// Namespace of the release.
    #[arg(long, short, default_value = "probity")]
    pub namespace: String,
    /// Name of the release.
    #[arg(long, default_value = "probity")]
    pub release: String,
    /// The shares it is given one after the other, in percent.
    #[arg(long, value_delimiter = ',', default_value = "1,10,50,100")]
    pub steps: Vec<u8>,
    /// How long each share is watched, such as 1m; four scrapes of Prometheus or more.
    #[arg(long, default_value = "1m", value_parser = crate::values::time)]
    pub every: Duration,
    /// Largest share of failed calls, in percent.
    #[arg(long, default_value_t = 1.0)]
    pub max_errors: f64,
    /// Longest p99, such as 500ms.
    #[arg(long, default_value = "500ms", value_parser = crate::values::time)]
    pub max_p99: Duration,
    /// Fewer calls than this in an interval say nothing.
    #[arg(long, default_value_t = 20)]
    pub min_calls: u32,
    /// So many intervals in a row may say nothing.
    #[arg(long, default_value_t = 5)]
    pub patience: u32,
    /// What the series of the canary carry, as PromQL.
    #[arg(long, default_value = r#"track="canary""#)]
    pub canary: String,
}

/// `probity trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// What to ask.
    #[command(subcommand)]
    pub command: TraceCommand,
}

/// `probity trace …`.
#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// Show the operations that take longest by themselves, and where failures begin.
    Slow(SlowArgs),
}

/// `probity trace slow`.
#[derive(Debug, Args)]
pub struct SlowArgs {
    /// Address of Jaeger's query API.
    #[arg(long, env = "PROBITY_JAEGER", default_value = "http://127.0.0.1:16686")]
    pub jaeger: String,
    /// Only traces this service takes part in; all services of the platform without it.
    #[arg(long)]
    pub service: Option<String>,
    /// How far back, such as 30m.
    #[arg(long, default_value = "1h", value_parser = crate::values::time)]
    pub since: Duration,
    /// Only traces with a span that takes this long, such as 250ms.
    #[arg(long, value_parser = crate::values::time)]
    pub longer_than: Option<Duration>,
    /// Most traces to read of each service.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_500))]
    pub limit: u32,
    /// How many rows.
    #[arg(long, default_value_t = 10)]
    pub top: usize,
}
