//! Steps: settings, order and failure of each.

use super::settings::{LONGEST_TASK, LONGEST_TIMEOUT, LONGEST_WAIT, duration, retry, state};
use super::types::Types;
use super::{Result, schema, typed};
use super::{action, limit};
use crate::definition::finding::Findings;
use crate::definition::raw::{Raw, RawCall, RawOnError, RawStep, Text, at};
use crate::definition::{Action, CallSpec, Catalog, Each, OnError, Step};
use crate::expr::{Scope, Type};
use probity_types::retry::RetryPolicy;
use serde_json::json;
use serde_saphyr::Spanned;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_CONCURRENCY: u32 = 10;
const MAX_CONCURRENCY: u32 = 100;

pub(super) struct Compiler<'a> {
    pub(super) raw: &'a Raw,
    pub(super) catalog: &'a dyn Catalog,
    pub(super) types: Types,
    pub(super) index: &'a HashMap<String, usize>,
    pub(super) upstream: &'a [BTreeSet<usize>],
    pub(super) findings: &'a Findings,
}

impl Compiler<'_> {
    /// A step; nothing when something about it is wrong, which is told. What can be
    /// checked is checked all the same.
    pub(super) fn step(&self, position: usize) -> Option<Step> {
        let raw = &self.raw.steps[position];
        let keep = self.findings;
        let upstream = self.types.of(self.index, &self.upstream[position]);
        let scope = self.types.scope(&upstream);
        let each = keep.keep(each(raw, &scope));
        let inner = raw.for_each.as_ref().map(|list| with_item(&scope, list));
        let inner = inner.as_ref().unwrap_or(&scope);
        let action = keep.keep(action::action(raw, self.types.spec(position), inner));
        let when = keep.keep(raw.when.as_ref().map(|w| typed(w, &scope, &Type::Bool)).transpose());
        let limit = keep.keep(limit::limit(raw, inner));
        let state = keep.keep(raw.state.as_ref().map(state).transpose());
        let retry = keep.keep(raw.retry.as_ref().map_or(Ok(RetryPolicy::STANDARD.into()), retry));
        let times = (keep.keep(timeout(raw)), keep.keep(deadline(raw)));
        let on_error = keep.keep(self.on_error(position, raw.on_error.as_ref()));
        let compensate = keep.keep(self.compensate(position, raw));
        let output_schema = keep.keep(output_schema(raw));
        self.warn(raw, action.as_ref(), times);
        let on_error = on_error?;
        let default_output = self.types.default_output(raw, position);
        let default_whole = if raw.for_each.is_some() { json!([]) } else { default_output.clone() };
        Some(Step {
            id: raw.id.value.clone(),
            state: state?,
            needs: raw.needs.iter().filter_map(|n| self.index.get(&n.value).copied()).collect(),
            when: when?,
            action: action?,
            each: each?,
            retry: retry?,
            no_retry_on: raw.no_retry_on.iter().map(|code| code.value.clone()).collect(),
            limit: limit?,
            timeout: times.0?,
            deadline: times.1?,
            on_error,
            handles: self.handled_by(position),
            aside: self.aside(position, on_error),
            compensate: compensate?,
            output_schema: output_schema?,
            default_output: default_output.into(),
            default_whole: default_whole.into(),
        })
    }

    fn on_error(&self, position: usize, raw: Option<&Spanned<RawOnError>>) -> Result<OnError> {
        let Some(raw) = raw else { return Ok(OnError::Incident) };
        let Some(route) = raw.value.route() else {
            let name = if let RawOnError::Named(name) = &raw.value { name.as_str() } else { "{}" };
            return named_on_error(name).ok_or_else(|| {
                let message = format!(
                    "{name:?} is no on_error; one of incident, fail, compensate, continue, or {{route: STEP}}"
                );
                at(raw, message)
            });
        };
        let Some(handler) = self.index.get(route).copied() else {
            let known: Vec<_> = self.raw.steps.iter().map(|s| s.id.value.as_str()).collect();
            return Err(at(raw, format!("there is no step {route:?}; there are {}", known.join(", "))));
        };
        let own = &self.raw.steps[position].id.value;
        if !self.raw.steps[handler].needs.iter().any(|need| need.value == *own) {
            let message = format!("{route:?} must have {own:?} in its `needs`, so that it comes after it");
            return Err(at(raw, message));
        }
        Ok(OnError::Route(handler))
    }

    /// The steps that route to this one.
    fn handled_by(&self, position: usize) -> Vec<usize> {
        let own = &self.raw.steps[position].id.value;
        let routes = |step: &RawStep| {
            step.on_error.as_ref().is_some_and(|raw| raw.value.route() == Some(own.as_str()))
        };
        (0..self.raw.steps.len()).filter(|step| routes(&self.raw.steps[*step])).collect()
    }

    /// What comes after a step, but neither is its handler nor comes after that.
    fn aside(&self, position: usize, on_error: OnError) -> Vec<usize> {
        let OnError::Route(handler) = on_error else { return Vec::new() };
        let after = |step: &usize, of: usize| self.upstream[*step].contains(&of);
        (0..self.raw.steps.len())
            .filter(|step| after(step, position) && *step != handler && !after(step, handler))
            .collect()
    }

    fn compensate(&self, position: usize, step: &RawStep) -> Result<Option<CallSpec>> {
        let Some(raw) = &step.compensate else { return Ok(None) };
        let place = place_of(raw).unwrap_or(&step.id);
        if step.call.is_none() && step.task.is_none() && step.workflow.is_none() {
            let message = "only a step with `call`, `task` or `workflow` has something to compensate";
            return Err(at(place, message));
        }
        let mut seen = self.upstream[position].clone();
        seen.insert(position);
        let mut types = self.types.of(self.index, &seen);
        if step.for_each.is_some() {
            // Each item is taken back by itself and sees its own answer.
            types.insert(step.id.value.clone(), self.types.of_one(position).clone());
        }
        let scope = self.types.scope(&types);
        let inner = step.for_each.as_ref().map(|list| with_item(&scope, list));
        action::compensate(raw, place, inner.as_ref().unwrap_or(&scope), self.catalog).map(Some)
    }

    /// What is probably not meant.
    fn warn(
        &self,
        raw: &RawStep,
        action: Option<&Action>,
        (timeout, deadline): (Option<Duration>, Option<Option<Duration>>),
    ) {
        if let (Some(timeout), Some(Some(deadline)), Some(place)) = (timeout, deadline, &raw.deadline)
            && timeout > deadline
        {
            let message = format!(
                "one attempt may take {timeout:?}, longer than the deadline over all attempts; shorten `timeout`"
            );
            self.findings.warn(at(raw.timeout.as_ref().unwrap_or(place), message));
        }
        if let Some(Action::Approval(approval)) = action
            && approval.due.is_none()
        {
            let message = "this approval has no `due`: nobody is reminded, and it may wait for ever";
            self.findings.warn(at(&raw.id, message));
        }
        if matches!(action, Some(Action::Call(_)) | None) {
            return;
        }
        let idle = [
            (raw.retry.as_ref().map(|r| at(r, "")), "retry"),
            (raw.timeout.as_ref().map(|t| at(t, "")), "timeout"),
            (raw.deadline.as_ref().map(|d| at(d, "")), "deadline"),
            (raw.on_error.as_ref().map(|e| at(e, "")), "on_error"),
            (raw.no_retry_on.first().map(|c| at(c, "")), "no_retry_on"),
            (raw.input.values().next().map(|i| at(i, "")), "input"),
        ];
        for (place, key) in idle {
            if let Some(mut place) = place {
                place.message =
                    format!("`{key}` means nothing here: only calls, tasks and workflows have attempts");
                self.findings.warn(place);
            }
        }
    }
}

fn place_of(raw: &RawCall) -> Option<&Text> {
    raw.call.as_ref().or(raw.task.as_ref()).or(raw.workflow.as_ref())
}

fn named_on_error(name: &str) -> Option<OnError> {
    match name {
        "incident" => Some(OnError::Incident),
        "fail" => Some(OnError::Fail),
        "compensate" => Some(OnError::Compensate),
        "continue" => Some(OnError::Continue),
        _ => None,
    }
}

fn each(raw: &RawStep, scope: &Scope<'_>) -> Result<Option<Each>> {
    let Some(list) = &raw.for_each else {
        return raw.concurrency.as_ref().map_or(Ok(None), |n| {
            Err(at(n, "`concurrency` belongs to `for_each`: how many items run at a time"))
        });
    };
    if raw.call.is_none() && raw.task.is_none() && raw.workflow.is_none() {
        return Err(at(list, "`for_each` belongs to `call`, `task` or `workflow`"));
    }
    let concurrency = raw.concurrency.as_ref().map_or(DEFAULT_CONCURRENCY, |n| n.value);
    if let Some(place) = raw.concurrency.as_ref()
        && !(1..=MAX_CONCURRENCY).contains(&concurrency)
    {
        return Err(at(place, format!("concurrency = {concurrency}: must be from 1 to {MAX_CONCURRENCY}")));
    }
    let list = typed(list, scope, &Type::List(Box::new(Type::Unknown)))?;
    Ok(Some(Each { list, concurrency }))
}

/// The scope of an item.
fn with_item<'a>(scope: &Scope<'a>, list: &Text) -> Scope<'a> {
    let of = match typed(list, scope, &Type::Unknown).and_then(|e| e.infer(scope).map_err(|e| at(list, e))) {
        Ok(Type::List(of)) => *of,
        _ => Type::Unknown,
    };
    scope.and("item", of).and("index", Type::Int)
}

fn timeout(raw: &RawStep) -> Result<Duration> {
    let (usual, longest) = match (&raw.task, &raw.workflow) {
        (Some(_), _) => (DEFAULT_TIMEOUT, LONGEST_TASK),
        (_, Some(_)) => (LONGEST_WAIT, LONGEST_WAIT),
        _ => (DEFAULT_TIMEOUT, LONGEST_TIMEOUT),
    };
    raw.timeout.as_ref().map_or(Ok(usual), |text| duration(text, longest))
}

fn deadline(raw: &RawStep) -> Result<Option<Duration>> {
    raw.deadline.as_ref().map(|text| duration(text, LONGEST_WAIT)).transpose()
}

fn output_schema(raw: &RawStep) -> Result<Option<crate::schema::Schema>> {
    let Some(source) = &raw.output_schema else { return Ok(None) };
    if raw.task.is_none() && raw.workflow.is_none() {
        let message =
            "`output_schema` belongs to `task` and `workflow`; the answer of a `call` has its contract";
        return Err(at(source, message));
    }
    schema(source).map(Some)
}
