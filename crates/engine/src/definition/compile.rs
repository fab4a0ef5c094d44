//! From what is written to what can run.

mod graph;
mod settings;
mod steps;

use super::raw::{Raw, RawOutput, RawVerdict, at, parse};
use super::{Catalog, Definition, DefinitionError, Output, Step, VerdictRule};
use crate::expr::{Expr, Scope, Type};
use crate::fact::Outcome;
use crate::schema::Schema;
use probity_types::CaseKind;
use serde_saphyr::Spanned;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use steps::Compiler;

type Result<T> = std::result::Result<T, DefinitionError>;

pub(super) fn compile(source: &str, catalog: &dyn Catalog) -> Result<Definition> {
    let raw = parse(source)?;
    graph::check_name(&raw.name)?;
    check_sort(&raw)?;
    let index = graph::index_steps(&raw)?;
    let order = graph::order(&raw, &index)?;
    let upstream = graph::upstream(&raw, &index, &order);
    let input_schema = raw.input_schema.as_ref().map(schema).transpose()?;
    let compiler = Compiler::new(&raw, catalog, index, input_schema.as_ref())?;
    let mut steps = Vec::with_capacity(raw.steps.len());
    for (at, step) in raw.steps.iter().enumerate() {
        steps.push(compiler.step(at, step, &upstream[at])?);
    }
    check_states(&raw, &steps)?;
    let verdict =
        raw.verdict.as_ref().map_or(Ok(Vec::new()), |rules| verdict(&compiler, rules, &raw.name))?;
    let output = raw.output.as_ref().map(|o| output(&compiler, o)).transpose()?;
    let findings_from = compiler.findings_from(raw.findings_from.as_ref())?;
    let kind = raw.kind.as_ref().map(|k| k.value.parse().map_err(|e: String| at(k, e))).transpose()?;
    check_reports(&raw, kind)?;
    let last = last_steps(&steps);
    Ok(Definition {
        name: raw.name.value,
        version: hex::encode(Sha256::digest(source.as_bytes())),
        source: source.to_owned(),
        kind,
        index: compiler.into_index(),
        steps,
        order,
        findings_from,
        verdict,
        input_schema,
        output,
        last,
    })
}

/// What a case definition has, a plain one does not, and the other way round.
fn check_sort(raw: &Raw) -> Result<()> {
    if raw.verdict.is_some() {
        let plain = raw.input_schema.as_ref().map(|s| at(s, "`input_schema`"));
        let plain = plain.or_else(|| raw.output.as_ref().map(|o| at(o, "`output`")));
        return plain.map_or(Ok(()), |error| {
            let what = &error.message;
            let message = format!(
                "a definition with `verdict` is one for cases and has no {what}: a case has documents and ends with a verdict; remove one of the two"
            );
            Err(DefinitionError { message, ..error })
        });
    }
    let case = raw.kind.as_ref().map(|k| at(k, "`kind`"));
    let case = case.or_else(|| raw.findings_from.as_ref().map(|f| at(f, "`findings_from`")));
    let case = case.or_else(|| raw.steps.iter().find_map(|s| s.state.as_ref()).map(|s| at(s, "`state`")));
    case.map_or(Ok(()), |error| {
        let what = &error.message;
        let message = format!(
            "{what} is for cases; add `verdict`, which makes this a definition for cases, or remove it"
        );
        Err(DefinitionError { message, ..error })
    })
}

/// A person who reports something is never told by a machine that it was spam.
fn check_reports(raw: &Raw, kind: Option<CaseKind>) -> Result<()> {
    let spam = raw.verdict.iter().flatten().find(|rule| rule.outcome.value == Outcome::Spam.as_str());
    match spam.filter(|_| kind == Some(CaseKind::Report)) {
        Some(rule) => Err(at(
            &rule.outcome,
            "a report is never closed as spam; let a person decide with `wait: approval`",
        )),
        None => Ok(()),
    }
}

/// The steps no other step needs, in the order they are written.
fn last_steps(steps: &[Step]) -> Vec<usize> {
    let needed: BTreeSet<usize> = steps.iter().flat_map(|s| s.needs.iter().copied()).collect();
    (0..steps.len()).filter(|index| !needed.contains(index)).collect()
}

fn verdict(
    compiler: &Compiler<'_>,
    rules: &[RawVerdict],
    name: &Spanned<String>,
) -> Result<Vec<VerdictRule>> {
    let types = compiler.all_types();
    let scope = compiler.scope(&types);
    let texts = Type::List(Box::new(Type::Text));
    let rules: Vec<VerdictRule> = rules
        .iter()
        .map(|raw| {
            Ok(VerdictRule {
                when: raw.when.as_ref().map(|w| typed(w, &scope, &Type::Bool)).transpose()?,
                outcome: settings::outcome(&raw.outcome)?,
                reasons: typed(&raw.reasons, &scope, &texts)?,
            })
        })
        .collect::<Result<_>>()?;
    if rules.last().is_none_or(|last| last.when.is_some()) {
        return Err(at(
            name,
            "the last rule of `verdict` must have no `when`, so that every case ends somehow",
        ));
    }
    Ok(rules)
}

fn output(compiler: &Compiler<'_>, raw: &Spanned<RawOutput>) -> Result<Output> {
    let types = compiler.all_types();
    let scope = compiler.scope(&types);
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

fn schema(raw: &Spanned<serde_json::Value>) -> Result<Schema> {
    Schema::compile(&raw.value).map_err(|e| at(raw, e))
}

/// Compiles an expression and checks it against what is wanted there.
fn typed(source: &Spanned<String>, scope: &Scope<'_>, wanted: &Type) -> Result<Expr> {
    let expr = Expr::compile(&source.value).map_err(|e| at(source, e))?;
    expr.check(scope, wanted).map_err(|e| at(source, e))?;
    Ok(expr)
}

/// Along each dependency the states never go backwards.
fn check_states(raw: &Raw, steps: &[Step]) -> Result<()> {
    for (step, written) in steps.iter().zip(&raw.steps) {
        for before in &step.needs {
            if let (Some(now), Some(earlier), Some(place)) =
                (step.state, steps[*before].state, &written.state)
                && now < earlier
            {
                let message = format!(
                    "{now} comes before {earlier}, the state of {:?}, which this step needs",
                    steps[*before].id
                );
                return Err(at(place, message));
            }
        }
    }
    Ok(())
}
