//! Trains the shipped model and says how good it is.
//!
//! ```text
//! PROBITY_DATA=../shared/data cargo run --release -p probity-spam-detection --example train
//! ```
//!
//! Reads the sets that may train the shipped model from `$PROBITY_DATA`, writes
//! `model/spam-v1.bin` and prints a report: each set alone, and each set judged
//! by a model that never saw it. The same data give the same weights.

#![allow(clippy::print_stdout)] // a tool: its report is its output

mod corpus;
mod evaluate;
mod learn;
mod report;
mod sample;
mod views;
mod written;

use anyhow::Context as _;
use std::path::{Path, PathBuf};

fn main() -> anyhow::Result<()> {
    let data =
        std::env::var_os("PROBITY_DATA").context("set PROBITY_DATA to the folder of the development data")?;
    let target = std::env::args_os().nth(1).map_or_else(model_file, PathBuf::from);
    let corpora = corpus::load(Path::new(&data))?;
    let (file, summary) = report::train_and_report(&corpora)?;
    std::fs::write(&target, &file).with_context(|| format!("{} cannot be written", target.display()))?;
    println!("{summary}\nwrote {} ({} bytes)", target.display(), file.len());
    Ok(())
}

fn model_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("model/spam-v1.bin")
}
