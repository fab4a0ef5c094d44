//! Settings of a step: states, retries, durations.

use super::Result;
use crate::case::CaseState;
use crate::definition::raw::{RawPolicy, RawRetry, Text, at};
use crate::fact::Outcome;
use probity_types::retry::{Jitter, RetryPolicy, Schedule};
use serde_saphyr::Spanned;
use std::time::Duration;

/// Longest time of one attempt of a call.
pub(super) const LONGEST_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Longest time of one attempt of a task: people and batches take their time.
pub(super) const LONGEST_TASK: Duration = Duration::from_secs(7 * 86_400);
/// Longest of everything that is waited for.
pub(super) const LONGEST_WAIT: Duration = crate::execution::LONGEST_WAIT;

pub(super) fn state(text: &Text) -> Result<CaseState> {
    let state: CaseState = text.value.parse().map_err(|e: String| at(text, e))?;
    if state.is_final() {
        return Err(at(
            text,
            format!("a step cannot enter {state}: the end of the definition does; use `fail` or `verdict`"),
        ));
    }
    Ok(state)
}

pub(super) fn retry(raw: &Spanned<RawRetry>) -> Result<Schedule> {
    let schedule = match &raw.value {
        RawRetry::Preset(name) => RetryPolicy::preset(name).map(Schedule::from).ok_or_else(|| {
            format!("{name:?} is no retry preset; one of quick, standard, aggressive, rate_limited, never")
        }),
        RawRetry::Own(own) => own_schedule(own),
    };
    schedule.map_err(|e| at(raw, e))
}

fn own_schedule(own: &RawPolicy) -> std::result::Result<Schedule, String> {
    let time = |text: &str| parse_duration(text, LONGEST_TIMEOUT);
    let policy = RetryPolicy { max_attempts: own.max_attempts, base: time(&own.base)?, cap: time(&own.cap)? };
    let jitter = own.jitter.as_deref().unwrap_or("full");
    let jitter =
        Jitter::named(jitter).ok_or_else(|| format!("{jitter:?} is no jitter; one of full, equal, none"))?;
    let total = own.total.as_deref().map(|text| parse_duration(text, LONGEST_WAIT)).transpose()?;
    let multiplier = own.multiplier.unwrap_or(2.0);
    if !(1.0..=10.0).contains(&multiplier) {
        return Err(format!("multiplier = {multiplier}: must be from 1 to 10"));
    }
    // In range, so nothing is lost but what is below a hundredth.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let multiplier_percent = (multiplier * 100.0).round() as u32;
    let schedule = Schedule { policy, multiplier_percent, jitter, total };
    schedule.validate()?;
    Ok(schedule)
}

pub(super) fn outcome(text: &Text) -> Result<Outcome> {
    Outcome::named(&text.value).ok_or_else(|| {
        let known: Vec<_> = Outcome::ALL.iter().map(|o| o.as_str()).collect();
        at(text, format!("{:?} is no outcome; one of {}", text.value, known.join(", ")))
    })
}

pub(super) fn duration(text: &Text, longest: Duration) -> Result<Duration> {
    parse_duration(&text.value, longest).map_err(|e| at(text, e))
}

/// Times before `due` at which somebody is reminded, longest first.
pub(super) fn reminders(raw: &[Text], due: Option<Duration>) -> Result<Vec<Duration>> {
    const MOST: usize = 10;
    if let (Some(first), true) = (raw.first(), raw.len() > MOST) {
        return Err(at(first, format!("there are {} reminders; at most {MOST} are allowed", raw.len())));
    }
    let mut all = Vec::with_capacity(raw.len());
    for text in raw {
        let before = duration(text, LONGEST_WAIT)?;
        match due {
            None => return Err(at(text, "`remind` is a time before `due`; add `due`")),
            Some(due) if before >= due => {
                return Err(at(
                    text,
                    format!("{:?} is not shorter than `due`, so it would never come", text.value),
                ));
            }
            Some(_) => all.push(before),
        }
    }
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.dedup();
    Ok(all)
}

/// `users/<id>` and `roles/<role>`.
pub(super) fn people(raw: &[Text]) -> Result<Vec<String>> {
    let one = |name: &Text| {
        if crate::execution::is_assignee(&name.value) {
            return Ok(name.value.clone());
        }
        let roles: Vec<_> = probity_types::Role::ALL.iter().map(|r| r.as_str()).collect();
        let message = format!(
            "{:?} is nobody; write users/<id> or roles/<role> with one of {}",
            name.value,
            roles.join(", ")
        );
        Err(at(name, message))
    };
    raw.iter().map(one).collect()
}

/// `250ms`, `30s`, `5m`, `2h`, `7d`.
pub(super) fn parse_duration(text: &str, longest: Duration) -> std::result::Result<Duration, String> {
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
