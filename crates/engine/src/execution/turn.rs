//! Decisions: what an event leads to, and what can start.

use super::state::Execution;
use super::{Event, Refusal, Slot, StepStatus, Turn};
use crate::definition::{Action, CallSpec};
use crate::expr::Variables;
use crate::fact::{Ending, Fact};
use probity_types::Micros;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

impl Execution {
    /// Takes an event at a point in time. `random`, uniform in `[0, 1)`, spreads
    /// the waits between attempts.
    ///
    /// # Errors
    /// When the event cannot be taken; nothing has changed then.
    pub fn take(&mut self, event: Event, now: Micros, random: f64) -> Result<Turn, Refusal> {
        let mut turn = Turn::default();
        match event {
            Event::CallEnded { step, item, attempt, compensation, result } => {
                let slot = Slot { step, item };
                if compensation {
                    self.back_ended(&mut turn, slot, attempt, result.map(drop), now, random);
                } else {
                    self.call_ended(&mut turn, slot, attempt, result, now, random);
                }
            }
            Event::Woken if self.is_stale(now) => return Ok(turn),
            Event::Woken => self.woken(&mut turn, now),
            Event::Admit => self.admit(&mut turn, now),
            event => self.asked(&mut turn, event, now)?,
        }
        self.advance(&mut turn, now);
        self.arm(&mut turn, now);
        Ok(turn)
    }

    /// What people and other systems ask for.
    fn asked(&mut self, turn: &mut Turn, event: Event, now: Micros) -> Result<(), Refusal> {
        match event {
            Event::Decide { actor, roles, disposition, note } => {
                self.decided(turn, actor, &roles, disposition, note, now)
            }
            Event::Delegate { actor, roles, to, step } => self.delegated(turn, actor, &roles, to, &step, now),
            Event::Signal { actor, id, name, payload } => {
                self.signalled(turn, actor, id, &name, payload, now)
            }
            Event::Cancel { actor, reason } => {
                self.refuse_ended()?;
                if self.taking_back.is_some() {
                    return Err(Refusal::TakingBack);
                }
                self.take_back(turn, Ending::Cancelled, reason, Some(actor), now);
                Ok(())
            }
            Event::Pause { actor, reason } => self.pause(turn, actor, reason, now),
            Event::Resume { actor } => self.resume(turn, actor, now),
            Event::Run { actor } => self.run(turn, actor, now),
            Event::RetryStep { actor, step } => self.retry_step(turn, &actor, &step, now),
            Event::SkipStep { actor, step, reason } => self.skip_step(turn, &actor, &step, &reason, now),
            Event::EditInput { actor, step, input } => self.edit_input(turn, actor, &step, input, now),
            Event::Rerun { actor, step, reason } => self.rerun(turn, actor, &step, reason, now),
            Event::CallEnded { .. } | Event::Woken | Event::Admit => Ok(()),
        }
    }

    /// Starts everything that can start; ends the execution when nothing is left.
    pub(super) fn advance(&mut self, turn: &mut Turn, now: Micros) {
        if self.ended.is_some() || self.paused.is_some() || self.is_queued() {
            return;
        }
        let definition = self.definition.clone();
        for step in &definition.order {
            if self.taking_back.is_some() || self.ended.is_some() {
                break;
            }
            if self.is_ready(*step) {
                self.start(turn, *step, now);
            }
            self.go_on_with_items(turn, *step, now);
        }
        if self.ended.is_some() {
            return;
        }
        if self.taking_back.is_some() {
            self.go_back(turn, now);
        } else if self.steps.iter().all(|s| s.status.is_done()) {
            self.decide(turn, now);
        }
    }

    fn is_ready(&self, step: usize) -> bool {
        self.steps[step].status == StepStatus::Blocked
            && self.definition.steps[step].needs.iter().all(|n| self.steps[*n].status.is_done())
    }

    fn start(&mut self, turn: &mut Turn, step: usize, now: Micros) {
        if let Err(reason) = self.try_start(turn, step, now) {
            self.record(turn, Fact::IncidentOpened { step: self.id(step), item: None, reason }, now);
        }
    }

    fn try_start(&mut self, turn: &mut Turn, step: usize, now: Micros) -> Result<(), String> {
        let definition = self.definition.clone();
        let spec = &definition.steps[step];
        if let Some(reason) = self.not_needed(step)? {
            self.skip(turn, step.into(), reason, now);
            return Ok(());
        }
        if let Some(state) = spec.state {
            self.enter(turn, state, &spec.id, now)?;
        }
        match &spec.each {
            Some(each) => self.expand(turn, step, each, now),
            None => self.act(turn, step, &spec.action, now),
        }
    }

    /// Why a step is not done at all, when it is not.
    fn not_needed(&self, step: usize) -> Result<Option<String>, String> {
        let spec = &self.definition.steps[step];
        let failed = |handled: &usize| self.steps[*handled].status == StepStatus::Failed;
        if !spec.handles.is_empty() && !spec.handles.iter().any(failed) {
            let handled: Vec<_> = spec.handles.iter().map(|step| self.id(*step)).collect();
            return Ok(Some(format!("not needed: {} did not fail", handled.join(", "))));
        }
        match &spec.when {
            Some(when) if !when.evaluate_bool(self)? => Ok(Some(format!("not needed: {}", when.source()))),
            _ => Ok(None),
        }
    }

    pub(super) fn skip(&mut self, turn: &mut Turn, slot: Slot, reason: String, now: Micros) {
        let (step, item) = (self.id(slot.step), slot.item);
        self.record(turn, Fact::StepSkipped { step, item, reason, actor: None, code: None }, now);
    }

    fn act(&mut self, turn: &mut Turn, step: usize, action: &Action, now: Micros) -> Result<(), String> {
        match action {
            Action::Call(call) => {
                let input = render(call, self)?.into();
                self.schedule(turn, step.into(), input, now);
            }
            Action::Fail(reason) => {
                let reason = reason.evaluate_text(self)?;
                self.complete_step(turn, step, json!({}), now);
                self.take_back(turn, Ending::Failed, reason, None, now);
            }
            Action::Approval(spec) => self.ask_people(turn, step, spec, now)?,
            Action::Timer(after) => self.start_timer(turn, step, now.plus(*after), now),
            Action::Until(at) => {
                let at = super::wake::instant(at, self, now)?;
                self.start_timer(turn, step, at, now);
            }
            Action::Signal(spec) => self.await_signal(turn, step, spec, now),
        }
        Ok(())
    }

    fn start_timer(&mut self, turn: &mut Turn, step: usize, at: Micros, now: Micros) {
        self.record(turn, Fact::TimerStarted { step: self.id(step), at_us: at.0 }, now);
    }

    pub(super) fn complete_step(&mut self, turn: &mut Turn, step: usize, output: Json, now: Micros) {
        let (step, output) = (self.id(step), output.into());
        self.record(turn, Fact::StepCompleted { step, item: None, attempt: 1, output }, now);
    }

    /// The next attempt, with this message.
    pub(super) fn schedule(&mut self, turn: &mut Turn, slot: Slot, input: Arc<Json>, now: Micros) {
        let attempt = self.slot(slot).map_or(0, |state| state.attempts) + 1;
        let (step, item) = (self.id(slot.step), slot.item);
        self.record(turn, Fact::StepScheduled { step, item, attempt, input }, now);
        turn.commands.extend(self.call(slot, false));
    }

    /// The next attempt, with the message of the last.
    pub(super) fn schedule_again(&mut self, turn: &mut Turn, slot: Slot, now: Micros) {
        if let Some(input) = self.slot(slot).map(|state| state.input.clone()) {
            self.schedule(turn, slot, input, now);
        }
    }

    pub(super) fn refuse_ended(&self) -> Result<(), Refusal> {
        if self.ended.is_some() {
            return Err(Refusal::Ended { state: self.standing() });
        }
        Ok(())
    }

    /// Where it stands, in a word for people.
    pub(super) fn standing(&self) -> String {
        if self.opening.is_case() {
            return self.state.as_str().to_uppercase();
        }
        match self.ended {
            Some(ending) => ending.as_str().to_uppercase(),
            None => "RUNNING".to_owned(),
        }
    }
}

/// The message of a call.
pub(super) fn render(call: &CallSpec, variables: &dyn Variables) -> Result<Json, String> {
    let fields = call.input.iter().map(|(field, expr)| Ok((field.clone(), expr.evaluate(variables)?)));
    fields.collect::<Result<Map<_, _>, String>>().map(Json::Object)
}
