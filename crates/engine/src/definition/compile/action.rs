//! What a step does: calls, tasks, workflows, approvals, signals and timers.

use super::graph::{check_name, is_name};
use super::settings::{LONGEST_WAIT, duration, people, reminders};
use super::{Result, schema, typed};
use crate::definition::raw::{Fields, RawApproval, RawCall, RawStep, RawWait, Text, at};
use crate::definition::{
    Action, ApprovalSpec, CallSpec, Catalog, Escalation, MethodSpec, SignalSpec, Target,
};
use crate::expr::{Scope, Type};

const DEFAULT_QUEUE: &str = "default";
const LONGEST_TASK_TYPE: usize = 128;

pub(super) fn action(raw: &RawStep, spec: Option<&MethodSpec>, scope: &Scope<'_>) -> Result<Action> {
    if raw.task.is_none() {
        no_queue(raw.queue.as_ref())?;
    }
    match (&raw.call, &raw.task, &raw.workflow, &raw.fail, &raw.wait) {
        (Some(method), None, None, None, None) => match spec {
            Some(spec) => call(method, &raw.input, spec, scope).map(Action::Call),
            // That the method is unknown was told where methods are looked up.
            None => {
                Ok(Action::Call(CallSpec { target: Target::Method(method.value.clone()), input: Vec::new() }))
            }
        },
        (None, Some(kind), None, None, None) => {
            task(kind, raw.queue.as_ref(), &raw.input, scope).map(Action::Call)
        }
        (None, None, Some(name), None, None) => workflow(name, &raw.input, scope).map(Action::Call),
        (None, None, None, Some(reason), None) => Ok(Action::Fail(typed(reason, scope, &Type::Text)?)),
        (None, None, None, None, Some(wait)) => waits(raw, wait, scope),
        _ => Err(at(
            &raw.id,
            format!(
                "step {:?} needs exactly one of `call`, `task`, `workflow`, `fail` and `wait`",
                raw.id.value
            ),
        )),
    }
}

pub(super) fn compensate(
    raw: &RawCall,
    place: &Text,
    scope: &Scope<'_>,
    catalog: &dyn Catalog,
) -> Result<CallSpec> {
    match (&raw.call, &raw.task, &raw.workflow) {
        (Some(name), None, None) => {
            no_queue(raw.queue.as_ref())?;
            call(name, &raw.input, &method(name, catalog)?, scope)
        }
        (None, Some(kind), None) => task(kind, raw.queue.as_ref(), &raw.input, scope),
        (None, None, Some(name)) => {
            no_queue(raw.queue.as_ref())?;
            workflow(name, &raw.input, scope)
        }
        _ => Err(at(place, "`compensate` needs exactly one of `call`, `task` and `workflow`")),
    }
}

pub(super) fn method(call: &Text, catalog: &dyn Catalog) -> Result<MethodSpec> {
    let callable = || catalog.callable().join(", ");
    let Some(spec) = catalog.method(&call.value) else {
        return Err(at(call, format!("there is no method {:?}; steps may call {}", call.value, callable())));
    };
    if !spec.workflow_callable || spec.streaming {
        return Err(at(call, format!("{:?} may not be a step; steps may call {}", call.value, callable())));
    }
    Ok(spec)
}

fn no_queue(queue: Option<&Text>) -> Result<()> {
    let message = "`queue` belongs to `task`; a `call` goes to its service, a `workflow` to the orchestrator";
    queue.map_or(Ok(()), |queue| Err(at(queue, message)))
}

fn call(method: &Text, input: &Fields, spec: &MethodSpec, scope: &Scope<'_>) -> Result<CallSpec> {
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

fn task(kind: &Text, queue: Option<&Text>, input: &Fields, scope: &Scope<'_>) -> Result<CallSpec> {
    if !is_task_type(&kind.value) {
        let message = format!(
            "{:?} is no type of task: letters, digits and . _ -, at most {LONGEST_TASK_TYPE}, a letter first",
            kind.value
        );
        return Err(at(kind, message));
    }
    queue.map_or(Ok(()), |queue| check_name(queue, "name of a queue"))?;
    let queue = queue.map_or(DEFAULT_QUEUE, |q| q.value.as_str()).to_owned();
    let target = Target::Task { kind: kind.value.clone(), queue };
    Ok(CallSpec { target, input: fields(input, scope)? })
}

fn is_task_type(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=LONGEST_TASK_TYPE).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphabetic()
        && text.bytes().all(plain)
}

fn workflow(name: &Text, input: &Fields, scope: &Scope<'_>) -> Result<CallSpec> {
    if !is_name(&name.value) {
        let message = format!("{:?} is no name of a definition; write it without definitions/", name.value);
        return Err(at(name, message));
    }
    Ok(CallSpec { target: Target::Workflow(name.value.clone()), input: fields(input, scope)? })
}

fn fields(input: &Fields, scope: &Scope<'_>) -> Result<Vec<(String, crate::expr::Expr)>> {
    input.iter().map(|(name, value)| Ok((name.clone(), typed(value, scope, &Type::Unknown)?))).collect()
}

fn waits(raw: &RawStep, wait: &RawWait, scope: &Scope<'_>) -> Result<Action> {
    if wait.signal.is_none() {
        let stray = wait.timeout.as_ref().map(|t| at(t, "`timeout` in `wait` belongs to `signal`"));
        let stray = stray.or_else(|| wait.schema.as_ref().map(|s| at(s, "`schema` belongs to `signal`")));
        stray.map_or(Ok(()), Err)?;
    }
    match (&wait.approval, &wait.timer, &wait.until, &wait.signal) {
        (Some(raw), None, None, None) => approval(raw, scope).map(|spec| Action::Approval(Box::new(spec))),
        (None, Some(timer), None, None) => Ok(Action::Timer(duration(timer, LONGEST_WAIT)?)),
        (None, None, Some(until), None) => Ok(Action::Until(typed(until, scope, &Type::Text)?)),
        (None, None, None, Some(name)) => {
            check_name(name, "name of a signal")?;
            Ok(Action::Signal(Box::new(SignalSpec {
                name: name.value.clone(),
                timeout: wait.timeout.as_ref().map(|t| duration(t, LONGEST_WAIT)).transpose()?,
                schema: wait.schema.as_ref().map(schema).transpose()?,
            })))
        }
        _ => Err(at(&raw.id, "`wait` needs exactly one of `approval`, `timer`, `until` and `signal`")),
    }
}

fn approval(raw: &RawApproval, scope: &Scope<'_>) -> Result<ApprovalSpec> {
    let texts = Type::List(Box::new(Type::Text));
    let due = raw.due.as_ref().map(|due| duration(due, LONGEST_WAIT)).transpose()?;
    let escalate = raw.escalate.as_ref().map(|raw| {
        let after = duration(&raw.after, LONGEST_WAIT)?;
        let to = people(&raw.to)?;
        if to.is_empty() {
            return Err(at(&raw.after, "`escalate` needs somebody in `to`"));
        }
        Ok((Escalation { to, after }, &raw.after))
    });
    let escalate = escalate.transpose()?;
    if let (Some((_, place)), None) = (&escalate, &raw.assignees) {
        return Err(at(place, "everybody may decide this anyway; name `assignees`, or drop `escalate`"));
    }
    Ok(ApprovalSpec {
        reason: typed(&raw.reason, scope, &Type::Text)?,
        required: typed(&raw.required, scope, &Type::Int)?,
        assignees: raw.assignees.as_ref().map(|list| typed(list, scope, &texts)).transpose()?,
        due,
        remind: reminders(&raw.remind, due)?,
        escalate: escalate.map(|(escalate, _)| escalate),
        four_eyes: raw.four_eyes,
    })
}
