//! Schedules: names, limits, what an update changes, and how they are shown.

use super::{invalid, json, json_bytes, note, priority};
use crate::domain::schedules::{Kept, NEVER, Target};
use crate::error::Error;
use crate::store::RunRow;
use probity_proto::orchestrator as proto;
use probity_proto::time::{micros, timestamp};
use probity_schedule::{Overlap, Spec};
use probity_types::{Ctx, Micros};
use std::time::Duration;

/// Largest input, as JSON.
const MAX_INPUT: usize = 64 << 10;
const MAX_ID: usize = 64;
/// Times shown beside a schedule.
const UPCOMING: usize = 10;
/// Most times of a preview.
const MAX_PREVIEW: i32 = 100;
/// What an update may change.
const FIELDS: [&str; 13] = [
    "definition",
    "input",
    "time_field",
    "priority",
    "timing",
    "zone",
    "overlap",
    "catch_up",
    "jitter",
    "start_time",
    "end_time",
    "max_runs",
    "note",
];

/// The id of a schedule to make.
pub(crate) fn schedule_id(field: &str, id: &str) -> Result<String, Error> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if id.len() > MAX_ID || !id.bytes().all(plain) || !id.starts_with(|c: char| c.is_ascii_lowercase()) {
        let why = format!("must be 1 to {MAX_ID} of a-z, 0-9 and '-', a letter first");
        return Err(invalid(field, why));
    }
    Ok(id.to_owned())
}

/// `schedules/<id>`.
pub(crate) fn schedule_name(field: &str, name: &str) -> Result<String, Error> {
    let id = name.strip_prefix("schedules/").ok_or_else(|| invalid(field, "write it as schedules/<id>"))?;
    schedule_id(field, id)
}

/// The rules of a schedule, as the caller wrote them.
pub(crate) fn spec(schedule: &proto::Schedule) -> Result<Spec, Error> {
    let default = Spec::default();
    if schedule.timing.is_empty() {
        let why = "must say when it runs, such as `30 2 * * *`, `@daily` or `@every 15m`";
        return Err(invalid("schedule.timing", why));
    }
    let zone = if schedule.zone.is_empty() { default.zone } else { schedule.zone.clone() };
    Ok(Spec {
        timing: schedule.timing.clone(),
        zone,
        overlap: overlap(schedule.overlap)?,
        catch_up_us: span("schedule.catch_up", schedule.catch_up.as_ref(), default.catch_up_us)?,
        jitter_us: span("schedule.jitter", schedule.jitter.as_ref(), 0)?,
        starts: schedule.start_time.as_ref().map(|at| Micros(micros(at))),
        ends: schedule.end_time.as_ref().map(|at| Micros(micros(at))),
        limit: match schedule.max_runs {
            0 => None,
            most => {
                let most = u64::try_from(most);
                Some(most.map_err(|_| invalid("schedule.max_runs", "must not be negative"))?)
            }
        },
    })
}

fn span(field: &str, span: Option<&prost_types::Duration>, default: i64) -> Result<i64, Error> {
    let Some(span) = span else { return Ok(default) };
    let span = Duration::try_from(*span).map_err(|_| invalid(field, "must not be negative"))?;
    i64::try_from(span.as_micros()).map_err(|_| invalid(field, "is too long"))
}

fn overlap(number: i32) -> Result<Overlap, Error> {
    use proto::ScheduleOverlap::{AllowAll, BufferOne, CancelRunning, Skip, Unspecified};
    match proto::ScheduleOverlap::try_from(number) {
        Ok(Unspecified | Skip) => Ok(Overlap::Skip),
        Ok(BufferOne) => Ok(Overlap::BufferOne),
        Ok(AllowAll) => Ok(Overlap::AllowAll),
        Ok(CancelRunning) => Ok(Overlap::CancelRunning),
        Err(_) => Err(invalid("schedule.overlap", "must be one of the names of ScheduleOverlap")),
    }
}

const fn overlap_number(overlap: Overlap) -> i32 {
    match overlap {
        Overlap::Skip => proto::ScheduleOverlap::Skip as i32,
        Overlap::BufferOne => proto::ScheduleOverlap::BufferOne as i32,
        Overlap::AllowAll => proto::ScheduleOverlap::AllowAll as i32,
        Overlap::CancelRunning => proto::ScheduleOverlap::CancelRunning as i32,
    }
}

/// What its runs start, in the name of the caller.
pub(crate) fn target(ctx: &Ctx, schedule: &proto::Schedule) -> Result<Target, Error> {
    let input = json("schedule.input", &schedule.input, MAX_INPUT)?;
    let time_field = schedule.time_field.clone();
    if time_field.len() > MAX_ID || time_field.chars().any(char::is_control) {
        return Err(invalid("schedule.time_field", format!("must have at most {MAX_ID} bytes, on one line")));
    }
    let input = match (time_field.is_empty(), input) {
        (false, serde_json::Value::Null) => serde_json::json!({}),
        (false, input) if !input.is_object() => {
            let why = "can only be given the time of the run in an input that is an object";
            return Err(invalid("schedule.time_field", why));
        }
        (_, input) => input,
    };
    Ok(Target {
        definition: super::definition_name("schedule.definition", &schedule.definition)?,
        input,
        time_field,
        priority: priority(schedule.priority)?,
        owner: ctx.actor.clone(),
        roles: ctx.roles.clone(),
    })
}

/// The note of a schedule.
pub(crate) fn note_of(schedule: &proto::Schedule) -> Result<String, Error> {
    note("schedule.note", &schedule.note)
}

/// A schedule after an update: the fields of the mask from `change`, the others as
/// they were.
pub(crate) fn updated(
    before: &Kept,
    request: &proto::UpdateScheduleRequest,
) -> Result<proto::Schedule, Error> {
    let change = request.schedule.clone().unwrap_or_default();
    let named: Vec<&str> = match &request.update_mask {
        Some(mask) if mask.paths.iter().any(|path| path == "*") => FIELDS.to_vec(),
        Some(mask) if !mask.paths.is_empty() => mask.paths.iter().map(String::as_str).collect(),
        _ => FIELDS.into_iter().filter(|field| is_given(&change, field)).collect(),
    };
    let mut after = schedule(before, true);
    for field in named {
        copy(field, &change, &mut after)?;
    }
    Ok(after)
}

fn is_given(schedule: &proto::Schedule, field: &str) -> bool {
    let mut one = proto::Schedule::default();
    copy(field, schedule, &mut one).is_ok() && one != proto::Schedule::default()
}

fn copy(field: &str, from: &proto::Schedule, to: &mut proto::Schedule) -> Result<(), Error> {
    match field {
        "definition" => to.definition.clone_from(&from.definition),
        "input" => to.input.clone_from(&from.input),
        "time_field" => to.time_field.clone_from(&from.time_field),
        "priority" => to.priority = from.priority,
        "timing" => to.timing.clone_from(&from.timing),
        "zone" => to.zone.clone_from(&from.zone),
        "overlap" => to.overlap = from.overlap,
        "catch_up" => to.catch_up = from.catch_up,
        "jitter" => to.jitter = from.jitter,
        "start_time" => to.start_time = from.start_time,
        "end_time" => to.end_time = from.end_time,
        "max_runs" => to.max_runs = from.max_runs,
        "note" => to.note.clone_from(&from.note),
        other => {
            let why = format!("has {other:?}; what can be changed is {}", FIELDS.join(", "));
            return Err(invalid("update_mask", why));
        }
    }
    Ok(())
}

/// A schedule as it is read; with everything when it is one alone.
pub(crate) fn schedule(kept: &Kept, whole: bool) -> proto::Schedule {
    let (spec, target) = (&kept.spec, &kept.target);
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    proto::Schedule {
        name: format!("schedules/{}", kept.id),
        definition: format!("definitions/{}", target.definition),
        input: if whole { json_bytes(&target.input) } else { prost::bytes::Bytes::new() },
        time_field: target.time_field.clone(),
        priority: i32::from(target.priority),
        timing: spec.timing.clone(),
        zone: spec.zone.clone(),
        overlap: overlap_number(spec.overlap),
        catch_up: duration(spec.catch_up_us),
        jitter: duration(spec.jitter_us).filter(|_| spec.jitter_us > 0),
        start_time: spec.starts.map(|at| timestamp(at.0)),
        end_time: spec.ends.map(|at| timestamp(at.0)),
        max_runs: count(spec.limit.unwrap_or(0)),
        note: kept.note.clone(),
        paused: kept.state.paused.is_some(),
        owner: target.owner.clone(),
        next_run_time: (kept.next != NEVER).then(|| timestamp(kept.next.0)),
        upcoming_times: Vec::new(),
        started_runs: count(kept.state.started),
        skipped_runs: count(kept.state.skipped),
        create_time: Some(timestamp(kept.created.0)),
        update_time: Some(timestamp(kept.updated.0)),
    }
}

/// As [`schedule`], with the times to come.
pub(crate) fn with_times(kept: &Kept, now: Micros) -> proto::Schedule {
    let times = kept.rules().map(|rules| rules.upcoming(now, UPCOMING)).unwrap_or_default();
    let upcoming_times = times.into_iter().map(|at| timestamp(at.0)).collect();
    proto::Schedule { upcoming_times, ..schedule(kept, true) }
}

fn duration(micros: i64) -> Option<prost_types::Duration> {
    Duration::from_micros(micros.unsigned_abs()).try_into().ok()
}

/// How many times to show.
pub(crate) fn preview_count(count: i32) -> Result<usize, Error> {
    match count {
        0 => Ok(UPCOMING),
        1..=MAX_PREVIEW => Ok(count.unsigned_abs() as usize),
        _ => Err(invalid("count", format!("must be from 1 to {MAX_PREVIEW}"))),
    }
}

/// A run as it is read.
pub(crate) fn run(schedule: &str, run: &RunRow) -> proto::ScheduleRun {
    proto::ScheduleRun {
        name: format!("schedules/{schedule}/runs/{}", hex::encode(&run.id)),
        run_time: Some(timestamp(run.at.0)),
        triggered: run.triggered,
        state: run.state,
        execution: run.execution.map_or_else(String::new, |id| format!("executions/{id}")),
        error: run.error.clone(),
        create_time: Some(timestamp(run.created.0)),
        end_time: (run.ended.0 > 0).then(|| timestamp(run.ended.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_types::Role;
    use probity_types::Roles;

    fn good() -> proto::Schedule {
        proto::Schedule {
            definition: "definitions/feed".into(),
            timing: "@daily".into(),
            ..proto::Schedule::default()
        }
    }

    fn caller() -> Ctx {
        Ctx {
            tenant: "t".into(),
            actor: "users/o".into(),
            roles: Roles::new([Role::Operator]),
            request_id: String::new(),
            trace_id: String::new(),
        }
    }

    #[test]
    fn limits_hold() {
        let check = |change: fn(&mut proto::Schedule), expect: &str| {
            let mut schedule = good();
            change(&mut schedule);
            let read =
                spec(&schedule).and_then(|_| target(&caller(), &schedule)).and_then(|_| note_of(&schedule));
            match read {
                Ok(_) => assert_eq!(expect, ""),
                Err(Error::Invalid { field, .. }) => assert_eq!(field, expect),
                Err(other) => panic!("{other}"),
            }
        };
        check(|_| (), "");
        check(|s| s.timing.clear(), "schedule.timing");
        check(|s| s.definition = "feed".into(), "schedule.definition");
        check(|s| s.overlap = 9, "schedule.overlap");
        check(|s| s.max_runs = -1, "schedule.max_runs");
        check(|s| s.jitter = Some(prost_types::Duration { seconds: -1, nanos: 0 }), "schedule.jitter");
        check(|s| s.input = "{".into(), "schedule.input");
        check(|s| s.input = format!("\"{}\"", "x".repeat(70_000)).into(), "schedule.input");
        check(|s| (s.time_field, s.input) = ("at".into(), "[]".into()), "schedule.time_field");
        check(|s| s.time_field = "at".into(), "");
        check(|s| s.note = "x".repeat(2_001), "schedule.note");
        for bad in ["", "1a", "A", "a_b", &"a".repeat(65)] {
            assert!(schedule_id("schedule_id", bad).is_err(), "{bad}");
        }
        assert_eq!(schedule_name("name", "schedules/feed-2").unwrap(), "feed-2");
        assert!(schedule_name("name", "feed").is_err() && preview_count(101).is_err());
    }

    #[test]
    fn an_update_changes_what_the_mask_names() {
        let before = Kept {
            tenant: "t".into(),
            id: "feed".into(),
            uid: uuid::Uuid::nil(),
            spec: spec(&proto::Schedule { max_runs: 3, ..good() }).unwrap(),
            target: target(&caller(), &good()).unwrap(),
            note: "old".into(),
            state: probity_schedule::State::new(Micros(0)),
            revision: 1,
            next: NEVER,
            created: Micros(0),
            updated: Micros(0),
        };
        let check = |mask: Option<&[&str]>, expect: Option<(&str, &str, i64)>| {
            let update_mask = mask.map(|paths| prost_types::FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            });
            let change = proto::Schedule { note: "new".into(), timing: "@hourly".into(), ..good() };
            let request = proto::UpdateScheduleRequest { schedule: Some(change), update_mask };
            let after = updated(&before, &request).ok();
            let after = after.as_ref().map(|s| (s.note.as_str(), s.timing.as_str(), s.max_runs));
            assert_eq!(after, expect, "{mask:?}");
        };
        check(None, Some(("new", "@hourly", 3)));
        check(Some(&["timing"]), Some(("old", "@hourly", 3)));
        check(Some(&["max_runs"]), Some(("old", "@daily", 0)));
        check(Some(&["*"]), Some(("new", "@hourly", 0)));
        check(Some(&["owner"]), None);
    }
}
