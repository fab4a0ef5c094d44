//! From what is written to what can run.

mod action;
mod graph;
mod limit;
mod rules;
mod settings;
mod steps;
mod types;
mod unused;

use super::finding::{Finding, Findings};
use super::raw::{Raw, Text, at, parse};
use super::{Catalog, Definition, DefinitionError, Step, keys};
use crate::expr::{Expr, Scope, Type};
use crate::fact::Outcome;
use crate::schema::Schema;
use probity_types::CaseKind;
use serde_saphyr::Spanned;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use steps::Compiler;
use types::Types;

type Result<T> = std::result::Result<T, DefinitionError>;

/// The definition, unless something is wrong, and all that is wrong or doubtful.
pub(super) fn compile(source: &str, catalog: &dyn Catalog) -> (Option<Definition>, Vec<Finding>) {
    let findings = Findings::default();
    keys::check(source, &findings);
    let definition = findings.keep(parse(source)).and_then(|raw| build(source, &raw, catalog, &findings));
    let definition = definition.filter(|_| !findings.has_errors());
    (definition, findings.into_sorted())
}

fn build(source: &str, raw: &Raw, catalog: &dyn Catalog, findings: &Findings) -> Option<Definition> {
    findings.keep(graph::check_name(&raw.name, "name"));
    check_sort(raw, findings);
    let index = graph::index_steps(raw, findings);
    let order = graph::order(raw, &index, findings)?;
    let upstream = graph::upstream(raw, &index, &order);
    let input_schema = findings.keep(raw.input_schema.as_ref().map(schema).transpose());
    let types = Types::new(raw, catalog, input_schema.as_ref().and_then(Option::as_ref), findings);
    let compiler = Compiler { raw, catalog, types, index: &index, upstream: &upstream, findings };
    let steps: Vec<Option<Step>> = (0..raw.steps.len()).map(|position| compiler.step(position)).collect();
    let verdict = raw.verdict.as_ref().map_or_else(Vec::new, |rules| compiler.verdict(rules));
    let output = findings.keep(raw.output.as_ref().map(|o| compiler.output(o)).transpose());
    let states = compiler.states();
    let limit = findings.keep(limit::whole(raw, &compiler.types.opening_scope()));
    let findings_from = findings.keep(compiler.findings_from(raw.findings_from.as_ref()));
    let kind = raw.kind.as_ref().map(|k| k.value.parse().map_err(|e: String| at(k, e))).transpose();
    let kind = findings.keep(kind);
    check_reports(raw, kind.flatten(), findings);
    let steps: Vec<Step> = steps.into_iter().collect::<Option<_>>()?;
    compiler.check_states(&steps);
    let last = last_steps(&steps);
    drop(compiler);
    let definition = Definition {
        name: raw.name.value.clone(),
        version: hex::encode(Sha256::digest(source.as_bytes())),
        source: source.to_owned(),
        kind: kind?,
        index,
        steps,
        order,
        findings_from: findings_from?,
        verdict,
        limit: limit?,
        states,
        input_schema: input_schema?,
        output: output?,
        last,
    };
    unused::warn(&definition, raw, findings);
    Some(definition)
}

/// What a case definition has, a plain one does not, and the other way round.
fn check_sort(raw: &Raw, findings: &Findings) {
    let (of_others, advice): (Vec<DefinitionError>, _) = if raw.verdict.is_some() {
        let schema = raw.input_schema.as_ref().map(|s| at(s, "input_schema"));
        let output = raw.output.as_ref().map(|o| at(o, "output"));
        let advice = "is not for cases, which have documents and end with a verdict; remove it or `verdict`";
        (schema.into_iter().chain(output).collect(), advice)
    } else {
        let kind = raw.kind.as_ref().map(|k| at(k, "kind"));
        let from = raw.findings_from.as_ref().map(|f| at(f, "findings_from"));
        let states = raw.states.values().next().map(|s| at(s, "states"));
        let state = raw.steps.iter().find_map(|s| s.state.as_ref()).map(|s| at(s, "state"));
        let advice = "is for cases; add `verdict`, which makes this a definition for cases, or remove it";
        (kind.into_iter().chain(from).chain(states).chain(state).collect(), advice)
    };
    for DefinitionError { line, column, message } in of_others {
        findings.error(DefinitionError { line, column, message: format!("`{message}` {advice}") });
    }
}

/// A person who reports something is never told by a machine that it was spam.
fn check_reports(raw: &Raw, kind: Option<CaseKind>, findings: &Findings) {
    let spam = raw.verdict.iter().flatten().find(|rule| rule.outcome.value == Outcome::Spam.as_str());
    if let Some(rule) = spam.filter(|_| kind == Some(CaseKind::Report)) {
        let message = "a report is never closed as spam; let a person decide with `wait: approval`";
        findings.error(at(&rule.outcome, message));
    }
}

/// The steps no other step needs, in the order they are written.
fn last_steps(steps: &[Step]) -> Vec<usize> {
    let needed: BTreeSet<usize> = steps.iter().flat_map(|s| s.needs.iter().copied()).collect();
    (0..steps.len()).filter(|index| !needed.contains(index)).collect()
}

fn schema(raw: &Spanned<serde_json::Value>) -> Result<Schema> {
    Schema::compile(&raw.value).map_err(|e| at(raw, e))
}

/// Compiles an expression and checks it against what is wanted there.
fn typed(source: &Text, scope: &Scope<'_>, wanted: &Type) -> Result<Expr> {
    let expr = Expr::compile(&source.value).map_err(|e| at(source, e))?;
    expr.check(scope, wanted).map_err(|e| at(source, e))?;
    Ok(expr)
}
