//! What DOT and Mermaid both draw: nodes with a shape and a tone, edges, groups.

use crate::case::CaseState;
use crate::definition::{Action, CallSpec, Definition, Step, Target};
use crate::execution::{Execution, Items, StepState, StepStatus};
use crate::render::scale;

/// Longest line of a label in characters.
const MAX_LINE: usize = 60;

/// What a step does, as a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Call,
    /// Another execution.
    Workflow,
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
    /// It is done for each of a list.
    pub(super) many: bool,
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
    lines.extend(step.each.as_ref().map(|each| format!("for each of {}", each.list.source())));
    lines.extend(step.when.as_ref().map(|when| format!("when {}", when.source())));
    lines.extend(step.compensate.as_ref().map(|back| format!("taken back by {}", callee(back))));
    lines.extend(state.map(standing));
    lines.extend(state.and_then(|state| troubled(state.items.as_deref()?)));
    let lines = lines.iter().map(|line| shortened(line)).collect();
    Node { lines, shape, many: step.each.is_some(), tone: state.map_or(Tone::Plain, tone), state: step.state }
}

fn action(action: &Action) -> (Shape, String) {
    if let Action::Call(call) = action {
        let shape = if matches!(call.target, Target::Workflow(_)) { Shape::Workflow } else { Shape::Call };
        (shape, callee(call))
    } else if let Action::Until(at) = action {
        (Shape::Wait, format!("waits until {}", at.source()))
    } else if let Action::Signal(signal) = action {
        (Shape::Wait, format!("waits for the signal {}", signal.name))
    } else if let Action::Approval { .. } = action {
        (Shape::People, "asks people".to_owned())
    } else if let Action::Timer(time) = action {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        (Shape::Wait, format!("waits {}", scale::duration(micros)))
    } else if let Action::Fail(_) = action {
        (Shape::End, "ends it as failed".to_owned())
    } else {
        (Shape::Wait, "waits".to_owned())
    }
}

/// Service and method without the package, which everybody who reads the picture knows.
fn callee(call: &CallSpec) -> String {
    match &call.target {
        Target::Method(name) => name.rsplit('.').next().unwrap_or_default().to_owned(),
        Target::Task { kind, queue } => format!("task {kind} in {queue}"),
        Target::Workflow(name) => format!("runs {name}"),
    }
}

fn tone(state: &StepState) -> Tone {
    match state.status {
        StepStatus::Blocked => Tone::Idle,
        StepStatus::Running => Tone::Active,
        StepStatus::Incident | StepStatus::Failed => Tone::Wrong,
        StepStatus::Completed => Tone::Done,
        StepStatus::Skipped => Tone::Skipped,
        StepStatus::Compensating | StepStatus::CompensationBackingOff(_) | StepStatus::Compensated => {
            Tone::Back
        }
        _ => Tone::Waiting,
    }
}

/// How far the items of a step are.
pub(super) fn progress(items: &Items) -> String {
    format!("{} of {} done", items.done, items.len())
}

/// Which items need a person; the first few of many.
fn troubled(items: &Items) -> Option<String> {
    const FEW: usize = 5;
    let first: Vec<_> = items.incidents.iter().take(FEW).map(u32::to_string).collect();
    let more = if items.incidents.len() > FEW { " and more" } else { "" };
    (!first.is_empty()).then(|| format!("needs a person: {}{more}", first.join(", ")))
}

fn standing(state: &StepState) -> String {
    if let Some(items) = &state.items {
        return progress(items);
    }
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
        StepStatus::Signal(_) => "waits for a signal",
        StepStatus::Failed => "failed, handled",
        StepStatus::Approval => "waits for people",
        StepStatus::Incident => "needs a person",
        StepStatus::Completed => "done",
        StepStatus::Skipped => "skipped",
        StepStatus::Compensated => "taken back",
        StepStatus::Compensating | StepStatus::CompensationBackingOff(_) => "being taken back",
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
