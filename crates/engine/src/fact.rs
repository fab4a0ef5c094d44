//! Facts: what has been decided about an execution, and nothing else.
//!
//! The journal of an execution is a list of facts. It is the history people read,
//! the source of the audit log, and all that is needed to go on after a crash.
//! Facts are added to, never changed: a new field gets a default.

use crate::case::CaseState;
use probity_types::CaseKind;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::Arc;

/// What a person decided about a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Disposition {
    /// There was something to it.
    Confirmed,
    /// There was nothing to it.
    FalsePositive,
    /// It cannot be told.
    Inconclusive,
}

impl Disposition {
    /// Its name in outputs and stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "CONFIRMED",
            Self::FalsePositive => "FALSE_POSITIVE",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing was found.
    Clear,
    /// A person confirmed the suspicion.
    Confirmed,
    /// A person found it unfounded.
    Unfounded,
    /// A person could not tell.
    Inconclusive,
    /// It was spam.
    Spam,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 5] =
        [Self::Clear, Self::Confirmed, Self::Unfounded, Self::Inconclusive, Self::Spam];

    /// Its name in definitions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Confirmed => "confirmed",
            Self::Unfounded => "unfounded",
            Self::Inconclusive => "inconclusive",
            Self::Spam => "spam",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == name)
    }
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// As defined.
    Completed,
    /// As failed, by its definition or a person.
    Failed,
    /// Taken back by a person.
    Cancelled,
}

impl Ending {
    /// The state the case ends in.
    #[must_use]
    pub const fn state(self) -> CaseState {
        match self {
            Self::Completed => CaseState::Resolved,
            Self::Failed => CaseState::Failed,
            Self::Cancelled => CaseState::Cancelled,
        }
    }
}

/// The step of another execution that one was started by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// `cases/<id>` or `executions/<id>`.
    pub execution: String,
    /// The step.
    pub step: String,
    /// The item of the step, when it runs for each of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
}

/// One decided thing. The tag is the `type` of the history event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Fact {
    /// The case exists.
    #[serde(rename = "case.opened")]
    CaseOpened {
        /// `cases/<id>`.
        case: String,
        /// What it is about.
        kind: CaseKind,
        /// One line for people.
        subject: String,
        /// `documents/<sha256>` each.
        documents: Vec<String>,
        /// 1 (low) to 4 (critical).
        priority: u8,
        /// Who opened it.
        owner: String,
        /// The roles the owner had.
        owner_roles: probity_types::Roles,
        /// Name of the definition.
        definition: String,
        /// Content hash of the definition.
        version: String,
    },
    /// An execution that is not a case exists.
    #[serde(rename = "execution.started")]
    ExecutionStarted {
        /// `executions/<id>`.
        execution: String,
        /// Name of the definition.
        definition: String,
        /// Content hash of the definition.
        version: String,
        /// What it was started with.
        #[serde(default)]
        input: Arc<Json>,
        /// 1 (low) to 4 (critical).
        priority: u8,
        /// Who started it.
        owner: String,
        /// The roles the owner had.
        owner_roles: probity_types::Roles,
        /// The step that started it, where one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<Parent>,
    },
    /// The case went from one state to the next.
    #[serde(rename = "case.transition")]
    CaseMoved {
        /// Before.
        from: CaseState,
        /// After.
        to: CaseState,
        /// The step that asked for it, where one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// Why.
        reason: String,
    },
    /// A step is to be called.
    #[serde(rename = "step.scheduled")]
    StepScheduled {
        /// The step.
        step: String,
        /// Counted from 1.
        attempt: u32,
        /// The message, as JSON.
        input: Arc<Json>,
    },
    /// A step answered.
    #[serde(rename = "step.completed")]
    StepCompleted {
        /// The step.
        step: String,
        /// The attempt that answered.
        attempt: u32,
        /// The answer, as JSON.
        output: Arc<Json>,
    },
    /// An attempt failed.
    #[serde(rename = "step.attempt_failed")]
    StepFailed {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// Stable code of the failure.
        code: String,
        /// What went wrong.
        error: String,
        /// When the next attempt is due; absent when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at_us: Option<i64>,
    },
    /// A step is not needed.
    #[serde(rename = "step.skipped")]
    StepSkipped {
        /// The step.
        step: String,
        /// Why.
        reason: String,
        /// Who, when a person skipped it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
    },
    /// A timer runs.
    #[serde(rename = "timer.started")]
    TimerStarted {
        /// The step.
        step: String,
        /// When it is over.
        at_us: i64,
    },
    /// A person is asked.
    #[serde(rename = "approval.requested")]
    ApprovalRequested {
        /// The step.
        step: String,
        /// What is asked.
        reason: String,
        /// How many people must agree.
        required: u32,
    },
    /// A person answered.
    #[serde(rename = "approval.given")]
    ApprovalGiven {
        /// The step.
        step: String,
        /// Who.
        actor: String,
        /// What they decided.
        disposition: Disposition,
        /// Why.
        note: String,
    },
    /// A person is needed to get an execution going again.
    #[serde(rename = "incident.opened")]
    IncidentOpened {
        /// The step.
        step: String,
        /// What went wrong.
        reason: String,
    },
    /// A person got it going again by a new attempt.
    #[serde(rename = "incident.retried")]
    IncidentRetried {
        /// The step.
        step: String,
        /// Who.
        actor: String,
    },
    /// From here on, what was done is taken back.
    #[serde(rename = "compensation.started")]
    CompensationStarted {
        /// How it will end.
        ending: Ending,
        /// Why.
        reason: String,
        /// Who, when a person asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
    },
    /// A step is to be taken back.
    #[serde(rename = "compensation.scheduled")]
    CompensationScheduled {
        /// The step.
        step: String,
        /// Counted from 1.
        attempt: u32,
        /// The message, as JSON.
        input: Arc<Json>,
    },
    /// A step was taken back.
    #[serde(rename = "compensation.completed")]
    CompensationCompleted {
        /// The step.
        step: String,
    },
    /// Taking back failed.
    #[serde(rename = "compensation.attempt_failed")]
    CompensationFailed {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// What went wrong.
        error: String,
        /// When the next attempt is due; absent when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at_us: Option<i64>,
    },
    /// The case is decided.
    #[serde(rename = "case.decided")]
    Decided {
        /// How.
        outcome: Outcome,
        /// Why, in order of weight.
        reasons: Vec<String>,
        /// Who.
        decided_by: Vec<String>,
        /// The note of the person, when one decided.
        note: String,
    },
    /// Nothing more will happen.
    #[serde(rename = "execution.ended")]
    Ended {
        /// How.
        ending: Ending,
        /// Why, when it did not end as defined.
        reason: String,
        /// What it gives, when it is not a case and ended as defined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Arc<Json>>,
    },
}

impl Fact {
    /// The tag: the `type` of the history event.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CaseOpened { .. } => "case.opened",
            Self::ExecutionStarted { .. } => "execution.started",
            Self::CaseMoved { .. } => "case.transition",
            Self::StepScheduled { .. } => "step.scheduled",
            Self::StepCompleted { .. } => "step.completed",
            Self::StepFailed { .. } => "step.attempt_failed",
            Self::StepSkipped { .. } => "step.skipped",
            Self::TimerStarted { .. } => "timer.started",
            Self::ApprovalRequested { .. } => "approval.requested",
            Self::ApprovalGiven { .. } => "approval.given",
            Self::IncidentOpened { .. } => "incident.opened",
            Self::IncidentRetried { .. } => "incident.retried",
            Self::CompensationStarted { .. } => "compensation.started",
            Self::CompensationScheduled { .. } => "compensation.scheduled",
            Self::CompensationCompleted { .. } => "compensation.completed",
            Self::CompensationFailed { .. } => "compensation.attempt_failed",
            Self::Decided { .. } => "case.decided",
            Self::Ended { .. } => "execution.ended",
        }
    }

    /// Whether it belongs into the audit log: transitions, decisions, effects and
    /// what people did; not the bookkeeping of attempts and timers.
    #[must_use]
    pub const fn is_audited(&self) -> bool {
        !matches!(
            self,
            Self::StepScheduled { .. }
                | Self::StepFailed { .. }
                | Self::StepSkipped { actor: None, .. }
                | Self::TimerStarted { .. }
                | Self::CompensationScheduled { .. }
                | Self::CompensationFailed { .. }
        )
    }

    /// The step it is about, where there is one.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::StepScheduled { step, .. }
            | Self::StepCompleted { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::TimerStarted { step, .. }
            | Self::ApprovalRequested { step, .. }
            | Self::ApprovalGiven { step, .. }
            | Self::IncidentOpened { step, .. }
            | Self::IncidentRetried { step, .. }
            | Self::CompensationScheduled { step, .. }
            | Self::CompensationCompleted { step }
            | Self::CompensationFailed { step, .. } => Some(step),
            Self::CaseMoved { step, .. } => step.as_deref(),
            Self::CaseOpened { .. }
            | Self::ExecutionStarted { .. }
            | Self::CompensationStarted { .. }
            | Self::Decided { .. }
            | Self::Ended { .. } => None,
        }
    }

    /// The attempt it is about, where there is one.
    #[must_use]
    pub const fn attempt(&self) -> Option<u32> {
        match self {
            Self::StepScheduled { attempt, .. }
            | Self::StepCompleted { attempt, .. }
            | Self::StepFailed { attempt, .. }
            | Self::CompensationScheduled { attempt, .. }
            | Self::CompensationFailed { attempt, .. } => Some(*attempt),
            _ => None,
        }
    }

    /// One sentence for people.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::CaseOpened { subject, owner, .. } => format!("{owner} opened it: {subject}"),
            Self::ExecutionStarted { owner, .. } => format!("{owner} started it"),
            Self::CaseMoved { reason, .. }
            | Self::StepSkipped { reason, .. }
            | Self::ApprovalRequested { reason, .. }
            | Self::IncidentOpened { reason, .. }
            | Self::CompensationStarted { reason, .. }
            | Self::Ended { reason, .. } => reason.clone(),
            Self::StepFailed { error, .. } | Self::CompensationFailed { error, .. } => error.clone(),
            Self::ApprovalGiven { disposition, note, .. } if note.is_empty() => {
                disposition.as_str().to_owned()
            }
            Self::ApprovalGiven { disposition, note, .. } => format!("{}: {note}", disposition.as_str()),
            Self::IncidentRetried { actor, .. } => format!("{actor} asked for a new attempt"),
            Self::Decided { reasons, .. } => reasons.join("; "),
            Self::StepScheduled { .. }
            | Self::StepCompleted { .. }
            | Self::TimerStarted { .. }
            | Self::CompensationScheduled { .. }
            | Self::CompensationCompleted { .. } => String::new(),
        }
    }
}
