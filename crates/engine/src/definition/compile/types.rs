//! What expressions see: the types of variables and of what steps give.

use super::{action, schema};
use crate::definition::finding::Findings;
use crate::definition::raw::{Raw, RawOnError, RawStep, RawWait};
use crate::definition::{Catalog, MethodSpec};
use crate::expr::{Scope, Type};
use crate::schema::Schema;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};

pub(super) struct Types {
    specs: Vec<Option<MethodSpec>>,
    /// What one call of each step gives.
    one: Vec<Type>,
    /// What `steps.<id>` is.
    whole: Vec<Type>,
    variables: Vec<(&'static str, Type)>,
    /// The variables before there is a name.
    opening: Vec<(&'static str, Type)>,
    no_steps: HashMap<String, Type>,
}

impl Types {
    pub(super) fn new(raw: &Raw, catalog: &dyn Catalog, input: Option<&Schema>, findings: &Findings) -> Self {
        let spec =
            |step: &RawStep| step.call.as_ref().and_then(|call| findings.keep(action::method(call, catalog)));
        let specs: Vec<Option<MethodSpec>> = raw.steps.iter().map(spec).collect();
        let one: Vec<Type> =
            raw.steps.iter().zip(&specs).map(|(step, spec)| output_type(step, spec.as_ref())).collect();
        let whole = raw.steps.iter().zip(&one).map(|(step, one)| whole(step, one)).collect();
        let input = || input.map_or(Type::Unknown, Schema::type_of);
        let seen = |named: bool| {
            if raw.verdict.is_some() {
                vec![("case", case_type(named))]
            } else {
                vec![("input", input()), ("execution", execution_type(named))]
            }
        };
        let (variables, opening, no_steps) = (seen(true), seen(false), HashMap::new());
        Self { specs, one, whole, variables, opening, no_steps }
    }

    /// What can be seen before the first step, and before there is a name.
    pub(super) fn opening_scope(&self) -> Scope<'_> {
        Scope::new(&self.no_steps, &self.opening)
    }

    pub(super) fn spec(&self, step: usize) -> Option<&MethodSpec> {
        self.specs[step].as_ref()
    }

    pub(super) fn of_one(&self, step: usize) -> &Type {
        &self.one[step]
    }

    pub(super) fn scope<'s>(&'s self, steps: &'s HashMap<String, Type>) -> Scope<'s> {
        Scope::new(steps, &self.variables)
    }

    /// The types of `steps.<id>` for the given steps.
    pub(super) fn of(&self, index: &HashMap<String, usize>, of: &BTreeSet<usize>) -> HashMap<String, Type> {
        let known = index.iter().filter(|(_, position)| of.contains(position));
        known.map(|(id, position)| (id.clone(), self.whole[*position].clone())).collect()
    }

    pub(super) fn all(&self, index: &HashMap<String, usize>) -> HashMap<String, Type> {
        self.of(index, &(0..self.whole.len()).collect())
    }

    /// What the step gives when it is skipped.
    pub(super) fn default_output(&self, raw: &RawStep, step: usize) -> serde_json::Value {
        match (&self.specs[step], &raw.wait) {
            (Some(spec), _) => spec.default_output.clone(),
            (None, Some(RawWait { approval: Some(_), .. })) => {
                json!({"disposition": "", "decided_by": [], "note": ""})
            }
            (None, Some(RawWait { signal: Some(_), .. })) => crate::execution::not_received(),
            _ => json!({}),
        }
    }
}

/// What `case` looks like to an expression.
fn case_type(named: bool) -> Type {
    let fields = [
        ("name", Type::Text),
        ("kind", Type::Text),
        ("subject", Type::Text),
        ("documents", Type::List(Box::new(Type::Text))),
        ("priority", Type::Int),
        ("owner", Type::Text),
    ];
    Type::record(if named { &fields } else { &fields[1..] })
}

/// What `execution` looks like to an expression.
fn execution_type(named: bool) -> Type {
    let fields = [("name", Type::Text), ("owner", Type::Text), ("priority", Type::Int)];
    Type::record(if named { &fields } else { &fields[1..] })
}

/// What the output of an approval looks like.
fn approval_type() -> Type {
    Type::record(&[
        ("disposition", Type::Text),
        ("decided_by", Type::List(Box::new(Type::Text))),
        ("note", Type::Text),
    ])
}

/// What one call of a step gives. Schemas that are none are told elsewhere.
fn output_type(raw: &RawStep, spec: Option<&MethodSpec>) -> Type {
    let of_schema = |source: Option<&serde_saphyr::Spanned<serde_json::Value>>| {
        source.and_then(|s| schema(s).ok()).map_or(Type::Unknown, |s| s.type_of())
    };
    if let Some(spec) = spec {
        return Type::Message(spec.output.clone());
    }
    if raw.task.is_some() || raw.workflow.is_some() {
        return of_schema(raw.output_schema.as_ref());
    }
    match &raw.wait {
        _ if raw.call.is_some() => Type::Unknown,
        Some(RawWait { approval: Some(_), .. }) => approval_type(),
        Some(RawWait { signal: Some(_), schema, .. }) => Type::record(&[
            ("received", Type::Bool),
            ("payload", of_schema(schema.as_ref())),
            ("actor", Type::Text),
        ]),
        _ => Type::record(&[]),
    }
}

/// What `steps.<id>` is: a list when it runs for each of one, and with `error`
/// when the rest goes on although it failed.
fn whole(raw: &RawStep, one: &Type) -> Type {
    let list = |one: Type| if raw.for_each.is_some() { Type::List(Box::new(one)) } else { one };
    match raw.on_error.as_ref().map(|raw| &raw.value) {
        // Each item goes on by itself, but it is the whole step that is routed.
        Some(RawOnError::Named(name)) if name == "continue" => list(Type::Fallible(Box::new(one.clone()))),
        Some(RawOnError::Route(_)) => Type::Fallible(Box::new(list(one.clone()))),
        _ => list(one.clone()),
    }
}
