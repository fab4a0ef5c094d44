//! State as a fold of facts: what concerns the whole execution.

use super::signal::Mailbox;
use super::step::StepState;
use super::{Opening, Slot, StepStatus, Turn};
use crate::case::CaseState;
use crate::definition::Definition;
use crate::fact::{Ending, Fact, Outcome};
use probity_types::Micros;
use serde_json::Value as Json;
use std::sync::Arc;

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Steps run or wait for a timer or a signal.
    Running,
    /// It waits for a place: its definition limits how many run.
    Queued,
    /// It waits for a person's decision.
    Waiting,
    /// It waits for a person to mend something.
    Incident,
    /// A person stopped it from starting anything new.
    Paused,
    /// What was done is being taken back.
    Compensating,
    /// It has ended.
    Ended(Ending),
}

/// A decided case.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub reasons: Vec<String>,
    /// Who.
    pub decided_by: Vec<String>,
    /// The note of the person.
    pub note: String,
}

/// How long a case has been in its state, and who was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stay {
    pub(super) since: Micros,
    pub(super) reminded: usize,
    pub(super) overdue: bool,
}

impl Stay {
    const fn from(since: Micros) -> Self {
        Self { since, reminded: 0, overdue: false }
    }
}

/// A place among the executions that a definition limits, or the wait for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Those with the same key share the limit.
    pub key: String,
    /// It has a place.
    pub admitted: bool,
    /// Since when it waits, or has one.
    pub since: Micros,
}

/// One run of a definition.
#[derive(Debug, Clone)]
pub struct Execution {
    /// What it runs.
    pub definition: Arc<Definition>,
    /// What it was started with.
    pub opening: Opening,
    /// Where the case stands; PENDING for ever when it is none.
    pub state: CaseState,
    /// Its steps in the order of the definition.
    pub steps: Vec<StepState>,
    /// How the case was decided.
    pub verdict: Option<Verdict>,
    /// How it will end and why, once taking back has begun.
    pub taking_back: Option<(Ending, String)>,
    /// Its place among the executions that its definition limits.
    pub line: Option<Line>,
    /// Why a person paused it, while it is paused.
    pub paused: Option<String>,
    /// How it ended.
    pub ended: Option<Ending>,
    /// Why it ended, when not as defined.
    pub end_reason: String,
    /// What it gave, when it is not a case and ended as defined.
    pub output: Option<Arc<Json>>,
    /// Facts so far: the sequence number of the last one.
    pub sequence: i64,
    /// Signals that came before their time.
    pub(super) mailbox: Mailbox,
    pub(super) stay: Stay,
    /// What expressions see as `case` or `execution`.
    pub(super) itself: Json,
    /// The newest point in time it has seen. Not stored: see `wake.rs`.
    pub(super) latest: Micros,
    /// The alarm that was asked for last. Not stored: see `wake.rs`.
    pub(super) armed: Option<Micros>,
}

/// Why an execution is paused that was made without being started.
const HELD: &str = "made, not started";

impl Execution {
    /// A new execution and its first turn. A case needs a definition for cases
    /// ([`Definition::is_case`]), any other execution one that is not; where that
    /// does not match, the execution stops with an incident.
    #[must_use]
    pub fn open(definition: Arc<Definition>, opening: Opening, now: Micros) -> (Self, Turn) {
        let fact = opening.fact(&definition);
        let mut execution = Self::blank(definition, opening);
        let mut turn = Turn::default();
        execution.record(&mut turn, fact, now);
        execution.queue(&mut turn, now);
        execution.advance(&mut turn, now);
        execution.arm(&mut turn, now);
        (execution, turn)
    }

    /// A new execution that does nothing before [`Event::Run`](super::Event::Run):
    /// it is paused from its first moment.
    #[must_use]
    pub fn hold(definition: Arc<Definition>, opening: Opening, now: Micros) -> (Self, Turn) {
        let (fact, actor) = (opening.fact(&definition), opening.owner.clone());
        let mut execution = Self::blank(definition, opening);
        let mut turn = Turn::default();
        execution.record(&mut turn, fact, now);
        execution.record(&mut turn, Fact::Paused { actor, reason: HELD.to_owned() }, now);
        (execution, turn)
    }

    /// It was made by [`Self::hold`] and has not been started since.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.sequence == 2 && self.paused.is_some()
    }

    /// An execution from its stored facts, oldest first, each with its time.
    /// `None` when the first fact is not the start of an execution.
    #[must_use]
    pub fn replay(definition: Arc<Definition>, facts: &[(Micros, Fact)]) -> Option<Self> {
        let opening = facts.first().and_then(|(_, fact)| Opening::of(fact))?;
        let mut execution = Self::blank(definition, opening);
        for (at, fact) in facts {
            execution.apply(fact, *at);
        }
        Some(execution)
    }

    pub(super) fn blank(definition: Arc<Definition>, opening: Opening) -> Self {
        Self {
            steps: definition.steps.iter().map(|_| StepState::new()).collect(),
            definition,
            itself: opening.itself(),
            opening,
            state: CaseState::Pending,
            verdict: None,
            taking_back: None,
            line: None,
            paused: None,
            ended: None,
            end_reason: String::new(),
            output: None,
            sequence: 0,
            mailbox: Mailbox::default(),
            stay: Stay::from(Micros(0)),
            latest: Micros(0),
            armed: None,
        }
    }

    /// Folds one fact into the state. Decides nothing.
    pub fn apply(&mut self, fact: &Fact, at: Micros) {
        self.sequence += 1;
        self.latest = self.latest.max(at);
        match fact {
            Fact::CaseOpened { .. } | Fact::ExecutionStarted { .. } => self.stay = Stay::from(at),
            Fact::CaseMoved { to, .. } => {
                self.state = *to;
                self.stay = Stay::from(at);
            }
            Fact::CaseReminded { number, .. } => self.stay.reminded = *number as usize,
            Fact::CaseOverdue { .. } => self.stay.overdue = true,
            Fact::Queued { key } => {
                self.line = Some(Line { key: key.clone(), admitted: false, since: at });
            }
            Fact::Admitted {} => {
                if let Some(line) = &mut self.line {
                    (line.admitted, line.since) = (true, at);
                }
            }
            Fact::Paused { reason, .. } => self.paused = Some(reason.clone()),
            Fact::Resumed { .. } => self.paused = None,
            Fact::Rerun { steps, .. } => self.apply_rerun(steps),
            Fact::SignalReceived { .. } => self.mailbox.put(fact),
            Fact::CompensationStarted { ending, reason, .. } => {
                self.taking_back = Some((*ending, reason.clone()));
                self.paused = None;
            }
            Fact::Decided { outcome, reasons, decided_by, note } => {
                self.verdict = Some(Verdict {
                    outcome: *outcome,
                    reasons: reasons.clone(),
                    decided_by: decided_by.clone(),
                    note: note.clone(),
                });
            }
            Fact::Ended { ending, reason, output } => {
                self.line = None;
                self.ended = Some(*ending);
                self.end_reason.clone_from(reason);
                self.output.clone_from(output);
            }
            of_step => {
                if let Some(step) = of_step.step().and_then(|id| self.definition.index(id)) {
                    self.apply_to(Slot { step, item: of_step.item() }, of_step, at);
                }
            }
        }
    }

    fn apply_rerun(&mut self, steps: &[String]) {
        for step in steps.iter().filter_map(|id| self.definition.index(id)) {
            self.steps[step].again();
        }
        self.ended = None;
        self.output = None;
        self.end_reason.clear();
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        if let Some(ending) = self.ended {
            return Status::Ended(ending);
        }
        let any = |wanted: StepStatus| self.steps.iter().any(|s| s.status == wanted);
        if self.paused.is_some() {
            Status::Paused
        } else if self.is_queued() {
            Status::Queued
        } else if any(StepStatus::Incident) {
            Status::Incident
        } else if self.taking_back.is_some() {
            Status::Compensating
        } else if any(StepStatus::Approval) {
            Status::Waiting
        } else {
            Status::Running
        }
    }

    /// Stores a fact in the turn and in the state.
    pub(super) fn record(&mut self, turn: &mut Turn, fact: Fact, now: Micros) {
        self.apply(&fact, now);
        turn.facts.push(fact);
    }

    /// The state of a step, or of one of its items.
    pub(super) fn slot(&self, slot: Slot) -> Option<&StepState> {
        let step = self.steps.get(slot.step)?;
        match slot.item {
            None => Some(step),
            Some(item) => step.items.as_ref()?.states.get(item as usize),
        }
    }

    pub(super) fn id(&self, step: usize) -> String {
        self.definition.steps[step].id.clone()
    }

    /// How people write it: `step`, or `step[3]`.
    pub(super) fn name(&self, slot: Slot) -> String {
        let id = &self.definition.steps[slot.step].id;
        slot.item.map_or_else(|| id.clone(), |item| format!("{id}[{item}]"))
    }

    /// How many findings the investigation made.
    #[must_use]
    pub fn finding_count(&self) -> i64 {
        self.definition
            .findings_from
            .and_then(|index| self.steps[index].output.as_ref())
            .and_then(|output| output.get("finding_count")?.as_i64())
            .unwrap_or(0)
    }
}
