//! Tasks of their own and queues: names, limits, and how they are shown.

use super::{MAX_INPUT, invalid, json, json_bytes, priority, status_number};
use crate::domain::standalone::{Standalone, definition_for};
use crate::error::Error;
use crate::lane::Live;
use crate::store::{QueueSettings, StoredTask, View};
use crate::tasks::{Figures, Place};
use probity_proto::orchestrator as proto;
use probity_proto::time::timestamp;
use probity_queue::{Policy, Rate};
use probity_types::Micros;
use probity_types::id::ExecutionId;
use std::time::Duration;
use uuid::Uuid;

/// Longest time a task may be put off.
const LONGEST_DELAY: Duration = Duration::from_hours(24 * 400);
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24 * 7);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_KEY: usize = 256;
/// Longest name of a queue; the mark of the tenant before it has room in the queue.
const MAX_NAME: usize = 64;
/// Most tasks of one batch.
pub(crate) const MAX_TASKS: usize = 1_000;

/// A task to be started: what is asked, how urgent, and on which definition.
#[derive(Debug)]
pub(crate) struct Enqueue {
    pub(crate) asked: Standalone,
    pub(crate) priority: u8,
    pub(crate) definition: &'static str,
}

/// Checks a task to enqueue.
pub(crate) fn enqueue(request: &proto::EnqueueTaskRequest, now: Micros) -> Result<Enqueue, Error> {
    let queue = if request.queue.is_empty() { "default" } else { request.queue.as_str() };
    let asked = Standalone {
        kind: plain_name("type", &request.r#type)?,
        queue: plain_name("queue", queue)?,
        unique: key("unique_key", &request.unique_key)?,
        key: key("concurrency_key", &request.concurrency_key)?,
        not_before_us: not_before(request, now)?.0,
        timeout_ms: timeout(request.timeout.as_ref())?,
        payload: json("payload", &request.payload, MAX_INPUT - 4_096)?,
    };
    Ok(Enqueue { asked, priority: priority(request.priority)?, definition: retry(request.retry)? })
}

/// A name of a queue or of a type, as people write it.
pub(super) fn plain_name(field: &str, name: &str) -> Result<String, Error> {
    let fits = name.len() <= MAX_NAME && probity_queue::task::check_queue_name(name).is_ok();
    let wrong = || invalid(field, format!("must be 1 to {MAX_NAME} of a-z, A-Z, 0-9, '.', '_' and '-'"));
    if fits { Ok(name.to_owned()) } else { Err(wrong()) }
}

fn key(field: &str, key: &str) -> Result<String, Error> {
    if key.len() > MAX_KEY || key.chars().any(char::is_control) {
        return Err(invalid(field, format!("must have at most {MAX_KEY} bytes and no control characters")));
    }
    Ok(key.to_owned())
}

/// When it may be given out; 0 for at once.
fn not_before(request: &proto::EnqueueTaskRequest, now: Micros) -> Result<Micros, Error> {
    let wrong = |field: &str| invalid(field, "must lie from now to 400 days from now");
    match (&request.not_before, &request.delay) {
        (None, None) => Ok(Micros(0)),
        (Some(_), Some(_)) => Err(invalid("delay", "must not be given together with not_before")),
        (None, Some(delay)) => {
            let delay = Duration::try_from(*delay).ok().filter(|d| *d <= LONGEST_DELAY);
            Ok(now.plus(delay.ok_or_else(|| wrong("delay"))?))
        }
        (Some(at), None) => {
            let micros =
                at.seconds.checked_mul(1_000_000).and_then(|s| s.checked_add(i64::from(at.nanos) / 1_000));
            let fits = |at: &i64| (0..=now.plus(LONGEST_DELAY).0).contains(at);
            Ok(Micros(micros.filter(fits).ok_or_else(|| wrong("not_before"))?))
        }
    }
}

fn timeout(timeout: Option<&prost_types::Duration>) -> Result<u64, Error> {
    let timeout = timeout.map_or(Some(DEFAULT_TIMEOUT), |span| Duration::try_from(*span).ok());
    let fits = |t: &Duration| *t >= Duration::from_millis(1) && *t <= LONGEST_TIMEOUT;
    let timeout = timeout.filter(fits).ok_or_else(|| invalid("timeout", "must be from 1 ms to 7 days"))?;
    Ok(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
}

fn retry(number: i32) -> Result<&'static str, Error> {
    use proto::TaskRetry::{Aggressive, Never, Quick, RateLimited, Standard, Unspecified};
    let policy = match proto::TaskRetry::try_from(number) {
        Ok(Unspecified | Standard) => "standard",
        Ok(Quick) => "quick",
        Ok(Aggressive) => "aggressive",
        Ok(RateLimited) => "rate_limited",
        Ok(Never) => "never",
        Err(_) => return Err(invalid("retry", "must be one of the names of TaskRetry")),
    };
    Ok(definition_for(policy))
}

/// `tasks/task_<id>`; a task and its execution share their id.
pub(crate) fn task_id(name: &str) -> Result<ExecutionId, Error> {
    let hex = name.strip_prefix("tasks/task_").filter(|hex| hex.len() == 32);
    let id = hex
        .filter(|hex| !hex.bytes().any(|b| b.is_ascii_uppercase()))
        .and_then(|hex| Uuid::try_parse(hex).ok());
    id.map(ExecutionId).ok_or_else(|| invalid("name", "write it as tasks/task_<32 lower-case hex digits>"))
}

pub(crate) fn task_name(id: ExecutionId) -> String {
    format!("tasks/task_{}", id.0.as_simple())
}

/// A task as it is listed.
pub(crate) fn task(stored: StoredTask, place: Option<&Place>) -> proto::Task {
    let StoredTask { id, asked, view } = stored;
    let execution = match view {
        View::Plain(execution) => *execution,
        View::Case(_) => proto::Execution::default(),
    };
    shown(id, asked, execution, place)
}

/// A task with everything.
pub(crate) fn whole(live: &Live, place: Option<&Place>) -> Result<proto::Task, Error> {
    let asked = Standalone::of(&live.execution).ok_or_else(|| Error::NoTask(task_name(live.id)))?;
    let payload = json_bytes(&asked.payload);
    Ok(proto::Task { payload, ..shown(live.id, asked, super::summary(live), place) })
}

/// A task of an execution as the lane answers it.
pub(crate) fn shown(
    id: ExecutionId,
    asked: Standalone,
    execution: proto::Execution,
    place: Option<&Place>,
) -> proto::Task {
    let ended = execution.end_time.is_some();
    let reason = execution.waiting.as_ref().map_or_else(String::new, |waiting| waiting.reason.clone());
    let worker = match place {
        Some(Place::With(worker)) if !ended => worker.clone(),
        _ => String::new(),
    };
    proto::Task {
        name: task_name(id),
        state: state(execution.status, place) as i32,
        r#type: asked.kind,
        queue: asked.queue,
        payload: prost::bytes::Bytes::new(),
        priority: execution.priority,
        output: execution.output,
        error: if execution.end_reason.is_empty() { reason } else { execution.end_reason },
        not_before: (asked.not_before_us > 0).then(|| timestamp(asked.not_before_us)),
        unique_key: asked.unique,
        concurrency_key: asked.key,
        worker,
        execution: format!("executions/{id}"),
        owner: execution.owner,
        create_time: execution.create_time,
        end_time: execution.end_time,
    }
}

fn state(status: i32, place: Option<&Place>) -> proto::TaskState {
    use probity_engine::Status;
    use probity_engine::fact::Ending;
    let is = |wanted: Status| status == status_number(wanted);
    if is(Status::Ended(Ending::Completed)) {
        proto::TaskState::Completed
    } else if is(Status::Ended(Ending::Failed)) {
        proto::TaskState::Failed
    } else if is(Status::Ended(Ending::Cancelled)) || is(Status::Compensating) {
        proto::TaskState::Cancelled
    } else if is(Status::Incident) {
        proto::TaskState::Incident
    } else {
        match place {
            Some(Place::With(_)) => proto::TaskState::Running,
            Some(Place::Delayed) => proto::TaskState::Delayed,
            Some(Place::Queued) | None => proto::TaskState::Queued,
        }
    }
}

/// `queues/<name>`.
pub(crate) fn queue_name(name: &str) -> Result<String, Error> {
    let name = name.strip_prefix("queues/").ok_or_else(|| invalid("name", "write it as queues/<name>"))?;
    plain_name("name", name)
}

/// The rules of a queue after a change.
pub(crate) fn policy(before: &Policy, request: &proto::UpdateQueueRequest) -> Result<Policy, Error> {
    let mask = Mask::of(request.update_mask.as_ref())?;
    let mut policy = before.clone();
    if mask.names("lease", request.lease.is_some()) {
        let given = request.lease.map_or(Ok(Policy::default().lease), Duration::try_from);
        policy.lease = given.map_err(|_| invalid("lease", "must not be negative"))?;
    }
    if mask.names("max_running", request.max_running.is_some()) {
        policy.concurrency = limit("max_running", request.max_running.unwrap_or(0))?;
    }
    if mask.names("max_running_per_key", request.max_running_per_key.is_some()) {
        policy.key_concurrency = limit("max_running_per_key", request.max_running_per_key.unwrap_or(0))?;
    }
    if mask.names("rate", request.rate.is_some()) {
        policy.rate = request.rate.as_ref().map_or(Ok(None), rate_of)?;
    }
    policy.validate().map_err(|error| invalid("queue", error.to_string()))?;
    Ok(policy)
}

/// What of a queue an update can change.
const CHANGEABLE: [&str; 4] = ["lease", "max_running", "max_running_per_key", "rate"];

/// What an update changes.
enum Mask<'a> {
    /// What is given.
    Given,
    All,
    These(&'a [String]),
}

impl<'a> Mask<'a> {
    fn of(mask: Option<&'a prost_types::FieldMask>) -> Result<Self, Error> {
        let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else { return Ok(Self::Given) };
        if mask.paths == ["*"] {
            return Ok(Self::All);
        }
        match mask.paths.iter().find(|path| !CHANGEABLE.contains(&path.as_str())) {
            None => Ok(Self::These(&mask.paths)),
            Some(unknown) => Err(invalid(
                "update_mask",
                format!("names {unknown:?}; what can be changed is {}, or * alone", CHANGEABLE.join(", ")),
            )),
        }
    }

    fn names(&self, path: &str, given: bool) -> bool {
        match self {
            Self::Given => given,
            Self::All => true,
            Self::These(paths) => paths.iter().any(|named| named == path),
        }
    }
}

fn limit(field: &str, number: i32) -> Result<Option<u32>, Error> {
    let number = u32::try_from(number).map_err(|_| invalid(field, "must not be negative"))?;
    Ok(Some(number).filter(|n| *n > 0))
}

fn rate_of(rate: &proto::QueueRate) -> Result<Option<Rate>, Error> {
    let Some(count) = limit("rate.count", rate.count)? else { return Ok(None) };
    let wrong = || invalid("rate.period", "must be from 1 ms to 24 h, in whole milliseconds");
    let period = rate.period.map_or(Ok(Duration::from_secs(1)), Duration::try_from).map_err(|_| wrong())?;
    if period.subsec_nanos() % 1_000_000 != 0 {
        return Err(wrong());
    }
    Ok(Some(Rate { count, period, burst: limit("rate.burst", rate.burst)?.unwrap_or(count) }))
}

/// A queue as it is read.
pub(crate) fn queue(settings: &QueueSettings, figures: &Figures) -> proto::Queue {
    let number = |n: Option<u32>| n.map_or(0, |n| i32::try_from(n).unwrap_or(i32::MAX));
    let policy = &settings.policy;
    proto::Queue {
        name: format!("queues/{}", settings.name),
        paused: settings.paused,
        lease: span(policy.lease),
        max_running: number(policy.concurrency),
        max_running_per_key: number(policy.key_concurrency),
        rate: policy.rate.map(|rate| proto::QueueRate {
            count: number(Some(rate.count)),
            period: span(rate.period),
            burst: number(Some(rate.burst)),
        }),
        figures: Some(figures_of(figures)),
    }
}

fn figures_of(figures: &Figures) -> proto::QueueFigures {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let stats = &figures.stats;
    let [critical, high, normal, low] = stats.ready;
    proto::QueueFigures {
        ready_low: count(low),
        ready_normal: count(normal),
        ready_high: count(high),
        ready_critical: count(critical),
        blocked: count(stats.blocked),
        delayed: count(stats.delayed),
        running: count(stats.running),
        oldest_ready: stats.oldest_ready.and_then(span),
        offered_per_s: stats.offered_per_s,
        taken_per_s: stats.taken_per_s,
        finished_per_s: stats.finished_per_s,
        workers: i32::try_from(figures.workers).unwrap_or(i32::MAX),
    }
}

fn span(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold() {
        let good = || proto::EnqueueTaskRequest { r#type: "mail".into(), ..Default::default() };
        let check = |change: fn(&mut proto::EnqueueTaskRequest), expect: &str| {
            let mut request = good();
            change(&mut request);
            match enqueue(&request, Micros(1_000)) {
                Ok(_) => assert_eq!(expect, ""),
                Err(Error::Invalid { field, .. }) => assert_eq!(field, expect),
                Err(other) => panic!("{other}"),
            }
        };
        check(|_| (), "");
        check(|r| r.r#type = String::new(), "type");
        check(|r| r.queue = "a b".into(), "queue");
        check(|r| r.queue = "q".repeat(64), "");
        check(|r| r.queue = "q".repeat(65), "queue");
        check(|r| r.unique_key = "x".repeat(257), "unique_key");
        check(|r| r.concurrency_key = "a\nb".into(), "concurrency_key");
        check(|r| r.payload = "{".into(), "payload");
        check(|r| r.priority = 9, "priority");
        check(|r| r.retry = 9, "retry");
        check(|r| r.delay = Some(prost_types::Duration { seconds: -1, nanos: 0 }), "delay");
        check(|r| r.not_before = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), "not_before");
        check(|r| r.timeout = Some(prost_types::Duration::default()), "timeout");
    }

    #[test]
    fn a_task_has_one_name() {
        let id = ExecutionId::new();
        assert_eq!(task_id(&task_name(id)).unwrap(), id);
        for bad in
            ["", "tasks/x", "tasks/task_1", &task_name(id).to_uppercase(), &format!("tasks/task_{}", id.0)]
        {
            assert!(task_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_absent_stays() {
        let before = Policy { concurrency: Some(3), ..Policy::default() };
        let rate = proto::QueueRate { count: 5, ..Default::default() };
        let request = proto::UpdateQueueRequest { rate: Some(rate), ..Default::default() };
        let after = policy(&before, &request).unwrap();
        assert_eq!((after.concurrency, after.rate), (Some(3), Some(Rate::per_second(5))));
        let none = proto::UpdateQueueRequest { max_running: Some(0), ..Default::default() };
        assert_eq!(policy(&after, &none).unwrap().concurrency, None);
        let wrong = proto::UpdateQueueRequest { max_running: Some(-1), ..Default::default() };
        assert!(policy(&after, &wrong).is_err());
    }

    #[test]
    fn a_mask_says_what_changes() {
        let before = Policy { concurrency: Some(3), rate: Some(Rate::per_second(5)), ..Policy::default() };
        let check = |paths: &[&str], expect: Result<(Option<u32>, Option<Rate>), &str>| {
            let update_mask =
                Some(prost_types::FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() });
            let request =
                proto::UpdateQueueRequest { max_running: Some(7), update_mask, ..Default::default() };
            match (policy(&before, &request), expect) {
                (Ok(after), Ok(expect)) => assert_eq!((after.concurrency, after.rate), expect, "{paths:?}"),
                (Err(Error::Invalid { field, why }), Err(part)) => {
                    assert!(field == "update_mask" && why.contains(part), "{why}");
                }
                (got, expect) => panic!("{paths:?}: {got:?}, not {expect:?}"),
            }
        };
        check(&[], Ok((Some(7), Some(Rate::per_second(5)))));
        check(&["max_running"], Ok((Some(7), Some(Rate::per_second(5)))));
        check(&["rate"], Ok((Some(3), None)));
        check(&["*"], Ok((Some(7), None)));
        check(&["paused"], Err("\"paused\""));
        check(&["rate", "*"], Err("\"*\""));
    }
}
