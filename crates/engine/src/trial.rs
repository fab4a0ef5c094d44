//! Trying a definition without effects: [`dry_run`] tells what would be called with
//! which message, [`simulate`] lives through failures and delays on a virtual clock.
//!
//! Both run the same state machine as the server, with answers that are given or
//! made up from contracts and schemas. Neither calls, stores or waits for anything,
//! and the same arguments give the same result.

mod plan;
mod script;

pub use plan::{Condition, Plan, PlannedCall, Wait, dry_run};
pub use script::{Line, Script, Scripted, Timeline, simulate};

use crate::definition::{Action, Definition, Target};
use crate::execution::{Event, Execution, Opening, StepStatus};
use crate::fact::Disposition;
use probity_types::{Micros, Roles};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Answers by the step that gets them. That of an approval has a `disposition`;
/// that of a signal is its payload; a list has the same answer for every item.
pub type Answers = BTreeMap<String, Json>;

/// Events after which a trial is given up: a definition ends long before.
const MOST_EVENTS: usize = 100_000;

/// Where a trial begins unless it is said: 2025-01-01T00:00:00Z.
pub const BEGINNING: Micros = Micros(1_735_689_600_000_000);

/// What a step answers when nothing is given: the example of its schema, else the
/// contract's answer with every field at its default.
fn made_up(definition: &Definition, step: usize) -> Json {
    let step = &definition.steps[step];
    match &step.output_schema {
        Some(schema) => schema.example(),
        None => Json::clone(&step.default_output),
    }
}

fn answer(definition: &Definition, answers: &Answers, step: usize) -> Json {
    let given = answers.get(&definition.steps[step].id).cloned();
    given.unwrap_or_else(|| made_up(definition, step))
}

/// What ends the wait of a step for people or for a signal.
fn reply(execution: &Execution, answers: &Answers, round: usize) -> Option<Event> {
    let waits = |wanted: fn(&StepStatus) -> bool| execution.steps.iter().position(|s| wanted(&s.status));
    if let Some(step) = waits(|s| matches!(s, StepStatus::Approval)) {
        let given = answers.get(&execution.definition.steps[step].id);
        return Some(decision(execution, step, given, round));
    }
    let step = waits(|s| matches!(s, StepStatus::Signal(_)))?;
    let Action::Signal(spec) = &execution.definition.steps[step].action else { return None };
    let given = answers.get(&execution.definition.steps[step].id).cloned();
    // Steps may wait for the same signal, and one of them says what it must carry.
    let schemas = execution.definition.steps.iter().filter_map(|other| match &other.action {
        Action::Signal(other) if other.name == spec.name => other.schema.as_ref(),
        _ => None,
    });
    let made_up = || schemas.map(crate::schema::Schema::example).next().unwrap_or_default();
    Some(Event::Signal {
        actor: "users/trial".to_owned(),
        id: format!("trial-{round}"),
        name: spec.name.clone(),
        payload: given.unwrap_or_else(made_up),
    })
}

/// The decision of somebody who may decide.
fn decision(execution: &Execution, step: usize, given: Option<&Json>, round: usize) -> Event {
    let text = given.and_then(|g| g.get("disposition").or(Some(g))).and_then(Json::as_str);
    let disposition = [Disposition::FalsePositive, Disposition::Inconclusive]
        .into_iter()
        .find(|d| text == Some(d.as_str()))
        .unwrap_or(Disposition::Confirmed);
    let note = given.and_then(|g| g.get("note")).and_then(Json::as_str).unwrap_or_default().to_owned();
    let state = &execution.steps[step];
    let voted = |name: &&String| state.votes.iter().any(|(who, ..)| who == *name);
    let named = state
        .asked
        .iter()
        .flat_map(|asked| &asked.assignees)
        .find(|name| name.starts_with("users/") && !voted(name) && **name != execution.opening.owner);
    let actor = named.cloned().unwrap_or_else(|| format!("users/trial-{round}"));
    Event::Decide { actor, roles: Roles::new(probity_types::Role::ALL), disposition, note }
}

/// How people read who is called.
fn describe(target: &Target) -> String {
    match target {
        Target::Method(name) => name.clone(),
        Target::Task { kind, queue } => format!("task {kind} of queue {queue}"),
        Target::Workflow(name) => format!("workflow {name}"),
    }
}

/// How it ended, in words and as a value.
fn ending(execution: &Execution) -> (String, Json) {
    let how = match execution.status() {
        crate::execution::Status::Ended(ending) => ending.as_str().to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    let value = match (&execution.verdict, &execution.output) {
        (Some(verdict), _) => json!({
            "outcome": verdict.outcome.as_str(),
            "reasons": verdict.reasons,
            "decided_by": verdict.decided_by,
        }),
        (None, Some(output)) => Json::clone(output),
        (None, None) => Json::Null,
    };
    (how, value)
}

/// What stands in the way, when it did not end.
fn trouble(execution: &Execution) -> Vec<String> {
    let steps = execution.definition.steps.iter().zip(&execution.steps);
    let stuck = steps.filter(|(_, state)| state.status == StepStatus::Incident);
    let mut all: Vec<_> = stuck.map(|(spec, state)| format!("{}: {}", spec.id, state.reason)).collect();
    if !execution.end_reason.is_empty() {
        all.push(execution.end_reason.clone());
    }
    all
}

fn open(definition: std::sync::Arc<Definition>, opening: Opening) -> (Execution, crate::execution::Turn) {
    let (mut execution, mut turn) = Execution::open(definition, opening, BEGINNING);
    // Nobody else runs: there is always a place.
    if let Ok(admitted) = execution.take(Event::Admit, BEGINNING, 0.0) {
        turn.facts.extend(admitted.facts);
        turn.commands.extend(admitted.commands);
    }
    (execution, turn)
}
