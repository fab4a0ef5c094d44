//! Signals: what comes from outside, in time or before its time.

use super::attempt::MAX_OUTPUT;
use super::state::Execution;
use super::{Refusal, StepStatus, Turn};
use crate::definition::{Action, SignalSpec};
use crate::fact::Fact;
use crate::value::{is_larger, written};
use probity_types::Micros;
use serde_json::{Value as Json, json};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

/// Most signals that wait for the step that takes them.
pub const MAX_SIGNALS: usize = 1_000;
/// Largest payload, as JSON.
pub const MAX_SIGNAL: usize = 64 * 1024;
/// Longest id of a signal.
const MAX_ID: usize = 128;
/// How many ids are remembered to tell repeated signals.
const REMEMBERED: usize = 10 * MAX_SIGNALS;

/// A signal that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Chosen by the sender.
    pub id: String,
    /// Which signal.
    pub name: String,
    /// Who sent it.
    pub actor: String,
    /// What it carries.
    pub payload: Arc<Json>,
}

/// Signals that nobody has taken yet, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Mailbox {
    waiting: VecDeque<Signal>,
    seen: HashSet<String>,
    order: VecDeque<String>,
}

impl Mailbox {
    pub(super) fn put(&mut self, fact: &Fact) {
        let Fact::SignalReceived { id, name, actor, payload } = fact else { return };
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(id.clone());
        self.order.push_back(id.clone());
        let (id, name, actor, payload) = (id.clone(), name.clone(), actor.clone(), payload.clone());
        self.waiting.push_back(Signal { id, name, actor, payload });
    }

    pub(super) fn take(&mut self, id: &str) -> Option<Signal> {
        let at = self.waiting.iter().position(|signal| signal.id == id)?;
        self.waiting.remove(at)
    }

    fn first(&self, name: &str) -> Option<&Signal> {
        self.waiting.iter().find(|signal| signal.name == name)
    }
}

/// What a step that waited gives once its signal came.
pub(super) fn received(signal: &Signal) -> Json {
    json!({ "received": true, "payload": *signal.payload, "actor": signal.actor })
}

/// What a step that waited gives when no signal came in time.
pub(crate) fn not_received() -> Json {
    json!({ "received": false, "payload": null, "actor": "" })
}

impl Execution {
    /// Signals that came before their time.
    pub fn signals(&self) -> impl Iterator<Item = &Signal> {
        self.mailbox.waiting.iter()
    }

    pub(super) fn await_signal(&mut self, turn: &mut Turn, step: usize, spec: &SignalSpec, now: Micros) {
        let (id, name) = (self.id(step), spec.name.clone());
        if let Some(early) = self.mailbox.first(&spec.name).map(|signal| signal.id.clone()) {
            self.record(turn, Fact::SignalTaken { step: id, id: early }, now);
            return;
        }
        let until_us = spec.timeout.map(|timeout| now.plus(timeout).0);
        self.record(turn, Fact::SignalAwaited { step: id, name, until_us }, now);
    }

    pub(super) fn signalled(
        &mut self,
        turn: &mut Turn,
        actor: String,
        id: String,
        name: &str,
        payload: Json,
        now: Micros,
    ) -> Result<(), Refusal> {
        // Sent again after an answer that was lost: also when it has ended meanwhile.
        if self.mailbox.seen.contains(&id) {
            return Ok(());
        }
        self.refuse_ended()?;
        self.check_signal(&id, name, &payload)?;
        let received =
            Fact::SignalReceived { id: id.clone(), name: name.to_owned(), actor, payload: payload.into() };
        self.record(turn, received, now);
        let waits = |step: &usize| {
            let of_name = self.signal_of(*step).is_some_and(|spec| spec.name == name);
            of_name && matches!(self.steps[*step].status, StepStatus::Signal(_))
        };
        if let Some(step) = (0..self.steps.len()).find(waits)
            && self.taking_back.is_none()
        {
            self.record(turn, Fact::SignalTaken { step: self.id(step), id }, now);
        }
        Ok(())
    }

    fn signal_of(&self, step: usize) -> Option<&SignalSpec> {
        match &self.definition.steps[step].action {
            Action::Signal(spec) => Some(spec),
            _ => None,
        }
    }

    fn check_signal(&self, id: &str, name: &str, payload: &Json) -> Result<(), Refusal> {
        let specs = || (0..self.steps.len()).filter_map(|step| self.signal_of(step));
        if !specs().any(|spec| spec.name == name) {
            let known: BTreeSet<_> = specs().map(|spec| spec.name.as_str()).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.into_iter().collect::<Vec<_>>().join(", ")
            };
            return Err(Refusal::NoSuchSignal { name: name.to_owned(), known });
        }
        if id.is_empty() || id.len() > MAX_ID {
            let wanted = "it must have 1 to 128 bytes";
            return Err(Refusal::Malformed { what: "the id of the signal", value: id.to_owned(), wanted });
        }
        if is_larger(payload, MAX_SIGNAL.min(MAX_OUTPUT)) {
            let size = written(payload);
            return Err(Refusal::TooLarge { what: "the payload of the signal", size, most: MAX_SIGNAL });
        }
        for schema in specs().filter(|spec| spec.name == name).filter_map(|spec| spec.schema.as_ref()) {
            if let Err(faults) = schema.check(payload) {
                return Err(Refusal::BadPayload { name: name.to_owned(), faults });
            }
        }
        let waiting = self.mailbox.waiting.len();
        if waiting >= MAX_SIGNALS { Err(Refusal::SignalsFull { waiting }) } else { Ok(()) }
    }
}
