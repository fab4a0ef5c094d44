//! Taking back: compensation in reverse order, then the end.
//!
//! A step whose outcome is unknown may have had its effect, so every step that
//! was called at least once is taken back; taking back what was never done does
//! nothing by contract. Calls under way are waited for first.

use super::state::{Execution, StepStatus};
use super::{CallFailure, Command, Turn};
use crate::fact::{Ending, Fact};
use probity_types::Micros;
use std::cmp::Reverse;

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
    }

    /// The next step to take back, or the end.
    pub(super) fn go_back(&mut self, turn: &mut Turn, now: Micros) {
        let busy = |s: StepStatus| {
            matches!(
                s,
                StepStatus::Running | StepStatus::Compensating | StepStatus::CompensationBackingOff(_)
            )
        };
        let stuck = |index: usize| {
            self.steps[index].status == StepStatus::Incident && self.steps[index].back_attempts > 0
        };
        if self.steps.iter().any(|s| busy(s.status)) || (0..self.steps.len()).any(stuck) {
            return;
        }
        match self.next_back() {
            Some(step) => self.schedule_back(turn, step, now),
            None => self.end(turn, now),
        }
    }

    /// The step that was done last and can be taken back.
    fn next_back(&self) -> Option<usize> {
        let to_take_back = |index: &usize| {
            let (spec, state) = (&self.definition.steps[*index], &self.steps[*index]);
            spec.compensate.is_some()
                && state.attempts > 0
                && state.status != StepStatus::Compensated
                && !state.waived
        };
        (0..self.steps.len())
            .filter(to_take_back)
            .min_by_key(|index| Reverse((self.steps[*index].ended.or(self.steps[*index].started), *index)))
    }

    fn schedule_back(&mut self, turn: &mut Turn, step: usize, now: Micros) {
        let definition = self.definition.clone();
        let Some(spec) = &definition.steps[step].compensate else { return };
        let attempt = self.steps[step].back_attempts + 1;
        match self.render(spec) {
            Ok(input) => {
                let input = input.into();
                self.record(turn, Fact::CompensationScheduled { step: self.id(step), attempt, input }, now);
                turn.commands.push(self.call(step, true));
            }
            Err(error) => {
                let (step, reason) = (self.id(step), error.clone());
                let failed =
                    Fact::CompensationFailed { step: step.clone(), attempt, error, retry_at_us: None };
                self.record(turn, failed, now);
                self.record(turn, Fact::IncidentOpened { step, reason }, now);
            }
        }
    }

    pub(super) fn back_again(&mut self, turn: &mut Turn, step: usize, now: Micros) {
        let (attempt, input) = (self.steps[step].back_attempts + 1, self.steps[step].input.clone());
        self.record(turn, Fact::CompensationScheduled { step: self.id(step), attempt, input }, now);
        turn.commands.push(self.call(step, true));
    }

    pub(super) fn back_ended(
        &mut self,
        turn: &mut Turn,
        step: usize,
        attempt: u32,
        result: Result<(), CallFailure>,
        now: Micros,
        random: f64,
    ) {
        let awaited = self
            .steps
            .get(step)
            .is_some_and(|s| s.status == StepStatus::Compensating && s.back_attempts == attempt);
        if !awaited {
            return;
        }
        let id = self.id(step);
        match result {
            Ok(()) => self.record(turn, Fact::CompensationCompleted { step: id }, now),
            Err(failure) => {
                let delay =
                    self.definition.steps[step].retry.delay(attempt, random).filter(|_| failure.transient);
                let due = delay.map(|d| now.plus(d.max(failure.retry_after.unwrap_or_default())));
                let failed = Fact::CompensationFailed {
                    step: id.clone(),
                    attempt,
                    error: failure.message.clone(),
                    retry_at_us: due.map(|d| d.0),
                };
                self.record(turn, failed, now);
                match due {
                    Some(due) => turn.commands.push(Command::WakeAt(due)),
                    None => {
                        self.record(turn, Fact::IncidentOpened { step: id, reason: failure.message }, now)
                    }
                }
            }
        }
    }

    fn end(&mut self, turn: &mut Turn, now: Micros) {
        let Some((ending, reason)) = self.taking_back.clone() else { return };
        self.move_to(turn, ending.state(), None, reason.clone(), now);
        self.record(turn, Fact::Ended { ending, reason, output: None }, now);
    }
}
