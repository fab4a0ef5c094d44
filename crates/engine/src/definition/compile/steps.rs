//! Steps: what each does, and the types of what it gives.

use super::graph::is_name;
use super::settings::{LONGEST_TASK, LONGEST_TIMEOUT, duration, on_error, retry, state};
use super::{Result, schema, typed};
use crate::definition::raw::{Raw, RawCall, RawStep, RawWait, at};
use crate::definition::{Action, CallSpec, Catalog, MethodSpec, OnError, Step, Target};
use crate::expr::{Scope, Type};
use crate::schema::Schema;
use probity_types::retry::RetryPolicy;
use serde_json::json;
use serde_saphyr::Spanned;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

type Input = BTreeMap<String, Spanned<String>>;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_QUEUE: &str = "default";
const LONGEST_TIMER: Duration = Duration::from_secs(400 * 86_400);

pub(super) struct Compiler<'a> {
    catalog: &'a dyn Catalog,
    specs: Vec<Option<MethodSpec>>,
    /// What `steps.<id>` gives, by position.
    types: Vec<Type>,
    variables: Vec<(&'static str, Type)>,
    index: HashMap<String, usize>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        raw: &Raw,
        catalog: &'a dyn Catalog,
        index: HashMap<String, usize>,
        input: Option<&Schema>,
    ) -> Result<Self> {
        let specs: Vec<Option<MethodSpec>> = raw
            .steps
            .iter()
            .map(|step| step.call.as_ref().map(|call| method(call, catalog)).transpose())
            .collect::<Result<_>>()?;
        let types = raw.steps.iter().zip(&specs).map(|(step, spec)| output_type(step, spec.as_ref()));
        let types = types.collect::<Result<_>>()?;
        let variables = if raw.verdict.is_some() {
            vec![("case", case_type())]
        } else {
            vec![("input", input.map_or(Type::Unknown, Schema::type_of)), ("execution", execution_type())]
        };
        Ok(Self { catalog, specs, types, variables, index })
    }

    pub(super) fn scope<'s>(&'s self, steps: &'s HashMap<String, Type>) -> Scope<'s> {
        Scope::new(steps, &self.variables)
    }

    pub(super) fn into_index(self) -> HashMap<String, usize> {
        self.index
    }

    pub(super) fn step(&self, position: usize, raw: &RawStep, upstream: &BTreeSet<usize>) -> Result<Step> {
        let types = self.types(upstream);
        let scope = self.scope(&types);
        let own = BTreeSet::from_iter(upstream.iter().copied().chain([position]));
        let own_types = self.types(&own);
        let own_scope = self.scope(&own_types);
        let spec = self.specs[position].as_ref();
        let longest = if raw.task.is_some() { LONGEST_TASK } else { LONGEST_TIMEOUT };
        let output_schema = raw.output_schema.as_ref();
        if let Some(place) = output_schema.filter(|_| raw.task.is_none()) {
            return Err(at(
                place,
                "`output_schema` belongs to `task`; the answer of a `call` has its contract",
            ));
        }
        Ok(Step {
            id: raw.id.value.clone(),
            state: raw.state.as_ref().map(state).transpose()?,
            needs: raw.needs.iter().filter_map(|n| self.index.get(&n.value).copied()).collect(),
            when: raw.when.as_ref().map(|w| typed(w, &scope, &Type::Bool)).transpose()?,
            action: action(raw, spec, &scope)?,
            retry: raw.retry.as_ref().map_or(Ok(RetryPolicy::STANDARD), retry)?,
            timeout: raw.timeout.as_ref().map_or(Ok(DEFAULT_TIMEOUT), |t| duration(t, longest))?,
            on_error: raw.on_error.as_ref().map_or(Ok(OnError::Incident), on_error)?,
            compensate: raw.compensate.as_ref().map(|c| self.compensate(c, raw, &own_scope)).transpose()?,
            output_schema: output_schema.map(schema).transpose()?,
            default_output: default_output(raw, spec).into(),
        })
    }

    fn compensate(&self, raw: &RawCall, step: &RawStep, scope: &Scope<'_>) -> Result<CallSpec> {
        let place = raw.call.as_ref().or(raw.task.as_ref()).unwrap_or(&step.id);
        if step.call.is_none() && step.task.is_none() {
            return Err(at(place, "only a step with `call` or `task` has something to compensate"));
        }
        match (&raw.call, &raw.task) {
            (Some(name), None) => {
                no_queue(raw.queue.as_ref())?;
                call(name, &raw.input, &method(name, self.catalog)?, scope)
            }
            (None, Some(kind)) => task(kind, raw.queue.as_ref(), &raw.input, scope),
            _ => Err(at(place, "`compensate` needs exactly one of `call` and `task`")),
        }
    }

    /// The types of `steps.<id>` for the given steps.
    fn types(&self, of: &BTreeSet<usize>) -> HashMap<String, Type> {
        let known = self.index.iter().filter(|(_, position)| of.contains(position));
        known.map(|(id, position)| (id.clone(), self.types[*position].clone())).collect()
    }

    pub(super) fn all_types(&self) -> HashMap<String, Type> {
        self.types(&(0..self.types.len()).collect())
    }

    pub(super) fn findings_from(&self, step: Option<&Spanned<String>>) -> Result<Option<usize>> {
        let Some(step) = step else { return Ok(None) };
        let position = self.index.get(&step.value).copied();
        let counts = position
            .and_then(|p| self.specs[p].as_ref())
            .and_then(|s| s.output.get_field_by_name("finding_count"));
        match (position, counts) {
            (Some(position), Some(_)) => Ok(Some(position)),
            (None, _) => Err(at(step, format!("there is no step {:?}", step.value))),
            (Some(_), None) => {
                Err(at(step, format!("the answer of {:?} has no field finding_count", step.value)))
            }
        }
    }
}

fn method(call: &Spanned<String>, catalog: &dyn Catalog) -> Result<MethodSpec> {
    let callable = || catalog.callable().join(", ");
    let Some(spec) = catalog.method(&call.value) else {
        return Err(at(call, format!("there is no method {:?}; steps may call {}", call.value, callable())));
    };
    if !spec.workflow_callable || spec.streaming {
        return Err(at(call, format!("{:?} may not be a step; steps may call {}", call.value, callable())));
    }
    Ok(spec)
}

/// What `case` looks like to an expression.
fn case_type() -> Type {
    Type::record(&[
        ("name", Type::Text),
        ("kind", Type::Text),
        ("subject", Type::Text),
        ("documents", Type::List(Box::new(Type::Text))),
        ("priority", Type::Int),
        ("owner", Type::Text),
    ])
}

/// What `execution` looks like to an expression.
fn execution_type() -> Type {
    Type::record(&[("name", Type::Text), ("owner", Type::Text), ("priority", Type::Int)])
}

/// What the output of an approval looks like.
fn approval_type() -> Type {
    Type::record(&[
        ("disposition", Type::Text),
        ("decided_by", Type::List(Box::new(Type::Text))),
        ("note", Type::Text),
    ])
}

fn output_type(raw: &RawStep, spec: Option<&MethodSpec>) -> Result<Type> {
    if let Some(spec) = spec {
        return Ok(Type::Message(spec.output.clone()));
    }
    if raw.task.is_some() {
        let schema = raw.output_schema.as_ref().map(schema).transpose()?;
        return Ok(schema.map_or(Type::Unknown, |s| s.type_of()));
    }
    let asks = raw.wait.as_ref().is_some_and(|w| w.approval.is_some());
    Ok(if asks { approval_type() } else { Type::record(&[]) })
}

fn default_output(raw: &RawStep, spec: Option<&MethodSpec>) -> serde_json::Value {
    match (spec, &raw.wait) {
        (Some(spec), _) => spec.default_output.clone(),
        (None, Some(RawWait { approval: Some(_), .. })) => {
            json!({"disposition": "", "decided_by": [], "note": ""})
        }
        _ => json!({}),
    }
}

fn action(raw: &RawStep, spec: Option<&MethodSpec>, scope: &Scope<'_>) -> Result<Action> {
    if raw.task.is_none() {
        no_queue(raw.queue.as_ref())?;
    }
    match (&raw.call, &raw.task, &raw.fail, &raw.wait, spec) {
        (Some(method), None, None, None, Some(spec)) => {
            Ok(Action::Call(call(method, &raw.input, spec, scope)?))
        }
        (None, Some(kind), None, None, _) => {
            Ok(Action::Call(task(kind, raw.queue.as_ref(), &raw.input, scope)?))
        }
        (None, None, Some(reason), None, _) => Ok(Action::Fail(typed(reason, scope, &Type::Text)?)),
        (None, None, None, Some(wait), _) => match (&wait.approval, &wait.timer) {
            (Some(approval), None) => Ok(Action::Approval {
                reason: typed(&approval.reason, scope, &Type::Text)?,
                required: typed(&approval.required, scope, &Type::Int)?,
            }),
            (None, Some(timer)) => Ok(Action::Timer(duration(timer, LONGEST_TIMER)?)),
            _ => Err(at(&raw.id, "`wait` needs exactly one of `approval` and `timer`")),
        },
        _ => Err(at(
            &raw.id,
            format!("step {:?} needs exactly one of `call`, `task`, `fail` and `wait`", raw.id.value),
        )),
    }
}

fn no_queue(queue: Option<&Spanned<String>>) -> Result<()> {
    queue.map_or(Ok(()), |queue| Err(at(queue, "`queue` belongs to `task`; a `call` goes to its service")))
}

fn call(method: &Spanned<String>, input: &Input, spec: &MethodSpec, scope: &Scope<'_>) -> Result<CallSpec> {
    let mut fields = Vec::with_capacity(input.len());
    for (field, value) in input {
        let Some(descriptor) = spec.input.get_field_by_name(field) else {
            let names: Vec<_> = spec.input.fields().map(|f| f.name().to_owned()).collect();
            let message =
                format!("{} has no field {:?}; it has {}", spec.input.name(), field, names.join(", "));
            return Err(at(value, message));
        };
        fields.push((field.clone(), typed(value, scope, &Type::of_field(&descriptor))?));
    }
    Ok(CallSpec { target: Target::Method(method.value.clone()), input: fields })
}

fn task(
    kind: &Spanned<String>,
    queue: Option<&Spanned<String>>,
    input: &Input,
    scope: &Scope<'_>,
) -> Result<CallSpec> {
    if !is_task_type(&kind.value) {
        let message = format!(
            "{:?} is no type of task: letters, digits and . _ -, at most 128, a letter first",
            kind.value
        );
        return Err(at(kind, message));
    }
    if let Some(queue) = queue.filter(|q| !is_name(&q.value)) {
        let message = format!(
            "{:?} is no name of a queue: lower-case letters, digits, - and _, at most 64, a letter first",
            queue.value
        );
        return Err(at(queue, message));
    }
    let queue = queue.map_or(DEFAULT_QUEUE, |q| q.value.as_str()).to_owned();
    let fields = input.iter().map(|(name, value)| Ok((name.clone(), typed(value, scope, &Type::Unknown)?)));
    let input = fields.collect::<Result<_>>()?;
    Ok(CallSpec { target: Target::Task { kind: kind.value.clone(), queue }, input })
}

fn is_task_type(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=128).contains(&text.len()) && text.as_bytes()[0].is_ascii_alphabetic() && text.bytes().all(plain)
}
