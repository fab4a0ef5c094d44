//! Dead letters: their names, their limits, and how they are shown.

use super::invalid;
use crate::domain::dead_letters::Slot;
use crate::domain::dead_letters::patterns::{Patterns, Shared, Top};
use crate::error::Error;
use crate::store::{Letter, LetterId};
use probity_proto::orchestrator as proto;
use probity_proto::time::timestamp;
use probity_types::id::ExecutionId;
use prost_types::Duration as Span;
use std::time::Duration;

const DEFAULT_BATCH: i64 = 100;
const MAX_BATCH: i64 = 1_000;
const DEFAULT_TOP: usize = 10;
const MAX_TOP: usize = 100;
const DEFAULT_AGE: Duration = Duration::from_hours(24);
/// Ten years: everything beyond is a mistake.
const MAX_AGE: Duration = Duration::from_hours(24 * 3_653);

/// `deadLetters/exec_….<step>`, with `.<item>` where there is one.
pub(crate) fn id(field: &str, name: &str) -> Result<LetterId, Error> {
    let wrong = || invalid(field, "write it as deadLetters/<execution>.<step>, as ListDeadLetters shows it");
    let rest = name.strip_prefix("deadLetters/").ok_or_else(wrong)?;
    let mut parts = rest.splitn(3, '.');
    let execution: ExecutionId = parts.next().and_then(|id| id.parse().ok()).ok_or_else(wrong)?;
    let step = parts.next().filter(|step| is_step(step)).ok_or_else(wrong)?.to_owned();
    let item = parts.next().map(|item| item.parse().map_err(|_| wrong())).transpose()?;
    let id = LetterId { execution, slot: Slot { step, item } };
    // One letter has one name: no leading zeros, no plus sign.
    if id.to_string() == rest { Ok(id) } else { Err(wrong()) }
}

fn is_step(step: &str) -> bool {
    (1..=64).contains(&step.len()) && step.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(crate) fn name(id: &LetterId) -> String {
    format!("deadLetters/{id}")
}

/// The step as events name it.
pub(crate) fn step_name(slot: &Slot) -> String {
    slot.item.map_or_else(|| slot.step.clone(), |item| format!("{}[{item}]", slot.step))
}

/// A filter that must say something: a batch of everything is asked for in words.
pub(crate) fn batch_filter(filter: &str) -> Result<&str, Error> {
    if filter.trim().is_empty() {
        return Err(invalid("filter", "must not be empty; state = FAILED selects all that nobody looks at"));
    }
    Ok(filter)
}

pub(crate) fn batch_limit(limit: i32) -> Result<i64, Error> {
    match i64::from(limit) {
        0 => Ok(DEFAULT_BATCH),
        n if (1..=MAX_BATCH).contains(&n) => Ok(n),
        n => Err(invalid("limit", format!("is {n}; it must be from 1 to {MAX_BATCH}"))),
    }
}

pub(crate) fn top(top: i32) -> Result<usize, Error> {
    match usize::try_from(top) {
        Ok(0) => Ok(DEFAULT_TOP),
        Ok(n) if n <= MAX_TOP => Ok(n),
        _ => Err(invalid("top", format!("is {top}; it must be from 1 to {MAX_TOP}"))),
    }
}

/// An age, 24 hours when absent.
pub(crate) fn age(span: Option<&Span>) -> Result<Duration, Error> {
    span.map_or(Ok(DEFAULT_AGE), |span| older_than(Some(span)))
}

/// An age, none when absent.
pub(crate) fn older_than(span: Option<&Span>) -> Result<Duration, Error> {
    let Some(span) = span else { return Ok(Duration::ZERO) };
    let age = Duration::try_from(*span).ok().filter(|age| *age <= MAX_AGE);
    age.ok_or_else(|| invalid("older_than", "must be from 0s to 10 years"))
}

pub(crate) const fn state_name(state: i32) -> &'static str {
    match state {
        1 => "FAILED",
        2 => "REVIEWING",
        3 => "REQUEUED",
        _ => "DISCARDED",
    }
}

/// A letter as it is read.
pub(crate) fn letter(letter: Letter) -> proto::DeadLetter {
    proto::DeadLetter {
        name: name(&letter.id),
        execution: format!("executions/{}", letter.id.execution),
        case: letter.case,
        definition: letter.definition,
        item: letter.id.slot.item.and_then(|item| i32::try_from(item).ok()),
        step: letter.id.slot.step,
        state: letter.state,
        code: letter.code,
        error: letter.error,
        template: letter.template,
        peer: letter.peer,
        operation: letter.operation,
        attempts: letter.attempts,
        failures: letter.failures,
        payload: letter.payload.into(),
        payload_size_bytes: letter.payload_bytes,
        create_time: Some(timestamp(letter.created.0)),
        open_time: Some(timestamp(letter.opened.0)),
        update_time: Some(timestamp(letter.updated.0)),
        reviewer: letter.reviewer,
        note: letter.note,
    }
}

/// Patterns as they are read, with the letters that need attention first.
pub(crate) fn patterns(patterns: Patterns, attention: Vec<Letter>) -> proto::DeadLetterPatterns {
    let counts = |top: Top<(String, i64)>| {
        let all = top.largest.into_iter().map(|(value, count)| proto::DeadLetterCount { value, count });
        (all.collect::<Vec<_>>(), top.others)
    };
    let ((peers, other_peers), (operations, other_operations)) =
        (counts(patterns.peers), counts(patterns.operations));
    proto::DeadLetterPatterns {
        total: patterns.totals.all,
        open: patterns.totals.open,
        errors: patterns.errors.largest.into_iter().map(pattern).collect(),
        other_errors: patterns.errors.others,
        peers,
        other_peers,
        operations,
        other_operations,
        attention: Some(proto::DeadLetterAttention {
            total: patterns.totals.attention,
            old: patterns.totals.old,
            repeated: patterns.totals.repeated,
            letters: attention.into_iter().map(letter).collect(),
        }),
    }
}

fn pattern(shared: Shared) -> proto::DeadLetterPattern {
    let filter = format!("template = {} AND code = {}", quoted(&shared.template), quoted(&shared.code));
    proto::DeadLetterPattern {
        template: shared.template,
        code: shared.code,
        count: shared.count,
        first_time: Some(timestamp(shared.first.0)),
        last_time: Some(timestamp(shared.last.0)),
        filter,
    }
}

/// A text as a filter takes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '*') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_has_one_name() {
        let exec = ExecutionId::new();
        for (name, item) in
            [(format!("deadLetters/{exec}.a_b"), None), (format!("deadLetters/{exec}.a.7"), Some(7))]
        {
            let id = id("name", &name).unwrap();
            assert_eq!((super::name(&id), id.slot.item), (name, item));
            assert_eq!(LetterId::from_bytes(&id.to_bytes()), Some(id));
        }
        for bad in ["", "x", "deadLetters/", "deadLetters/exec_1.a", &format!("deadLetters/{exec}")] {
            assert!(id("name", bad).is_err(), "{bad}");
        }
        for step in [".", ".a.07", ".a.+7", ".a.x", ".a b", ".a.1.2"] {
            assert!(id("name", &format!("deadLetters/{exec}{step}")).is_err(), "{step}");
        }
        assert_eq!(LetterId::from_bytes(&[0; 16]), None);
    }

    #[test]
    fn limits_hold() {
        assert_eq!(batch_limit(0).unwrap(), 100);
        assert!(batch_limit(1_001).is_err() && batch_limit(-1).is_err());
        assert!(top(101).is_err() && top(-1).is_err());
        assert!(batch_filter(" ").is_err());
        assert!(older_than(Some(&Span { seconds: -1, nanos: 0 })).is_err());
        assert_eq!(age(None).unwrap(), Duration::from_hours(24));
        assert_eq!(step_name(&Slot { step: "a".into(), item: Some(3) }), "a[3]");
    }

    #[test]
    fn a_pattern_selects_itself() {
        let shared = Shared {
            template: "no \"…\" in a\\b *".into(),
            code: "X-1".into(),
            count: 1,
            first: probity_types::Micros(0),
            last: probity_types::Micros(0),
        };
        let filter = pattern(shared).filter;
        let predicate = crate::store::predicate(crate::store::letter_schema(), &filter).unwrap();
        let row = |field: &str| {
            Some(probity_filter::Bind::from(if field == "code" { "X-1" } else { "no \"…\" in a\\b *" }))
        };
        assert!(predicate.matches(&row), "{filter}");
    }
}
