//! `probity case`: opening, following and deciding cases.

use super::key;
use crate::kind::Kind;
use crate::split::Form;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `probity case …`.
#[derive(Debug, Subcommand)]
pub enum CaseCommand {
    /// Open a case for every item of the files.
    Open(OpenArgs),
    /// List cases, newest first.
    List(ListArgs),
    /// Show a case with its findings, actions, evaluations and history.
    Show {
        /// The case, with or without `cases/`.
        id: String,
        /// Print what happens to it until it is final.
        #[arg(long)]
        watch: bool,
    },
    /// Say what a person decided about a case.
    Close {
        /// The case, with or without `cases/`.
        id: String,
        /// The decision.
        #[arg(long, value_enum)]
        disposition: Disposition,
        /// Why.
        #[arg(long)]
        note: Option<String>,
    },
    /// List the red flags of a case, and what people made of them.
    Findings {
        /// The case, with or without `cases/`.
        id: String,
    },
    /// Say what you made of red flags of a case; it counts towards the
    /// false-positive rate of their rules.
    Dispose {
        /// The case, with or without `cases/`.
        id: String,
        /// The findings, with or without `findings/`.
        #[arg(required = true, value_name = "FINDING")]
        findings: Vec<String>,
        /// What you made of them.
        #[arg(long, value_enum)]
        disposition: Disposition,
        /// Why.
        #[arg(long)]
        note: Option<String>,
    },
    /// Say how often the flags of each rule were wrong, as people said.
    Rates {
        /// How far back; 30 days when not said.
        #[arg(long, value_name = "TIME", value_parser = crate::values::seconds)]
        window: Option<i64>,
    },
    /// Cancel a case; what was done is taken back.
    Cancel {
        /// The case, with or without `cases/`.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// `probity case open`.
#[derive(Debug, Clone, Args)]
pub struct OpenArgs {
    /// What the files are.
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// OCDS JSON or JSON Lines (a case a tender), CSV (a case a file), .eml or
    /// text (message), text (report).
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Idempotency key of the first item; the n-th gets KEY#n. Without it the key
    /// is made from kind, file name, content and subject, so that opening the
    /// same file again opens nothing twice.
    #[arg(long, value_parser = key)]
    pub key: Option<String>,
    /// One line for people; by default the title of the tender or the file name.
    #[arg(long)]
    pub subject: Option<String>,
    /// Definition to run instead of the shipped one for the kind.
    #[arg(long)]
    pub definition: Option<String>,
    /// How the tenders of a file are held together.
    #[arg(long, value_enum, default_value_t = Form::Auto)]
    pub format: Form,
    /// How many cases are opened at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
}

/// `probity case list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this kind.
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Only this state.
    #[arg(long, value_enum)]
    pub state: Option<State>,
    /// Only cases that wait for a person.
    #[arg(long)]
    pub waiting: bool,
    /// All of them, not only the newest 50.
    #[arg(long)]
    pub all: bool,
}

/// States of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // named as in the contracts, which describe them
pub enum State {
    Pending,
    Investigating,
    Validating,
    Remediating,
    Resolved,
    Failed,
    Cancelled,
}

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Disposition {
    /// The suspicion was right.
    Confirmed,
    /// The suspicion was wrong.
    FalsePositive,
    /// It cannot be told.
    Inconclusive,
}
