//! Doing one task: from the handler to the result as it is sent.

use super::task::{Failure, Task};
use bytes::Bytes;
use probity_proto::orchestrator::TaskResult;
use serde::Serialize;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Largest result in bytes.
pub(super) const LARGEST_RESULT: usize = 1 << 20;

/// What became of a task: its result as JSON, or why there is none.
pub(super) type Outcome = Result<Bytes, Failure>;

type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// How tasks of one type are done.
#[derive(Clone)]
pub(super) struct Handler(Arc<dyn Fn(Task) -> Work + Send + Sync>);

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

impl Handler {
    pub(super) fn new<F, Fut, O>(handler: F) -> Self
    where
        F: Fn(Task) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Failure>> + Send + 'static,
        O: Serialize,
    {
        Self(Arc::new(move |task| {
            let work = handler(task);
            Box::pin(async move { json(&work.await?) })
        }))
    }

    pub(super) fn start(&self, task: Task) -> Work {
        (self.0)(task)
    }
}

fn json<O: Serialize>(output: &O) -> Outcome {
    let json = serde_json::to_vec(output).map_err(|error| {
        Failure::new("RESULT_WRONG", format!("the result has no JSON form: {error}")).permanent()
    })?;
    if json.len() > LARGEST_RESULT {
        let size = json.len();
        let why = format!(
            "the result has {size} bytes; at most {LARGEST_RESULT} are taken: store it and give its name"
        );
        return Err(Failure::new("RESULT_TOO_LARGE", why).permanent());
    }
    Ok(json.into())
}

/// What a panic is told as: a defect of the handler that another attempt, perhaps
/// on another version, may not have.
pub(super) fn panicked() -> Failure {
    Failure::new("PANIC", "the handler panicked; the log of the worker says where")
}

/// The answer to a type of task nobody gave a handler for.
pub(super) fn unknown(kind: &str) -> Failure {
    Failure::new("NO_HANDLER", format!("this worker has no handler for tasks of type {kind:?}"))
}

/// A result as it is sent.
pub(super) fn result(token: Bytes, outcome: Outcome) -> TaskResult {
    match outcome {
        Ok(output) => TaskResult { token, output, failure: None },
        Err(failure) => TaskResult { token, output: Bytes::new(), failure: Some(failure.into_proto()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_proto::orchestrator::WorkerTask;

    async fn code<O: Serialize + Send + 'static>(output: impl Fn() -> O + Send + Sync + 'static) -> String {
        let handler = Handler::new(move |_| std::future::ready(Ok(output())));
        let outcome = handler.start(Task::new(WorkerTask::default())).await;
        match result(Bytes::new(), outcome).failure {
            Some(failure) => failure.code,
            None => "fine".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_a_permanent_failure() {
        assert_eq!(code(|| 7).await, "fine");
        assert_eq!(code(|| "x".repeat(LARGEST_RESULT - 2)).await, "fine");
        assert_eq!(code(|| "x".repeat(LARGEST_RESULT - 1)).await, "RESULT_TOO_LARGE");
        assert_eq!(code(|| std::collections::HashMap::from([((1, 2), 3)])).await, "RESULT_WRONG");
    }
}
