//! What happened to each step, and when: the Gantt chart as data.

use super::graph::{progress, word};
use crate::execution::{Execution, Items, StepStatus};
use crate::fact::Fact;
use probity_types::Micros;
use std::collections::HashMap;

/// Most items drawn of one step.
pub const MAX_ITEMS: usize = 40;

/// What went on during a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BarKind {
    /// A state of the case; only in the first row.
    State,
    /// A step goes through the items of a list.
    Items,
    /// An attempt that was answered, or is still under way.
    Attempt,
    /// An attempt that failed.
    Failed,
    /// The wait before the next attempt.
    BackOff,
    /// A wait for a point in time.
    Timer,
    /// A wait for a signal.
    Signal,
    /// A wait for people's decision.
    Approval,
    /// A wait for a person to mend something.
    Incident,
    /// An attempt to take the step back.
    Back,
    /// An attempt to take the step back that failed.
    BackFailed,
}

/// A stretch of time in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// What went on.
    pub kind: BarKind,
    /// The attempt, counted from 1, where it is one.
    pub attempt: Option<u32>,
    /// When it began.
    pub from: Micros,
    /// When it ended, never before it began; `now` while it goes on.
    pub to: Micros,
    /// It still goes on.
    pub open: bool,
    /// What is known about it: the state, the error, what was asked.
    pub note: String,
}

/// A moment in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Micros,
    /// What happened, and by whom.
    pub note: String,
}

/// One line of a timeline: the case, a step, or an item of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The step; `None` for the case as a whole.
    pub step: Option<String>,
    /// The item of the step, when it runs for each of a list.
    pub item: Option<u32>,
    /// Where it stands, in words.
    pub standing: String,
    /// What went on, in order of time.
    pub bars: Vec<Bar>,
    /// What people and conditions did to it, in order of time.
    pub marks: Vec<Mark>,
}

/// The rows of an execution: first the case with its states, when it has moved, then every step
/// in the order of the definition, each followed by its items: at most [`MAX_ITEMS`], first of
/// all those that went wrong or are not done. `facts` are those of its journal, oldest first, each with its
/// time; times that go back, after a clock was set, never make a bar end before it began.
#[must_use]
pub fn timeline(execution: &Execution, facts: &[(Micros, Fact)], now: Micros) -> Vec<Row> {
    let mut case = Track::default();
    let mut steps: Tracks<'_> = HashMap::new();
    for (at, fact) in facts {
        match fact {
            Fact::CaseMoved { from, to, .. } => case.moved(*at, facts, from.as_str(), to.as_str()),
            Fact::CompensationStarted { .. } => steps.values_mut().for_each(|track| track.stop_waiting(*at)),
            Fact::Ended { .. } => {
                case.close(*at);
                steps.values_mut().for_each(|track| track.close(*at));
            }
            fact => {
                if let Some(step) = fact.step() {
                    if matches!(fact, Fact::StepGivenUp { .. } | Fact::StepSkipped { item: None, .. }) {
                        let of_it = steps.iter_mut().filter(|((of, _), _)| *of == step);
                        of_it.for_each(|(_, track)| track.close(*at));
                    }
                    steps.entry((step, fact.item())).or_default().take(*at, fact);
                }
            }
        }
    }
    let ended = execution.ended.is_some();
    let moved = !case.bars.is_empty() || case.open.is_some();
    let standing = if ended { "ended" } else { "open" };
    let mut rows: Vec<Row> = moved.then(|| case.row(None, standing.to_owned(), now)).into_iter().collect();
    for (step, state) in execution.definition.steps.iter().zip(&execution.steps) {
        let track = steps.remove(&(step.id.as_str(), None)).unwrap_or_default();
        let items = state.items.as_deref();
        let drawn = items.map_or_else(Vec::new, |items| worth_drawing(items, &step.id, &steps));
        let standing = match items {
            Some(items) if drawn.len() < items.states.len() => {
                format!("{}, {} drawn", progress(items), drawn.len())
            }
            Some(items) => progress(items),
            None => standing_of(state.status, ended).to_owned(),
        };
        rows.push(track.row(Some(step.id.clone()), standing, now));
        for item in drawn {
            let status = items.map_or(StepStatus::Blocked, |items| items.states[item as usize].status);
            let track = steps.remove(&(step.id.as_str(), Some(item))).unwrap_or_default();
            let standing = standing_of(status, ended).to_owned();
            rows.push(Row { item: Some(item), ..track.row(Some(step.id.clone()), standing, now) });
        }
    }
    rows
}

fn standing_of(status: StepStatus, ended: bool) -> &'static str {
    if ended && !status.is_done() { "not finished" } else { word(status) }
}

/// The items of a step that are drawn, in their order: all of a few; of many those that
/// are not simply done, then the first.
fn worth_drawing(items: &Items, step: &str, tracks: &Tracks<'_>) -> Vec<u32> {
    let wrong = |bar: &Bar| matches!(bar.kind, BarKind::Failed | BarKind::Incident | BarKind::BackFailed);
    let plain = |item: &u32| {
        let quiet = tracks.get(&(step, Some(*item))).is_none_or(|track| !track.bars.iter().any(wrong));
        let status = items.states[*item as usize].status;
        quiet && (status.is_done() || status == StepStatus::Blocked)
    };
    let mut all: Vec<u32> = (0..items.len()).collect();
    all.sort_by_key(plain);
    all.truncate(MAX_ITEMS);
    all.sort_unstable();
    all
}

/// By step and item.
type Tracks<'a> = HashMap<(&'a str, Option<u32>), Track>;

/// One row while its facts are read.
#[derive(Default)]
struct Track {
    bars: Vec<Bar>,
    marks: Vec<Mark>,
    open: Option<Bar>,
}

impl Track {
    fn moved(&mut self, at: Micros, facts: &[(Micros, Fact)], from: &str, to: &str) {
        if self.bars.is_empty() && self.open.is_none() {
            let opened = facts.first().map_or(at, |(opened, _)| *opened);
            self.begin(opened, BarKind::State, None, &from.to_uppercase());
        }
        self.begin(at, BarKind::State, None, &to.to_uppercase());
    }

    fn take(&mut self, at: Micros, fact: &Fact) {
        match fact {
            Fact::StepExpanded { items, .. } => {
                let count = items.as_array().map_or(0, Vec::len);
                self.begin(at, BarKind::Items, None, &format!("{count} items"));
            }
            Fact::SignalAwaited { name, .. } => self.begin(at, BarKind::Signal, None, name),
            Fact::StepScheduled { attempt, .. } => self.begin(at, BarKind::Attempt, Some(*attempt), ""),
            Fact::StepFailed { error, retry_at_us, .. } => {
                self.failed(at, BarKind::Failed, error, *retry_at_us)
            }
            Fact::TimerStarted { .. } => self.begin(at, BarKind::Timer, None, ""),
            Fact::ApprovalRequested { reason, .. } => self.begin(at, BarKind::Approval, None, reason),
            Fact::ApprovalGiven { actor, .. } => self.mark(at, format!("{actor}: {}", fact.reason())),
            Fact::IncidentOpened { reason, .. } => self.begin(at, BarKind::Incident, None, reason),
            Fact::ApprovalReminded { .. }
            | Fact::ApprovalEscalated { .. }
            | Fact::ApprovalDelegated { .. }
            | Fact::InputEdited { .. }
            | Fact::Rerun { .. } => self.mark(at, fact.reason()),
            Fact::IncidentRetried { .. } => {
                self.close(at);
                self.mark(at, fact.reason());
            }
            Fact::StepSkipped { reason, actor, .. } => {
                self.close(at);
                let by = actor.as_ref().map_or(String::new(), |actor| format!(" by {actor}"));
                self.mark(at, format!("skipped{by}: {reason}"));
            }
            Fact::CompensationScheduled { attempt, .. } => self.begin(at, BarKind::Back, Some(*attempt), ""),
            Fact::CompensationFailed { error, retry_at_us, .. } => {
                self.failed(at, BarKind::BackFailed, error, *retry_at_us);
            }
            Fact::StepCompleted { .. }
            | Fact::StepCollected { .. }
            | Fact::SignalTaken { .. }
            | Fact::CompensationCompleted { .. } => self.close(at),
            _ => {}
        }
    }

    /// The last bar ends and the next begins.
    fn begin(&mut self, at: Micros, kind: BarKind, attempt: Option<u32>, note: &str) {
        self.close(at);
        self.open = Some(Bar { kind, attempt, from: at, to: at, open: true, note: note.to_owned() });
    }

    fn failed(&mut self, at: Micros, kind: BarKind, error: &str, retry_at: Option<i64>) {
        if let Some(bar) = &mut self.open {
            bar.kind = kind;
            error.clone_into(&mut bar.note);
        }
        self.close(at);
        if retry_at.is_some() {
            self.begin(at, BarKind::BackOff, None, "");
        }
    }

    fn close(&mut self, at: Micros) {
        let Some(mut bar) = self.open.take() else { return };
        bar.to = at.max(bar.from);
        bar.open = false;
        let is_call =
            matches!(bar.kind, BarKind::Attempt | BarKind::Failed | BarKind::Back | BarKind::BackFailed);
        if is_call || bar.to > bar.from {
            self.bars.push(bar);
        }
    }

    /// Once what was done is taken back, only calls under way are waited for.
    fn stop_waiting(&mut self, at: Micros) {
        if self.open.as_ref().is_some_and(|bar| bar.kind != BarKind::Attempt) {
            self.close(at);
        }
    }

    fn mark(&mut self, at: Micros, note: String) {
        self.marks.push(Mark { at, note });
    }

    fn row(mut self, step: Option<String>, standing: String, now: Micros) -> Row {
        if let Some(mut bar) = self.open.take() {
            bar.to = now.max(bar.from);
            self.bars.push(bar);
        }
        Row { step, item: None, standing, bars: self.bars, marks: self.marks }
    }
}
