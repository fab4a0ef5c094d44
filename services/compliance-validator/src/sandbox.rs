//! Threads for work that may not come back.
//!
//! The interpreter looks at the clock between expressions, not inside a
//! function, and a thread cannot be stopped from outside. So policies run on a
//! few threads of their own: one that does not come back in time is given up, its
//! thread is counted as stuck and replaced, and at most so many may be stuck at
//! once. **Not here:** anything about policies.

use crate::domain::evaluate::panic_text;
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How many threads, how large, how many may be lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Threads at work at once.
    pub(crate) workers: usize,
    /// Stack of each in bytes.
    pub(crate) stack_bytes: usize,
    /// Most threads lost at once.
    pub(crate) max_stuck: usize,
    /// How long a job waits for a thread.
    pub(crate) queue_wait: Duration,
}

/// Why a job has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lost {
    /// No thread became free in time; nothing was run.
    Busy,
    /// It did not come back in time.
    Stuck,
    /// It panicked.
    Panicked(String),
}

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is dropped, as soon as they are idle.
#[derive(Debug, Clone)]
pub(crate) struct Sandbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    idle: Mutex<Vec<Sender<Job>>>,
    places: Arc<Semaphore>,
    stuck: AtomicUsize,
}

/// A job is running until either side says otherwise; the first one to speak
/// decides who cleans up.
struct State(AtomicU8);

const RUNNING: u8 = 0;
const DONE: u8 = 1;
const GIVEN_UP: u8 = 2;
const GIVEN_UP_WITHOUT_REPLACEMENT: u8 = 3;

impl Sandbox {
    /// Threads are started when they are first needed.
    #[must_use]
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            limits,
            idle: Mutex::new(Vec::new()),
            places: Arc::new(Semaphore::new(limits.workers)),
            stuck: AtomicUsize::new(0),
        }))
    }

    /// How many threads are stuck.
    #[must_use]
    pub(crate) fn stuck(&self) -> usize {
        self.0.stuck.load(Ordering::Acquire)
    }

    /// True when no more threads may be lost: work nobody has tried before
    /// should wait.
    #[must_use]
    pub(crate) fn is_worn(&self) -> bool {
        self.stuck() >= self.0.limits.max_stuck.max(1)
    }

    /// Runs a job and waits for it at most `patience`.
    ///
    /// The caller must not be cancelled meanwhile, or a stuck thread would go
    /// unnoticed: call it from a task of its own.
    ///
    /// # Errors
    /// Why there is no result.
    pub(crate) async fn run<T, F>(&self, patience: Duration, job: F) -> Result<T, Lost>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let place = self.place().await?;
        let worker = self.worker()?;
        let state = Arc::new(State(AtomicU8::new(RUNNING)));
        let (answer, mut answered) = oneshot::channel();
        let (inner, shared) = (Arc::clone(&self.0), Arc::clone(&state));
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(job));
            // Nobody listens any more when the job was given up.
            let _ = answer.send(result.map_err(|panic| panic_text(panic.as_ref())));
            inner.finished(&shared);
        };
        worker.send(Box::new(run)).map_err(|_| Lost::Busy)?;
        let result = match tokio::time::timeout(patience, &mut answered).await {
            Ok(result) => result,
            Err(_) if self.give_up(&state) => {
                self.replace(place, &state);
                return Err(Lost::Stuck);
            }
            // It came back in this very moment.
            Err(_) => answered.await,
        };
        self.0.idle.lock().push(worker);
        drop(place);
        let result = result.map_err(|_| Lost::Panicked("the thread ended".to_owned()))?;
        result.map_err(Lost::Panicked)
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Lost> {
        let place = Arc::clone(&self.0.places).acquire_owned();
        match tokio::time::timeout(self.0.limits.queue_wait, place).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Lost::Busy),
        }
    }

    fn worker(&self) -> Result<Sender<Job>, Lost> {
        if let Some(worker) = self.0.idle.lock().pop() {
            return Ok(worker);
        }
        let (jobs, waiting) = channel::<Job>();
        let thread = thread::Builder::new().name("policy".to_owned()).stack_size(self.0.limits.stack_bytes);
        let started = thread.spawn(move || waiting.into_iter().for_each(|job| job()));
        match started {
            Ok(_) => Ok(jobs),
            Err(error) => {
                tracing::error!(%error, "no thread for policies can be started");
                Err(Lost::Busy)
            }
        }
    }

    fn give_up(&self, state: &State) -> bool {
        let given_up =
            state.0.compare_exchange(RUNNING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if given_up {
            let stuck = self.0.stuck.fetch_add(1, Ordering::AcqRel) + 1;
            tracing::error!(stuck, "a policy does not stop; its thread is given up");
        }
        given_up
    }

    /// Lets another thread take the place, unless too many are lost already:
    /// then the place comes back with the thread.
    fn replace(&self, place: OwnedSemaphorePermit, state: &State) {
        if self.stuck() <= self.0.limits.max_stuck {
            return drop(place);
        }
        let kept = GIVEN_UP_WITHOUT_REPLACEMENT;
        if state.0.compare_exchange(GIVEN_UP, kept, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            place.forget();
        }
    }
}

impl Inner {
    /// A job came back, perhaps after it was given up.
    fn finished(&self, state: &State) {
        match state.0.swap(DONE, Ordering::AcqRel) {
            RUNNING => return,
            GIVEN_UP_WITHOUT_REPLACEMENT => self.places.add_permits(1),
            _ => {}
        }
        self.stuck.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
