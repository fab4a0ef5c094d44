//! Time: what is due, and the one alarm an execution needs.
//!
//! An execution asks for one alarm at a time: that of whatever is due first. Each
//! turn computes it anew and asks again when it has changed, so that ten thousand
//! waits of one execution cost one entry in the timers of whoever runs it. An
//! alarm that was overtaken wakes nobody.

use super::state::Execution;
use super::{Command, Slot, StepStatus, Turn};
use crate::definition::Action;
use crate::expr::{Expr, Variables};
use crate::fact::Fact;
use probity_types::Micros;
use std::time::Duration;

/// Longest wait for a point in time.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(400 * 86_400);

/// The point in time an expression gives, as RFC 3339 text.
pub(super) fn instant(expr: &Expr, variables: &dyn Variables, now: Micros) -> Result<Micros, String> {
    let text = expr.evaluate_text(variables)?;
    let at: jiff::Timestamp = text.parse().map_err(|_| {
        format!("{} gave {text:?}, no point in time such as 2026-01-31T12:00:00Z", expr.source())
    })?;
    let at = Micros(at.as_microsecond());
    if at.since(now) > LONGEST_WAIT {
        return Err(format!("{} gave {text}, more than 400 days from now", expr.source()));
    }
    Ok(at)
}

impl Execution {
    /// When something is due next.
    pub(super) fn next_alarm(&self) -> Option<Micros> {
        if self.ended.is_some() || self.paused.is_some() {
            return None;
        }
        let going_on = if self.is_queued() { 0 } else { self.steps.len() };
        let steps = (0..going_on).filter_map(|step| self.alarm_of(step));
        steps.chain(self.alarm_of_state()).min()
    }

    fn alarm_of(&self, step: usize) -> Option<Micros> {
        let (state, goes_on) = (&self.steps[step], self.taking_back.is_none());
        if let Some(items) = &state.items {
            if goes_on {
                return items.due.first().map(|(at, _)| *at).filter(|_| !state.given_up);
            }
            // One item at a time is taken back: the one the cursor stands on.
            return match items.states.get(items.back as usize)?.status {
                StepStatus::CompensationBackingOff(at) => Some(at),
                _ => None,
            };
        }
        match state.status {
            StepStatus::CompensationBackingOff(at) => Some(at),
            _ if !goes_on => None,
            StepStatus::BackingOff(at) => Some(self.deadline_of(step.into()).map_or(at, |d| d.min(at))),
            StepStatus::Running => self.deadline_of(step.into()),
            StepStatus::Timer(at) => Some(at),
            StepStatus::Signal(until) => until,
            StepStatus::Approval => self.alarm_of_approval(step),
            _ => None,
        }
    }

    fn deadline_of(&self, slot: Slot) -> Option<Micros> {
        let deadline = self.definition.steps[slot.step].deadline?;
        Some(self.slot(slot)?.since?.plus(deadline))
    }

    /// Asks for the alarm, when it is not the one that was asked for last.
    pub(super) fn arm(&mut self, turn: &mut Turn, now: Micros) {
        self.latest = self.latest.max(now);
        let next = self.next_alarm();
        if next != self.armed {
            self.armed = next;
            turn.commands.extend(next.map(Command::WakeAt));
        }
    }

    /// An alarm that came although a later one is asked for: nothing is due. Unless
    /// the clock went back; then the right one may have come and gone.
    pub(super) fn is_stale(&self, now: Micros) -> bool {
        now >= self.latest && self.armed.is_some_and(|armed| armed > now)
    }

    /// Everything that is due goes on.
    pub(super) fn woken(&mut self, turn: &mut Turn, now: Micros) {
        self.armed = None;
        if self.ended.is_some() || self.paused.is_some() {
            return;
        }
        let going_on = if self.is_queued() { 0 } else { self.steps.len() };
        for step in 0..going_on {
            if self.ended.is_some() {
                return;
            }
            if self.steps[step].items.is_some() {
                self.wake_items(turn, step, now);
            } else if self.alarm_of(step).is_some_and(|at| at <= now) {
                self.wake(turn, step.into(), now);
            }
        }
        self.wake_state(turn, now);
    }

    fn wake_items(&mut self, turn: &mut Turn, step: usize, now: Micros) {
        // Each is woken once, so that what it sets for itself waits for the next turn.
        let Some(items) = self.steps[step].items.as_ref().filter(|_| self.taking_back.is_none()) else {
            if self.alarm_of(step).is_some_and(|at| at <= now) {
                let item = self.steps[step].items.as_ref().map(|items| items.back);
                self.wake(turn, Slot { step, item }, now);
            }
            return;
        };
        let due: Vec<u32> =
            items.due.iter().take_while(|(at, _)| *at <= now).map(|(_, item)| *item).collect();
        for item in due {
            if self.alarm_of(step).is_some() {
                self.wake(turn, Slot { step, item: Some(item) }, now);
            }
        }
    }

    fn wake(&mut self, turn: &mut Turn, slot: Slot, now: Micros) {
        let Some(status) = self.slot(slot).map(|state| state.status) else { return };
        let late = self.deadline_of(slot).is_some_and(|at| at <= now);
        match status {
            StepStatus::Running | StepStatus::BackingOff(_) if late && self.taking_back.is_none() => {
                self.deadline_passed(turn, slot, now);
            }
            StepStatus::BackingOff(_) => self.schedule_again(turn, slot, now),
            StepStatus::CompensationBackingOff(_) => self.back_again(turn, slot, now),
            StepStatus::Timer(_) => self.complete_step(turn, slot.step, serde_json::json!({}), now),
            StepStatus::Signal(_) => {
                self.complete_step(turn, slot.step, super::signal::not_received(), now);
            }
            StepStatus::Approval => self.wake_approval(turn, slot.step, now),
            _ => {}
        }
    }

    fn alarm_of_approval(&self, step: usize) -> Option<Micros> {
        let asked = self.steps[step].asked.as_ref()?;
        let Action::Approval(spec) = &self.definition.steps[step].action else { return None };
        let reminder = spec.reminders(asked.at, asked.due).nth(asked.reminded);
        let escalation = spec.escalate.as_ref().filter(|_| !asked.escalated);
        reminder.into_iter().chain(escalation.map(|e| asked.at.plus(e.after))).min()
    }

    fn wake_approval(&mut self, turn: &mut Turn, step: usize, now: Micros) {
        let definition = self.definition.clone();
        let Action::Approval(spec) = &definition.steps[step].action else { return };
        let Some(asked) = self.steps[step].asked.clone() else { return };
        // Reminders that were missed while nobody looked are one reminder now.
        let passed = spec.reminders(asked.at, asked.due).take_while(|at| *at <= now).count();
        if passed > asked.reminded {
            let number = u32::try_from(passed).unwrap_or(u32::MAX);
            let due_at_us = asked.due.map_or(0, |due| due.0);
            self.record(turn, Fact::ApprovalReminded { step: self.id(step), number, due_at_us }, now);
        }
        if let Some(escalate) = &spec.escalate
            && !asked.escalated
            && asked.at.plus(escalate.after) <= now
        {
            let to = escalate.to.clone();
            self.record(turn, Fact::ApprovalEscalated { step: self.id(step), to }, now);
        }
    }
}
