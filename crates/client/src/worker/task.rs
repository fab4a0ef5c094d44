//! What a handler gets and what it gives.

use bytes::Bytes;
use probity_proto::orchestrator::{TaskFailure, WorkerTask};
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::time::{Duration, SystemTime};

/// Longest code of a failure.
const LONGEST_CODE: usize = 64;
/// Longest message of a failure.
const LONGEST_MESSAGE: usize = 2_000;

/// A task to do.
#[derive(Debug, Clone)]
pub struct Task(WorkerTask);

impl Task {
    pub(super) const fn new(task: WorkerTask) -> Self {
        Self(task)
    }

    /// Its input, read as a type.
    ///
    /// # Errors
    /// A permanent failure `INPUT_WRONG` when it does not fit: another attempt
    /// would meet the same input.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let json = if self.0.input.is_empty() { b"null".as_slice() } else { &self.0.input };
        serde_json::from_slice(json).map_err(|error| {
            Failure::new("INPUT_WRONG", format!("the input does not fit: {error}")).permanent()
        })
    }

    /// Its input as JSON text, every digit as it was given.
    #[must_use]
    pub const fn input_json(&self) -> &Bytes {
        &self.0.input
    }

    /// What to do, as the definition says.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.r#type
    }

    /// The queue it came from.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.0.queue
    }

    /// The same for every attempt. An effect outside must happen at most once per
    /// key: give it to whoever you call.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.0.idempotency_key
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub const fn attempt(&self) -> i32 {
        self.0.attempt
    }

    /// The execution it belongs to, `executions/<id>`.
    #[must_use]
    pub fn execution(&self) -> &str {
        &self.0.execution
    }

    /// The step of the execution.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.0.step
    }

    /// The tenant it is done for.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.0.tenant
    }

    /// How urgent it is: 1 (low) to 4 (critical).
    #[must_use]
    pub const fn priority(&self) -> i32 {
        self.0.priority
    }

    /// When a result is of no use any more.
    #[must_use]
    pub fn deadline(&self) -> Option<SystemTime> {
        self.0.deadline.and_then(|time| SystemTime::try_from(time).ok())
    }

    /// The W3C trace context of the execution, empty when it is not traced.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        &self.0.traceparent
    }
}

/// Why a task could not be done. Any error becomes one with `?`, under the code
/// `FAILED`, to be tried again as the definition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: String,
    message: String,
    permanent: bool,
    retry_after: Duration,
}

impl Failure {
    /// A failure that another attempt may cure. The code is a stable word for
    /// programs, such as `SUPPLIER_UNKNOWN`, 64 characters at most; the message is
    /// for people, 2,000 at most. What is longer is cut.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Display) -> Self {
        Self {
            code: cut(code.into(), LONGEST_CODE),
            message: cut(message.to_string(), LONGEST_MESSAGE),
            permanent: false,
            retry_after: Duration::ZERO,
        }
    }

    /// No other attempt can help: the step's `on_error` applies at once.
    #[must_use]
    pub const fn permanent(mut self) -> Self {
        self.permanent = true;
        self
    }

    /// Not to be tried again before this long.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = wait;
        self
    }

    pub(super) fn into_proto(self) -> TaskFailure {
        TaskFailure {
            code: self.code,
            message: self.message,
            permanent: self.permanent,
            retry_after_ms: i64::try_from(self.retry_after.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// Deliberately no error itself: that is what lets every error become one.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new("FAILED", error)
    }
}

fn cut(mut text: String, longest: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(longest) {
        text.truncate(at);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_the_handler_said() {
        let check = |failure: Failure, expect: (&str, &str, bool, i64)| {
            let told = failure.into_proto();
            let got = (&*told.code, &*told.message, told.permanent, told.retry_after_ms);
            assert_eq!(got, expect);
        };
        check(Failure::new("A", "b"), ("A", "b", false, 0));
        check(Failure::new("A", "b").permanent(), ("A", "b", true, 0));
        check(Failure::new("A", "b").retry_after(Duration::from_secs(2)), ("A", "b", false, 2_000));
        check(std::io::Error::other("gone").into(), ("FAILED", "gone", false, 0));
        let long = Failure::new("é".repeat(65), "é".repeat(2_001)).into_proto();
        assert_eq!((long.code.chars().count(), long.message.chars().count()), (64, 2_000));
    }

    #[test]
    fn inputs_are_read_as_types() {
        let check = |input: &'static str, expect: Option<Option<u64>>| {
            let task = Task::new(WorkerTask { input: input.into(), ..Default::default() });
            let got = task.input::<Option<u64>>();
            assert_eq!(got.clone().ok(), expect, "{input}");
            assert!(got.is_ok() || got.is_err_and(|failure| failure.permanent));
        };
        check("7", Some(Some(7)));
        check("null", Some(None));
        check("", Some(None));
        check("\"7\"", None);
        check("{", None);
    }
}
