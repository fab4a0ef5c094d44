//! The one writer of a store: group commit by natural batching.
//!
//! Operations wait in a queue; the writer takes everything that gathered while
//! the last transaction ran and commits it as one. Each operation of a group has
//! a savepoint, so one that fails takes nothing with it; nobody is answered
//! before the commit. There is no timer: a lone operation commits at once.
//!
//! **Architecture invariant:** an operation that was taken runs to its end,
//! whether its caller still waits or not.

use crate::conn::{Connector, Role};
use crate::lock::FileLock;
use crate::{Backend, Error, Tx};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// On PostgreSQL more savepoints than this in a transaction slow down every
/// other connection (its table of sub-transactions overflows).
const MAX_POSTGRES_BATCH: usize = 64;

/// An operation in the queue, whatever its types.
pub(crate) trait Job: Send {
    /// Runs it; the outcome waits for the commit.
    fn run(self: Box<Self>, tx: &mut Tx, limit: Duration) -> BoxFuture<'_, Box<dyn Outcome>>;
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
            let Self { op, answer } = *self;
            let guarded = AssertUnwindSafe(async { op(&mut *tx).await }).catch_unwind();
            let result = match tokio::time::timeout(limit, guarded).await {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => Err(panicked(panic.as_ref()).into()),
                Err(_) => {
                    tx.give_up();
                    Err(Error::Timeout { database: Arc::clone(tx.database()), limit }.into())
                }
            };
            let result = match (result, tx.take_failure()) {
                (Ok(_), Some(failure)) => Err(Error::Ignored { source: Arc::new(failure) }.into()),
                (result, _) => result,
            };
            Box::new(Answer { result, answer }) as Box<dyn Outcome>
        })
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

fn broken_pipe() -> Arc<sqlx::Error> {
    Arc::new(sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into()))
}

/// Counters of the writer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) operations: AtomicU64,
    pub(crate) transactions: AtomicU64,
}

/// The task that owns the writing connection.
pub(crate) struct Writer {
    pub(crate) connector: Connector,
    pub(crate) queue: mpsc::Receiver<Box<dyn Job>>,
    pub(crate) tx: Option<Tx>,
    pub(crate) max_batch: usize,
    pub(crate) limit: Duration,
    pub(crate) appended: Arc<Notify>,
    pub(crate) closing: Arc<Notify>,
    pub(crate) done: watch::Sender<bool>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) lock: Option<FileLock>,
}

impl Writer {
    /// Runs until every handle is gone or the store is closed, and the queue is empty.
    pub(crate) async fn run(mut self) {
        let max_batch = match self.connector.backend() {
            Backend::Sqlite => self.max_batch,
            Backend::Postgres => self.max_batch.min(MAX_POSTGRES_BATCH),
        };
        let closing = Arc::clone(&self.closing);
        let mut jobs = Vec::with_capacity(max_batch);
        loop {
            let taken = tokio::select! {
                biased;
                () = closing.notified() => {
                    self.queue.close();
                    continue;
                }
                taken = self.queue.recv_many(&mut jobs, max_batch) => taken,
            };
            if taken == 0 {
                break;
            }
            self.batch(std::mem::take(&mut jobs)).await;
        }
        if let Some(tx) = self.tx.take() {
            tx.close().await;
        }
        drop(self.lock.take());
        self.done.send_replace(true);
    }

    /// One transaction with all these operations.
    async fn batch(&mut self, jobs: Vec<Box<dyn Job>>) {
        let mut tx = match self.connected().await {
            Ok(tx) => tx,
            Err(error) => return self.refuse_all(jobs, &error),
        };
        let mut kept = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter();
        let stored = self.transaction(&mut tx, &mut jobs, &mut kept).await;
        if let Err(error) = &stored {
            tracing::warn!(database = %tx.database(), operations = kept.len(), %error, "a transaction was lost");
        }
        self.put_back(tx, stored.is_err()).await;
        let stored = stored.map(|events| self.count(kept.len(), events));
        for job in jobs {
            job.refuse(stored.clone().err().unwrap_or_else(|| self.closed()));
        }
        for outcome in kept {
            outcome.settle(stored.clone());
        }
    }

    /// Runs the operations and commits. On an error nothing is stored, and the
    /// operations that did not run are still in `jobs`.
    async fn transaction(
        &self,
        tx: &mut Tx,
        jobs: &mut std::vec::IntoIter<Box<dyn Job>>,
        kept: &mut Vec<Box<dyn Outcome>>,
    ) -> Result<usize, Error> {
        let several = jobs.len() > 1;
        tx.begin(several).await?;
        while let Some(job) = jobs.next() {
            let outcome = job.run(tx, self.limit).await;
            let ok = outcome.is_ok();
            if ok {
                kept.push(outcome);
            } else {
                outcome.settle(Ok(()));
            }
            if tx.is_broken() {
                return Err(self.broken());
            }
            match (ok, several) {
                (true, true) if jobs.len() > 0 => tx.keep().await?,
                (false, true) => tx.undo().await?,
                _ => {}
            }
        }
        if kept.is_empty() {
            return tx.roll_back().await.map(|()| 0);
        }
        // Whoever loses the connection here cannot know what the other side did.
        tx.commit().await.map_err(|error| match error {
            Error::Unavailable { database, source } => Error::OutcomeUnknown { database, source },
            Error::Timeout { database, .. } => Error::OutcomeUnknown { database, source: broken_pipe() },
            other => other,
        })
    }

    fn broken(&self) -> Error {
        Error::Unavailable { database: Arc::clone(self.connector.database()), source: broken_pipe() }
    }

    fn closed(&self) -> Error {
        Error::Closed { database: Arc::clone(self.connector.database()) }
    }

    async fn connected(&mut self) -> Result<Tx, Error> {
        match self.tx.take() {
            Some(tx) => Ok(tx),
            None => Ok(Tx::new(self.connector.connect(Role::Writer).await?, self.limit)),
        }
    }

    /// Keeps the connection unless its state is unknown.
    async fn put_back(&mut self, mut tx: Tx, lost: bool) {
        if !tx.is_broken() && (!lost || tx.roll_back().await.is_ok()) {
            self.tx = Some(tx);
        }
    }

    fn count(&self, operations: usize, events: usize) {
        self.counters.transactions.fetch_add(1, Ordering::Relaxed);
        self.counters.operations.fetch_add(operations as u64, Ordering::Relaxed);
        if events > 0 {
            self.appended.notify_one();
        }
    }

    /// The database is away: nobody in the queue should wait for another try each.
    fn refuse_all(&mut self, jobs: Vec<Box<dyn Job>>, error: &Error) {
        let mut refused = jobs.len();
        jobs.into_iter().for_each(|job| job.refuse(error.clone()));
        while let Ok(job) = self.queue.try_recv() {
            job.refuse(error.clone());
            refused += 1;
        }
        tracing::warn!(refused, %error, "writes were refused");
    }
}
