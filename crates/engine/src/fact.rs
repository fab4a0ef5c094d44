//! Facts: what has been decided about an execution, and nothing else.
//!
//! The journal of an execution is a list of facts. It is the history people read,
//! the source of the audit log, and all that is needed to go on after a crash.
//! Facts are added to, never changed: a new field gets a default.

mod describe;
mod words;

pub use words::{Disposition, Ending, Outcome};

use crate::case::CaseState;
use probity_types::CaseKind;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::Arc;

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
        /// The item, when the step runs for each of a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
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
        /// The item, when the step runs for each of a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
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
        /// The item, when the step runs for each of a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
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
        /// The item, when the step runs for each of a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        /// Why.
        reason: String,
        /// Who, when a person skipped it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
        /// Stable code of the failure, when it failed and the rest goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// A step failed for good and another goes on instead.
    #[serde(rename = "step.given_up")]
    StepGivenUp {
        /// The step.
        step: String,
        /// Stable code of the failure.
        code: String,
        /// What went wrong.
        error: String,
        /// The step that goes on.
        handler: String,
    },
    /// A step runs for each of a list.
    #[serde(rename = "step.expanded")]
    StepExpanded {
        /// The step.
        step: String,
        /// The list, as JSON.
        items: Arc<Json>,
    },
    /// Every item of a step is done.
    #[serde(rename = "step.collected")]
    StepCollected {
        /// The step.
        step: String,
    },
    /// A result was taken over from another execution.
    #[serde(rename = "step.copied")]
    StepCopied {
        /// The step.
        step: String,
        /// Whether it was not needed there.
        skipped: bool,
        /// The answer, as JSON.
        output: Arc<Json>,
        /// `cases/<id>` or `executions/<id>`.
        from: String,
    },
    /// A person changed the message of a step.
    #[serde(rename = "step.input_edited")]
    InputEdited {
        /// The step.
        step: String,
        /// The item, when the step runs for each of a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        /// Who.
        actor: String,
        /// The message from now on, as JSON.
        input: Arc<Json>,
    },
    /// A step waits for a signal.
    #[serde(rename = "signal.awaited")]
    SignalAwaited {
        /// The step.
        step: String,
        /// Which signal.
        name: String,
        /// Until when; for ever when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_us: Option<i64>,
    },
    /// A signal came.
    #[serde(rename = "signal.received")]
    SignalReceived {
        /// Chosen by the sender.
        id: String,
        /// Which signal.
        name: String,
        /// Who sent it.
        actor: String,
        /// What it carries, as JSON.
        payload: Arc<Json>,
    },
    /// The step that waits for it took a signal.
    #[serde(rename = "signal.taken")]
    SignalTaken {
        /// The step.
        step: String,
        /// The id of the signal.
        id: String,
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
        /// `users/<id>` and `roles/<role>`; everybody when empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        assignees: Vec<String>,
        /// When an answer is due.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_at_us: Option<i64>,
    },
    /// An answer is due soon.
    #[serde(rename = "approval.reminded")]
    ApprovalReminded {
        /// The step.
        step: String,
        /// Which reminder it is, from 1.
        number: u32,
        /// When the answer is due.
        due_at_us: i64,
    },
    /// Others are asked as well.
    #[serde(rename = "approval.escalated")]
    ApprovalEscalated {
        /// The step.
        step: String,
        /// `users/<id>` and `roles/<role>`.
        to: Vec<String>,
    },
    /// A person lets another decide instead.
    #[serde(rename = "approval.delegated")]
    ApprovalDelegated {
        /// The step.
        step: String,
        /// Who.
        actor: String,
        /// `users/<id>`.
        to: String,
    },
    /// A case should leave its state soon.
    #[serde(rename = "case.reminder")]
    CaseReminded {
        /// The state.
        state: CaseState,
        /// Which reminder it is, from 1.
        number: u32,
        /// When it should have left.
        due_at_us: i64,
    },
    /// A case should have left its state.
    #[serde(rename = "case.overdue")]
    CaseOverdue {
        /// The state.
        state: CaseState,
        /// When it should have left.
        due_at_us: i64,
        /// Who is told: `users/<id>` and `roles/<role>`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        to: Vec<String>,
    },
    /// It waits for a place among the executions that its definition limits.
    #[serde(rename = "execution.queued")]
    Queued {
        /// Those with the same key share the limit.
        key: String,
    },
    /// It has a place, and begins.
    #[serde(rename = "execution.admitted")]
    Admitted {},
    /// A person stopped it from starting anything new.
    #[serde(rename = "execution.paused")]
    Paused {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A person let it go on.
    #[serde(rename = "execution.resumed")]
    Resumed {
        /// Who.
        actor: String,
    },
    /// A person has a step, and everything after it, done again.
    #[serde(rename = "execution.rerun")]
    Rerun {
        /// The step it begins with.
        step: String,
        /// Every step that is done again.
        steps: Vec<String>,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
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
        /// The item, when the step runs for each of a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        /// What went wrong.
        reason: String,
    },
    /// A person got it going again by a new attempt.
    #[serde(rename = "incident.retried")]
    IncidentRetried {
        /// The step.
        step: String,
        /// The item, when the step runs for each of a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
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
        /// The item, when the step runs for each of a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
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
        /// The item, when the step runs for each of a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
    },
    /// Taking back failed.
    #[serde(rename = "compensation.attempt_failed")]
    CompensationFailed {
        /// The step.
        step: String,
        /// The item, when the step runs for each of a list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
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
