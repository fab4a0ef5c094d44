//! What owners and workers of tasks call, wherever the queue is.

use crate::scheduler::MAX_CREDITS;
use crate::task::{MAX_TENANT_NAME, check_queue_name, check_text};
use crate::{Error, Held, Lease, Offered, Policy, Refusal, Standing, Stats, Task, TaskId};
use futures::future::BoxFuture;
use probity_types::Micros;
use std::sync::Arc;
use std::time::Duration;

/// The most items in one call.
pub const MAX_BATCH: usize = 1_000;
/// The most queues one call takes from.
pub const MAX_QUEUES: usize = 100;
/// The longest a call waits for a task; a longer wish is cut to it.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
/// How often a waiting call looks again although nothing woke it.
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// What a call answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// A worker's wish for tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// Of which queues; 1 to 100.
    pub queues: Vec<Arc<str>>,
    /// How many at most; more than 1,000 are not given at once.
    pub credits: usize,
    /// Who asks; 1 to 128 bytes.
    pub worker: Arc<str>,
    /// How long to wait when there is none; at most a minute.
    pub wait: Duration,
}

impl Take {
    /// A wish for up to `credits` tasks of one queue that does not wait.
    pub fn now(queue: impl Into<Arc<str>>, credits: usize, worker: impl Into<Arc<str>>) -> Self {
        Self { queues: vec![queue.into()], credits, worker: worker.into(), wait: Duration::ZERO }
    }

    /// The same, waiting for the first task.
    #[must_use]
    pub const fn waiting(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Checks names and numbers.
    ///
    /// # Errors
    /// [`Error::Request`] or [`Error::Batch`].
    pub fn check(&self) -> Result<(), Error> {
        check_text("worker", &self.worker, MAX_TENANT_NAME)?;
        check_batch_of(self.queues.len(), MAX_QUEUES)?;
        self.queues.iter().try_for_each(|queue| check_queue_name(queue))?;
        Ok(())
    }

    pub(crate) fn credits(&self) -> usize {
        self.credits.min(MAX_CREDITS)
    }
}

/// A task given back by its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Which, under which lease.
    pub held: Held,
    /// When it is ready again; at once when absent or past.
    pub not_before: Option<Micros>,
}

/// A queue of tasks that are ready to be done.
///
/// It is a queue and nothing else: the owner of the tasks keeps them in its
/// database and can offer them all again when the queue has lost its memory. So
/// every call may be repeated, and a call that failed may have been carried out.
///
/// Answers of batches are in the order of the batch. A batch is at most
/// [`MAX_BATCH`] items; a larger one is refused whole with [`Error::Batch`].
pub trait ReadyQueue: Send + Sync {
    /// Takes tasks in. What is open already (same id, or same unique key of the
    /// same tenant and queue) stays as it is.
    fn offer(&self, tasks: Vec<Task>) -> Answer<'_, Vec<Result<Offered, Refusal>>>;

    /// Gives tasks to a worker, each under a lease. Waits until there is one or
    /// the wait is over; then the answer is empty. Tasks whose lease ran out are
    /// ready again before the look. A call that is dropped while it waits takes
    /// nothing with it; one that is dropped when the answer is on its way may have
    /// taken tasks, which come back when their leases run out.
    fn take(&self, wish: Take) -> Answer<'_, Vec<Lease>>;

    /// Signs of life: each lease lasts as long again from now; answers until when,
    /// or nothing when it is not the newest lease of an open task.
    fn extend(&self, held: Vec<Held>) -> Answer<'_, Vec<Option<Micros>>>;

    /// These are done and leave the queue; false for each that is not held under
    /// the newest lease any more.
    fn finish(&self, held: Vec<Held>) -> Answer<'_, Vec<bool>>;

    /// These are given back; false for each that is not held under the newest
    /// lease any more.
    fn release(&self, released: Vec<Release>) -> Answer<'_, Vec<bool>>;

    /// Takes open tasks out, also those that a worker has; false for each that is
    /// not open in this queue.
    fn cancel(&self, queue: Arc<str>, ids: Vec<TaskId>) -> Answer<'_, Vec<bool>>;

    /// Gives a queue its rules.
    fn configure(&self, queue: Arc<str>, policy: Policy) -> Answer<'_, ()>;

    /// Stops a queue from giving out tasks, or lets it go on. It is part of what
    /// the queue may lose: an owner that offers its tasks again pauses again first.
    fn pause(&self, queue: Arc<str>, paused: bool) -> Answer<'_, ()>;

    /// Where a task stands; nothing when it is not open in this queue.
    fn standing(&self, queue: Arc<str>, id: TaskId) -> Answer<'_, Option<Standing>>;

    /// The figures of a queue.
    fn stats(&self, queue: Arc<str>) -> Answer<'_, Stats>;

    /// The queues in use, in order of their names.
    fn queues(&self) -> Answer<'_, Vec<Arc<str>>>;

    /// A mark of the queue's memory: when it differs from the last one seen, the
    /// queue may have lost tasks, and the owner offers its open tasks again.
    fn incarnation(&self) -> Answer<'_, u64>;
}

/// Refuses a batch that is too large.
pub(crate) fn check_batch<T>(items: &[T]) -> Result<(), Error> {
    check_batch_of(items.len(), MAX_BATCH)
}

const fn check_batch_of(given: usize, limit: usize) -> Result<(), Error> {
    if given > limit { Err(Error::Batch { given, limit }) } else { Ok(()) }
}
