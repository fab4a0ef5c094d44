//! The command line: every command, flag and environment variable.

pub mod cases;
pub mod dev;
pub mod flows;
pub mod identity;
pub mod operate;
pub mod trials;

pub use cases::{CaseCommand, Disposition, ListArgs, OpenArgs, State};
pub use dev::{DevArgs, DevCommand, FaultArgs, FaultCommand, ServiceArgs, UpArgs};
pub use operate::{RolloutArgs, SeedArgs, SlowArgs, TraceArgs, TraceCommand};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Probity: integrity cases with decisions that can be proved.
#[derive(Debug, Parser)]
#[command(name = "probity", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 something failed or was refused, 2 wrong usage.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole platform in this process, on SQLite.
    Dev(DevArgs),
    /// Run every service as a process of its own, with mutual TLS between them.
    Up(UpArgs),
    /// Run one service; `up` calls it.
    #[command(hide = true)]
    Service(ServiceArgs),
    /// Run the platform, open sample cases and show how they move.
    Demo(DemoArgs),
    /// Open, list, follow and decide cases.
    Case(Group<CaseCommand>),
    /// Prove and check what is in the log.
    Audit(Group<AuditCommand>),
    /// Begin a session; its tokens are kept for the other commands.
    Login(identity::LoginArgs),
    /// End the session.
    Logout(identity::LogoutArgs),
    /// Look after the accounts of people and programs.
    User(Group<identity::UserCommand>),
    /// Look after the keys that sign tokens.
    Key(Group<identity::KeyCommand>),
    /// Issue tokens.
    Token(Group<TokenCommand>),
    /// Check, try, look at and register workflow definitions.
    Workflow(Group<WorkflowCommand>),
    /// Start, follow and steer executions of workflows.
    Execution(Group<flows::ExecutionCommand>),
    /// Have executions begin by the clock.
    Schedule(Group<flows::ScheduleCommand>),
    /// Put tasks into queues and follow them.
    Task(Group<flows::TaskCommand>),
    /// Look after the queues of tasks.
    Queue(Group<flows::QueueCommand>),
    /// Deal with steps that failed for good.
    #[command(name = "deadletter")]
    DeadLetter(Group<flows::DeadLetterCommand>),
    /// Load and list watchlists.
    Watchlist(Group<WatchlistCommand>),
    /// Make sample files with known findings in them.
    Samples(SamplesArgs),
    /// Open demonstration cases on any platform.
    Seed(SeedArgs),
    /// Give a canary more of the calls step by step, or take them back.
    Rollout(RolloutArgs),
    /// Ask Jaeger what is slow and what fails.
    Trace(TraceArgs),
}

/// A group of commands that talk to a platform.
#[derive(Debug, Args)]
pub struct Group<C: Subcommand> {
    /// How to reach it.
    #[command(flatten)]
    pub connect: Connect,
    /// What to do.
    #[command(subcommand)]
    pub command: C,
}

/// How to reach a platform, and how to print its answers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connect {
    /// Address of the gateway.
    #[arg(long, global = true, env = "PROBITY_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// Name of the platform where its address has another one: what an ingress
    /// that tells hosts apart knows it by.
    #[arg(long, global = true, env = "PROBITY_AUTHORITY", value_name = "NAME")]
    pub authority: Option<String>,
    /// Bearer token; safer in a file or in the environment.
    #[arg(long, global = true, env = "PROBITY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// File with the bearer token; without it the session of `probity login`, then
    /// data/token.
    #[arg(long, global = true, env = "PROBITY_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// File of the sessions of `probity login`; probity/sessions.json in the folder
    /// for configuration without it.
    #[arg(long, global = true, env = "PROBITY_SESSION_FILE")]
    pub session_file: Option<PathBuf>,
    /// How long to go on trying when the platform does not answer.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10)]
    pub retry_for: u64,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// The same as --output json.
    #[arg(long, global = true, conflicts_with = "output")]
    pub json: bool,
}

impl Connect {
    /// How answers are printed.
    #[must_use]
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// The messages of the API as JSON; lists that may be long as one object a line.
    Json,
}

/// `probity demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End as soon as every case is decided or waits for a person.
    #[arg(long)]
    pub exit: bool,
    /// Folder for everything that is kept; a second run goes on with it.
    #[arg(long, default_value = ".demo")]
    pub data: PathBuf,
    /// Port of the gateway; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// With --exit: how long the cases may take in all.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub within: u64,
}

/// `probity audit …`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Get the receipt of a case or of one entry of the log.
    Receipt {
        /// The case (with or without `cases/`) or `entries/<index>`.
        id: String,
        /// File to write; standard output without it.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Verify a receipt.
    Verify {
        /// The receipt.
        file: PathBuf,
        /// Use no network. Without a key given here, the receipt is then held
        /// only against the key it carries itself.
        #[arg(long)]
        offline: bool,
        /// Verifier key of the log, as `audit checkpoint` prints it.
        #[arg(long, conflicts_with = "key_file")]
        key: Option<String>,
        /// File with the verifier key.
        #[arg(long)]
        key_file: Option<PathBuf>,
    },
    /// Have the log recomputed from its store; names the first bad entry.
    Check,
    /// Print the newest signed checkpoint and the key of the log.
    Checkpoint,
}

/// `probity token …`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue a token for somebody else; it is shown once.
    Issue {
        /// `users/<name>` or `service-accounts/<name>`; a bare name is a user.
        #[arg(long)]
        actor: String,
        /// Roles, separated by commas: submitter, officer, auditor, operator, admin.
        #[arg(long, value_delimiter = ',', required = true)]
        roles: Vec<probity_types::Role>,
        /// How long it lasts, such as 30m, 8h, 7d.
        #[arg(long, default_value = "1h", value_parser = crate::values::seconds)]
        ttl: i64,
    },
}

/// `probity workflow …`.
#[derive(Debug, Subcommand)]
pub enum WorkflowCommand {
    /// List the definitions.
    List,
    /// Print the source of a definition.
    Show {
        /// Its name, with or without `definitions/`.
        name: String,
        /// Content hash of a version; the newest without it.
        #[arg(long)]
        version: Option<String>,
    },
    /// Register a definition; it becomes the newest version of its name.
    Register {
        /// YAML or JSON.
        file: PathBuf,
    },
    /// Tell everything that is wrong or doubtful about definitions; needs no platform.
    Lint(trials::LintArgs),
    /// Tell what a definition would call with which message; needs no platform.
    DryRun(trials::TrialArgs),
    /// Live through failures and delays on a virtual clock; needs no platform.
    Simulate(trials::SimulateArgs),
    /// Print the JSON Schema of definitions, for editors.
    Schema,
    /// Draw the graph of a definition; needs no platform.
    Render(trials::RenderArgs),
}

/// `probity watchlist …`.
#[derive(Debug, Subcommand)]
pub enum WatchlistCommand {
    /// Load a list in the layout of OFAC's sdn.csv, replacing the one of that name.
    Import {
        /// Name of the list: lower-case letters, digits, hyphens.
        name: String,
        /// The entries (sdn.csv).
        entries: PathBuf,
        /// The aliases (alt.csv).
        #[arg(long)]
        aliases: Option<PathBuf>,
    },
    /// List the loaded watchlists.
    List,
}

/// `probity samples …`.
#[derive(Debug, Args)]
pub struct SamplesArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SamplesCommand,
}

/// `probity samples …`.
#[derive(Debug, Subcommand)]
pub enum SamplesCommand {
    /// Write sample files and a manifest of what is hidden in them.
    Generate(GenerateArgs),
}

/// `probity samples generate`.
#[derive(Debug, Clone, Args)]
pub struct GenerateArgs {
    /// Folder to write to; made when it is not there.
    pub dir: PathBuf,
    /// The same seed gives the same files.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many tenders.
    #[arg(long, default_value_t = 6)]
    pub tenders: u32,
    /// Write the tenders into one JSON Lines file instead of a file each.
    #[arg(long)]
    pub jsonl: bool,
    /// How many payment files.
    #[arg(long, default_value_t = 3)]
    pub payments: u32,
    /// How many rows a payment file has, at least 20.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(20..))]
    pub rows: u32,
    /// How many messages.
    #[arg(long, default_value_t = 4)]
    pub messages: u32,
    /// How many reports.
    #[arg(long, default_value_t = 3)]
    pub reports: u32,
}

/// An idempotency key leaves room for the number of the item behind it.
fn key(text: &str) -> Result<String, String> {
    const LONGEST: usize = 112;
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("1 to {LONGEST} visible ASCII characters without spaces"));
    }
    Ok(text.to_owned())
}
