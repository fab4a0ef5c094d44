//! The place of an execution among those its definition limits.
//!
//! Who has a place is decided outside, by whoever knows the others. Here an execution
//! asks for one before its first step, does nothing until [`Event::Admit`], and keeps
//! it until its end, whatever it waits for meanwhile.
//!
//! [`Event::Admit`]: super::Event::Admit

use super::state::Execution;
use super::{Opening, Turn};
use crate::definition::Definition;
use crate::fact::Fact;
use probity_types::Micros;
use serde_json::Value as Json;
use std::sync::Arc;

impl Execution {
    /// What executions opened like this share the limit of their definition by; `None`
    /// when it has no limit. It does not depend on their names. Those whose expression
    /// fails for the same reason share one.
    #[must_use]
    pub fn line_key(definition: &Arc<Definition>, opening: &Opening) -> Option<String> {
        let key = definition.limit.as_ref()?.key.as_ref();
        let Some(key) = key else { return Some(String::new()) };
        let unnamed = Opening { name: String::new(), ..opening.clone() };
        Some(match key.evaluate(&Self::blank(definition.clone(), unnamed)) {
            Ok(Json::String(text)) => text,
            Ok(other) => other.to_string(),
            Err(why) => format!("no key: {why}"),
        })
    }

    /// Whether it waits for a place. Taking back needs none.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.taking_back.is_none() && self.line.as_ref().is_some_and(|line| !line.admitted)
    }

    /// Asks for a place, when its definition has a limit.
    pub(super) fn queue(&mut self, turn: &mut Turn, now: Micros) {
        if let Some(key) = Self::line_key(&self.definition, &self.opening) {
            self.record(turn, Fact::Queued { key }, now);
        }
    }

    /// It has a place; one that does not wait for it has none to get.
    pub(super) fn admit(&mut self, turn: &mut Turn, now: Micros) {
        if self.ended.is_some() || !self.is_queued() {
            return;
        }
        self.record(turn, Fact::Admitted {}, now);
        // One that is run again may have left something under way before its end.
        turn.commands.extend(self.outstanding());
        self.woken(turn, now);
    }
}
