//! What is asked for and never read.

use crate::definition::finding::Findings;
use crate::definition::raw::{Raw, at};
use crate::definition::{Action, Definition, Output};
use crate::expr::Expr;
use std::collections::BTreeSet;

/// Warns of answers that were described, or asked of people, and are never read.
pub(super) fn warn(definition: &Definition, raw: &Raw, findings: &Findings) {
    let read: BTreeSet<String> = expressions(definition).flat_map(Expr::steps).collect();
    let given = |step: usize| definition.output.is_none() && definition.last.contains(&step);
    for (position, (step, written)) in definition.steps.iter().zip(&raw.steps).enumerate() {
        if read.contains(&step.id) || (given(position) && !definition.is_case()) {
            continue;
        }
        let id = &step.id;
        let message = match &step.action {
            Action::Approval(_) => format!("people are asked for a decision, but nothing reads steps.{id}"),
            Action::Signal(_) => {
                format!("nothing reads steps.{id}: whether the signal came in time makes no difference")
            }
            Action::Call(_) if step.output_schema.is_some() => {
                format!("the output of {id} is described, but nothing reads steps.{id}")
            }
            _ => continue,
        };
        findings.warn(at(&written.id, message));
    }
}

/// Every expression of a definition.
fn expressions(definition: &Definition) -> impl Iterator<Item = &Expr> {
    let of_steps = definition.steps.iter().flat_map(|step| {
        let calls = match &step.action {
            Action::Call(call) => Some(call),
            _ => None,
        };
        let own: Vec<&Expr> = match &step.action {
            Action::Fail(expr) | Action::Until(expr) => vec![expr],
            Action::Approval(spec) => {
                [&spec.reason, &spec.required].into_iter().chain(&spec.assignees).collect()
            }
            _ => Vec::new(),
        };
        let inputs = calls.into_iter().chain(&step.compensate).flat_map(|call| call.input.iter());
        own.into_iter()
            .chain(step.when.iter())
            .chain(step.each.iter().map(|each| &each.list))
            .chain(inputs.map(|(_, expr)| expr))
    });
    let verdict = definition.verdict.iter().flat_map(|rule| rule.when.iter().chain([&rule.reasons]));
    let output: Vec<&Expr> = match &definition.output {
        Some(Output::One(expr)) => vec![expr],
        Some(Output::Fields(fields)) => fields.iter().map(|(_, expr)| expr).collect(),
        None => Vec::new(),
    };
    let guards = definition.states.values().filter_map(|rule| Some(&rule.guard.as_ref()?.condition));
    of_steps.chain(verdict).chain(output).chain(guards)
}
