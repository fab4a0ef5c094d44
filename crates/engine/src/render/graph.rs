//! What DOT and Mermaid both draw: nodes with a shape and a tone, edges, groups.

use crate::case::CaseState;
use crate::definition::{Action, CallSpec, Definition, Step};
use crate::execution::{Execution, StepState, StepStatus};
use crate::render::scale;

/// Longest line of a label in characters.
const MAX_LINE: usize = 60;

/// What a step does, as a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Call,
    People,
    Wait,
    End,
}

/// Where a step stands, as a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing is known, because there is no execution.
    Plain,
    Idle,
    Active,
    Waiting,
    Wrong,
    Done,
    Skipped,
    Back,
}

impl Tone {
    pub(super) const ALL: [Self; 8] = [
        Self::Plain,
        Self::Idle,
        Self::Active,
        Self::Waiting,
        Self::Wrong,
        Self::Done,
        Self::Skipped,
        Self::Back,
    ];

    /// Its name, its fill and its line, readable below black text.
    pub(super) const fn style(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Plain => ("plain", "#f1f5f9", "#475569"),
            Self::Idle => ("idle", "#ffffff", "#94a3b8"),
            Self::Active => ("active", "#bfdbfe", "#1d4ed8"),
            Self::Waiting => ("waiting", "#fde68a", "#b45309"),
            Self::Wrong => ("wrong", "#fecaca", "#b91c1c"),
            Self::Done => ("done", "#bbf7d0", "#15803d"),
            Self::Skipped => ("skipped", "#e2e8f0", "#64748b"),
            Self::Back => ("back", "#e9d5ff", "#7e22ce"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Node {
    /// Lines of the label, the name first.
    pub(super) lines: Vec<String>,
    pub(super) shape: Shape,
    pub(super) tone: Tone,
    pub(super) state: Option<CaseState>,
}

#[derive(Debug)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// The step it leads to may be left out.
    pub(super) conditional: bool,
}

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

impl Graph {
    pub(super) fn of(definition: &Definition, execution: Option<&Execution>) -> Self {
        let steps = definition.steps.iter().enumerate();
        let state = |index: usize| execution.and_then(|execution| execution.steps.get(index));
        let edges = steps.clone().flat_map(|(to, step)| {
            step.needs.iter().map(move |from| Edge { from: *from, to, conditional: step.when.is_some() })
        });
        Self {
            name: definition.name.clone(),
            edges: edges.collect(),
            nodes: steps.map(|(index, step)| node(step, state(index))).collect(),
        }
    }

    /// The states that steps belong to, in the order a case goes through them, each with the
    /// indices of its steps; those without a state come first.
    pub(super) fn groups(&self) -> Vec<(Option<CaseState>, Vec<usize>)> {
        let mut groups: Vec<(Option<CaseState>, Vec<usize>)> = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            match groups.iter_mut().find(|(state, _)| *state == node.state) {
                Some((_, members)) => members.push(index),
                None => groups.push((node.state, vec![index])),
            }
        }
        groups.sort_by_key(|(state, _)| *state);
        groups
    }
}

fn node(step: &Step, state: Option<&StepState>) -> Node {
    let (shape, what) = action(&step.action);
    let mut lines = vec![step.id.clone(), what];
    lines.extend(step.when.as_ref().map(|when| format!("when {}", when.source())));
    lines.extend(step.compensate.as_ref().map(|back| format!("taken back by {}", callee(back))));
    lines.extend(state.map(standing));
    let lines = lines.iter().map(|line| shortened(line)).collect();
    Node { lines, shape, tone: state.map_or(Tone::Plain, tone), state: step.state }
}

fn action(action: &Action) -> (Shape, String) {
    if let Action::Call(call) = action {
        (Shape::Call, callee(call))
    } else if let Action::Approval { .. } = action {
        (Shape::People, "asks people".to_owned())
    } else if let Action::Timer(time) = action {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        (Shape::Wait, format!("waits {}", scale::duration(micros)))
    } else if let Action::Fail(_) = action {
        (Shape::End, "fails the case".to_owned())
    } else {
        (Shape::Wait, "waits".to_owned())
    }
}

/// Service and method without the package, which everybody who reads the picture knows.
fn callee(call: &CallSpec) -> String {
    call.target.name().rsplit('.').next().unwrap_or_default().to_owned()
}

fn tone(state: &StepState) -> Tone {
    match state.status {
        StepStatus::Blocked => Tone::Idle,
        StepStatus::Running => Tone::Active,
        StepStatus::Incident => Tone::Wrong,
        StepStatus::Completed => Tone::Done,
        StepStatus::Skipped => Tone::Skipped,
        StepStatus::Compensating | StepStatus::CompensationBackingOff(_) | StepStatus::Compensated => {
            Tone::Back
        }
        _ => Tone::Waiting,
    }
}

fn standing(state: &StepState) -> String {
    let word = word(state.status);
    match state.attempts {
        0 | 1 => word.to_owned(),
        attempts => format!("{word}, attempt {attempts}"),
    }
}

/// Where a step stands, in words.
pub(super) fn word(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Blocked => "not started",
        StepStatus::Running => "running",
        StepStatus::BackingOff(_) => "waits to retry",
        StepStatus::Timer(_) => "waits for a point in time",
        StepStatus::Approval => "waits for people",
        StepStatus::Incident => "needs a person",
        StepStatus::Completed => "done",
        StepStatus::Skipped => "skipped",
        StepStatus::Compensated => "taken back",
        StepStatus::Compensating | StepStatus::CompensationBackingOff(_) => "being taken back",
        #[allow(unreachable_patterns)] // what a later kind of step waits for
        _ => "waits",
    }
}

/// One line without control characters, cut at [`MAX_LINE`].
pub(super) fn shortened(text: &str) -> String {
    cut(text, MAX_LINE)
}

/// One line without control characters, of at most `max` characters.
pub(super) fn cut(text: &str, max: usize) -> String {
    let plain = |c: char| if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) { ' ' } else { c };
    let mut line: String = text.chars().take(max).map(plain).collect();
    if text.chars().nth(max).is_some() {
        line.pop();
        line.push('…');
    }
    line
}
