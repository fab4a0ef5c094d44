//! From facts to dead letters: what a turn changes among the steps that failed for
//! good.
//!
//! A dead letter is the incident of a step, seen from the queue. The facts alone
//! move it, so it cannot differ from the execution, whoever ended the incident and
//! by which call.

pub(crate) mod patterns;

use super::standalone::Standalone;
use probity_engine::definition::{Action, CallSpec, Target};
use probity_engine::execution::StepState;
use probity_engine::pattern::template;
use probity_engine::{Execution, Fact};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest error that is kept, in characters.
const MAX_ERROR: usize = 2_000;

/// Where a dead letter stands. The numbers are those of the contract and the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody looks at it yet.
    Failed = 1,
    /// A person looks at it.
    Reviewing = 2,
    /// The step is done again.
    Requeued = 3,
    /// The step was given up.
    Discarded = 4,
}

/// A step, or one item of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) step: String,
    /// The item, when the step is done for each of a list.
    pub(crate) item: Option<u32>,
}

/// What a turn changes among the dead letters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// A step failed for good.
    Opened(Box<Failure>),
    /// The letter of a step is not open any more.
    Left { slot: Slot, to: State, note: String },
}

/// A step that failed for good.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) slot: Slot,
    pub(crate) definition: String,
    pub(crate) code: String,
    pub(crate) error: String,
    pub(crate) template: String,
    pub(crate) peer: String,
    pub(crate) operation: String,
    pub(crate) attempts: u32,
    /// The message of the step; shared with the execution, never copied.
    pub(crate) payload: Arc<Json>,
}

/// Which letters of one execution are open: a fold of its facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Letters {
    open: BTreeSet<Slot>,
}

impl Letters {
    /// The open letters after these facts, when nobody wants to know what changed.
    pub(crate) fn replay<'f>(facts: impl Iterator<Item = &'f Fact>) -> Self {
        let mut letters = Self::default();
        for fact in facts {
            letters.moved(fact, &mut |_, _, _| {});
            if let Fact::IncidentOpened { step, item, .. } = fact {
                letters.open.insert(slot(step, *item));
            }
        }
        letters
    }

    /// Takes the facts of a turn and answers what they change. `execution` is what
    /// they led to; `service_of` names the service that serves a method.
    pub(crate) fn take(
        &mut self,
        facts: &[Fact],
        execution: &Execution,
        service_of: fn(&str) -> &str,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for (at, fact) in facts.iter().enumerate() {
            self.moved(fact, &mut |slot, to, note| {
                changes.push(Change::Left { slot, to, note: note.to_owned() });
            });
            if let Fact::IncidentOpened { step, item, reason } = fact {
                let slot = slot(step, *item);
                let before = facts.get(..at).unwrap_or_default();
                changes.push(Change::Opened(failure(&slot, reason, before, execution, service_of).into()));
                self.open.insert(slot);
            }
        }
        changes
    }

    /// What a fact means for the open letters.
    fn moved(&mut self, fact: &Fact, left: &mut dyn FnMut(Slot, State, &str)) {
        if self.open.is_empty() {
            return;
        }
        match fact {
            // From here on nobody can retry what failed before.
            Fact::CompensationStarted { reason, .. } | Fact::Ended { reason, .. } => {
                let note = format!("the execution ended: {reason}");
                for slot in std::mem::take(&mut self.open) {
                    left(slot, State::Discarded, &note);
                }
            }
            Fact::StepSkipped { step, item, reason, .. } => {
                self.leave(&slot(step, *item), State::Discarded, reason, left);
            }
            Fact::StepGivenUp { step, error, .. } => self.leave_all(step, State::Discarded, error, left),
            Fact::Rerun { steps, reason, .. } => {
                steps.iter().for_each(|step| self.leave_all(step, State::Requeued, reason, left));
            }
            Fact::IncidentRetried { step, item, .. }
            | Fact::StepScheduled { step, item, .. }
            | Fact::CompensationScheduled { step, item, .. } => {
                self.leave(&slot(step, *item), State::Requeued, "", left);
            }
            _ => {}
        }
    }

    fn leave(&mut self, slot: &Slot, to: State, note: &str, left: &mut dyn FnMut(Slot, State, &str)) {
        if let Some(slot) = self.open.take(slot) {
            left(slot, to, note);
        }
    }

    /// A step and all its items.
    fn leave_all(&mut self, step: &str, to: State, note: &str, left: &mut dyn FnMut(Slot, State, &str)) {
        for slot in self.open.extract_if(.., |slot| slot.step == step) {
            left(slot, to, note);
        }
    }
}

fn slot(step: &str, item: Option<u32>) -> Slot {
    Slot { step: step.to_owned(), item }
}

/// The last message of a step, in whatever direction, among the facts of its
/// execution.
pub(crate) fn payload_of<'f>(facts: impl Iterator<Item = &'f Fact>, of: &Slot) -> Option<&'f Arc<Json>> {
    let sent = facts.filter_map(|fact| match fact {
        Fact::StepScheduled { step, item, input, .. }
        | Fact::CompensationScheduled { step, item, input, .. }
        | Fact::InputEdited { step, item, input, .. } => (slot(step, *item) == *of).then_some(input),
        _ => None,
    });
    sent.last()
}

fn failure(
    slot: &Slot,
    reason: &str,
    before: &[Fact],
    execution: &Execution,
    service_of: fn(&str) -> &str,
) -> Failure {
    let index = execution.definition.index(&slot.step);
    let state = index.and_then(|index| state_of(execution, index, slot.item));
    let (code, back) = cause(slot, before);
    let call = index.and_then(|index| call_of(execution, index, back));
    let (peer, operation) = match Standalone::of(execution) {
        Some(task) => (format!("queues/{}", task.queue), task.kind),
        None => call.map_or_else(Default::default, |call| asked(&call.target, service_of)),
    };
    let error: String = reason.chars().take(MAX_ERROR).collect();
    Failure {
        slot: slot.clone(),
        definition: format!("definitions/{}", execution.definition.name),
        code: code.to_owned(),
        template: template(&error),
        error,
        peer,
        operation,
        attempts: state.map_or(0, |state| if back { state.back_attempts } else { state.attempts }),
        payload: state.map_or_else(Arc::default, |state| state.input.clone()),
    }
}

/// The code of the failure that led to an incident, and whether it was in taking the
/// step back. What no attempt failed for could not be computed.
fn cause<'f>(slot: &Slot, before: &'f [Fact]) -> (&'f str, bool) {
    let own = |fact: &&Fact| fact.step() == Some(&slot.step) && fact.item() == slot.item;
    match before.iter().rev().find(own) {
        Some(Fact::StepFailed { code, .. }) => (code, false),
        Some(Fact::CompensationFailed { .. }) => ("ORC-0044", true),
        _ => ("ORC-0043", false),
    }
}

fn state_of(execution: &Execution, index: usize, item: Option<u32>) -> Option<&StepState> {
    let step = execution.steps.get(index)?;
    item.map_or(Some(step), |item| step.items.as_ref()?.states.get(item as usize))
}

fn call_of(execution: &Execution, index: usize, back: bool) -> Option<&CallSpec> {
    let spec = execution.definition.steps.get(index)?;
    match &spec.action {
        _ if back => spec.compensate.as_ref(),
        Action::Call(call) => Some(call),
        _ => None,
    }
}

/// Who was asked, and for what.
fn asked(target: &Target, service_of: fn(&str) -> &str) -> (String, String) {
    match target {
        Target::Method(method) => (service_of(method).to_owned(), method.clone()),
        Target::Task { kind, queue } => (format!("queues/{queue}"), kind.clone()),
        Target::Workflow(name) => (format!("definitions/{name}"), name.clone()),
    }
}

#[cfg(test)]
mod tests;
