//! Everything that must hold before a change is handed in.

use crate::{Problem, bans, buf, calls, cli, deploy, errors, layers, links, metrics_doc, openapi, tidy};
use anyhow::{Context as _, Result};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only these checks, by name, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
}

type Rule = fn(&Path) -> Result<Vec<Problem>>;

enum Step {
    Cargo(&'static [&'static str]),
    Rule(Rule),
    Buf,
    OpenApi,
}

/// The checks, quick ones first.
const STEPS: [(&str, Step); 12] = [
    ("fmt", Step::Cargo(&["fmt", "--all", "--check"])),
    ("tidy", Step::Rule(tidy::problems)),
    ("layers", Step::Rule(layers::problems)),
    ("bans", Step::Rule(bans::problems)),
    ("errors", Step::Rule(errors::problems)),
    ("metrics", Step::Rule(metrics_doc::problems)),
    ("deploy", Step::Rule(deploy::problems)),
    ("links", Step::Rule(links::problems)),
    ("calls", Step::Rule(calls::problems)),
    ("buf", Step::Buf),
    ("openapi", Step::OpenApi),
    ("clippy", Step::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
];

fn names() -> clap::builder::PossibleValuesParser {
    STEPS.iter().map(|(name, _)| *name).collect::<Vec<_>>().into()
}

/// Runs the checks, all of them even when one fails.
pub fn run(root: &Path, options: &Options) -> Result<bool> {
    let mut failed = Vec::new();
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    for (name, step) in STEPS.iter().filter(|(name, _)| wanted(name)) {
        println!("== {name}");
        let begun = Instant::now();
        if !take(root, step)? {
            failed.push(*name);
        }
        println!("   {:.1} s", begun.elapsed().as_secs_f64());
    }
    if failed.is_empty() {
        println!("all checks passed");
    } else {
        println!(
            "failed: {}; again with: cargo run -p xtask -- check --only {}",
            failed.join(", "),
            failed.join(",")
        );
    }
    Ok(failed.is_empty())
}

fn take(root: &Path, step: &Step) -> Result<bool> {
    match step {
        Step::Cargo(args) => cargo(root, args),
        Step::Rule(rule) => cli::report(rule(root)),
        Step::Buf => buf::run(root, None),
        Step::OpenApi => openapi::run(root),
    }
}

fn cargo(root: &Path, args: &[&str]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status =
        Command::new(cargo).args(args).current_dir(root).status().context("cargo cannot be started")?;
    Ok(status.success())
}
