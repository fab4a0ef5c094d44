//! Settings of a step: states, retries, durations.

use super::Result;
use crate::case::CaseState;
use crate::definition::OnError;
use crate::definition::raw::{RawRetry, at};
use crate::fact::Outcome;
use probity_types::retry::RetryPolicy;
use serde_saphyr::Spanned;
use std::time::Duration;

/// Longest time of one attempt of a call.
pub(super) const LONGEST_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Longest time of one attempt of a task: people and batches take their time.
pub(super) const LONGEST_TASK: Duration = Duration::from_secs(7 * 86_400);

pub(super) fn state(text: &Spanned<String>) -> Result<CaseState> {
    let state: CaseState = text.value.parse().map_err(|e: String| at(text, e))?;
    if state.is_final() {
        return Err(at(
            text,
            format!("a step cannot enter {state}: the end of the definition does; use `fail` or `verdict`"),
        ));
    }
    Ok(state)
}

pub(super) fn retry(raw: &Spanned<RawRetry>) -> Result<RetryPolicy> {
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

pub(super) fn on_error(text: &Spanned<String>) -> Result<OnError> {
    match text.value.as_str() {
        "incident" => Ok(OnError::Incident),
        "fail" => Ok(OnError::Fail),
        "continue" => Ok(OnError::Continue),
        other => Err(at(text, format!("{other:?} is no on_error; one of incident, fail, continue"))),
    }
}

pub(super) fn outcome(text: &Spanned<String>) -> Result<Outcome> {
    Outcome::named(&text.value).ok_or_else(|| {
        let known: Vec<_> = Outcome::ALL.iter().map(|o| o.as_str()).collect();
        at(text, format!("{:?} is no outcome; one of {}", text.value, known.join(", ")))
    })
}

pub(super) fn duration(text: &Spanned<String>, longest: Duration) -> Result<Duration> {
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
