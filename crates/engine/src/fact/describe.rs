//! What a fact is about, and how people read it.

use super::Fact;

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
            Self::StepGivenUp { .. } => "step.given_up",
            Self::StepExpanded { .. } => "step.expanded",
            Self::StepCollected { .. } => "step.collected",
            Self::StepCopied { .. } => "step.copied",
            Self::InputEdited { .. } => "step.input_edited",
            Self::TimerStarted { .. } => "timer.started",
            Self::SignalAwaited { .. } => "signal.awaited",
            Self::SignalReceived { .. } => "signal.received",
            Self::SignalTaken { .. } => "signal.taken",
            Self::ApprovalRequested { .. } => "approval.requested",
            Self::ApprovalGiven { .. } => "approval.given",
            Self::ApprovalReminded { .. } => "approval.reminded",
            Self::ApprovalEscalated { .. } => "approval.escalated",
            Self::ApprovalDelegated { .. } => "approval.delegated",
            Self::CaseReminded { .. } => "case.reminder",
            Self::CaseOverdue { .. } => "case.overdue",
            Self::Queued { .. } => "execution.queued",
            Self::Admitted { .. } => "execution.admitted",
            Self::Paused { .. } => "execution.paused",
            Self::Resumed { .. } => "execution.resumed",
            Self::Rerun { .. } => "execution.rerun",
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
                | Self::StepExpanded { .. }
                | Self::StepCollected { .. }
                | Self::Queued { .. }
                | Self::Admitted { .. }
                | Self::TimerStarted { .. }
                | Self::SignalAwaited { .. }
                | Self::SignalTaken { .. }
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
            | Self::StepGivenUp { step, .. }
            | Self::StepExpanded { step, .. }
            | Self::StepCollected { step }
            | Self::StepCopied { step, .. }
            | Self::InputEdited { step, .. }
            | Self::TimerStarted { step, .. }
            | Self::SignalAwaited { step, .. }
            | Self::SignalTaken { step, .. }
            | Self::ApprovalRequested { step, .. }
            | Self::ApprovalGiven { step, .. }
            | Self::ApprovalReminded { step, .. }
            | Self::ApprovalEscalated { step, .. }
            | Self::ApprovalDelegated { step, .. }
            | Self::IncidentOpened { step, .. }
            | Self::IncidentRetried { step, .. }
            | Self::CompensationScheduled { step, .. }
            | Self::CompensationCompleted { step, .. }
            | Self::CompensationFailed { step, .. }
            | Self::Rerun { step, .. } => Some(step),
            Self::CaseMoved { step, .. } => step.as_deref(),
            Self::CaseOpened { .. }
            | Self::ExecutionStarted { .. }
            | Self::SignalReceived { .. }
            | Self::CaseReminded { .. }
            | Self::CaseOverdue { .. }
            | Self::Queued { .. }
            | Self::Admitted { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::CompensationStarted { .. }
            | Self::Decided { .. }
            | Self::Ended { .. } => None,
        }
    }

    /// The item of the step it is about, where there is one.
    #[must_use]
    pub const fn item(&self) -> Option<u32> {
        match self {
            Self::StepScheduled { item, .. }
            | Self::StepCompleted { item, .. }
            | Self::StepFailed { item, .. }
            | Self::StepSkipped { item, .. }
            | Self::InputEdited { item, .. }
            | Self::IncidentOpened { item, .. }
            | Self::IncidentRetried { item, .. }
            | Self::CompensationScheduled { item, .. }
            | Self::CompensationCompleted { item, .. }
            | Self::CompensationFailed { item, .. } => *item,
            _ => None,
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
            Self::StepGivenUp { error, handler, .. } => format!("{handler} goes on instead: {error}"),
            Self::StepCopied { from, .. } => format!("taken over from {from}"),
            Self::InputEdited { actor, .. } => format!("{actor} changed the message"),
            Self::SignalReceived { actor, name, .. } => format!("{actor} sent {name}"),
            Self::SignalAwaited { name, .. } => format!("waits for {name}"),
            Self::ApprovalReminded { .. } => "an answer is due soon".to_owned(),
            Self::ApprovalEscalated { to, .. } => format!("also for {}", to.join(", ")),
            Self::ApprovalDelegated { actor, to, .. } => format!("{actor} handed it to {to}"),
            Self::CaseReminded { state, .. } => format!("it should leave {state} soon"),
            Self::CaseOverdue { state, .. } => format!("it should have left {state}"),
            Self::Paused { actor, reason } => format!("{actor} paused it: {reason}"),
            Self::Resumed { actor } => format!("{actor} let it go on"),
            Self::Rerun { actor, reason, .. } => format!("{actor} has it done again: {reason}"),
            Self::Decided { reasons, .. } => reasons.join("; "),
            Self::StepScheduled { .. }
            | Self::StepCompleted { .. }
            | Self::StepExpanded { .. }
            | Self::StepCollected { .. }
            | Self::TimerStarted { .. }
            | Self::SignalTaken { .. }
            | Self::CompensationScheduled { .. }
            | Self::Queued { .. }
            | Self::Admitted { .. }
            | Self::CompensationCompleted { .. } => String::new(),
        }
    }
}
