//! `probity execution`, `schedule`, `task`, `queue` and `deadletter`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Which entries of a list.
#[derive(Debug, Clone, Args)]
pub struct Listed {
    /// Only those the filter finds, such as 'status = FAILED' (docs/guides/filters.md).
    #[arg(long, default_value = "", hide_default_value = true)]
    pub filter: String,
    /// All of them, not only the first 50.
    #[arg(long)]
    pub all: bool,
}

/// How urgent something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // named as in the contracts, which describe them
pub enum Priority {
    Low,
    Normal,
    High,
    Critical,
}

/// `probity execution …`.
#[derive(Debug, Subcommand)]
pub enum ExecutionCommand {
    /// List executions, newest first.
    List(Listed),
    /// Count executions by their status, definition or priority.
    Count {
        /// Only those the filter finds.
        #[arg(long, default_value = "", hide_default_value = true)]
        filter: String,
        /// What to count by.
        #[arg(long, default_value = "status", value_parser = ["status", "definition", "priority"])]
        by: String,
    },
    /// Show an execution with its steps, input and output.
    Get {
        /// The execution, with or without `executions/`.
        id: String,
    },
    /// Print what happens to an execution until it ends.
    Watch {
        /// The execution, with or without `executions/`.
        id: String,
        /// Go on after this sequence number.
        #[arg(long, default_value_t = 0)]
        after: i64,
    },
    /// Start an execution.
    Start(StartArgs),
    /// Cancel an execution; what was done is taken back.
    Cancel {
        /// The execution, with or without `executions/`.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Begin nothing new in an execution until it is resumed.
    Pause {
        /// The execution, with or without `executions/`.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Let a paused execution go on.
    Resume {
        /// The execution, with or without `executions/`.
        id: String,
    },
    /// Do a step that has an incident again.
    Retry {
        /// The execution, with or without `executions/`.
        id: String,
        /// The step.
        step: String,
    },
    /// Give up a step that has an incident and go on without it.
    Skip {
        /// The execution, with or without `executions/`.
        id: String,
        /// The step.
        step: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Do a step and all after it again.
    Rerun {
        /// The execution, with or without `executions/`.
        id: String,
        /// The step to begin with.
        step: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Start another execution with the results of this one up to a step.
    Fork {
        /// The execution, with or without `executions/`.
        id: String,
        /// The first step that is not taken over.
        step: String,
        /// Another input: JSON, @FILE, or - for standard input.
        #[arg(long)]
        input: Option<String>,
    },
    /// Send a signal to an execution.
    Signal {
        /// The execution, with or without `executions/`.
        id: String,
        /// The signal, as the definition names it.
        signal: String,
        /// What comes with it: JSON, @FILE, or - for standard input.
        #[arg(long)]
        payload: Option<String>,
        /// Identifies the signal: the same one twice counts once.
        #[arg(long)]
        signal_id: Option<String>,
    },
    /// Print all that happened to an execution so far.
    History {
        /// The execution, with or without `executions/`.
        id: String,
    },
    /// Draw when its steps ran: bars here, or SVG in a file.
    Gantt {
        /// The execution, with or without `executions/`.
        id: String,
        /// File for the SVG.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Draw the graph of its steps, coloured by where they stand.
    Graph {
        /// The execution, with or without `executions/`.
        id: String,
        /// In which language.
        #[arg(long = "as", value_enum, default_value_t = Graph::Dot)]
        language: Graph,
    },
}

/// Languages of graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Graph {
    /// For Graphviz.
    Dot,
    /// For Mermaid, as Markdown pages show it.
    Mermaid,
}

/// `probity execution start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// The definition, with or without `definitions/`.
    pub definition: String,
    /// Its input: JSON, @FILE, or - for standard input.
    #[arg(long)]
    pub input: Option<String>,
    /// How urgent it is.
    #[arg(long, value_enum, default_value_t = Priority::Normal)]
    pub priority: Priority,
    /// Idempotency key: starting again under the same key starts nothing.
    #[arg(long)]
    pub key: Option<String>,
    /// Wait so long for its end, such as 30s; at most 5m.
    #[arg(long, value_parser = crate::values::seconds)]
    pub wait: Option<i64>,
}

/// `probity schedule …`.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// List schedules, the one that runs next first.
    List(Listed),
    /// Show a schedule with its next times and last runs.
    Get {
        /// The schedule, with or without `schedules/`.
        id: String,
    },
    /// Make a schedule.
    Create {
        /// Its id: lower-case letters, digits, hyphens.
        id: String,
        /// What each run starts, with or without `definitions/`.
        #[arg(long)]
        definition: String,
        /// When: '30 2 * * MON-FRI', @daily, '@every 15m'.
        #[arg(long)]
        timing: String,
        /// Everything else.
        #[command(flatten)]
        rules: ScheduleRules,
    },
    /// Change what is given of a schedule.
    Update {
        /// The schedule, with or without `schedules/`.
        id: String,
        /// What each run starts, with or without `definitions/`.
        #[arg(long)]
        definition: Option<String>,
        /// When: '30 2 * * MON-FRI', @daily, '@every 15m'.
        #[arg(long)]
        timing: Option<String>,
        /// Everything else.
        #[command(flatten)]
        rules: ScheduleRules,
    },
    /// Delete a schedule; what it started goes on.
    Delete {
        /// The schedule, with or without `schedules/`.
        id: String,
    },
    /// Start nothing until it is resumed.
    Pause {
        /// The schedule, with or without `schedules/`.
        id: String,
    },
    /// Let a paused schedule go on.
    Resume {
        /// The schedule, with or without `schedules/`.
        id: String,
    },
    /// Start a run now, beside those of the timing.
    Trigger {
        /// The schedule, with or without `schedules/`.
        id: String,
        /// Idempotency key: triggering again under the same key starts nothing.
        #[arg(long)]
        key: Option<String>,
    },
    /// List the runs of a schedule, newest first.
    Runs {
        /// The schedule, with or without `schedules/`.
        id: String,
        /// Which.
        #[command(flatten)]
        listed: Listed,
    },
    /// Print the next times of a timing.
    Preview {
        /// '30 2 * * MON-FRI', @daily, '@every 15m'.
        timing: String,
        /// Time zone, such as Europe/Vienna.
        #[arg(long, default_value = "UTC")]
        zone: String,
        /// How many.
        #[arg(long, default_value_t = 10)]
        count: i32,
    },
}

/// The rules of a schedule beside its timing.
#[derive(Debug, Default, Args)]
pub struct ScheduleRules {
    /// The input of each run: JSON, @FILE, or - for standard input.
    #[arg(long)]
    pub input: Option<String>,
    /// Field of the input that is given the time of the run.
    #[arg(long)]
    pub time_field: Option<String>,
    /// Time zone of the timing, such as Europe/Vienna; UTC without it.
    #[arg(long)]
    pub zone: Option<String>,
    /// What happens when the run before still goes on.
    #[arg(long, value_enum)]
    pub overlap: Option<Overlap>,
    /// How late a run may still start, such as 1h.
    #[arg(long, value_parser = crate::values::seconds)]
    pub catch_up: Option<i64>,
    /// Start each run up to so much later, such as 30s.
    #[arg(long, value_parser = crate::values::seconds)]
    pub jitter: Option<i64>,
    /// At most so many runs.
    #[arg(long)]
    pub max_runs: Option<i64>,
    /// How urgent the runs are.
    #[arg(long, value_enum)]
    pub priority: Option<Priority>,
    /// For people.
    #[arg(long)]
    pub note: Option<String>,
}

/// What happens when a run is due while another goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Overlap {
    /// It is left out.
    Skip,
    /// One waits; later ones are left out.
    BufferOne,
    /// It starts beside the other.
    AllowAll,
    /// The other is cancelled.
    CancelRunning,
}

/// `probity task …`.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// List tasks, newest first.
    List(Listed),
    /// Show a task with its payload and result.
    Get {
        /// The task, with or without `tasks/`.
        id: String,
    },
    /// Put a task into a queue.
    Enqueue(EnqueueArgs),
    /// Cancel a task.
    Cancel {
        /// The task, with or without `tasks/`.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Have a task that failed for good done again.
    Retry {
        /// The task, with or without `tasks/`.
        id: String,
    },
}

/// `probity task enqueue`.
#[derive(Debug, Args)]
pub struct EnqueueArgs {
    /// What to do.
    pub r#type: String,
    /// The queue.
    #[arg(long, default_value = "default")]
    pub queue: String,
    /// What the worker gets: JSON, @FILE, or - for standard input.
    #[arg(long)]
    pub payload: Option<String>,
    /// How urgent it is.
    #[arg(long, value_enum, default_value_t = Priority::Normal)]
    pub priority: Priority,
    /// Give it out only after so long, such as 10m.
    #[arg(long, value_parser = crate::values::seconds)]
    pub delay: Option<i64>,
    /// While a task with this key is open in the queue, that one is answered.
    #[arg(long)]
    pub unique: Option<String>,
    /// Tasks with the same key share the queue's --max-running-per-key.
    #[arg(long)]
    pub concurrency_key: Option<String>,
    /// How long an attempt may take, such as 5m.
    #[arg(long, value_parser = crate::values::seconds)]
    pub timeout: Option<i64>,
    /// Idempotency key: enqueueing again under the same key adds nothing.
    #[arg(long)]
    pub key: Option<String>,
}

/// `probity queue …`.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List the queues with their figures.
    List,
    /// Show a queue.
    Get {
        /// Its name, with or without `queues/`.
        name: String,
    },
    /// Give out nothing until it is resumed.
    Pause {
        /// Its name, with or without `queues/`.
        name: String,
    },
    /// Let a paused queue go on.
    Resume {
        /// Its name, with or without `queues/`.
        name: String,
    },
    /// Change what is given of its settings.
    Update {
        /// Its name, with or without `queues/`.
        name: String,
        /// How long a worker has a task without a sign of life, such as 30s.
        #[arg(long, value_parser = crate::values::seconds)]
        lease: Option<i64>,
        /// How many may run at once; 0 for as many as there are.
        #[arg(long)]
        max_running: Option<i32>,
        /// How many with the same key may run at once; 0 for as many as there are.
        #[arg(long)]
        max_running_per_key: Option<i32>,
        /// How many are given out in a time: 100/1s, 5/1m; none takes the limit away.
        #[arg(long, value_parser = crate::values::rate)]
        rate: Option<(i32, i64)>,
    },
}

/// `probity deadletter …`.
#[derive(Debug, Subcommand)]
pub enum DeadLetterCommand {
    /// List dead letters, the last to fail first.
    List(Listed),
    /// Show a dead letter with its payload.
    Get {
        /// The letter, with or without `deadLetters/`.
        id: String,
    },
    /// Say that you look at it.
    Review {
        /// The letter, with or without `deadLetters/`.
        id: String,
        /// For others who look.
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
    },
    /// Have the step done again: one letter, or all open ones a filter finds.
    Requeue {
        /// The letter, with or without `deadLetters/`.
        #[arg(required_unless_present = "filter", conflicts_with = "filter")]
        id: Option<String>,
        /// Another message: JSON, @FILE, or - for standard input.
        #[arg(long, conflicts_with = "filter")]
        payload: Option<String>,
        /// Many at once.
        #[command(flatten)]
        many: Many,
    },
    /// Give the step up: one letter, or all open ones a filter finds.
    Discard {
        /// The letter, with or without `deadLetters/`.
        #[arg(required_unless_present = "filter", conflicts_with = "filter")]
        id: Option<String>,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Many at once.
        #[command(flatten)]
        many: Many,
    },
    /// Delete discarded letters.
    Clear {
        /// Only those that did not change for so long, such as 7d.
        #[arg(long, value_parser = crate::values::seconds)]
        older_than: Option<i64>,
        /// Only say how many.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print letters as one JSON object a line, with their payloads.
    Export {
        /// Only those the filter finds.
        #[arg(long, default_value = "", hide_default_value = true)]
        filter: String,
        /// File to write; standard output without it.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Say what the letters have in common.
    Patterns {
        /// Only those the filter finds.
        #[arg(long, default_value = "", hide_default_value = true)]
        filter: String,
        /// How many of each sort.
        #[arg(long, default_value_t = 5)]
        top: i32,
    },
}

/// Many letters at once.
#[derive(Debug, Args)]
pub struct Many {
    /// All open letters the filter finds, the oldest first.
    #[arg(long)]
    pub filter: Option<String>,
    /// With --filter: at most so many.
    #[arg(long, default_value_t = 100, conflicts_with = "id")]
    pub limit: i32,
    /// With --filter: only say what would be done.
    #[arg(long, conflicts_with = "id")]
    pub dry_run: bool,
}
