//! What can be asked of the tool.

use crate::{
    Problem, bans, buf, check, coverage, deploy, errors, layers, links, metrics_doc, new_service, openapi,
    release, sbom, site, tidy, tree,
};
use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks and generators of the repository.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo run -p xtask --")]
pub struct Args {
    /// The root of the repository; found from the current folder when absent.
    #[arg(long, global = true)]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything below, with formatting and clippy.
    Check(check::Options),
    /// Which crate depends on which, and what each file may name.
    Layers,
    /// Crates that deny.toml bans.
    Bans,
    /// Error codes in the code and their pages in docs/errors.
    Errors,
    /// File and function length, module documentation, leftovers.
    Tidy,
    /// Links between the Markdown pages.
    Links,
    /// Lint of the protobuf contracts with buf, and what they break.
    Buf {
        /// Compare with this revision instead of the last release.
        #[arg(long)]
        against: Option<String>,
    },
    /// Lint of the API documentation with redocly.
    Openapi,
    /// Whether the viewers of the documentation are those of their npm packages.
    Site {
        /// Make them of the packages.
        #[arg(long)]
        write: bool,
    },
    /// Writes docs/metrics.md from the metrics in the code.
    MetricsDoc {
        /// Only say whether the page is up to date.
        #[arg(long)]
        check: bool,
    },
    /// Writes what follows from the code under deploy/: the chart's list of services, the
    /// targets of Prometheus, the dashboards.
    Deploy {
        /// Only say whether the files are up to date, and what alerts and dashboards lack.
        #[arg(long)]
        check: bool,
    },
    /// Writes what each program is made of, as CycloneDX.
    Sbom(sbom::Options),
    /// Prints what changed in a version, or says what keeps a tag from being released.
    Release {
        /// The version; that of the workspace when absent, `Unreleased` for what comes next.
        version: Option<String>,
        /// Only say whether version, chart and changelog agree.
        #[arg(long)]
        check: bool,
    },
    /// Lines that the tests run, by crate and by role, and the least there must be.
    Coverage(coverage::Options),
    /// Makes a new service that compiles, with its contract, pages and edges.
    NewService(new_service::Options),
}

/// Runs a command; problems and failures end with exit code 1.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    match dispatch(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: Args) -> Result<bool> {
    let root = args.root.map_or_else(tree::root, Ok)?;
    match args.command {
        Command::Check(options) => check::run(&root, &options),
        Command::Layers => report(layers::problems(&root)),
        Command::Bans => report(bans::problems(&root)),
        Command::Errors => report(errors::problems(&root)),
        Command::Tidy => report(tidy::problems(&root)),
        Command::Links => report(links::problems(&root)),
        Command::Buf { against } => buf::run(&root, against.as_deref()),
        Command::Openapi => openapi::run(&root),
        Command::Site { write } => report(site::run(&root, write)),
        Command::MetricsDoc { check: true } => report(metrics_doc::problems(&root)),
        Command::MetricsDoc { check: false } => write_metrics(&root),
        Command::Deploy { check: true } => report(deploy::problems(&root)),
        Command::Deploy { check: false } => write_deploy(&root),
        Command::Sbom(options) => sbom::run(&root, &options).map(|()| true),
        Command::Release { version, check } => tell_release(&root, version, check),
        Command::Coverage(options) => coverage::run(&root, &options),
        Command::NewService(options) => new_service::run(&root, &options).map(|()| true),
    }
}

fn write_metrics(root: &Path) -> Result<bool> {
    let count = metrics_doc::write(root)?;
    println!("docs/metrics.md: {count} metrics");
    Ok(true)
}

fn write_deploy(root: &Path) -> Result<bool> {
    let count = deploy::write(root)?;
    println!("deploy: {count} files");
    report(deploy::problems(root))
}

fn tell_release(root: &Path, version: Option<String>, check: bool) -> Result<bool> {
    let version = version.map_or_else(|| release::version(root), Ok)?;
    if check {
        return report(release::problems(root, &version));
    }
    print!("{}", release::changes(root, version.strip_prefix('v').unwrap_or(&version))?);
    Ok(true)
}

/// Prints problems; true when there is none.
pub fn report(problems: Result<Vec<Problem>>) -> Result<bool> {
    let problems = problems?;
    for problem in &problems {
        println!("{problem}\n");
    }
    if problems.is_empty() {
        println!("ok");
    } else {
        println!("{} problem(s)", problems.len());
    }
    Ok(problems.is_empty())
}
