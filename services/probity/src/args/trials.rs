//! `probity workflow lint`, `dry-run`, `simulate` and `render`: what is done with a
//! file, without a platform.

use super::flows::Graph;
use crate::kind::Kind;
use clap::Args;
use std::path::PathBuf;

/// `probity workflow lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// YAML or JSON.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Look again whenever a file changes, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
    /// Fail on warnings as well.
    #[arg(long)]
    pub deny_warnings: bool,
}

/// What a trial begins with.
#[derive(Debug, Args)]
pub struct TrialArgs {
    /// YAML or JSON.
    pub file: PathBuf,
    /// The input: JSON, @FILE, or - for standard input.
    #[arg(long)]
    pub input: Option<String>,
    /// What a step answers: STEP=JSON. An approval has a `disposition`, a signal
    /// its payload. Others answer the example of their schema.
    #[arg(long, value_name = "STEP=JSON", value_parser = crate::values::assigned)]
    pub answer: Vec<(String, String)>,
    /// For definitions of cases without a `kind`: what the case is about.
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
}

/// `probity workflow simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// What it begins with.
    #[command(flatten)]
    pub trial: TrialArgs,
    /// The same seed gives the same timeline.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many attempts of a step fail first: STEP=2, or STEP=2:CODE for another
    /// code, or STEP=1:CODE! for a failure that does not pass by itself.
    #[arg(long, value_name = "STEP=N", value_parser = crate::values::assigned)]
    pub fail: Vec<(String, String)>,
    /// How long attempts of a step take, or people: STEP=90s.
    #[arg(long, value_name = "STEP=TIME", value_parser = crate::values::assigned)]
    pub takes: Vec<(String, String)>,
    /// Every attempt fails with this probability, drawn from the seed.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=90))]
    pub faults: u8,
}

/// `probity workflow render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// YAML or JSON.
    pub file: PathBuf,
    /// In which language.
    #[arg(long = "as", value_enum, default_value_t = Graph::Mermaid)]
    pub language: Graph,
}
