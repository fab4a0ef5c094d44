//! What happens to an execution, and what it leads to.

use crate::fact::{Disposition, Fact};
use probity_types::{Micros, Roles};
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;

/// What happens to an execution.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A call answered, or failed to.
    CallEnded {
        /// The step.
        step: usize,
        /// The item, when the step runs for each of a list.
        item: Option<u32>,
        /// The attempt.
        attempt: u32,
        /// Whether it was the compensation of the step.
        compensation: bool,
        /// The answer as JSON.
        result: Result<Json, CallFailure>,
    },
    /// A point in time came that [`Command::WakeAt`] asked for.
    Woken,
    /// It has a place among the executions that its definition limits.
    Admit,
    /// A person decided.
    Decide {
        /// Who.
        actor: String,
        /// The roles they have.
        roles: Roles,
        /// What.
        disposition: Disposition,
        /// Why.
        note: String,
    },
    /// A person who may decide lets another person decide instead.
    Delegate {
        /// Who.
        actor: String,
        /// The roles they have.
        roles: Roles,
        /// `users/<id>`.
        to: String,
        /// The identifier of the approval.
        step: String,
    },
    /// Something a step waits for, or will wait for.
    Signal {
        /// Who sent it.
        actor: String,
        /// Chosen by the sender; the same id twice counts once.
        id: String,
        /// Which signal.
        name: String,
        /// What it carries.
        payload: Json,
    },
    /// A person takes it back.
    Cancel {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person stops it from starting anything new.
    Pause {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person lets it go on.
    Resume {
        /// Who.
        actor: String,
    },
    /// Somebody starts what was made and held back.
    Run {
        /// Who.
        actor: String,
    },
    /// A person asks for a new attempt of a step with an incident.
    RetryStep {
        /// Who.
        actor: String,
        /// The step's identifier; `step[3]` is one item, without it all that wait.
        step: String,
    },
    /// A person skips a step with an incident.
    SkipStep {
        /// Who.
        actor: String,
        /// The step's identifier; `step[3]` is one item, without it all that wait.
        step: String,
        /// Why.
        reason: String,
    },
    /// A person mends the message of a step with an incident; it is called anew.
    EditInput {
        /// Who.
        actor: String,
        /// The step's identifier; `step[3]` is one item.
        step: String,
        /// The message from now on.
        input: Json,
    },
    /// A person has a step, and everything after it, done again.
    Rerun {
        /// Who.
        actor: String,
        /// The step's identifier.
        step: String,
        /// Why.
        reason: String,
    },
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// Stable code.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// Whether the same call may succeed later.
    pub transient: bool,
    /// How long the peer asks to wait.
    pub retry_after: Option<Duration>,
}

/// What is to be done once the facts are stored. Carrying one out twice must do
/// no harm: after a crash everything outstanding is asked for again.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make the call of a step: its [`Target`](crate::Target) says to whom.
    Call {
        /// The step.
        step: usize,
        /// The item, when the step runs for each of a list.
        item: Option<u32>,
        /// The attempt.
        attempt: u32,
        /// Whether it is the compensation of the step.
        compensation: bool,
        /// The message as JSON.
        input: Arc<Json>,
        /// Idempotency key below the execution: the same for every attempt.
        key: String,
    },
    /// Wake the execution at a point in time.
    WakeAt(Micros),
    /// Cancel the execution that a step of type workflow started under this key.
    CancelChild {
        /// The step.
        step: usize,
        /// The item, when the step runs for each of a list.
        item: Option<u32>,
        /// The key of the call that started it.
        key: String,
    },
}

/// What an event led to.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Turn {
    /// What was decided, to be stored.
    pub facts: Vec<Fact>,
    /// What to do after that.
    pub commands: Vec<Command>,
}
