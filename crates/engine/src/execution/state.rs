//! State as a fold of facts.

use super::{Command, Opening, Turn};
use crate::case::CaseState;
use crate::definition::Definition;
use crate::expr::Variables;
use crate::fact::{Disposition, Ending, Fact, Outcome};
use probity_types::Micros;
use serde_json::Value as Json;
use std::sync::{Arc, LazyLock};

/// What a step that was never called has for a message.
static NOTHING: LazyLock<Arc<Json>> = LazyLock::new(|| Arc::new(Json::Null));

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Steps run or wait for a timer.
    Running,
    /// It waits for a person's decision.
    Waiting,
    /// It waits for a person to mend something.
    Incident,
    /// What was done is being taken back.
    Compensating,
    /// It has ended.
    Ended(Ending),
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// Waits for other steps.
    Blocked,
    /// Called, no answer yet.
    Running,
    /// Waits for its next attempt.
    BackingOff(Micros),
    /// Waits for a point in time.
    Timer(Micros),
    /// Waits for people.
    Approval,
    /// Waits for a person to mend something.
    Incident,
    /// Done.
    Completed,
    /// Not needed.
    Skipped,
    /// Done, and being taken back.
    Compensating,
    /// Done, and waits for the next attempt to take it back.
    CompensationBackingOff(Micros),
    /// Done, and taken back since.
    Compensated,
}

impl StepStatus {
    /// Whether dependants may go on.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Completed | Self::Skipped | Self::Compensated)
    }
}

/// A step of an execution.
#[derive(Debug, Clone)]
pub struct StepState {
    /// Where it stands.
    pub status: StepStatus,
    /// Attempts so far.
    pub attempts: u32,
    /// Attempts since the last incident: what the retry policy counts.
    pub round: u32,
    /// Attempts to take it back.
    pub back_attempts: u32,
    /// The message of the last attempt.
    pub input: Arc<Json>,
    /// Its answer, once it is done.
    pub output: Option<Arc<Json>>,
    /// What went wrong last.
    pub error: String,
    /// What is asked or wrong while it waits.
    pub reason: String,
    /// How many people must agree.
    pub required: u32,
    /// Who said what, a line a person, newest decision.
    pub votes: Vec<(String, Disposition, String)>,
    /// A person skipped it and answers for what it may have done.
    pub waived: bool,
    /// When it was first started.
    pub started: Option<Micros>,
    /// When it was done.
    pub ended: Option<Micros>,
}

impl StepState {
    fn new() -> Self {
        Self {
            status: StepStatus::Blocked,
            attempts: 0,
            round: 0,
            back_attempts: 0,
            input: NOTHING.clone(),
            output: None,
            error: String::new(),
            reason: String::new(),
            required: 0,
            votes: Vec::new(),
            waived: false,
            started: None,
            ended: None,
        }
    }

    fn finish(&mut self, status: StepStatus, output: Arc<Json>, at: Micros) {
        self.status = status;
        self.output = Some(output);
        self.ended = Some(at);
        self.input = NOTHING.clone();
    }
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
    /// How it ended.
    pub ended: Option<Ending>,
    /// Why it ended, when not as defined.
    pub end_reason: String,
    /// What it gave, when it is not a case and ended as defined.
    pub output: Option<Arc<Json>>,
    /// Facts so far: the sequence number of the last one.
    pub sequence: i64,
    /// What expressions see as `case` or `execution`.
    itself: Json,
}

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
        execution.advance(&mut turn, now);
        (execution, turn)
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

    fn blank(definition: Arc<Definition>, opening: Opening) -> Self {
        Self {
            steps: definition.steps.iter().map(|_| StepState::new()).collect(),
            definition,
            itself: opening.itself(),
            opening,
            state: CaseState::Pending,
            verdict: None,
            taking_back: None,
            ended: None,
            end_reason: String::new(),
            output: None,
            sequence: 0,
        }
    }

    /// Folds one fact into the state. Decides nothing.
    pub fn apply(&mut self, fact: &Fact, at: Micros) {
        self.sequence += 1;
        match fact {
            Fact::CaseOpened { .. } | Fact::ExecutionStarted { .. } => {}
            Fact::CaseMoved { to, .. } => self.state = *to,
            Fact::CompensationStarted { ending, reason, .. } => {
                self.taking_back = Some((*ending, reason.clone()));
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
                self.ended = Some(*ending);
                self.output.clone_from(output);
                self.end_reason.clone_from(reason);
            }
            of_step => {
                if let Some(index) = of_step.step().and_then(|id| self.definition.index(id)) {
                    self.apply_to_step(index, of_step, at);
                }
            }
        }
    }

    fn apply_to_step(&mut self, index: usize, fact: &Fact, at: Micros) {
        let default = &self.definition.steps[index].default_output;
        let step = &mut self.steps[index];
        match fact {
            Fact::StepScheduled { attempt, input, .. } => {
                step.status = StepStatus::Running;
                step.attempts = *attempt;
                step.round += 1;
                step.input = input.clone();
                step.started.get_or_insert(at);
            }
            Fact::StepCompleted { output, .. } => step.finish(StepStatus::Completed, output.clone(), at),
            Fact::StepFailed { error, retry_at_us, .. } => {
                step.error.clone_from(error);
                step.status =
                    retry_at_us.map_or(StepStatus::Blocked, |us| StepStatus::BackingOff(Micros(us)));
            }
            Fact::StepSkipped { actor, .. } => {
                step.waived = actor.is_some();
                step.finish(StepStatus::Skipped, default.clone(), at);
            }
            Fact::TimerStarted { at_us, .. } => {
                step.status = StepStatus::Timer(Micros(*at_us));
                step.started = Some(at);
            }
            Fact::ApprovalRequested { reason, required, .. } => {
                step.status = StepStatus::Approval;
                step.reason.clone_from(reason);
                step.required = *required;
                step.started = Some(at);
            }
            Fact::ApprovalGiven { actor, disposition, note, .. } => {
                step.votes.retain(|(who, ..)| who != actor);
                step.votes.push((actor.clone(), *disposition, note.clone()));
            }
            Fact::IncidentOpened { reason, .. } => {
                step.status = StepStatus::Incident;
                step.reason.clone_from(reason);
            }
            Fact::IncidentRetried { .. } => {
                // A step that is done had its incident with the verdict.
                step.status = if step.output.is_some() { StepStatus::Completed } else { StepStatus::Blocked };
                step.round = 0;
                step.back_attempts = 0;
            }
            Fact::CompensationScheduled { attempt, input, .. } => {
                step.status = StepStatus::Compensating;
                step.back_attempts = *attempt;
                step.input = input.clone();
            }
            Fact::CompensationCompleted { .. } => step.status = StepStatus::Compensated,
            Fact::CompensationFailed { error, retry_at_us, .. } => {
                step.error.clone_from(error);
                let due = retry_at_us.map(|us| StepStatus::CompensationBackingOff(Micros(us)));
                step.status = due.unwrap_or(StepStatus::Incident);
            }
            _ => {}
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        if let Some(ending) = self.ended {
            return Status::Ended(ending);
        }
        let any = |wanted: StepStatus| self.steps.iter().any(|s| s.status == wanted);
        if any(StepStatus::Incident) {
            Status::Incident
        } else if self.taking_back.is_some() {
            Status::Compensating
        } else if any(StepStatus::Approval) {
            Status::Waiting
        } else {
            Status::Running
        }
    }

    /// Everything that is under way: what a process that starts again must do.
    #[must_use]
    pub fn outstanding(&self) -> Vec<Command> {
        (0..self.steps.len()).filter_map(|index| self.under_way(index)).collect()
    }

    /// Whether anything is under way: a call, or a wait for a point in time.
    #[must_use]
    pub fn is_active(&self) -> bool {
        (0..self.steps.len()).any(|index| self.is_under_way(index))
    }

    /// Once what was done is being taken back, steps that only waited for a point
    /// in time never start.
    fn is_under_way(&self, index: usize) -> bool {
        self.ended.is_none()
            && match self.steps[index].status {
                StepStatus::Running | StepStatus::Compensating | StepStatus::CompensationBackingOff(_) => {
                    true
                }
                StepStatus::BackingOff(_) | StepStatus::Timer(_) => self.taking_back.is_none(),
                _ => false,
            }
    }

    fn under_way(&self, index: usize) -> Option<Command> {
        if !self.is_under_way(index) {
            return None;
        }
        match self.steps[index].status {
            StepStatus::Running => Some(self.call(index, false)),
            StepStatus::Compensating => Some(self.call(index, true)),
            StepStatus::BackingOff(at) | StepStatus::Timer(at) | StepStatus::CompensationBackingOff(at) => {
                Some(Command::WakeAt(at))
            }
            _ => None,
        }
    }

    pub(super) fn call(&self, index: usize, compensation: bool) -> Command {
        let step = &self.steps[index];
        let id = &self.definition.steps[index].id;
        Command::Call {
            step: index,
            attempt: if compensation { step.back_attempts } else { step.attempts },
            item: None,
            compensation,
            input: step.input.clone(),
            key: if compensation { format!("{id}/back") } else { id.clone() },
        }
    }

    /// Stores a fact in the turn and in the state.
    pub(super) fn record(&mut self, turn: &mut Turn, fact: Fact, now: Micros) {
        self.apply(&fact, now);
        turn.facts.push(fact);
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

/// What expressions see: `steps` with the outputs of done steps, and `case`, or
/// `input` and `execution`.
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
