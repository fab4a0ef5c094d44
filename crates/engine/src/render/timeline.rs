//! What happened to each step, and when: the Gantt chart as data.

use super::graph::word;
use crate::execution::Execution;
use crate::fact::Fact;
use probity_types::Micros;
use std::collections::HashMap;

/// What went on during a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BarKind {
    /// A state of the case; only in the first row.
    State,
    /// An attempt that was answered, or is still under way.
    Attempt,
    /// An attempt that failed.
    Failed,
    /// The wait before the next attempt.
    BackOff,
    /// A wait for a point in time.
    Timer,
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

/// One line of a timeline: the case, or a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The step; `None` for the case as a whole.
    pub step: Option<String>,
    /// Where it stands, in words.
    pub standing: &'static str,
    /// What went on, in order of time.
    pub bars: Vec<Bar>,
    /// What people and conditions did to it, in order of time.
    pub marks: Vec<Mark>,
}

/// The rows of an execution: first the case with its states, when it has moved, then every step
/// in the order of the definition. `facts` are those of its journal, oldest first, each with its
/// time; times that go back, after a clock was set, never make a bar end before it began.
#[must_use]
pub fn timeline(execution: &Execution, facts: &[(Micros, Fact)], now: Micros) -> Vec<Row> {
    let mut case = Track::default();
    let mut steps: HashMap<&str, Track> = HashMap::new();
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
                    steps.entry(step).or_default().take(*at, fact);
                }
            }
        }
    }
    let of_steps: Vec<_> = execution
        .definition
        .steps
        .iter()
        .zip(&execution.steps)
        .map(|(step, state)| {
            let track = steps.remove(step.id.as_str()).unwrap_or_default();
            let stopped = execution.ended.is_some() && !state.status.is_done();
            track.row(Some(step.id.clone()), if stopped { "not finished" } else { word(state.status) }, now)
        })
        .collect();
    let moved = !case.bars.is_empty() || case.open.is_some();
    let standing = execution.ended.map_or("open", |_| "ended");
    moved.then(|| case.row(None, standing, now)).into_iter().chain(of_steps).collect()
}

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
            Fact::StepScheduled { attempt, .. } => self.begin(at, BarKind::Attempt, Some(*attempt), ""),
            Fact::StepFailed { error, retry_at_us, .. } => {
                self.failed(at, BarKind::Failed, error, *retry_at_us)
            }
            Fact::TimerStarted { .. } => self.begin(at, BarKind::Timer, None, ""),
            Fact::ApprovalRequested { reason, .. } => self.begin(at, BarKind::Approval, None, reason),
            Fact::ApprovalGiven { actor, .. } => self.mark(at, format!("{actor}: {}", fact.reason())),
            Fact::IncidentOpened { reason, .. } => self.begin(at, BarKind::Incident, None, reason),
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
            Fact::StepCompleted { .. } | Fact::CompensationCompleted { .. } => self.close(at),
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

    fn row(mut self, step: Option<String>, standing: &'static str, now: Micros) -> Row {
        if let Some(mut bar) = self.open.take() {
            bar.to = now.max(bar.from);
            self.bars.push(bar);
        }
        Row { step, standing, bars: self.bars, marks: self.marks }
    }
}
