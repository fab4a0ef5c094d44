//! What holds for the whole: the verdict, the output, the states of a case.

use super::settings::{LONGEST_WAIT, duration, outcome, people, reminders};
use super::steps::Compiler;
use super::{Result, typed};
use crate::case::CaseState;
use crate::definition::raw::{RawOutput, RawState, RawVerdict, Text, at};
use crate::definition::{Guard, Output, StateRule, Step, VerdictRule};
use crate::expr::{Expr, Scope, Type};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;

impl Compiler<'_> {
    /// The rules of the verdict; what is wrong about them is told.
    pub(super) fn verdict(&self, rules: &[RawVerdict]) -> Vec<VerdictRule> {
        let types = self.types.all(self.index);
        let scope = self.types.scope(&types);
        if rules.last().is_none_or(|last| last.when.is_some()) {
            let message = "the last rule of `verdict` must have no `when`, so that every case ends somehow";
            self.findings.error(at(&self.raw.name, message));
        }
        rules.iter().filter_map(|raw| self.rule(raw, &scope)).collect()
    }

    fn rule(&self, raw: &RawVerdict, scope: &Scope<'_>) -> Option<VerdictRule> {
        let texts = Type::List(Box::new(Type::Text));
        let keep = self.findings;
        let when = keep.keep(raw.when.as_ref().map(|w| typed(w, scope, &Type::Bool)).transpose());
        let outcome = keep.keep(outcome(&raw.outcome));
        let reasons = keep.keep(typed(&raw.reasons, scope, &texts));
        Some(VerdictRule { when: when?, outcome: outcome?, reasons: reasons? })
    }

    pub(super) fn output(&self, raw: &Spanned<RawOutput>) -> Result<Output> {
        let types = self.types.all(self.index);
        let scope = self.types.scope(&types);
        let one = |source: &String| {
            let expr = Expr::compile(source).map_err(|e| at(raw, e))?;
            expr.check(&scope, &Type::Unknown).map_err(|e| at(raw, format!("{source}: {e}")))?;
            Ok(expr)
        };
        match &raw.value {
            RawOutput::One(source) => one(source).map(Output::One),
            RawOutput::Fields(fields) => {
                let fields = fields.iter().map(|(name, source)| Ok((name.clone(), one(source)?)));
                fields.collect::<Result<_>>().map(Output::Fields)
            }
        }
    }

    pub(super) fn states(&self) -> BTreeMap<CaseState, StateRule> {
        let types = self.types.all(self.index);
        let scope = self.types.scope(&types);
        let all = self.raw.states.iter();
        all.filter_map(|(name, raw)| self.findings.keep(state_rule(name, raw, &scope))).collect()
    }

    pub(super) fn findings_from(&self, step: Option<&Text>) -> Result<Option<usize>> {
        let Some(step) = step else { return Ok(None) };
        let position = self.index.get(&step.value).copied();
        let counts = position
            .and_then(|p| self.types.spec(p))
            .and_then(|s| s.output.get_field_by_name("finding_count"));
        match (position, counts) {
            (Some(position), Some(_)) => Ok(Some(position)),
            (None, _) => Err(at(step, format!("there is no step {:?}", step.value))),
            (Some(_), None) => {
                Err(at(step, format!("the answer of {:?} has no field finding_count", step.value)))
            }
        }
    }

    /// Along each dependency the states never go backwards.
    pub(super) fn check_states(&self, steps: &[Step]) {
        for (step, written) in steps.iter().zip(&self.raw.steps) {
            for before in &step.needs {
                if let (Some(now), Some(earlier), Some(place)) =
                    (step.state, steps[*before].state, &written.state)
                    && now < earlier
                {
                    let id = &steps[*before].id;
                    let message =
                        format!("{now} comes before {earlier}, the state of {id:?}, which this step needs");
                    self.findings.error(at(place, message));
                }
            }
        }
    }
}

fn state_rule(name: &str, raw: &Spanned<RawState>, scope: &Scope<'_>) -> Result<(CaseState, StateRule)> {
    let state: CaseState = name.parse().map_err(|e: String| at(raw, e))?;
    let rule = &raw.value;
    if matches!(state, CaseState::Failed | CaseState::Cancelled) {
        return Err(at(raw, format!("nothing can be asked of {state}: a case must always be able to end")));
    }
    if state == CaseState::Resolved && rule.due.is_some() {
        return Err(at(raw, "a resolved case stays resolved; `due` is for the states before"));
    }
    if let (CaseState::Pending, Some(guard)) = (state, &rule.guard) {
        return Err(at(guard, "every case begins as pending, so there is no way in to guard"));
    }
    let due = rule.due.as_ref().map(|due| duration(due, LONGEST_WAIT)).transpose()?;
    let escalate_to = people(&rule.escalate_to)?;
    if let (Some(first), None) = (rule.escalate_to.first(), due) {
        return Err(at(first, "`escalate_to` is told when the case is overdue; add `due`"));
    }
    let remind = reminders(&rule.remind, due)?;
    Ok((state, StateRule { due, remind, escalate_to, guard: guard(rule, scope)? }))
}

fn guard(raw: &RawState, scope: &Scope<'_>) -> Result<Option<Guard>> {
    match (&raw.guard, &raw.reason) {
        (None, None) => Ok(None),
        (Some(guard), reason) => {
            let reason = reason.as_ref().map_or_else(|| guard.value.clone(), |r| r.value.clone());
            Ok(Some(Guard { condition: typed(guard, scope, &Type::Bool)?, reason }))
        }
        (None, Some(reason)) => Err(at(reason, "`reason` says why a `guard` does not hold; add `guard`")),
    }
}
