//! Limits of steps, and of whole definitions: how many at once, and how fast.

use super::settings::duration;
use super::{Result, typed};
use crate::definition::Limit;
use crate::definition::raw::{Raw, RawLimit, RawStep, at};
use crate::expr::{Scope, Type};
use serde_saphyr::Spanned;
use std::time::Duration;

const MAX_RUNNING: u32 = 10_000;
const MAX_COUNT: u32 = 1_000_000;
const LONGEST_PERIOD: Duration = Duration::from_hours(24);

pub(super) fn limit(raw: &RawStep, scope: &Scope<'_>) -> Result<Option<Limit>> {
    let Some(limit) = &raw.limit else { return Ok(None) };
    match (&raw.call, &raw.task) {
        (Some(_), _) => of_call(limit, scope).map(Some),
        (_, Some(_)) => of_task(limit, scope).map(Some),
        _ => Err(at(limit, "`limit` belongs to `call` and `task`")),
    }
}

/// The limit of all executions of a definition.
pub(super) fn whole(raw: &Raw, scope: &Scope<'_>) -> Result<Option<Limit>> {
    raw.limit.as_ref().map(|limit| of_call(limit, scope)).transpose()
}

fn of_call(raw: &Spanned<RawLimit>, scope: &Scope<'_>) -> Result<Limit> {
    let RawLimit { key, running, rate } = &raw.value;
    if running.is_none() && rate.is_none() {
        return Err(at(raw, "`limit` needs `running`, `rate` or both: how many at once, and how fast"));
    }
    if let Some(running) = running {
        within("running", running, MAX_RUNNING)?;
    }
    let rate = rate.as_ref().map(|rate| {
        within("count", &rate.count, MAX_COUNT)?;
        Ok((rate.count.value, duration(&rate.per, LONGEST_PERIOD)?))
    });
    let key = key.as_ref().map(|key| typed(key, scope, &Type::Unknown)).transpose()?;
    Ok(Limit { key, running: running.as_ref().map(|n| n.value), rate: rate.transpose()? })
}

/// How many tasks run and how fast is the business of their queue, which other
/// programs use as well.
fn of_task(raw: &Spanned<RawLimit>, scope: &Scope<'_>) -> Result<Limit> {
    let RawLimit { key, running, rate } = &raw.value;
    let Some(key) = key else {
        return Err(at(raw, "`limit` of a `task` is its `key`; how many run is set at the queue"));
    };
    if let Some(running) = running {
        let message = "for a `task` this is set at its queue: UpdateQueue with max_running_per_key";
        return Err(at(running, message));
    }
    if let Some(rate) = rate {
        return Err(at(&rate.count, "for a `task` this is set at its queue: UpdateQueue with rate"));
    }
    Ok(Limit { key: Some(typed(key, scope, &Type::Unknown)?), running: None, rate: None })
}

fn within(name: &str, number: &Spanned<u32>, most: u32) -> Result<()> {
    let value = number.value;
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(at(number, format!("{name} = {value}: must be from 1 to {most}")))
}
