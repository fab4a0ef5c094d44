//! `probity dev`: the platform in this process until a signal ends it.

use crate::args::DevArgs;
use crate::failure::Failure;
use crate::guide;
use crate::output::Output;
use crate::platform::{self, Platform, Shape};
use crate::samples::{self, Set};
use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// Seed of the samples beside a platform; this one buys six different things.
pub(crate) const SEED: u64 = 24;

/// Runs the command.
///
/// # Errors
/// When the platform cannot start, or does not drain in time.
pub(crate) async fn run(args: DevArgs, out: Output) -> Result<(), Failure> {
    let _telemetry = platform::telemetry(args.config.as_deref(), "info")?;
    let fresh = is_empty(&args.data);
    let shape = Shape {
        data: args.data,
        host: args.host,
        port: args.port,
        admin_port: args.admin_port,
        config: args.config,
    };
    let mut platform = Platform::start(&shape).await?;
    let samples = platform.data().join("samples");
    if fresh && !args.no_samples {
        write_samples(&samples)?;
    }
    out.line(format_args!("READY {}", platform.url()))?;
    out.line(guide::addresses(&platform))?;
    let sample = first_tender(&samples);
    let token = platform.token_file();
    out.line(guide::lines(&guide::program(), &platform.url(), &token, sample.as_deref()))?;
    platform.wait_for_signal().await;
    stop(platform).await
}

/// Drains a platform.
///
/// # Errors
/// When it does not end in time.
pub(crate) async fn stop(platform: Platform) -> Result<(), Failure> {
    if platform.stop().await {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "the platform did not drain in time; what was not finished goes on at the next start"
    )
    .into())
}

fn is_empty(data: &Path) -> bool {
    std::fs::read_dir(data).map_or(true, |mut entries| entries.next().is_none())
}

/// Writes the usual samples to a folder.
pub(crate) fn write_samples(dir: &Path) -> Result<(), Failure> {
    let set = Set::new(SEED, samples::Sizes::default());
    samples::write(&set, dir)
        .with_context(|| format!("the samples cannot be written to {}", dir.display()))?;
    Ok(())
}

/// A sample tender that is there to be tried.
fn first_tender(samples: &Path) -> Option<PathBuf> {
    let file = samples.join("tenders").join("tender-001.json");
    file.exists().then_some(file)
}
