//! What is under way: all that a process that starts again must do.

use super::state::Execution;
use super::{Command, Slot, StepStatus};
use crate::definition::{Action, Target};

impl Execution {
    /// Everything that is under way: what a process that starts again must do.
    #[must_use]
    pub fn outstanding(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        for step in 0..self.steps.len() {
            match &self.steps[step].items {
                Some(items) => {
                    let all = (0..items.len()).map(|item| Slot { step, item: Some(item) });
                    all.for_each(|slot| commands.extend(self.under_way(slot)));
                }
                None => commands.extend(self.under_way(step.into())),
            }
        }
        if self.taking_back.is_some() || self.ended.is_some() {
            self.cancel_children(&mut commands);
        }
        commands.extend(self.next_alarm().map(Command::WakeAt));
        commands
    }

    /// Whether anything is under way: a call, or a wait for a point in time.
    #[must_use]
    pub fn is_active(&self) -> bool {
        let goes_on = self.ended.is_none() && !self.is_queued();
        let calls = goes_on && (0..self.steps.len()).any(|step| self.is_called(step));
        calls || self.next_alarm().is_some()
    }

    fn is_called(&self, step: usize) -> bool {
        let state = &self.steps[step];
        match (&state.items, state.status) {
            (Some(items), _) => (items.calling > 0 && !state.given_up) || self.calls_back(step) > 0,
            (None, status) => matches!(status, StepStatus::Running | StepStatus::Compensating),
        }
    }

    /// Compensations of items that are called right now.
    fn calls_back(&self, step: usize) -> usize {
        let Some(items) = self.steps[step].items.as_ref().filter(|items| items.compensating > 0) else {
            return 0;
        };
        // One at a time is taken back: the one the cursor stands on.
        let at = items.states.get(items.back as usize);
        usize::from(at.is_some_and(|item| item.status == StepStatus::Compensating))
    }

    fn under_way(&self, slot: Slot) -> Option<Command> {
        if self.ended.is_some() || self.is_queued() {
            return None;
        }
        // The items of a step that was given up are awaited by nobody.
        let given_up = self.steps[slot.step].given_up;
        match self.slot(slot)?.status {
            StepStatus::Running if slot.item.is_none() || !given_up => self.call(slot, false),
            StepStatus::Compensating => self.call(slot, true),
            _ => None,
        }
    }

    /// The call of a step or of its compensation, as its state has it.
    pub(super) fn call(&self, slot: Slot, compensation: bool) -> Option<Command> {
        let state = self.slot(slot)?;
        Some(Command::Call {
            step: slot.step,
            item: slot.item,
            attempt: if compensation { state.back_attempts } else { state.attempts },
            compensation,
            input: state.input.clone(),
            key: self.key(slot, compensation),
        })
    }

    /// The idempotency key: the same for every attempt, another one once a person
    /// has changed the message or has it done again.
    fn key(&self, slot: Slot, compensation: bool) -> String {
        let mut key = self.name(slot);
        let generation = self.slot(slot).map_or(1, |state| state.generation);
        if generation > 1 {
            key.push('#');
            key.push_str(&generation.to_string());
        }
        if compensation {
            key.push_str("/back");
        }
        key
    }

    /// Asks for the end of every execution that steps of this one wait for.
    pub(super) fn cancel_children(&self, commands: &mut Vec<Command>) {
        for step in 0..self.steps.len() {
            self.cancel_children_of(step, commands);
        }
    }

    pub(super) fn cancel_children_of(&self, step: usize, commands: &mut Vec<Command>) {
        if !self.starts_child(step) {
            return;
        }
        let items = self.steps[step].items.as_ref().map_or(0, |items| items.len());
        let slots = (0..items).map(|item| Slot { step, item: Some(item) });
        let own = Some(Slot::from(step)).filter(|_| self.steps[step].items.is_none());
        for slot in slots.chain(own) {
            if self.slot(slot).is_some_and(|state| state.status == StepStatus::Running) {
                commands.push(self.cancel_child(slot));
            }
        }
    }

    pub(super) fn cancel_child(&self, slot: Slot) -> Command {
        Command::CancelChild { step: slot.step, item: slot.item, key: self.key(slot, false) }
    }

    pub(super) fn starts_child(&self, step: usize) -> bool {
        match &self.definition.steps[step].action {
            Action::Call(call) => matches!(call.target, Target::Workflow(_)),
            _ => false,
        }
    }
}
