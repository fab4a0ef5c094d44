//! Calls as arguments of the script, answers as values.
//!
//! The shapes are those of `calls.lua`. Every decoder answers nothing when the
//! shape is another one.

use crate::{
    Held, Lease, LeaseNumber, Limits, Offered, Priority, Refusal, Release, Standing, Stats, Take, Task,
    TaskId, Totals,
};
use bytes::Bytes;
use probity_types::Micros;
use redis::Value;
use std::sync::Arc;
use std::time::Duration;

/// One call: its arguments and the queues it is about.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) args: Vec<Bytes>,
    pub(super) queues: Vec<Arc<str>>,
}

impl Call {
    /// A call without arguments.
    pub(super) fn named(name: &'static str) -> Self {
        Self { args: vec![Bytes::from_static(name.as_bytes())], queues: Vec::new() }
    }

    pub(super) fn of_queue(name: &'static str, queue: &Arc<str>) -> Self {
        let mut call = Self::named(name);
        call.queues.push(Arc::clone(queue));
        call.text(queue)
    }

    pub(super) fn of_task(name: &'static str, queue: &Arc<str>, id: TaskId) -> Self {
        Self::of_queue(name, queue).id(id)
    }

    pub(super) fn flagged(name: &'static str, queue: &Arc<str>, flag: bool) -> Self {
        Self::of_queue(name, queue).text(if flag { "1" } else { "0" })
    }

    pub(super) fn held(name: &'static str, held: &Held) -> Self {
        Self::of_task(name, &held.queue, held.id).text(&held.lease.0.to_string())
    }

    pub(super) fn release(release: &Release) -> Self {
        Self::held("release", &release.held).time(release.not_before)
    }

    pub(super) fn offer(task: &Task) -> Self {
        let mut call = Self::named("offer").id(task.id).text(&task.queue).text(&task.tenant);
        call = call.text(&task.priority.rank().to_string());
        call = call.text(task.key.as_deref().unwrap_or_default());
        call = call.text(task.unique.as_deref().unwrap_or_default()).time(task.not_before);
        call.args.push(task.payload.clone());
        call.queues.push(Arc::clone(&task.queue));
        call
    }

    pub(super) fn take(wish: &Take) -> Self {
        let mut call = Self::named("take").text(&wish.worker).text(&wish.credits().to_string());
        call = call.text(&wish.queues.len().to_string());
        call.queues.clone_from(&wish.queues);
        wish.queues.iter().fold(call, |call, queue| call.text(queue))
    }

    fn text(mut self, text: &str) -> Self {
        self.args.push(Bytes::copy_from_slice(text.as_bytes()));
        self
    }

    fn id(mut self, id: TaskId) -> Self {
        self.args.push(Bytes::copy_from_slice(&id.0));
        self
    }

    fn time(self, at: Option<Micros>) -> Self {
        self.text(&at.map(|at| at.0.to_string()).unwrap_or_default())
    }
}

/// A whole number, however it is sent.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => text(other)?.parse().ok(),
    }
}

pub(super) fn flag(value: &Value) -> Option<bool> {
    number(value).map(|number| number == 1)
}

/// What a lease lasts until; 0 for no lease.
pub(super) fn until(value: &Value) -> Option<Option<Micros>> {
    let at = micros(value)?;
    Some((at.0 != 0).then_some(at))
}

pub(super) fn offered(value: &Value, queue: &Arc<str>, limits: &Limits) -> Option<Result<Offered, Refusal>> {
    let queue = || Arc::clone(queue);
    Some(match bytes(value)? {
        b"" => Ok(Offered::Accepted),
        b"full" => Err(Refusal::Full { capacity: limits.capacity }),
        b"queue full" => Err(Refusal::QueueFull { queue: queue(), capacity: limits.queue_capacity }),
        b"too many queues" => Err(Refusal::TooManyQueues { queue: queue(), limit: limits.queues }),
        open => Ok(Offered::Open(TaskId(open.try_into().ok()?))),
    })
}

/// Leases, and how long nothing becomes due by itself.
pub(super) fn taken(value: Value) -> Option<(Vec<Lease>, Option<Duration>)> {
    let [leases, next] = array(value)?;
    let leases = list(leases)?.into_iter().map(lease).collect::<Option<_>>()?;
    Some((leases, number(&next).map(Duration::from_micros)))
}

fn lease(value: Value) -> Option<Lease> {
    let [id, queue, tenant, rank, key, unique, not_before, payload, number_, expires, delivery] =
        array(value)?;
    let optional = |value: &Value| text(value).map(|text| (!text.is_empty()).then(|| Arc::from(text)));
    let task = Task {
        id: TaskId(bytes(&id)?.try_into().ok()?),
        queue: text(&queue)?.into(),
        tenant: text(&tenant)?.into(),
        priority: Priority::of_rank(usize::try_from(number(&rank)?).ok()?),
        key: optional(&key)?,
        unique: optional(&unique)?,
        not_before: if bytes(&not_before)?.is_empty() { None } else { Some(micros(&not_before)?) },
        payload: match payload {
            Value::BulkString(bytes) => bytes.into(),
            _ => return None,
        },
    };
    let delivery = u32::try_from(number(&delivery)?).ok()?;
    Some(Lease { task, number: LeaseNumber(number(&number_)?), expires: micros(&expires)?, delivery })
}

pub(super) fn standing(value: Value) -> Option<Option<Standing>> {
    let parts = list(value)?;
    let Some(name) = parts.first() else { return Some(None) };
    let at = || micros(parts.get(1)?);
    Some(Some(match text(name)? {
        "ready" => Standing::Ready,
        "blocked" => Standing::Blocked,
        "delayed" => Standing::Delayed { until: at()? },
        "leased" => Standing::Leased { worker: text(parts.get(2)?)?.into(), expires: at()? },
        _ => return None,
    }))
}

pub(super) fn stats(value: Value) -> Option<Stats> {
    let parts: [Value; 18] = array(value)?;
    let count = |at: usize| number(&parts[at]).and_then(|count| usize::try_from(count).ok());
    let total = |at: usize| number(&parts[at]);
    let rate = |at: usize| text(&parts[at])?.parse().ok();
    let oldest = match &parts[0] {
        Value::Int(-1) => None,
        age => Some(Duration::from_micros(number(age)?)),
    };
    Some(Stats {
        oldest_ready: oldest,
        delayed: count(1)?,
        ready: [count(2)?, count(3)?, count(4)?, count(5)?],
        blocked: count(6)?,
        running: count(7)?,
        paused: flag(&parts[8])?,
        totals: Totals {
            offered: total(9)?,
            taken: total(10)?,
            finished: total(11)?,
            released: total(12)?,
            expired: total(13)?,
            cancelled: total(14)?,
        },
        offered_per_s: rate(15)?,
        taken_per_s: rate(16)?,
        finished_per_s: rate(17)?,
    })
}

pub(super) fn queues(value: Value) -> Option<Vec<Arc<str>>> {
    let names = list(value)?;
    let mut names = names.iter().map(|name| text(name).map(Arc::from)).collect::<Option<Vec<Arc<str>>>>()?;
    names.sort();
    Some(names)
}

fn micros(value: &Value) -> Option<Micros> {
    match value {
        Value::Int(at) => Some(Micros(*at)),
        other => text(other)?.parse().ok().map(Micros),
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(value)?).ok()
}

pub(super) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn array<const N: usize>(value: Value) -> Option<[Value; N]> {
    list(value)?.try_into().ok()
}
