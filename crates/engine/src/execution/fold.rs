//! State as a fold of facts: what concerns one step.

use super::state::Execution;
use super::step::{Asked, Deed, Items, StepState, StepStatus};
use super::{Slot, signal};
use crate::definition::Step;
use crate::fact::Fact;
use crate::value::written;
use probity_types::Micros;
use serde_json::{Value as Json, json};
use std::sync::Arc;

impl Execution {
    /// Folds a fact about a step, or about one of its items.
    pub(super) fn apply_to(&mut self, slot: Slot, fact: &Fact, at: Micros) {
        let definition = &self.definition.steps[slot.step];
        if let Fact::SignalTaken { id, .. } = fact {
            if let Some(signal) = self.mailbox.take(id) {
                let output = signal::received(&signal);
                self.steps[slot.step].finish(StepStatus::Completed, Arc::new(output), at);
            }
            return;
        }
        let state = &mut self.steps[slot.step];
        let Some(item) = slot.item else { return fold(state, definition, fact, at) };
        let Some(items) = &mut state.items else { return };
        let Some(one) = items.states.get_mut(item as usize) else { return };
        let (before, since) = (one.status, one.since);
        fold(one, definition, fact, at);
        let (after, begun) = (one.status, one.since);
        let size = match fact {
            Fact::StepCompleted { output, .. } => written(output),
            _ => 0,
        };
        let scheduled = matches!(fact, Fact::StepScheduled { .. });
        items.bytes = items.bytes.saturating_add(size);
        items.moved(item, before, after);
        items.next = if scheduled { items.next.max(item + 1) } else { items.next };
        if let Some(deadline) = definition.deadline {
            // Set while it runs: the alarm of an item that is done wakes nobody.
            since.iter().for_each(|since| items.mark(since.plus(deadline), item, false));
            let runs = matches!(after, StepStatus::Running | StepStatus::BackingOff(_));
            begun.iter().filter(|_| runs).for_each(|since| items.mark(since.plus(deadline), item, true));
        }
        follow_items(state, item, fact);
    }
}

/// The step stands where its items let it stand.
fn follow_items(state: &mut StepState, item: u32, fact: &Fact) {
    let Some(items) = &mut state.items else { return };
    match fact {
        Fact::IncidentOpened { reason, .. } => {
            items.next = items.next.max(item + 1);
            state.reason.clone_from(reason);
        }
        Fact::StepScheduled { .. } => state.called = true,
        Fact::StepSkipped { .. } => items.next = items.next.max(item + 1),
        // It is tried again, so the cursor goes back above it.
        Fact::IncidentRetried { .. } => items.back = items.back.max(item + 1),
        Fact::CompensationScheduled { .. } => items.back = item,
        _ => {}
    }
    let back = matches!(
        fact,
        Fact::CompensationScheduled { .. }
            | Fact::CompensationCompleted { .. }
            | Fact::CompensationFailed { .. }
    );
    let was_back = matches!(state.status, StepStatus::Compensating | StepStatus::Compensated);
    state.status = match state.status {
        _ if !items.incidents.is_empty() => StepStatus::Incident,
        _ if back || was_back => {
            let over = items.compensating == 0 && items.last_to_take_back().is_none();
            if over { StepStatus::Compensated } else { StepStatus::Compensating }
        }
        StepStatus::Incident | StepStatus::Running => StepStatus::Running,
        other => other,
    };
}

fn fold(step: &mut StepState, definition: &Step, fact: &Fact, at: Micros) {
    match fact {
        Fact::StepScheduled { attempt, input, .. } => {
            step.status = StepStatus::Running;
            step.attempts = *attempt;
            step.called = true;
            if step.round == 0 {
                step.since = Some(at);
            }
            step.round += 1;
            step.input = input.clone();
            step.started.get_or_insert(at);
        }
        Fact::StepExpanded { items, .. } => {
            step.items = Some(Box::new(Items::new(items.clone(), step.attempts, step.generation)));
            step.status = StepStatus::Running;
            step.started.get_or_insert(at);
        }
        Fact::StepCollected { .. } => {
            let collected = step.items.as_ref().map_or(Json::Array(Vec::new()), |items| items.collected());
            step.finish(StepStatus::Completed, Arc::new(collected), at);
        }
        Fact::StepCompleted { output, .. } => step.finish(StepStatus::Completed, output.clone(), at),
        Fact::StepCopied { output, skipped, .. } => {
            let status = if *skipped { StepStatus::Skipped } else { StepStatus::Completed };
            step.finish(status, output.clone(), at);
        }
        Fact::StepFailed { error, retry_at_us, .. } => {
            step.error.clone_from(error);
            step.status = retry_at_us.map_or(StepStatus::Blocked, |us| StepStatus::BackingOff(Micros(us)));
        }
        Fact::StepGivenUp { code, error, .. } => {
            let output = with_error(&definition.default_output, code, error);
            step.finish(StepStatus::Failed, output.into(), at);
            step.given_up = true;
        }
        Fact::StepSkipped { actor, code, reason, item, .. } => {
            let whole = item.is_none();
            let default = if whole { &definition.default_whole } else { &definition.default_output };
            step.given_up = whole;
            step.waived = actor.is_some();
            step.deed = actor.clone().map(|actor| (Deed::Skipped, actor));
            let output = match code {
                Some(code) => with_error(default, code, reason).into(),
                None => default.clone(),
            };
            step.finish(StepStatus::Skipped, output, at);
        }
        Fact::TimerStarted { at_us, .. } => {
            step.status = StepStatus::Timer(Micros(*at_us));
            step.started = Some(at);
        }
        Fact::SignalAwaited { until_us, .. } => {
            step.status = StepStatus::Signal(until_us.map(Micros));
            step.started = Some(at);
        }
        _ => fold_of_people(step, fact, at),
    }
}

fn fold_of_people(step: &mut StepState, fact: &Fact, at: Micros) {
    match fact {
        Fact::ApprovalRequested { reason, required, assignees, due_at_us, .. } => {
            step.status = StepStatus::Approval;
            step.reason.clone_from(reason);
            step.required = *required;
            step.started = Some(at);
            let (assignees, due) = (assignees.clone(), due_at_us.map(Micros));
            let asked = Asked { assignees, at, due, reminded: 0, escalated: false };
            step.asked = Some(Box::new(asked));
        }
        Fact::ApprovalGiven { actor, disposition, note, .. } => {
            step.votes.retain(|(who, ..)| who != actor);
            step.votes.push((actor.clone(), *disposition, note.clone()));
        }
        Fact::ApprovalReminded { number, .. } => {
            step.asked.iter_mut().for_each(|asked| asked.reminded = *number as usize);
        }
        Fact::ApprovalEscalated { to, .. } => step.asked.iter_mut().for_each(|asked| {
            asked.escalated = true;
            asked.assignees.extend(to.iter().cloned());
        }),
        Fact::ApprovalDelegated { actor, to, .. } => step.asked.iter_mut().for_each(|asked| {
            asked.assignees.retain(|who| who != actor);
            asked.assignees.push(to.clone());
        }),
        Fact::IncidentOpened { reason, .. } => {
            step.before = step.status.is_done().then_some(step.status);
            step.status = StepStatus::Incident;
            step.reason.clone_from(reason);
            step.deed = None;
        }
        Fact::IncidentRetried { actor, .. } => {
            step.status = step.before.take().unwrap_or(StepStatus::Blocked);
            step.deed = Some((Deed::Retried, actor.clone()));
            step.round = 0;
            step.back_attempts = 0;
        }
        Fact::InputEdited { input, .. } => {
            step.status = StepStatus::Blocked;
            step.input = input.clone();
            step.generation += 1;
            step.round = 0;
        }
        _ => fold_of_back(step, fact),
    }
}

fn fold_of_back(step: &mut StepState, fact: &Fact) {
    match fact {
        Fact::CompensationScheduled { attempt, input, .. } => {
            step.status = StepStatus::Compensating;
            step.back_attempts = *attempt;
            step.input = input.clone();
        }
        Fact::CompensationCompleted { .. } => step.status = StepStatus::Compensated,
        Fact::CompensationFailed { error, retry_at_us, .. } => {
            step.error.clone_from(error);
            let due = retry_at_us.map(|us| StepStatus::CompensationBackingOff(Micros(us)));
            step.status = due.unwrap_or(StepStatus::Incident);
        }
        _ => {}
    }
}

/// What a step that was given up has for an answer: every default, and why.
fn with_error(default: &Json, code: &str, message: &str) -> Json {
    let mut fields = default.as_object().cloned().unwrap_or_default();
    fields.insert("error".to_owned(), json!({ "code": code, "message": message }));
    Json::Object(fields)
}
