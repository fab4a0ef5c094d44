//! What a definition is made of once it is compiled.

use crate::case::CaseState;
use crate::expr::Expr;
use crate::fact::Outcome;
use crate::schema::Schema;
use probity_types::Micros;
use probity_types::retry::Schedule;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;

/// A step.
#[derive(Debug)]
pub struct Step {
    /// Its identifier.
    pub id: String,
    /// The state the case enters when the step starts.
    pub state: Option<CaseState>,
    /// Indices of the steps that must be done before.
    pub needs: Vec<usize>,
    /// Whether it is done at all; always when absent.
    pub when: Option<Expr>,
    /// What it does.
    pub action: Action,
    /// That it is done for each of a list.
    pub each: Option<Each>,
    /// When a failed call is tried again.
    pub retry: Schedule,
    /// Codes of failures that are never tried again.
    pub no_retry_on: Vec<String>,
    /// How many calls of it may be under way, and how fast they may begin.
    pub limit: Option<Limit>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long it may take over all attempts, from its first start.
    pub deadline: Option<Duration>,
    /// What happens when no attempt is left.
    pub on_error: OnError,
    /// The steps it goes on for when they fail; it is skipped unless one does.
    pub handles: Vec<usize>,
    /// The steps that are skipped when its `on_error` routes elsewhere.
    pub aside: Vec<usize>,
    /// How it is taken back.
    pub compensate: Option<CallSpec>,
    /// What an answer must look like, when that is said.
    pub output_schema: Option<Schema>,
    /// Its output when it is skipped; that of an item when it runs for a list.
    pub default_output: Arc<Json>,
    /// Its output when it is skipped as a whole: an empty list when it runs for one.
    pub default_whole: Arc<Json>,
}

/// What a step does.
#[derive(Debug)]
pub enum Action {
    /// Calls a method, has a worker do a task, or runs another definition.
    Call(CallSpec),
    /// Ends the execution as failed, for a reason.
    Fail(Expr),
    /// Asks people.
    Approval(Box<ApprovalSpec>),
    /// Waits for some time.
    Timer(Duration),
    /// Waits for a point in time.
    Until(Expr),
    /// Waits for a signal.
    Signal(Box<SignalSpec>),
}

/// A call and its message.
#[derive(Debug)]
pub struct CallSpec {
    /// Who does it.
    pub target: Target,
    /// The fields of the message.
    pub input: Vec<(String, Expr)>,
}

/// Who does what a step asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A service of the platform: `package.Service/Method`.
    Method(String),
    /// A worker that takes tasks from a queue.
    Task {
        /// The type of the task.
        kind: String,
        /// The queue it waits in.
        queue: String,
    },
    /// Another definition, by its name.
    Workflow(String),
}

impl Target {
    /// How people read it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Method(name) | Self::Workflow(name) => name,
            Self::Task { kind, .. } => kind,
        }
    }
}

/// How many calls of a step, or executions of a definition, may be under way, and how
/// fast they may begin, over all executions of a tenant.
#[derive(Debug)]
pub struct Limit {
    /// Those with the same key share the limit; all of them when absent.
    pub key: Option<Expr>,
    /// How many at once; as many as come when absent.
    pub running: Option<u32>,
    /// How many may begin in which time; as many as come when absent.
    pub rate: Option<(u32, Duration)>,
}

/// That a step is done for each of a list.
#[derive(Debug)]
pub struct Each {
    /// The list.
    pub list: Expr,
    /// How many at a time; at least one.
    pub concurrency: u32,
}

/// What people are asked.
#[derive(Debug)]
pub struct ApprovalSpec {
    /// What is asked.
    pub reason: Expr,
    /// How many must agree; at least one.
    pub required: Expr,
    /// A list of `users/<id>` and `roles/<role>`; everybody when absent.
    pub assignees: Option<Expr>,
    /// How long people have.
    pub due: Option<Duration>,
    /// How long before that they are reminded, longest first.
    pub remind: Vec<Duration>,
    /// Who is asked as well after some time.
    pub escalate: Option<Escalation>,
    /// Whether who started it, and who decided before, may not decide.
    pub four_eyes: bool,
}

impl ApprovalSpec {
    /// When people are reminded, in order; what would be before they were asked is
    /// left out.
    pub fn reminders(&self, asked: Micros, due: Option<Micros>) -> impl Iterator<Item = Micros> + '_ {
        reminders(&self.remind, asked, due)
    }
}

/// Who is asked as well after some time.
#[derive(Debug)]
pub struct Escalation {
    /// `users/<id>` and `roles/<role>`.
    pub to: Vec<String>,
    /// After how long.
    pub after: Duration,
}

/// Which signal a step waits for.
#[derive(Debug)]
pub struct SignalSpec {
    /// Its name.
    pub name: String,
    /// How long; for ever when absent.
    pub timeout: Option<Duration>,
    /// What its payload must look like, when that is said.
    pub schema: Option<Schema>,
}

/// What happens when the attempts of a step are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It waits for a person.
    #[default]
    Incident,
    /// The execution fails at once; nothing is taken back.
    Fail,
    /// What was done is taken back, then the execution fails.
    Compensate,
    /// The step counts as skipped.
    Continue,
    /// Another step goes on instead.
    Route(usize),
}

/// What holds for a case while it is in a state, and for entering it.
#[derive(Debug)]
pub struct StateRule {
    /// How long it may stay.
    pub due: Option<Duration>,
    /// How long before that somebody is told, longest first.
    pub remind: Vec<Duration>,
    /// Who is told when it stayed too long: `users/<id>` and `roles/<role>`.
    pub escalate_to: Vec<String>,
    /// What must hold to enter it.
    pub guard: Option<Guard>,
}

impl StateRule {
    /// When somebody is told, in order; what would be before it was entered is left
    /// out.
    pub fn reminders(&self, entered: Micros) -> impl Iterator<Item = Micros> + '_ {
        reminders(&self.remind, entered, self.due.map(|due| entered.plus(due)))
    }
}

fn reminders(before: &[Duration], from: Micros, due: Option<Micros>) -> impl Iterator<Item = Micros> + '_ {
    let at = move |before: &Duration| {
        let before = i64::try_from(before.as_micros()).unwrap_or(i64::MAX);
        due.map(|due| Micros(due.0.saturating_sub(before)))
    };
    before.iter().filter_map(at).filter(move |at| *at > from)
}

/// What must hold to enter a state.
#[derive(Debug)]
pub struct Guard {
    /// The condition.
    pub condition: Expr,
    /// What a person reads when it does not hold.
    pub reason: String,
}

/// What an execution that is not a case gives.
#[derive(Debug)]
pub enum Output {
    /// The value of one expression.
    One(Expr),
    /// Named values.
    Fields(Vec<(String, Expr)>),
}

/// One way to end.
#[derive(Debug)]
pub struct VerdictRule {
    /// When it holds; always when absent.
    pub when: Option<Expr>,
    /// How the case ends.
    pub outcome: Outcome,
    /// A list of texts.
    pub reasons: Expr,
}
