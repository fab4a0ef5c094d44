//! Taking back: compensation in reverse order, then the end.
//!
//! A step whose outcome is unknown may have had its effect, so every step that
//! was called at least once is taken back; taking back what was never done does
//! nothing by contract. Calls under way are waited for first.

use super::state::Execution;
use super::turn::render;
use super::{CallFailure, Slot, StepStatus, Turn};
use crate::fact::{Ending, Fact};
use probity_types::Micros;
use serde_json::Value as Json;
use std::cmp::Reverse;
use std::sync::Arc;

impl Execution {
    pub(super) fn take_back(
        &mut self,
        turn: &mut Turn,
        ending: Ending,
        reason: String,
        actor: Option<String>,
        now: Micros,
    ) {
        self.record(turn, Fact::CompensationStarted { ending, reason, actor }, now);
        self.cancel_children(&mut turn.commands);
    }

    /// The next step to take back, or the end.
    pub(super) fn go_back(&mut self, turn: &mut Turn, now: Micros) {
        if (0..self.steps.len()).any(|step| self.is_busy(step) || self.is_stuck(step)) {
            return;
        }
        match self.next_back() {
            Some(slot) => self.schedule_back(turn, slot, now),
            None => self.end(turn, now),
        }
    }

    /// Called, or being taken back.
    fn is_busy(&self, step: usize) -> bool {
        let state = &self.steps[step];
        match (&state.items, state.status) {
            (Some(items), _) => (items.calling > 0 && !state.given_up) || items.compensating > 0,
            (None, status) => matches!(
                status,
                StepStatus::Running | StepStatus::Compensating | StepStatus::CompensationBackingOff(_)
            ),
        }
    }

    /// Waits for a person because taking it back failed.
    fn is_stuck(&self, step: usize) -> bool {
        let state = &self.steps[step];
        match &state.items {
            Some(items) => items.incidents.iter().any(|i| items.states[*i as usize].back_attempts > 0),
            None => state.status == StepStatus::Incident && state.back_attempts > 0,
        }
    }

    /// What was done last and can be taken back.
    fn next_back(&self) -> Option<Slot> {
        let slot_of = |step: usize| {
            self.definition.steps[step].compensate.as_ref()?;
            let state = &self.steps[step];
            match &state.items {
                Some(items) if !state.waived => {
                    items.last_to_take_back().map(|item| Slot { step, item: Some(item) })
                }
                Some(_) => None,
                None => state.may_have_done().then_some(Slot::from(step)),
            }
        };
        let when = |slot: &Slot| {
            let state = &self.steps[slot.step];
            Reverse((state.ended.or(state.started), slot.step))
        };
        (0..self.steps.len()).filter_map(slot_of).min_by_key(when)
    }

    fn schedule_back(&mut self, turn: &mut Turn, slot: Slot, now: Micros) {
        let definition = self.definition.clone();
        let Some(spec) = &definition.steps[slot.step].compensate else { return };
        let message = match self.item_view(slot) {
            Some(view) => render(spec, &view),
            None => render(spec, self),
        };
        match message {
            Ok(input) => self.call_back(turn, slot, input.into(), now),
            Err(error) => {
                let attempt = self.slot(slot).map_or(0, |state| state.back_attempts) + 1;
                self.back_failed(turn, slot, attempt, error, None, now);
            }
        }
    }

    fn call_back(&mut self, turn: &mut Turn, slot: Slot, input: Arc<Json>, now: Micros) {
        let attempt = self.slot(slot).map_or(0, |state| state.back_attempts) + 1;
        let (step, item) = (self.id(slot.step), slot.item);
        self.record(turn, Fact::CompensationScheduled { step, item, attempt, input }, now);
        turn.commands.extend(self.call(slot, true));
    }

    pub(super) fn back_again(&mut self, turn: &mut Turn, slot: Slot, now: Micros) {
        if let Some(input) = self.slot(slot).map(|state| state.input.clone()) {
            self.call_back(turn, slot, input, now);
        }
    }

    pub(super) fn back_ended(
        &mut self,
        turn: &mut Turn,
        slot: Slot,
        attempt: u32,
        result: Result<(), CallFailure>,
        now: Micros,
        random: f64,
    ) {
        let awaited = self
            .slot(slot)
            .is_some_and(|s| s.status == StepStatus::Compensating && s.back_attempts == attempt);
        let whole = self.steps.get(slot.step).is_some_and(|s| s.items.is_some()) && slot.item.is_none();
        if !awaited || whole || self.ended.is_some() {
            return;
        }
        match result {
            Ok(()) => {
                let (step, item) = (self.id(slot.step), slot.item);
                self.record(turn, Fact::CompensationCompleted { step, item }, now);
            }
            Err(failure) => {
                let retry = self.definition.steps[slot.step].retry.policy;
                let delay = retry.delay(attempt, random).filter(|_| failure.transient);
                let due = delay.map(|d| now.plus(d.max(failure.retry_after.unwrap_or_default())));
                self.back_failed(turn, slot, attempt, failure.message, due, now);
            }
        }
    }

    fn back_failed(
        &mut self,
        turn: &mut Turn,
        slot: Slot,
        attempt: u32,
        error: String,
        due: Option<Micros>,
        now: Micros,
    ) {
        let (step, item) = (self.id(slot.step), slot.item);
        let retry_at_us = due.map(|due| due.0);
        let reason = error.clone();
        let failed = Fact::CompensationFailed { step: step.clone(), item, attempt, error, retry_at_us };
        self.record(turn, failed, now);
        if due.is_none() {
            self.record(turn, Fact::IncidentOpened { step, item, reason }, now);
        }
    }
}
