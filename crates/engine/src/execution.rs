//! The execution state machine: `(state, event, now) → (state, commands)`.
//!
//! `state.rs` folds facts into state and never decides; `turn.rs` decides and
//! never changes state but through facts; `back.rs` takes back what was done.

mod back;
mod opening;
mod state;
mod turn;

pub use crate::fact::Parent;
pub use opening::{Opening, What};
pub use state::{Execution, Status, StepState, StepStatus};

use crate::fact::{Disposition, Fact};
use probity_types::Micros;
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
    /// A person decided.
    Decide {
        /// Who.
        actor: String,
        /// What.
        disposition: Disposition,
        /// Why.
        note: String,
    },
    /// A person takes the case back.
    Cancel {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person asks for a new attempt of a step with an incident.
    RetryStep {
        /// Who.
        actor: String,
        /// The step's identifier.
        step: String,
    },
    /// A person skips a step with an incident.
    SkipStep {
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

/// What is to be done once the facts are stored.
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
}

/// What an event led to.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Turn {
    /// What was decided, to be stored.
    pub facts: Vec<Fact>,
    /// What to do after that.
    pub commands: Vec<Command>,
}

/// Why an event was refused; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The case does not wait for a decision.
    #[error("the case is {state} and does not wait for a person's decision; possible now: {possible}")]
    NotWaiting {
        /// Where it stands.
        state: String,
        /// What is possible.
        possible: String,
    },
    /// The execution has ended.
    #[error("the case has ended as {state}; nothing can change it any more")]
    Ended {
        /// Where it stands.
        state: String,
    },
    /// There is no such step.
    #[error("there is no step {step:?}; there are {known}")]
    NoSuchStep {
        /// What was asked for.
        step: String,
        /// What there is.
        known: String,
    },
    /// The step has no incident.
    #[error("step {step:?} has no open incident, so there is nothing to retry or skip")]
    NoIncident {
        /// The step.
        step: String,
    },
    /// It is being taken back already.
    #[error("the case is already being taken back")]
    TakingBack,
}
