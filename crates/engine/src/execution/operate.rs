//! What operators do: retry, skip and edit, pause and resume, run again.

use super::attempt::MAX_OUTPUT;
use super::state::Execution;
use super::step::Deed;
use super::{Refusal, Slot, StepStatus, Turn};
use crate::fact::Fact;
use crate::value::{is_larger, written};
use probity_types::Micros;
use serde_json::Value as Json;
use std::collections::BTreeSet;

impl Execution {
    /// The position of a step that exists.
    pub(super) fn find(&self, step: &str) -> Result<usize, Refusal> {
        self.definition.index(step).ok_or_else(|| Refusal::NoSuchStep {
            step: step.to_owned(),
            known: self.definition.steps.iter().map(|s| s.id.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The step, and the item when the name says one: `step` or `step[3]`.
    fn find_slot(&self, name: &str) -> Result<Slot, Refusal> {
        let Some((step, rest)) = name.split_once('[') else { return Ok(self.find(name)?.into()) };
        let item = rest.strip_suffix(']').and_then(|item| item.parse().ok());
        let slot = Slot { step: self.find(step)?, item };
        if item.is_none() || self.slot(slot).is_none() {
            return Err(Refusal::NoIncident { step: name.to_owned() });
        }
        Ok(slot)
    }

    /// What waits for a person under this name; every item that does when the
    /// name says none.
    fn incidents(&self, name: &str) -> Result<Vec<Slot>, Refusal> {
        self.refuse_ended()?;
        let slot = self.find_slot(name)?;
        let waits = |slot: &Slot| self.slot(*slot).is_some_and(|s| s.status == StepStatus::Incident);
        let open = match (&self.steps[slot.step].items, slot.item) {
            (Some(items), None) if !items.incidents.is_empty() => {
                items.incidents.iter().map(|item| Slot { step: slot.step, item: Some(*item) }).collect()
            }
            _ => vec![slot],
        };
        let open: Vec<Slot> = open.into_iter().filter(waits).collect();
        if open.is_empty() {
            return Err(Refusal::NoIncident { step: name.to_owned() });
        }
        Ok(open)
    }

    /// Whether this person did just that already and only lost the answer.
    fn is_repeated(&self, name: &str, deed: Deed, actor: &str) -> bool {
        let Ok(slot) = self.find_slot(name) else { return false };
        let same = |s: &super::StepState| s.deed.as_ref().is_some_and(|(d, who)| *d == deed && who == actor);
        let items = self.steps[slot.step].items.as_ref().filter(|_| slot.item.is_none());
        self.slot(slot).is_some_and(same) || items.is_some_and(|items| items.states.iter().any(same))
    }

    pub(super) fn retry_step(
        &mut self,
        turn: &mut Turn,
        actor: &str,
        step: &str,
        now: Micros,
    ) -> Result<(), Refusal> {
        let open = match self.incidents(step) {
            Err(Refusal::NoIncident { .. }) if self.is_repeated(step, Deed::Retried, actor) => return Ok(()),
            open => open?,
        };
        self.refuse_paused()?;
        for slot in open {
            let Some(state) = self.slot(slot) else { continue };
            let fresh = state.output.is_none() && self.taking_back.is_none();
            let (was_called, input) = (state.called && fresh, slot.item.is_some() && fresh);
            let (step, item, actor) = (self.id(slot.step), slot.item, actor.to_owned());
            self.record(turn, Fact::IncidentRetried { step, item, actor }, now);
            // What was called before goes on with its next attempt and the same
            // message; what could not be computed is computed anew.
            if was_called {
                self.schedule_again(turn, slot, now);
            } else if input {
                self.start_item(turn, slot, now);
            }
        }
        Ok(())
    }

    pub(super) fn skip_step(
        &mut self,
        turn: &mut Turn,
        actor: &str,
        step: &str,
        reason: &str,
        now: Micros,
    ) -> Result<(), Refusal> {
        let open = match self.incidents(step) {
            Err(Refusal::NoIncident { .. }) if self.is_repeated(step, Deed::Skipped, actor) => return Ok(()),
            open => open?,
        };
        for slot in open {
            let (step, item, reason) = (self.id(slot.step), slot.item, reason.to_owned());
            let actor = Some(actor.to_owned());
            self.record(turn, Fact::StepSkipped { step, item, reason, actor, code: None }, now);
        }
        Ok(())
    }

    pub(super) fn edit_input(
        &mut self,
        turn: &mut Turn,
        actor: String,
        step: &str,
        input: Json,
        now: Micros,
    ) -> Result<(), Refusal> {
        let open = self.incidents(step)?;
        self.refuse_paused()?;
        let [slot] = open[..] else {
            let wanted = "several items wait; write the one whose message it is as step[3]";
            return Err(Refusal::Malformed { what: "the step", value: step.to_owned(), wanted });
        };
        let calls = matches!(self.definition.steps[slot.step].action, crate::definition::Action::Call(_));
        let of_list = slot.item.is_none() && self.definition.steps[slot.step].each.is_some();
        let done = self.slot(slot).is_some_and(|state| state.output.is_some());
        if !calls || of_list || done || self.taking_back.is_some() {
            return Err(Refusal::NoIncident { step: step.to_owned() });
        }
        if !input.is_object() {
            let wanted = "it must be an object with the fields of the message";
            return Err(Refusal::Malformed { what: "the input", value: shown(&input), wanted });
        }
        if is_larger(&input, MAX_OUTPUT) {
            return Err(Refusal::TooLarge { what: "the input", size: written(&input), most: MAX_OUTPUT });
        }
        let (id, item, input) = (self.id(slot.step), slot.item, input.into());
        self.record(turn, Fact::InputEdited { step: id, item, actor, input }, now);
        self.schedule_again(turn, slot, now);
        Ok(())
    }

    pub(super) fn pause(
        &mut self,
        turn: &mut Turn,
        actor: String,
        reason: String,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.refuse_ended()?;
        if self.taking_back.is_some() {
            return Err(Refusal::TakingBack);
        }
        // Asked twice, it is paused once.
        if self.paused.is_none() {
            self.record(turn, Fact::Paused { actor, reason }, now);
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, turn: &mut Turn, actor: String, now: Micros) -> Result<(), Refusal> {
        self.refuse_ended()?;
        if self.paused.is_none() {
            return Err(Refusal::NotPaused);
        }
        self.record(turn, Fact::Resumed { actor }, now);
        // What became due in the meantime.
        self.woken(turn, now);
        Ok(())
    }

    /// Starts what is held; what runs or has ended is left as it is.
    pub(super) fn run(&mut self, turn: &mut Turn, actor: String, now: Micros) -> Result<(), Refusal> {
        if !self.is_held() {
            return if self.ended.is_some() { Ok(()) } else { self.refuse_paused() };
        }
        self.record(turn, Fact::Resumed { actor }, now);
        self.queue(turn, now);
        Ok(())
    }

    pub(super) fn refuse_paused(&self) -> Result<(), Refusal> {
        if self.paused.is_some() { Err(Refusal::Paused) } else { Ok(()) }
    }

    pub(super) fn rerun(
        &mut self,
        turn: &mut Turn,
        actor: String,
        step: &str,
        reason: String,
        now: Micros,
    ) -> Result<(), Refusal> {
        let index = self.find(step)?;
        self.refuse_paused()?;
        if self.taking_back.is_some() && self.ended.is_none() {
            return Err(Refusal::TakingBack);
        }
        // A decided case stays decided; what was taken back stays taken back.
        if self.ended.is_some() && (self.opening.is_case() || self.taking_back.is_some()) {
            return Err(Refusal::Ended { state: self.standing() });
        }
        let steps = self.definition.downstream(index);
        for step in &steps {
            self.cancel_children_of(*step, &mut turn.commands);
        }
        let steps = steps.into_iter().map(|step| self.id(step)).collect();
        let had_ended = self.ended.is_some();
        self.record(turn, Fact::Rerun { step: step.to_owned(), steps, actor, reason }, now);
        if had_ended {
            // Its place went to another with its end.
            self.queue(turn, now);
            // What was under way beside the step when it ended is awaited again, once
            // it has a place.
            turn.commands.extend(self.outstanding());
        }
        Ok(())
    }
}

impl crate::definition::Definition {
    /// A step and all that needs it, directly or through others, in their order.
    pub(crate) fn downstream(&self, step: usize) -> Vec<usize> {
        let mut found = BTreeSet::from([step]);
        for later in &self.order {
            if self.steps[*later].needs.iter().any(|need| found.contains(need)) {
                found.insert(*later);
            }
        }
        self.order.iter().copied().filter(|step| found.contains(step)).collect()
    }
}

/// The beginning of a value, for messages.
fn shown(value: &Json) -> String {
    value.to_string().chars().take(80).collect()
}
