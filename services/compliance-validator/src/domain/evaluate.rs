//! Runs one policy on one case and reads what it says.
//!
//! Panics are caught, time is limited, and whatever the policy answers is cut to
//! a bounded size. A malformed part of an answer never hides a well-formed one:
//! a denial stands even if the entry beside it cannot be read.

use super::compile::Output;
use super::{Case, Compiled, Decision, Entry, PolicyError, Trouble, Verdict};
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use std::any::Any;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Expressions between two looks at the clock.
const CHECK_EVERY: NonZeroU32 = NonZeroU32::new(16).unwrap();
/// Most entries of one output; a note says how many more there were.
pub const MAX_ENTRIES: usize = 200;
/// Longest identifier of a rule, in characters.
const MAX_RULE: usize = 100;
/// Longest message, in characters.
const MAX_MESSAGE: usize = 1_000;

/// The document policies read as `input`.
///
/// # Errors
/// When the case has no document, which is a mistake of ours.
pub fn input(case: &Case) -> Result<Value, PolicyError> {
    Value::from_json_str(&case.document())
        .map_err(|e| PolicyError::whole(format!("the case cannot be read: {e}")))
}

impl Compiled {
    /// Evaluates the policy. All its outputs together may take `limit`.
    #[must_use]
    pub fn evaluate(&self, input: &Value, limit: Duration) -> Verdict {
        let started = Instant::now();
        let mut verdict = Verdict::default();
        let mut engine = self.engine.clone();
        engine.set_input(input.clone());
        for (output, path) in &self.outputs {
            let left = limit.saturating_sub(started.elapsed());
            match run(&mut engine, path, left) {
                Ok(value) => read(*output, &value, &mut verdict),
                Err(trouble) => {
                    // After a panic the engine is in no state to go on, and
                    // after a time-out there is no time left.
                    verdict.troubles.push(trouble.with_limit(limit));
                    break;
                }
            }
        }
        verdict
    }
}

fn run(engine: &mut Engine, path: &str, left: Duration) -> Result<Value, Trouble> {
    if left.is_zero() {
        return Err(Trouble::Timeout { limit: left });
    }
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: left, check_interval: CHECK_EVERY });
    let result = catch_unwind(AssertUnwindSafe(|| engine.eval_rule(path.to_owned())));
    let result = result.map_err(|panic| Trouble::Panicked { message: panic_text(panic.as_ref()) })?;
    result.map_err(|error| failure(&error, left))
}

fn failure(error: &anyhow::Error, limit: Duration) -> Trouble {
    let message = format!("{error:#}");
    // Errors inside functions arrive as text alone.
    if message.contains("execution exceeded time limit") {
        return Trouble::Timeout { limit };
    }
    Trouble::Failed(PolicyError::from_message(&message))
}

/// What a panic said, as far as it said anything.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(ToOwned::to_owned);
    let text =
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned());
    cut(&text, 200)
}

fn read(output: Output, value: &Value, verdict: &mut Verdict) {
    match (output, value) {
        (_, Value::Undefined) => {}
        (Output::Deny, value) => entries(output, Decision::Deny, value, verdict),
        (Output::Review, value) => entries(output, Decision::Review, value, verdict),
        (Output::Note, value) => entries(output, Decision::Allow, value, verdict),
        (Output::FourEyes, Value::Bool(four_eyes)) => verdict.four_eyes = *four_eyes,
        (Output::FourEyes, other) => wrong(verdict, format!("`four_eyes` is {}, not a boolean", sort(other))),
        (Output::Actions, value) => actions(value, verdict),
    }
}

fn entries(output: Output, decision: Decision, value: &Value, verdict: &mut Verdict) {
    let name = output.as_str();
    let Value::Set(set) = value else {
        return wrong(verdict, format!("`{name}` is {}, not a set", sort(value)));
    };
    for item in set.iter().take(MAX_ENTRIES) {
        match (text(item, "rule"), text(item, "message")) {
            (Some(rule), Some(message)) => verdict.entries.push(Entry {
                decision,
                rule: cut(rule, MAX_RULE),
                message: cut(message, MAX_MESSAGE),
            }),
            _ => wrong(
                verdict,
                format!("an entry of `{name}` is no object with the texts `rule` and `message`"),
            ),
        }
    }
    if let Some(more) = set.len().checked_sub(MAX_ENTRIES).filter(|more| *more > 0) {
        let message = format!("and {more} more entries of `{name}`");
        verdict.entries.push(Entry { decision, rule: "more".to_owned(), message });
    }
}

fn actions(value: &Value, verdict: &mut Verdict) {
    let Value::Set(set) = value else {
        return wrong(verdict, format!("`actions` is {}, not a set", sort(value)));
    };
    for item in set.iter().take(MAX_ENTRIES) {
        match item {
            Value::String(action) => verdict.actions.push(cut(action, MAX_RULE)),
            other => wrong(verdict, format!("an entry of `actions` is {}, not a text", sort(other))),
        }
    }
    if set.len() > MAX_ENTRIES {
        wrong(verdict, format!("`actions` has {} entries", set.len()));
    }
}

/// One reason for each way of being wrong is enough.
fn wrong(verdict: &mut Verdict, what: String) {
    let trouble = Trouble::Shape(what);
    if !verdict.troubles.contains(&trouble) {
        verdict.troubles.push(trouble);
    }
}

/// A field that is a text with something in it.
fn text<'v>(item: &'v Value, field: &str) -> Option<&'v str> {
    let Value::Object(object) = item else { return None };
    match object.get(&Value::from(field)) {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}

const fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Set(_) => "a set",
        Value::Object(_) => "an object",
        Value::Undefined => "undefined",
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
