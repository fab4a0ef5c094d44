//! What would be called with which message, without calling it.

use super::{Answers, MOST_EVENTS, answer, describe, ending, open, reply, trouble};
use crate::definition::{Action, Definition};
use crate::execution::{Command, Event, Execution, Opening, StepStatus, Turn};
use crate::fact::Fact;
use probity_types::Micros;
use serde_json::Value as Json;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// What a definition would do with an opening and with these answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What would be called, in order.
    pub calls: Vec<PlannedCall>,
    /// The value of every condition that was asked.
    pub conditions: Vec<Condition>,
    /// What would be waited for, in order.
    pub waits: Vec<Wait>,
    /// How it would end: `completed`, `failed`, `cancelled`, or where it would stop.
    pub ends: String,
    /// The verdict or the output.
    pub gives: Json,
    /// Why it would stop or fail.
    pub trouble: Vec<String>,
}

/// A call that would be made.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedCall {
    /// The step, with its item: `step` or `step[3]`.
    pub step: String,
    /// Who is called.
    pub target: String,
    /// The message.
    pub input: Json,
    /// Whether it takes the step back.
    pub compensation: bool,
}

/// A condition and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The step.
    pub step: String,
    /// The expression.
    pub when: String,
    /// Whether it held.
    pub held: bool,
}

/// A wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The step.
    pub step: String,
    /// What for, in words.
    pub what: String,
}

/// Walks through a definition with the given answers, and made-up ones for the rest.
/// Every call succeeds at once, every wait is over at once.
#[must_use]
pub fn dry_run(definition: &Arc<Definition>, opening: Opening, answers: &Answers) -> Plan {
    let (mut execution, turn) = open(definition.clone(), opening);
    let mut plan = Plan {
        calls: Vec::new(),
        conditions: Vec::new(),
        waits: Vec::new(),
        ends: String::new(),
        gives: Json::Null,
        trouble: Vec::new(),
    };
    let mut calls = VecDeque::new();
    let mut alarms: Vec<Micros> = Vec::new();
    let mut now = super::BEGINNING;
    plan.note(&execution, turn, &mut calls, &mut alarms);
    for round in 0..MOST_EVENTS {
        if execution.ended.is_some() {
            break;
        }
        let event = match calls.pop_front() {
            Some(Command::Call { step, item, attempt, compensation, .. }) => {
                let result = Ok(answer(definition, answers, step));
                Event::CallEnded { step, item, attempt, compensation, result }
            }
            // People and signals come before a reminder or a timeout would.
            _ => match reply(&execution, answers, round) {
                Some(event) => event,
                None => {
                    let Some(at) = alarms.iter().min().copied() else { break };
                    alarms.retain(|other| *other != at);
                    now = now.max(at);
                    Event::Woken
                }
            },
        };
        match execution.take(event, now, 0.0) {
            Ok(turn) => plan.note(&execution, turn, &mut calls, &mut alarms),
            Err(why) => {
                plan.trouble.push(why.to_string());
                break;
            }
        }
    }
    (plan.ends, plan.gives) = ending(&execution);
    plan.trouble.extend(trouble(&execution));
    plan
}

impl Plan {
    fn note(
        &mut self,
        execution: &Execution,
        turn: Turn,
        calls: &mut VecDeque<Command>,
        alarms: &mut Vec<Micros>,
    ) {
        turn.facts.iter().for_each(|fact| self.note_fact(execution, fact));
        for command in turn.commands {
            match command {
                Command::WakeAt(at) => alarms.push(at),
                Command::Call { .. } => calls.push_back(command),
                Command::CancelChild { .. } => {}
            }
        }
    }

    fn note_fact(&mut self, execution: &Execution, fact: &Fact) {
        let Some(index) = fact.step().and_then(|id| execution.definition.index(id)) else { return };
        let spec = &execution.definition.steps[index];
        let step = fact.item().map_or_else(|| spec.id.clone(), |item| format!("{}[{item}]", spec.id));
        self.note_condition(execution, fact, index);
        let mut wait = |what: String| self.waits.push(Wait { step: spec.id.clone(), what });
        match fact {
            Fact::StepScheduled { input, .. } | Fact::CompensationScheduled { input, .. } => {
                let compensation = matches!(fact, Fact::CompensationScheduled { .. });
                let call = match &spec.action {
                    _ if compensation => spec.compensate.as_ref(),
                    Action::Call(call) => Some(call),
                    _ => None,
                };
                let target = call.map_or_else(String::new, |call| describe(&call.target));
                self.calls.push(PlannedCall { step, target, input: Json::clone(input), compensation });
            }
            Fact::TimerStarted { at_us, .. } => wait(format!("until {}", Micros(*at_us))),
            Fact::SignalAwaited { name, .. } => wait(format!("for the signal {name}")),
            Fact::ApprovalRequested { required, reason, assignees, .. } => {
                let who = if assignees.is_empty() { "anybody".to_owned() } else { assignees.join(", ") };
                wait(format!("for {required} of {who} to decide: {reason}"));
            }
            _ => {}
        }
    }

    /// The first fact about a step tells whether its condition held.
    fn note_condition(&mut self, execution: &Execution, fact: &Fact, index: usize) {
        let spec = &execution.definition.steps[index];
        let Some(when) = &spec.when else { return };
        let known = self.conditions.iter().any(|condition| condition.step == spec.id);
        if known || matches!(fact, Fact::CaseMoved { .. } | Fact::IncidentOpened { .. }) {
            return;
        }
        let held = execution.steps[index].status != StepStatus::Skipped;
        self.conditions.push(Condition { step: spec.id.clone(), when: when.source().to_owned(), held });
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for condition in &self.conditions {
            let held = if condition.held { "holds" } else { "does not hold" };
            writeln!(f, "when  {:20} {held}: {}", condition.step, condition.when)?;
        }
        for call in &self.calls {
            let verb = if call.compensation { "back" } else { "call" };
            writeln!(f, "{verb}  {:20} {} {}", call.step, call.target, call.input)?;
        }
        for wait in &self.waits {
            writeln!(f, "wait  {:20} {}", wait.step, wait.what)?;
        }
        writeln!(f, "ends  {} {}", self.ends, self.gives)?;
        self.trouble.iter().try_for_each(|why| writeln!(f, "      {why}"))
    }
}
