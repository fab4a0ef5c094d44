//! From what is written to what can run.

use super::raw::{Raw, RawCall, RawRetry, RawStep, RawVerdict, RawWait, at, parse};
use super::{
    Action, CallSpec, Catalog, Definition, DefinitionError, MAX_STEPS, MethodSpec, OnError, Step, VerdictRule,
};
use crate::case::CaseState;
use crate::expr::{Expr, Scope, Type};
use crate::fact::Outcome;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use probity_types::CaseKind;
use probity_types::retry::RetryPolicy;
use serde_json::json;
use serde_saphyr::Spanned;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

type Result<T> = std::result::Result<T, DefinitionError>;
type Input = BTreeMap<String, Spanned<String>>;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3_600);
const LONGEST_TIMER: Duration = Duration::from_secs(400 * 86_400);

pub(super) fn compile(source: &str, catalog: &dyn Catalog) -> Result<Definition> {
    let raw = parse(source)?;
    check_name(&raw.name)?;
    let index = index_steps(&raw)?;
    let order = order(&raw, &index)?;
    let upstream = upstream(&raw, &index, &order);
    let approvals = raw.steps.iter().map(|s| s.wait.as_ref().is_some_and(|w| w.approval.is_some())).collect();
    let compiler = Compiler { catalog, specs: specs(&raw, catalog)?, approvals, index };
    let mut steps = Vec::with_capacity(raw.steps.len());
    for (at, step) in raw.steps.iter().enumerate() {
        steps.push(compiler.step(at, step, &upstream[at])?);
    }
    check_states(&raw, &steps)?;
    let verdict = compiler.verdict(&raw.verdict, &raw.name)?;
    let findings_from = compiler.findings_from(raw.findings_from.as_ref())?;
    let kind = raw.kind.as_ref().map(|k| k.value.parse().map_err(|e: String| at(k, e))).transpose()?;
    check_reports(&raw, kind)?;
    Ok(Definition {
        name: raw.name.value,
        version: hex::encode(Sha256::digest(source.as_bytes())),
        source: source.to_owned(),
        kind,
        steps,
        order,
        findings_from,
        verdict,
    })
}

/// A person who reports something is never told by a machine that it was spam.
fn check_reports(raw: &Raw, kind: Option<CaseKind>) -> Result<()> {
    let spam = raw.verdict.iter().find(|rule| rule.outcome.value == Outcome::Spam.as_str());
    match spam.filter(|_| kind == Some(CaseKind::Report)) {
        Some(rule) => Err(at(
            &rule.outcome,
            "a report is never closed as spam; let a person decide with `wait: approval`",
        )),
        None => Ok(()),
    }
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=64).contains(&text.len()) && text.as_bytes()[0].is_ascii_lowercase() && text.bytes().all(plain)
}

fn check_name(name: &Spanned<String>) -> Result<()> {
    if is_name(&name.value) {
        return Ok(());
    }
    Err(at(
        name,
        format!(
            "{:?} is no name: lower-case letters, digits, - and _, at most 64, a letter first",
            name.value
        ),
    ))
}

/// Step identifiers appear in expressions, so they must be CEL identifiers.
fn index_steps(raw: &Raw) -> Result<HashMap<String, usize>> {
    if raw.steps.is_empty() || raw.steps.len() > MAX_STEPS {
        let message = format!("there are {} steps; 1 to {MAX_STEPS} are allowed", raw.steps.len());
        return Err(at(&raw.name, message));
    }
    let mut index = HashMap::new();
    for (position, step) in raw.steps.iter().enumerate() {
        let id = &step.id;
        if !is_name(&id.value) || id.value.contains('-') {
            let message = format!(
                "{:?} is no step id: lower-case letters, digits and _, at most 64, a letter first",
                id.value
            );
            return Err(at(id, message));
        }
        if index.insert(id.value.clone(), position).is_some() {
            return Err(at(id, format!("there are two steps {:?}; rename one", id.value)));
        }
    }
    Ok(index)
}

/// A topological order, or the cycle with its full path.
fn order(raw: &Raw, index: &HashMap<String, usize>) -> Result<Vec<usize>> {
    let mut graph = DiGraph::<(), ()>::with_capacity(raw.steps.len(), 0);
    let nodes: Vec<NodeIndex> = raw.steps.iter().map(|_| graph.add_node(())).collect();
    for (position, step) in raw.steps.iter().enumerate() {
        for need in &step.needs {
            let Some(before) = index.get(&need.value) else {
                let known: Vec<_> = raw.steps.iter().map(|s| s.id.value.as_str()).collect();
                return Err(at(
                    need,
                    format!("there is no step {:?}; there are {}", need.value, known.join(", ")),
                ));
            };
            graph.add_edge(nodes[*before], nodes[position], ());
        }
    }
    match toposort(&graph, None) {
        Ok(order) => Ok(order.into_iter().map(NodeIndex::index).collect()),
        Err(cycle) => {
            let path = cycle_path(raw, index, cycle.node_id().index());
            let step = &raw.steps[cycle.node_id().index()];
            Err(at(&step.id, format!("these steps wait for each other: {path}; remove one of the `needs`")))
        }
    }
}

/// The way from a step on a cycle back to itself, in the direction of `needs`.
fn cycle_path(raw: &Raw, index: &HashMap<String, usize>, start: usize) -> String {
    let mut trail = vec![start];
    let mut seen = BTreeSet::new();
    find_cycle(raw, index, start, start, &mut seen, &mut trail);
    trail.iter().map(|i| raw.steps[*i].id.value.as_str()).collect::<Vec<_>>().join(" -> ")
}

fn find_cycle(
    raw: &Raw,
    index: &HashMap<String, usize>,
    start: usize,
    from: usize,
    seen: &mut BTreeSet<usize>,
    trail: &mut Vec<usize>,
) -> bool {
    for before in raw.steps[from].needs.iter().filter_map(|n| index.get(&n.value).copied()) {
        trail.push(before);
        if before == start || (seen.insert(before) && find_cycle(raw, index, start, before, seen, trail)) {
            return true;
        }
        trail.pop();
    }
    false
}

/// For each step, every step that is certainly done before it.
fn upstream(raw: &Raw, index: &HashMap<String, usize>, order: &[usize]) -> Vec<BTreeSet<usize>> {
    let mut upstream = vec![BTreeSet::new(); raw.steps.len()];
    for position in order {
        let mut before = BTreeSet::new();
        for need in raw.steps[*position].needs.iter().filter_map(|n| index.get(&n.value).copied()) {
            before.insert(need);
            before.extend(upstream[need].iter().copied());
        }
        upstream[*position] = before;
    }
    upstream
}

/// The method of each step that calls one.
fn specs(raw: &Raw, catalog: &dyn Catalog) -> Result<Vec<Option<MethodSpec>>> {
    raw.steps.iter().map(|step| step.call.as_ref().map(|call| method(call, catalog)).transpose()).collect()
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

struct Compiler<'a> {
    catalog: &'a dyn Catalog,
    specs: Vec<Option<MethodSpec>>,
    /// Which steps ask people.
    approvals: Vec<bool>,
    index: HashMap<String, usize>,
}

impl Compiler<'_> {
    fn step(&self, position: usize, raw: &RawStep, upstream: &BTreeSet<usize>) -> Result<Step> {
        let types = self.types(upstream);
        let scope = Scope::new(&types, case_type());
        let own = BTreeSet::from_iter(upstream.iter().copied().chain([position]));
        let own_types = self.types(&own);
        let own_scope = Scope::new(&own_types, case_type());
        let spec = self.specs[position].as_ref();
        Ok(Step {
            id: raw.id.value.clone(),
            state: raw.state.as_ref().map(state).transpose()?,
            needs: raw.needs.iter().filter_map(|n| self.index.get(&n.value).copied()).collect(),
            when: raw.when.as_ref().map(|w| typed(w, &scope, &Type::Bool)).transpose()?,
            action: action(raw, spec, &scope)?,
            retry: raw.retry.as_ref().map_or(Ok(RetryPolicy::STANDARD), retry)?,
            timeout: raw.timeout.as_ref().map_or(Ok(DEFAULT_TIMEOUT), |t| duration(t, LONGEST_TIMEOUT))?,
            on_error: raw.on_error.as_ref().map_or(Ok(OnError::Incident), on_error)?,
            compensate: raw.compensate.as_ref().map(|c| self.compensate(c, raw, &own_scope)).transpose()?,
            default_output: default_output(raw, spec),
        })
    }

    fn compensate(&self, raw: &RawCall, step: &RawStep, scope: &Scope<'_>) -> Result<CallSpec> {
        if step.call.is_none() {
            return Err(at(&raw.call, "only a step with `call` has something to compensate"));
        }
        let spec = method(&raw.call, self.catalog)?;
        call(&raw.call, &raw.input, &spec, scope)
    }

    /// The types of `steps.<id>` for the given steps.
    fn types(&self, of: &BTreeSet<usize>) -> HashMap<String, Type> {
        self.index
            .iter()
            .filter(|(_, position)| of.contains(position))
            .map(|(id, position)| {
                let output = self.specs[*position].as_ref().map(|s| Type::Message(s.output.clone()));
                let waits =
                    || if self.approvals[*position] { approval_type() } else { Type::Record(Vec::new()) };
                (id.clone(), output.unwrap_or_else(waits))
            })
            .collect()
    }

    fn verdict(&self, rules: &[RawVerdict], name: &Spanned<String>) -> Result<Vec<VerdictRule>> {
        let all: BTreeSet<usize> = (0..self.specs.len()).collect();
        let types = self.types(&all);
        let scope = Scope::new(&types, case_type());
        let texts = Type::List(Box::new(Type::Text));
        let rules: Vec<VerdictRule> = rules
            .iter()
            .map(|raw| {
                Ok(VerdictRule {
                    when: raw.when.as_ref().map(|w| typed(w, &scope, &Type::Bool)).transpose()?,
                    outcome: outcome(&raw.outcome)?,
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

    fn findings_from(&self, step: Option<&Spanned<String>>) -> Result<Option<usize>> {
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

/// What `case` looks like to an expression.
fn case_type() -> Type {
    Type::Record(vec![
        ("name", Type::Text),
        ("kind", Type::Text),
        ("subject", Type::Text),
        ("documents", Type::List(Box::new(Type::Text))),
        ("priority", Type::Int),
        ("owner", Type::Text),
    ])
}

/// What the output of a step without a call looks like: an approval's decision.
fn approval_type() -> Type {
    Type::Record(vec![
        ("disposition", Type::Text),
        ("decided_by", Type::List(Box::new(Type::Text))),
        ("note", Type::Text),
    ])
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
    let one =
        || at(&raw.id, format!("step {:?} needs exactly one of `call`, `fail` and `wait`", raw.id.value));
    match (&raw.call, &raw.fail, &raw.wait, spec) {
        (Some(method), None, None, Some(spec)) => Ok(Action::Call(call(method, &raw.input, spec, scope)?)),
        (None, Some(reason), None, _) => Ok(Action::Fail(typed(reason, scope, &Type::Text)?)),
        (None, None, Some(wait), _) => match (&wait.approval, &wait.timer) {
            (Some(approval), None) => Ok(Action::Approval {
                reason: typed(&approval.reason, scope, &Type::Text)?,
                required: typed(&approval.required, scope, &Type::Int)?,
            }),
            (None, Some(timer)) => Ok(Action::Timer(duration(timer, LONGEST_TIMER)?)),
            _ => Err(at(&raw.id, "`wait` needs exactly one of `approval` and `timer`")),
        },
        _ => Err(one()),
    }
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
    Ok(CallSpec { method: method.value.clone(), input: fields })
}

/// Compiles an expression and checks it against what is wanted there.
fn typed(source: &Spanned<String>, scope: &Scope<'_>, wanted: &Type) -> Result<Expr> {
    let expr = Expr::compile(&source.value).map_err(|e| at(source, e))?;
    expr.check(scope, wanted).map_err(|e| at(source, e))?;
    Ok(expr)
}

fn state(text: &Spanned<String>) -> Result<CaseState> {
    let state: CaseState = text.value.parse().map_err(|e: String| at(text, e))?;
    if state.is_final() {
        return Err(at(
            text,
            format!("a step cannot enter {state}: the end of the definition does; use `fail` or `verdict`"),
        ));
    }
    Ok(state)
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

fn retry(raw: &Spanned<RawRetry>) -> Result<RetryPolicy> {
    match &raw.value {
        RawRetry::Preset(name) => RetryPolicy::preset(name).ok_or_else(|| {
            at(
                raw,
                format!(
                    "{name:?} is no retry preset; one of quick, standard, aggressive, rate_limited, never"
                ),
            )
        }),
        RawRetry::Own(own) => {
            let time = |text: &str| parse_duration(text, LONGEST_TIMEOUT).map_err(|e| at(raw, e));
            let policy =
                RetryPolicy { max_attempts: own.max_attempts, base: time(&own.base)?, cap: time(&own.cap)? };
            policy.validate().map_err(|e| at(raw, e))?;
            Ok(policy)
        }
    }
}

fn on_error(text: &Spanned<String>) -> Result<OnError> {
    match text.value.as_str() {
        "incident" => Ok(OnError::Incident),
        "fail" => Ok(OnError::Fail),
        "continue" => Ok(OnError::Continue),
        other => Err(at(text, format!("{other:?} is no on_error; one of incident, fail, continue"))),
    }
}

fn outcome(text: &Spanned<String>) -> Result<Outcome> {
    Outcome::named(&text.value).ok_or_else(|| {
        let known: Vec<_> = Outcome::ALL.iter().map(|o| o.as_str()).collect();
        at(text, format!("{:?} is no outcome; one of {}", text.value, known.join(", ")))
    })
}

fn duration(text: &Spanned<String>, longest: Duration) -> Result<Duration> {
    parse_duration(&text.value, longest).map_err(|e| at(text, e))
}

/// `250ms`, `30s`, `5m`, `2h`, `7d`.
fn parse_duration(text: &str, longest: Duration) -> std::result::Result<Duration, String> {
    let refused = || format!("{text:?} is no duration such as 250ms, 30s, 5m, 2h or 7d");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refused()),
    };
    let duration = Duration::from_millis(number.saturating_mul(ms));
    if duration.is_zero() || duration > longest {
        return Err(format!("{text:?} must be above 0 and at most {} s", longest.as_secs()));
    }
    Ok(duration)
}
