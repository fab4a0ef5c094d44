//! An execution to play through, step by step.

use super::definition;
use super::flows::{items, plain};
use probity_engine::{
    CallFailure, Command, Disposition, Event, Execution, Fact, Opening, Refusal, StepStatus, Turn,
};
use probity_types::{Micros, Role, Roles};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// An execution with a clock, told what happens in a line each.
pub struct Play {
    pub execution: Execution,
    pub now: Micros,
    pub turn: Turn,
    pub facts: Vec<(Micros, Fact)>,
}

impl Play {
    pub fn of(source: &str, opening: Opening) -> Self {
        let now = Micros(1_700_000_000_000_000);
        let (execution, turn) = Execution::open(definition(source), opening, now);
        let facts = turn.facts.iter().map(|f| (now, f.clone())).collect();
        Self { execution, now, turn, facts }
    }

    pub fn plain(steps: &str) -> Self {
        Self::of(&format!("name: play\nsteps:\n{steps}"), plain(items(4)))
    }

    pub fn take(&mut self, event: Event) -> Result<(), Refusal> {
        self.turn = self.execution.take(event, self.now, 0.5)?;
        self.facts.extend(self.turn.facts.iter().map(|f| (self.now, f.clone())));
        Ok(())
    }

    pub fn end(&mut self, step: &str, result: Result<Json, CallFailure>) {
        let (id, item) = match step.split_once('[') {
            Some((id, item)) => (id, item.trim_end_matches(']').parse().ok()),
            None => (step, None),
        };
        let index = self.execution.definition.index(id).unwrap();
        let state = &self.execution.steps[index];
        let slot = item.map_or(state, |i: u32| &state.items.as_ref().unwrap().states[i as usize]);
        let (attempt, compensation) = match slot.status {
            StepStatus::Compensating => (slot.back_attempts, true),
            _ => (slot.attempts, false),
        };
        self.take(Event::CallEnded { step: index, item, attempt, compensation, result }).unwrap();
    }

    pub fn done(&mut self, step: &str) {
        self.end(step, Ok(json!({"of": step})));
    }

    pub fn fails(&mut self, step: &str, transient: bool) {
        let (code, message) = ("PEER-1".to_owned(), "it broke".to_owned());
        self.end(step, Err(CallFailure { code, message, transient, retry_after: None }));
    }

    pub fn later(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self.take(Event::Woken).unwrap();
    }

    pub fn decide(&mut self, actor: &str, roles: &[Role]) -> Result<(), Refusal> {
        let (actor, roles) = (actor.to_owned(), Roles::new(roles.iter().copied()));
        self.take(Event::Decide { actor, roles, disposition: Disposition::Confirmed, note: String::new() })
    }

    pub fn signal(&mut self, id: &str, name: &str, payload: Json) -> Result<(), Refusal> {
        let (actor, id, name) = ("users/x".to_owned(), id.to_owned(), name.to_owned());
        self.take(Event::Signal { actor, id, name, payload })
    }

    pub fn status(&self, step: &str) -> StepStatus {
        self.execution.steps[self.execution.definition.index(step).unwrap()].status
    }

    pub fn output(&self, step: &str) -> Json {
        let index = self.execution.definition.index(step).unwrap();
        self.execution.steps[index].output.as_deref().cloned().unwrap_or_default()
    }

    /// Keys of what is called now; `-` before those of children to cancel.
    #[track_caller]
    pub fn expect_calls(&self, keys: &[&str]) {
        let called = self.turn.commands.iter().filter_map(|command| match command {
            Command::Call { key, .. } => Some(key.clone()),
            Command::CancelChild { key, .. } => Some(format!("-{key}")),
            Command::WakeAt(_) => None,
        });
        assert_eq!(called.collect::<Vec<_>>(), keys);
    }

    #[track_caller]
    pub fn expect_facts(&self, kinds: &[&str]) {
        assert_eq!(self.turn.facts.iter().map(Fact::kind).collect::<Vec<_>>(), kinds);
    }
}
