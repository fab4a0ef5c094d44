//! The course of a case: which states it enters, on what condition, and how long
//! it may stay.

use super::state::Execution;
use super::{StepStatus, Turn};
use crate::case::{CaseState, join};
use crate::fact::Fact;
use probity_types::Micros;

impl Execution {
    /// Brings the case into a working state, through legal transitions only. A
    /// parallel branch that is further on keeps the case where it is.
    ///
    /// # Errors
    /// When the guard of a state on the way does not let it in; nothing has moved
    /// then.
    pub(super) fn enter(
        &mut self,
        turn: &mut Turn,
        state: CaseState,
        step: &str,
        now: Micros,
    ) -> Result<(), String> {
        let path = self.state.path_to(state);
        path.iter().try_for_each(|to| self.guard(*to))?;
        for to in path {
            self.move_to(turn, to, Some(step.to_owned()), format!("step {step} started"), now);
        }
        Ok(())
    }

    /// Whether the case may enter a state.
    pub(super) fn guard(&self, to: CaseState) -> Result<(), String> {
        let Some(guard) = self.definition.states.get(&to).and_then(|rule| rule.guard.as_ref()) else {
            return Ok(());
        };
        if guard.condition.evaluate_bool(self)? {
            return Ok(());
        }
        let name = to.as_str().to_uppercase();
        Err(format!("the case may not become {name}: {}", guard.reason))
    }

    pub(super) fn move_to(
        &mut self,
        turn: &mut Turn,
        to: CaseState,
        step: Option<String>,
        reason: String,
        now: Micros,
    ) {
        if !self.opening.is_case() {
            return;
        }
        let from = self.state;
        debug_assert!(from.may_become(to), "{from} may become {}, not {to}", join(from.next()));
        self.record(turn, Fact::CaseMoved { from, to, step, reason }, now);
    }

    /// What can be done to it instead of deciding, for refusals.
    pub(super) fn possible(&self) -> String {
        let waiting = self.steps.iter().any(|s| s.status == StepStatus::Incident);
        let now = if self.taking_back.is_some() {
            "wait until it is taken back"
        } else if waiting {
            "retry or skip the step with the incident, or cancel it"
        } else {
            "wait until it asks for a decision, or cancel it"
        };
        if self.opening.is_case() && !self.state.is_final() {
            return format!("{now}; from here the case can become {}", join(self.state.next()));
        }
        now.to_owned()
    }

    /// When somebody is to be told that the case has been in its state for long.
    pub(super) fn alarm_of_state(&self) -> Option<Micros> {
        if !self.opening.is_case() || self.taking_back.is_some() {
            return None;
        }
        let rule = self.definition.states.get(&self.state)?;
        let (since, due) = (self.stay.since, rule.due?);
        let overdue = Some(since.plus(due)).filter(|_| !self.stay.overdue);
        let reminder = rule.reminders(since).nth(self.stay.reminded);
        reminder.into_iter().chain(overdue).min()
    }

    pub(super) fn wake_state(&mut self, turn: &mut Turn, now: Micros) {
        if self.alarm_of_state().is_none_or(|at| at > now) {
            return;
        }
        let definition = self.definition.clone();
        let Some((rule, due)) = definition.states.get(&self.state).and_then(|r| Some((r, r.due?))) else {
            return;
        };
        let (state, due) = (self.state, self.stay.since.plus(due));
        let passed = rule.reminders(self.stay.since).take_while(|at| *at <= now).count();
        // Overdue says more than a reminder that comes with it.
        if passed > self.stay.reminded {
            let number = u32::try_from(passed).unwrap_or(u32::MAX);
            self.record(turn, Fact::CaseReminded { state, number, due_at_us: due.0 }, now);
        }
        if due <= now && !self.stay.overdue {
            let to = rule.escalate_to.clone();
            self.record(turn, Fact::CaseOverdue { state, due_at_us: due.0, to }, now);
        }
    }
}
