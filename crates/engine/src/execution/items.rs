//! Steps that run for each of a list: started a few at a time, collected in order.

use super::attempt::MAX_OUTPUT;
use super::state::Execution;
use super::turn::render;
use super::{Slot, StepStatus, Turn};
use crate::definition::{Action, Each};
use crate::fact::Fact;
use crate::value::{is_larger, written};
use probity_types::Micros;
use serde_json::Value as Json;
use std::sync::Arc;

/// Most items of a step.
pub const MAX_ITEMS: usize = 10_000;

impl Execution {
    /// Computes the list; the items start with [`Self::go_on_with_items`].
    pub(super) fn expand(
        &mut self,
        turn: &mut Turn,
        step: usize,
        each: &Each,
        now: Micros,
    ) -> Result<(), String> {
        let list = each.list.evaluate(self)?;
        let source = each.list.source();
        let Some(count) = list.as_array().map(Vec::len) else {
            return Err(format!("{source} gave no list to run for"));
        };
        if count > MAX_ITEMS {
            return Err(format!("{source} gave {count} items; at most {MAX_ITEMS} are allowed"));
        }
        if is_larger(&list, MAX_OUTPUT) {
            let size = written(&list);
            return Err(format!("{source} gave {size} bytes; at most {MAX_OUTPUT} are allowed"));
        }
        self.record(turn, Fact::StepExpanded { step: self.id(step), items: list.into() }, now);
        Ok(())
    }

    /// Starts items while there is room, and collects when all are done.
    pub(super) fn go_on_with_items(&mut self, turn: &mut Turn, step: usize, now: Micros) {
        let definition = self.definition.clone();
        let Some(each) = &definition.steps[step].each else { return };
        while let Some(item) = self.next_item(step, each.concurrency) {
            self.start_item(turn, Slot { step, item: Some(item) }, now);
        }
        let under_way = self.steps[step].status == StepStatus::Running;
        let done = self.steps[step].items.as_ref().is_some_and(|items| items.done == items.len());
        if under_way && done {
            self.record(turn, Fact::StepCollected { step: self.id(step) }, now);
        }
    }

    fn next_item(&self, step: usize, most: u32) -> Option<u32> {
        let state = &self.steps[step];
        let items = state.items.as_ref()?;
        let under_way = matches!(state.status, StepStatus::Running | StepStatus::Incident);
        let room = items.calling + items.backing_off < most && items.next < items.len();
        (under_way && room && self.taking_back.is_none()).then_some(items.next)
    }

    /// Calls an item, or opens its incident when its message cannot be computed.
    pub(super) fn start_item(&mut self, turn: &mut Turn, slot: Slot, now: Micros) {
        match self.message_of(slot) {
            Ok(input) => self.schedule(turn, slot, input, now),
            Err(reason) => {
                let reason = format!("{}: {reason}", self.name(slot));
                let (step, item) = (self.id(slot.step), slot.item);
                self.record(turn, Fact::IncidentOpened { step, item, reason }, now);
            }
        }
    }

    fn message_of(&self, slot: Slot) -> Result<Arc<Json>, String> {
        let Action::Call(call) = &self.definition.steps[slot.step].action else {
            return Err("it calls nothing".to_owned());
        };
        let view = self.item_view(slot).ok_or_else(|| "there is no such item".to_owned())?;
        render(call, &view).map(Arc::new)
    }
}
