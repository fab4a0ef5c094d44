//! Attempts: what an answer or a failure leads to.

use super::state::Execution;
use super::{CallFailure, Slot, StepStatus, Turn};
use crate::definition::OnError;
use crate::fact::{Ending, Fact};
use crate::schema::InputError;
use crate::value::{is_larger, written};
use probity_types::Micros;
use serde_json::Value as Json;
use std::sync::Arc;

/// Largest answer of a step, as JSON.
pub(super) const MAX_OUTPUT: usize = 1 << 20;
/// Largest list of the answers of all items of a step, as JSON.
const MAX_COLLECTED: usize = 8 << 20;

impl Execution {
    /// An answer that is not awaited any more (a late one, a repeated one)
    /// changes nothing.
    pub(super) fn call_ended(
        &mut self,
        turn: &mut Turn,
        slot: Slot,
        attempt: u32,
        result: Result<Json, CallFailure>,
        now: Micros,
        random: f64,
    ) {
        if !self.awaits(slot, attempt) {
            return;
        }
        match result.and_then(|output| self.check_output(slot, output)) {
            Ok(output) => {
                let (step, item, output) = (self.id(slot.step), slot.item, Arc::new(output));
                self.record(turn, Fact::StepCompleted { step, item, attempt, output }, now);
            }
            Err(failure) => self.attempt_failed(turn, slot, attempt, failure, now, random),
        }
    }

    fn awaits(&self, slot: Slot, attempt: u32) -> bool {
        let called =
            self.slot(slot).is_some_and(|s| s.status == StepStatus::Running && s.attempts == attempt);
        let Some(step) = self.steps.get(slot.step).filter(|_| called && self.ended.is_none()) else {
            return false;
        };
        match (slot.item, &step.items) {
            // The items of a step that was given up are awaited by nobody.
            (Some(_), _) => !step.given_up,
            (None, items) => items.is_none(),
        }
    }

    fn check_output(&self, slot: Slot, output: Json) -> Result<Json, CallFailure> {
        if is_larger(&output, MAX_OUTPUT) {
            let size = written(&output);
            let message = format!(
                "the answer has {size} bytes; at most {MAX_OUTPUT} are allowed: hand it over as a document"
            );
            return Err(refused("ORC-0020", message));
        }
        let before = self.steps[slot.step].items.as_ref().map_or(0, |items| items.bytes);
        if slot.item.is_some() && before + written(&output) > MAX_COLLECTED {
            let message = format!(
                "the answers of all items would have more than {MAX_COLLECTED} bytes: hand them over as documents"
            );
            return Err(refused("ORC-0020", message));
        }
        let Some(schema) = &self.definition.steps[slot.step].output_schema else { return Ok(output) };
        schema.check(&output).map(|()| output).map_err(|faults| {
            refused("ORC-0023", format!("the answer does not fit its output_schema: {}", list(&faults)))
        })
    }

    fn attempt_failed(
        &mut self,
        turn: &mut Turn,
        slot: Slot,
        attempt: u32,
        failure: CallFailure,
        now: Micros,
        random: f64,
    ) {
        let due = self.next_attempt(slot, &failure, now, random);
        let CallFailure { code, message, .. } = failure;
        let failed = Fact::StepFailed {
            step: self.id(slot.step),
            item: slot.item,
            attempt,
            code: code.clone(),
            error: message.clone(),
            retry_at_us: due.map(|due| due.0),
        };
        self.record(turn, failed, now);
        if due.is_none() {
            self.give_up(turn, slot, &code, message, now);
        }
    }

    /// When the next attempt is due, if there is one.
    fn next_attempt(&self, slot: Slot, failure: &CallFailure, now: Micros, random: f64) -> Option<Micros> {
        let (spec, state) = (&self.definition.steps[slot.step], self.slot(slot)?);
        let never = !failure.transient || spec.no_retry_on.contains(&failure.code);
        if never || self.taking_back.is_some() {
            return None;
        }
        let elapsed = state.since.map_or_else(Default::default, |since| now.since(since));
        let wait = spec.retry.delay(state.round, elapsed, random)?;
        Some(now.plus(wait.max(failure.retry_after.unwrap_or_default())))
    }

    /// A step was not done within its time, over all attempts.
    pub(super) fn deadline_passed(&mut self, turn: &mut Turn, slot: Slot, now: Micros) {
        let deadline = self.definition.steps[slot.step].deadline.unwrap_or_default();
        let Some(state) = self.slot(slot) else { return };
        let (attempt, running) = (state.attempts, state.status == StepStatus::Running);
        if running && self.starts_child(slot.step) {
            turn.commands.push(self.cancel_child(slot));
        }
        let error = format!("it was not done within {} ms of its start", deadline.as_millis());
        let (code, error_text) = ("ORC-0024".to_owned(), error.clone());
        let (step, item) = (self.id(slot.step), slot.item);
        let failed = Fact::StepFailed { step, item, attempt, code, error: error_text, retry_at_us: None };
        self.record(turn, failed, now);
        self.give_up(turn, slot, "ORC-0024", error, now);
    }

    /// No attempt is left: what the step's `on_error` says.
    fn give_up(&mut self, turn: &mut Turn, slot: Slot, code: &str, reason: String, now: Micros) {
        if self.taking_back.is_some() {
            return;
        }
        let (step, item, name) = (self.id(slot.step), slot.item, self.name(slot));
        match self.definition.steps[slot.step].on_error {
            OnError::Incident => {
                let reason = if item.is_some() { format!("{name}: {reason}") } else { reason };
                self.record(turn, Fact::IncidentOpened { step, item, reason }, now);
            }
            OnError::Continue => {
                let code = Some(code.to_owned());
                self.record(turn, Fact::StepSkipped { step, item, reason, actor: None, code }, now);
            }
            OnError::Fail => self.fail(turn, format!("step {name} failed: {reason}"), now),
            OnError::Compensate => {
                self.take_back(turn, Ending::Failed, format!("step {name} failed: {reason}"), None, now);
            }
            OnError::Route(handler) => self.route(turn, slot.step, handler, code, reason, now),
        }
    }

    /// Another step goes on instead; what only the failed one led to is skipped.
    fn route(
        &mut self,
        turn: &mut Turn,
        step: usize,
        handler: usize,
        code: &str,
        error: String,
        now: Micros,
    ) {
        self.cancel_children_of(step, &mut turn.commands);
        let (id, to) = (self.id(step), self.id(handler));
        let given_up =
            Fact::StepGivenUp { step: id.clone(), code: code.to_owned(), error, handler: to.clone() };
        self.record(turn, given_up, now);
        let definition = self.definition.clone();
        for aside in &definition.steps[step].aside {
            if self.steps[*aside].status == StepStatus::Blocked {
                self.skip(turn, (*aside).into(), format!("step {id} failed and {to} goes on instead"), now);
            }
        }
    }
}

fn list(faults: &[InputError]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A failure that trying again does not mend.
fn refused(code: &str, message: String) -> CallFailure {
    CallFailure { code: code.to_owned(), message, transient: false, retry_after: None }
}
