//! An operation on its way through the writer: queued, run, answered.

use crate::{Error, Tx};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// An operation in the queue, whatever its types.
pub(crate) trait Job: Send {
    /// Runs it; the outcome waits for the commit.
    fn run(self: Box<Self>, tx: &mut Tx, limit: Duration) -> BoxFuture<'_, Box<dyn Outcome>>;
    /// True when it is one statement and nothing else.
    fn is_single(&self) -> bool;
    /// Answers without running it.
    fn refuse(self: Box<Self>, error: Error);
}

/// An operation that has run and not been answered.
pub(crate) trait Outcome: Send {
    /// True when it is to be stored.
    fn is_ok(&self) -> bool;
    /// Answers: the result if it was stored, else why not.
    fn settle(self: Box<Self>, stored: Result<(), Error>);
}

/// An operation and who waits for it.
pub(crate) struct Request<T, E, F> {
    pub(crate) op: F,
    /// The operation is one statement.
    pub(crate) single: bool,
    pub(crate) answer: oneshot::Sender<Result<T, E>>,
}

struct Answer<T, E> {
    result: Result<T, E>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Request<T, E, F>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
{
    fn run(self: Box<Self>, tx: &mut Tx, limit: Duration) -> BoxFuture<'_, Box<dyn Outcome>> {
        Box::pin(async move {
            let Self { op, answer, .. } = *self;
            tx.start_clock();
            let limited = tokio::time::timeout(limit, async { op(&mut *tx).await });
            let result = match AssertUnwindSafe(limited).catch_unwind().await {
                Ok(Ok(result)) => result,
                Err(panic) => Err(panicked(panic.as_ref()).into()),
                Ok(Err(_)) => {
                    tx.give_up();
                    let error = Error::Timeout { database: Arc::clone(tx.database()), limit };
                    Err(tx.told(error).into())
                }
            };
            let result = match (result, tx.take_failure()) {
                (Ok(_), Some(failure)) => Err(Error::Ignored { source: Arc::new(failure) }.into()),
                (result, _) => result,
            };
            Box::new(Answer { result, answer }) as Box<dyn Outcome>
        })
    }

    fn is_single(&self) -> bool {
        self.single
    }

    fn refuse(self: Box<Self>, error: Error) {
        // A caller that went away needs no answer, here and below.
        let _ = self.answer.send(Err(error.into()));
    }
}

impl<T, E> Outcome for Answer<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    fn is_ok(&self) -> bool {
        self.result.is_ok()
    }

    fn settle(self: Box<Self>, stored: Result<(), Error>) {
        let result = match (self.result, stored) {
            (Ok(value), Ok(())) => Ok(value),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), _) => Err(error),
        };
        let _ = self.answer.send(result);
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::Panicked { message: text.unwrap_or("without a message").to_owned() }
}
