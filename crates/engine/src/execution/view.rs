//! What the expressions of an execution see.

use super::Slot;
use super::state::Execution;
use crate::expr::Variables;
use serde_json::Value as Json;

/// `steps` with the outputs of done steps, and `case`, or `input` and `execution`.
impl Variables for Execution {
    fn variable(&self, name: &str) -> Option<&Json> {
        match (name, self.opening.is_case()) {
            ("case", true) | ("execution", false) => Some(&self.itself),
            ("input", false) => Some(&self.opening.input),
            _ => None,
        }
    }

    fn step(&self, id: &str) -> Option<&Json> {
        self.steps[self.definition.index(id)?].output.as_deref()
    }

    fn steps(&self) -> Vec<(&str, &Json)> {
        let all = self.definition.steps.iter().zip(&self.steps);
        all.filter_map(|(spec, state)| Some((spec.id.as_str(), state.output.as_deref()?))).collect()
    }
}

/// What an item of a step sees besides: `item`, `index`, and its own answer as
/// the answer of its step.
pub(super) struct ItemView<'a> {
    execution: &'a Execution,
    slot: Slot,
    item: &'a Json,
    index: Json,
}

impl Execution {
    /// What calls of a step, or of one of its items, share their limit by. Calls whose
    /// expression fails for the same reason share one.
    #[must_use]
    pub fn limit_key(&self, step: usize, item: Option<u32>) -> Option<String> {
        let key = self.definition.steps.get(step)?.limit.as_ref()?.key.as_ref()?;
        let value = match self.item_view(Slot { step, item }) {
            Some(view) => key.evaluate(&view),
            None => key.evaluate(self),
        };
        Some(match value {
            Ok(Json::String(text)) => text,
            Ok(other) => other.to_string(),
            Err(why) => format!("no key: {why}"),
        })
    }

    /// What the expressions of an item see; `None` when there is no such item.
    pub(super) fn item_view(&self, slot: Slot) -> Option<ItemView<'_>> {
        let index = slot.item?;
        let item = self.steps.get(slot.step)?.items.as_ref()?.list.get(index as usize)?;
        Some(ItemView { execution: self, slot, item, index: index.into() })
    }
}

impl Variables for ItemView<'_> {
    fn variable(&self, name: &str) -> Option<&Json> {
        match name {
            "item" => Some(self.item),
            "index" => Some(&self.index),
            other => self.execution.variable(other),
        }
    }

    fn step(&self, id: &str) -> Option<&Json> {
        if self.execution.definition.steps[self.slot.step].id == id {
            return self.execution.slot(self.slot)?.output.as_deref();
        }
        self.execution.step(id)
    }

    fn steps(&self) -> Vec<(&str, &Json)> {
        self.execution.steps()
    }
}
