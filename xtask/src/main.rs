//! The command line of the repository's own tool: `cargo run -p xtask -- help`.

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::cli::run(xtask::cli::Args::parse())
}
