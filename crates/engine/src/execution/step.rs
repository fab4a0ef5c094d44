//! Where a step stands, and each item of a step that runs for a list.

use crate::fact::Disposition;
use probity_types::Micros;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// What a step that was never called has for a message.
static NOTHING: LazyLock<Arc<Json>> = LazyLock::new(|| Arc::new(Json::Null));

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// Waits for other steps.
    Blocked,
    /// Called, no answer yet; or its items run.
    Running,
    /// Waits for its next attempt.
    BackingOff(Micros),
    /// Waits for a point in time.
    Timer(Micros),
    /// Waits for a signal, perhaps not for ever.
    Signal(Option<Micros>),
    /// Waits for people.
    Approval,
    /// Waits for a person to mend something.
    Incident,
    /// Done.
    Completed,
    /// Not needed.
    Skipped,
    /// Given up; another step handles it.
    Failed,
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
        matches!(self, Self::Completed | Self::Skipped | Self::Failed | Self::Compensated)
    }
}

/// A step of an execution, or one item of it.
#[derive(Debug, Clone)]
pub struct StepState {
    /// Where it stands.
    pub status: StepStatus,
    /// Attempts so far, over every rerun.
    pub attempts: u32,
    /// Attempts since the last incident: what the retry policy counts.
    pub round: u32,
    /// Attempts to take it back.
    pub back_attempts: u32,
    /// How often its message was made anew by a person: part of its key.
    pub generation: u32,
    /// Whether it was called since it was last started from nothing.
    pub called: bool,
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
    /// Who said what, a line a person, newest decision last.
    pub votes: Vec<(String, Disposition, String)>,
    /// Who is asked and until when, while it waits for people.
    pub asked: Option<Box<Asked>>,
    /// Its items, when it runs for each of a list.
    pub items: Option<Box<Items>>,
    /// A person skipped it and answers for what it may have done.
    pub waived: bool,
    /// Nobody awaits what its items still do: it failed or was skipped as a whole.
    pub given_up: bool,
    /// When it was first started.
    pub started: Option<Micros>,
    /// When it was done.
    pub ended: Option<Micros>,
    /// When the first attempt since the last incident began.
    pub(super) since: Option<Micros>,
    /// Where it stood before an incident that came after its end.
    pub(super) before: Option<StepStatus>,
    /// What a person last did about its incident.
    pub(super) deed: Option<(Deed, String)>,
}

/// What a person does about an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Retried,
    Skipped,
}

/// Who is asked for a decision, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `users/<id>` and `roles/<name>`; everybody when empty.
    pub assignees: Vec<String>,
    /// When.
    pub at: Micros,
    /// When an answer is due.
    pub due: Option<Micros>,
    /// Reminders sent so far.
    pub reminded: usize,
    /// Whether others are asked as well by now.
    pub escalated: bool,
}

impl StepState {
    pub(super) fn new() -> Self {
        Self {
            status: StepStatus::Blocked,
            attempts: 0,
            round: 0,
            back_attempts: 0,
            generation: 1,
            called: false,
            input: NOTHING.clone(),
            output: None,
            error: String::new(),
            reason: String::new(),
            required: 0,
            votes: Vec::new(),
            asked: None,
            items: None,
            waived: false,
            given_up: false,
            started: None,
            ended: None,
            since: None,
            before: None,
            deed: None,
        }
    }

    /// From nothing again, under a new key: also one that no item had, whose message a
    /// person changed. Attempts go on counting, so that a late answer is known as one.
    pub(super) fn again(&mut self) {
        let all = || self.items.iter().flat_map(|items| &items.states).chain([&*self]);
        let attempts = all().map(|state| state.attempts).max().unwrap_or(0);
        let generation = all().map(|state| state.generation).max().unwrap_or(0) + 1;
        *self = Self { attempts, generation, ..Self::new() };
    }

    pub(super) fn finish(&mut self, status: StepStatus, output: Arc<Json>, at: Micros) {
        self.status = status;
        self.output = Some(output);
        self.ended = Some(at);
        self.before = None;
        self.input = NOTHING.clone();
    }

    /// Whether it may have had an effect that stands.
    pub(super) const fn may_have_done(&self) -> bool {
        self.called && !self.waived && !matches!(self.status, StepStatus::Compensated)
    }
}

/// The items of a step that runs for each of a list. Every count is kept as
/// facts come, so that an answer costs the same for ten items and ten thousand.
#[derive(Debug, Clone)]
pub struct Items {
    /// What it runs for.
    pub list: Arc<Json>,
    /// Where each stands.
    pub states: Vec<StepState>,
    /// The first that was not started yet.
    pub next: u32,
    /// Called, no answer yet.
    pub calling: u32,
    /// Waiting for their next attempt.
    pub backing_off: u32,
    /// Done.
    pub done: u32,
    /// Being taken back.
    pub compensating: u32,
    /// Waiting for a person.
    pub incidents: BTreeSet<u32>,
    /// Bytes of the answers so far.
    pub bytes: usize,
    /// When which must be looked at: the next attempt, or the deadline.
    pub(super) due: BTreeSet<(Micros, u32)>,
    /// Items below this one may still have to be taken back.
    pub(super) back: u32,
}

impl Items {
    pub(super) fn new(list: Arc<Json>, attempts: u32, generation: u32) -> Self {
        let count = list.as_array().map_or(0, Vec::len);
        let blank = StepState { attempts, generation, ..StepState::new() };
        Self {
            list,
            states: vec![blank; count],
            next: 0,
            calling: 0,
            backing_off: 0,
            done: 0,
            compensating: 0,
            incidents: BTreeSet::new(),
            bytes: 0,
            due: BTreeSet::new(),
            back: u32::try_from(count).unwrap_or(u32::MAX),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.states.len()).unwrap_or(u32::MAX)
    }

    /// Whether the list is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The answers in the order of the list.
    pub(super) fn collected(&self) -> Json {
        let answers = self.states.iter().map(|s| s.output.as_deref().cloned().unwrap_or(Json::Null));
        Json::Array(answers.collect())
    }

    /// Keeps the counts when an item goes from one status to another.
    pub(super) fn moved(&mut self, item: u32, from: StepStatus, to: StepStatus) {
        self.count(item, from, false);
        self.count(item, to, true);
    }

    fn count(&mut self, item: u32, status: StepStatus, enters: bool) {
        let add = |count: &mut u32| {
            *count = if enters { *count + 1 } else { count.saturating_sub(1) };
        };
        match status {
            StepStatus::Running => add(&mut self.calling),
            StepStatus::BackingOff(at) => {
                add(&mut self.backing_off);
                self.mark(at, item, enters);
            }
            StepStatus::Compensating => add(&mut self.compensating),
            StepStatus::CompensationBackingOff(at) => {
                add(&mut self.compensating);
                self.mark(at, item, enters);
            }
            StepStatus::Incident if enters => {
                self.incidents.insert(item);
            }
            StepStatus::Incident => {
                self.incidents.remove(&item);
            }
            done if done.is_done() => add(&mut self.done),
            _ => {}
        }
    }

    pub(super) fn mark(&mut self, at: Micros, item: u32, set: bool) {
        if set {
            self.due.insert((at, item));
        } else {
            self.due.remove(&(at, item));
        }
    }

    /// The last item below the cursor that may have done something.
    pub(super) fn last_to_take_back(&self) -> Option<u32> {
        (0..self.back).rev().find(|item| self.states[*item as usize].may_have_done())
    }
}
