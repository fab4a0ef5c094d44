//! Cases, executions and their histories as they are shown.

use super::{kind_named, kind_number, state_number};
use crate::lane::Live;
use crate::store::{StoredDefinition, View};
use probity_engine::execution::{Execution, StepState};
use probity_engine::fact::Ending;
use probity_engine::{Fact, Outcome, Status, StepStatus, What};
use probity_proto::orchestrator as proto;
use probity_proto::time::timestamp;
use probity_types::Micros;
use probity_types::id::ExecutionId;
use prost::bytes::Bytes;
use serde_json::Value as Json;

const MAX_SHOWN_OUTPUT: usize = 8 * 1024;

const fn outcome_number(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Clear => proto::Outcome::Clear as i32,
        Outcome::Confirmed => proto::Outcome::Confirmed as i32,
        Outcome::Unfounded => proto::Outcome::Unfounded as i32,
        Outcome::Inconclusive => proto::Outcome::Inconclusive as i32,
        Outcome::Spam => proto::Outcome::Spam as i32,
    }
}

/// The case of an execution, as it is read.
pub(crate) fn case(execution: &Execution, created: Micros, updated: Micros) -> proto::Case {
    let opening = &execution.opening;
    let id = opening.name.trim_start_matches("cases/case_");
    let (kind, subject, documents) = match &opening.what {
        What::Case { kind, subject, documents } => (kind_number(*kind), subject.clone(), documents.clone()),
        What::Plain => (0, String::new(), Vec::new()),
    };
    proto::Case {
        name: opening.name.clone(),
        kind,
        state: state_number(execution.state),
        subject,
        documents,
        priority: i32::from(opening.priority),
        owner: opening.owner.clone(),
        finding_count: execution.finding_count(),
        verdict: verdict(execution),
        waiting: waiting(execution),
        execution: format!("executions/exec_{id}"),
        definition: format!("definitions/{}", execution.definition.name),
        definition_version: execution.definition.version.clone(),
        create_time: Some(timestamp(created.0)),
        update_time: Some(timestamp(updated.0)),
        end_time: execution.ended.map(|_| timestamp(updated.0)),
    }
}

fn verdict(execution: &Execution) -> Option<proto::Verdict> {
    if let Some(verdict) = &execution.verdict {
        return Some(proto::Verdict {
            outcome: outcome_number(verdict.outcome),
            reasons: verdict.reasons.clone(),
            decided_by: verdict.decided_by.clone(),
            note: verdict.note.clone(),
        });
    }
    execution
        .ended
        .map(|_| proto::Verdict { reasons: vec![execution.end_reason.clone()], ..proto::Verdict::default() })
}

/// What a case waits for: an incident goes before a decision.
fn waiting(execution: &Execution) -> Option<proto::Waiting> {
    if execution.ended.is_some() {
        return None;
    }
    let find = |status: StepStatus, kind: proto::WaitKind| {
        let index = execution.steps.iter().position(|s| s.status == status)?;
        let step = &execution.steps[index];
        Some(proto::Waiting {
            kind: kind as i32,
            step: execution.definition.steps[index].id.clone(),
            reason: step.reason.clone(),
            required: i32::try_from(step.required).unwrap_or(0),
            agreed: step.votes.iter().map(|(who, ..)| who.clone()).collect(),
        })
    };
    let decision =
        || find(StepStatus::Approval, proto::WaitKind::Approval).filter(|_| execution.taking_back.is_none());
    place(execution).or_else(|| find(StepStatus::Incident, proto::WaitKind::Incident)).or_else(decision)
}

/// That it waits for a place, and by which limit.
fn place(execution: &Execution) -> Option<proto::Waiting> {
    let line = execution.line.as_ref().filter(|_| execution.is_queued())?;
    let limit = execution.definition.limit.as_ref()?;
    let running = limit.running.map(|most| format!("at most {most} run at once"));
    let rate = limit.rate.map(|(count, per)| format!("at most {count} start in {per:?}"));
    let rules: Vec<_> = running.into_iter().chain(rate).collect();
    let of = &execution.definition.name;
    let key = if line.key.is_empty() { String::new() } else { format!(" with the key {:?}", line.key) };
    let reason = format!("of the executions of definitions/{of}{key} {}", rules.join(" and "));
    Some(proto::Waiting { kind: proto::WaitKind::Place as i32, reason, ..proto::Waiting::default() })
}

/// The number of a status.
pub(crate) const fn status_number(status: Status) -> i32 {
    (match status {
        Status::Running => proto::ExecutionStatus::Running,
        Status::Waiting | Status::Paused => proto::ExecutionStatus::Waiting,
        Status::Incident => proto::ExecutionStatus::Incident,
        Status::Queued => proto::ExecutionStatus::Pending,
        Status::Compensating => proto::ExecutionStatus::Compensating,
        Status::Ended(Ending::Completed) => proto::ExecutionStatus::Completed,
        Status::Ended(Ending::Failed) => proto::ExecutionStatus::Failed,
        Status::Ended(Ending::Cancelled) => proto::ExecutionStatus::Cancelled,
    }) as i32
}

/// An execution without its steps and its input.
pub(crate) fn summary(live: &Live) -> proto::Execution {
    let execution = &live.execution;
    let opening = &execution.opening;
    proto::Execution {
        name: format!("executions/{}", live.id),
        case: if live.is_case() { opening.name.clone() } else { String::new() },
        definition: format!("definitions/{}", execution.definition.name),
        definition_version: execution.definition.version.clone(),
        status: status_number(execution.status()),
        steps: Vec::new(),
        input: Bytes::new(),
        output: execution.output.as_ref().map_or_else(Bytes::new, |output| json_bytes(output)),
        priority: i32::from(opening.priority),
        owner: opening.owner.clone(),
        paused: execution.paused.is_some(),
        waiting: waiting(execution),
        end_reason: execution.end_reason.clone(),
        create_time: Some(timestamp(live.created.0)),
        update_time: Some(timestamp(live.updated.0)),
        end_time: execution.ended.map(|_| timestamp(live.updated.0)),
        parent: opening.parent.as_ref().map_or_else(String::new, |parent| parent.execution.clone()),
    }
}

/// An execution as lists show it; that of a case as far as the case tells.
pub(crate) fn listed(id: ExecutionId, view: View) -> proto::Execution {
    let case = match view {
        View::Plain(execution) => return *execution,
        View::Case(case) => *case,
    };
    proto::Execution {
        name: format!("executions/{id}"),
        status: case_status(&case) as i32,
        definition: case.definition,
        definition_version: case.definition_version,
        priority: case.priority,
        owner: case.owner,
        waiting: case.waiting,
        create_time: case.create_time,
        update_time: case.update_time,
        end_time: case.end_time,
        case: case.name,
        ..proto::Execution::default()
    }
}

fn case_status(case: &proto::Case) -> proto::ExecutionStatus {
    let waits = case.waiting.as_ref().map(proto::Waiting::kind);
    match (case.state(), waits) {
        (proto::CaseState::Resolved, _) => proto::ExecutionStatus::Completed,
        (proto::CaseState::Failed, _) => proto::ExecutionStatus::Failed,
        (proto::CaseState::Cancelled, _) => proto::ExecutionStatus::Cancelled,
        (_, Some(proto::WaitKind::Incident)) => proto::ExecutionStatus::Incident,
        (_, Some(proto::WaitKind::Approval)) => proto::ExecutionStatus::Waiting,
        (_, Some(proto::WaitKind::Place)) => proto::ExecutionStatus::Pending,
        _ => proto::ExecutionStatus::Running,
    }
}

/// An execution with everything, as it is read.
pub(crate) fn execution(live: &Live) -> proto::Execution {
    let execution = &live.execution;
    let steps = execution.definition.steps.iter().zip(&execution.steps);
    let input = &execution.opening.input;
    proto::Execution {
        steps: steps.map(|(spec, state)| step(spec, state)).collect(),
        input: if live.is_case() { Bytes::new() } else { json_bytes(input) },
        ..summary(live)
    }
}

pub(crate) fn json_bytes(value: &Json) -> Bytes {
    value.to_string().into()
}

fn step(spec: &probity_engine::Step, state: &StepState) -> proto::Step {
    let status = match state.status {
        StepStatus::Blocked => proto::StepStatus::Blocked,
        StepStatus::Running | StepStatus::Compensating => proto::StepStatus::Running,
        StepStatus::BackingOff(_) | StepStatus::CompensationBackingOff(_) => proto::StepStatus::BackingOff,
        StepStatus::Timer(_) | StepStatus::Signal(_) | StepStatus::Approval => proto::StepStatus::Waiting,
        StepStatus::Incident | StepStatus::Failed => proto::StepStatus::Failed,
        StepStatus::Completed => proto::StepStatus::Completed,
        StepStatus::Skipped => proto::StepStatus::Skipped,
        StepStatus::Compensated => proto::StepStatus::Compensated,
    };
    let call = match &spec.action {
        probity_engine::definition::Action::Call(call) => call.target.name().to_owned(),
        _ => String::new(),
    };
    let output = state.output.as_ref().map_or_else(String::new, |o| o.to_string());
    proto::Step {
        id: spec.id.clone(),
        status: status as i32,
        attempts: i32::try_from(state.attempts).unwrap_or(i32::MAX),
        call,
        output: shown(output),
        error: state.error.clone(),
        start_time: state.started.map(|t| timestamp(t.0)),
        end_time: state.ended.map(|t| timestamp(t.0)),
    }
}

/// At most the documented size, cut at a character.
fn shown(mut text: String) -> String {
    if text.len() > MAX_SHOWN_OUTPUT {
        let cut = (0..=MAX_SHOWN_OUTPUT).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(cut);
    }
    text
}

/// A fact as an event of the history.
pub(crate) fn history_event(sequence: i64, time: Micros, actor: &str, fact: &Fact) -> proto::HistoryEvent {
    let (from, to) = match fact {
        Fact::CaseMoved { from, to, .. } => (state_number(*from), state_number(*to)),
        _ => (0, 0),
    };
    proto::HistoryEvent {
        sequence,
        time: Some(timestamp(time.0)),
        r#type: fact.kind().to_owned(),
        actor: actor.to_owned(),
        step: fact.step().unwrap_or_default().to_owned(),
        attempt: fact.attempt().and_then(|a| i32::try_from(a).ok()).unwrap_or(0),
        from_state: from,
        to_state: to,
        reason: fact.reason(),
        detail: serde_json::to_string(fact).unwrap_or_default(),
    }
}

/// A definition as it is read.
pub(crate) fn definition(
    stored: &StoredDefinition,
    compiled: &probity_engine::Definition,
) -> proto::Definition {
    proto::Definition {
        name: format!("definitions/{}", stored.name),
        version: stored.version.clone(),
        source: stored.source.clone(),
        kind: kind_named(&stored.kind),
        steps: compiled.order.iter().map(|i| compiled.steps[*i].id.clone()).collect(),
        create_time: Some(timestamp(stored.created.0)),
    }
}
