//! An orderly end: what was begun is finished, what was promised is kept, and it
//! does not take for ever.
//!
//! serving → draining → stopped, in these steps:
//! 1. not ready (load balancers look elsewhere), for `lead` if they need that;
//! 2. listeners stop accepting ([`Shutdown::accepting`]) and tell their connections;
//! 3. calls in flight finish ([`TrackLayer`]), and those that connections bring
//!    before their callers have heard; streams that go on by themselves are ended
//!    after a grace time;
//! 4. background work stops ([`Shutdown::background`]); from here on calls are refused
//!    ([`Shutdown::answers`]);
//! 5. hooks run, the last registered first ([`Shutdown::on_stop`]): a store opened
//!    first is closed last.
//!
//! It begins with a signal, with [`Shutdown::begin`], or with a panic of background
//! work: a process whose relay is gone looks healthy and is not, so it ends in
//! order and its supervisor starts it anew. A panic of a call is answered and is
//! no reason to end.
//!
//! **Architecture invariant:** a process that ends in order costs no caller a failed
//! call. It refuses nothing while anybody may still come to it.
//!
//! Every step has a share of the limit, so that a call that hangs cannot keep the
//! hooks from running. A second signal ends it at once.
//!
//! Deliberately absent: leaving the process. [`Shutdown::run`] says how it ended,
//! `main` decides what to do about it, and tests need no real signals.

mod signals;
mod track;

pub use signals::{Signal, signals};
pub use track::{InFlight, TrackLayer, TrackService};

use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _};
use parking_lot::Mutex;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where in its life a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Ready for work.
    Serving,
    /// Finishing what was begun; not ready.
    Draining,
    /// Done.
    Stopped,
}

/// How long an orderly end may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All of it.
    pub total: Duration,
    /// How long to be not ready before listeners close.
    pub lead: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: Duration::from_secs(30), lead: Duration::ZERO }
    }
}

/// What an orderly end left undone; all empty when it was clean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Calls that did not finish in their time.
    pub calls: usize,
    /// Background tasks that did not stop in their time.
    pub tasks: usize,
    /// Hooks that failed, panicked or did not finish in their time.
    pub hooks: Vec<&'static str>,
    /// Background work that panicked.
    pub panicked: Vec<&'static str>,
}

impl Report {
    /// True when nothing was left undone.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All steps were taken.
    Finished(Report),
    /// A second signal cut it short.
    Forced(Signal),
}

type Hook = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), String>> + Send>;

/// The life of a process; clones are the same one.
#[derive(Clone)]
pub struct Shutdown(Arc<Inner>);

struct Inner {
    limits: Limits,
    state: watch::Sender<State>,
    asked: CancellationToken,
    accepting: CancellationToken,
    end_streams: CancellationToken,
    background: CancellationToken,
    calls: TaskTracker,
    listeners: TaskTracker,
    tasks: TaskTracker,
    hooks: Mutex<Vec<(&'static str, Hook)>>,
    panicked: Mutex<Vec<&'static str>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Shutdown {
    /// A process that serves.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            limits,
            state: watch::Sender::new(State::Serving),
            asked: CancellationToken::new(),
            accepting: CancellationToken::new(),
            end_streams: CancellationToken::new(),
            background: CancellationToken::new(),
            calls: TaskTracker::new(),
            listeners: TaskTracker::new(),
            tasks: TaskTracker::new(),
            hooks: Mutex::default(),
            panicked: Mutex::default(),
        }))
    }

    /// Where it is now.
    #[must_use]
    pub fn state(&self) -> State {
        *self.0.state.borrow()
    }

    /// Follows the state.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// Asks for the end, as a signal would.
    pub fn begin(&self) {
        self.0.asked.cancel();
    }

    /// Cancelled when listeners shall stop accepting and finish what they have.
    #[must_use]
    pub fn accepting(&self) -> CancellationToken {
        self.0.accepting.clone()
    }

    /// Runs a listener, which ends with its last connection after
    /// [`Shutdown::accepting`]. It is waited for a while: a caller who has not heard
    /// yet that the connection ends may send a call over it.
    pub fn listen(&self, listener: impl Future<Output = ()> + Send + 'static) {
        self.0.listeners.spawn(listener);
    }

    /// Whether calls are answered: until what answers them is about to stop.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.state() != State::Stopped && !self.0.background.is_cancelled()
    }

    /// Cancelled when background work shall stop.
    #[must_use]
    pub fn background(&self) -> CancellationToken {
        self.0.background.clone()
    }

    /// Runs background work that is told to stop after the last call and waited
    /// for. Should it panic, the process ends in order.
    pub fn spawn<F, O>(&self, name: &'static str, work: F)
    where
        F: FnOnce(CancellationToken) -> O,
        O: Future<Output = ()> + Send + 'static,
    {
        let (future, shutdown) = (work(self.background()), self.clone());
        self.0.tasks.spawn(async move {
            match AssertUnwindSafe(future).catch_unwind().await {
                Ok(()) => tracing::debug!(name, "background work ended"),
                Err(_panic) => shutdown.panicked(name),
            }
        });
    }

    /// The text of the panic has gone to the panic hook already.
    fn panicked(&self, name: &'static str) {
        tracing::error!(name, "background work panicked: ending in order");
        self.0.panicked.lock().push(name);
        self.begin();
    }

    /// Counts a piece of work that must finish, until the guard is dropped.
    pub fn track(&self) -> InFlight {
        InFlight::new(self.0.calls.token())
    }

    /// Calls in flight now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.calls.len()
    }

    /// Adds something to do at the very end. Hooks run one after the other, the
    /// last one added first.
    pub fn on_stop<F, O>(&self, name: &'static str, hook: F)
    where
        F: FnOnce() -> O + Send + 'static,
        O: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.0.hooks.lock().push((name, Box::new(move || Box::pin(hook()))));
    }

    /// Serves until a signal or [`Shutdown::begin`], then ends in order. A second
    /// signal makes it return at once.
    pub async fn run(&self, signals: impl Stream<Item = Signal> + Send) -> Outcome {
        // A stream of signals that ends sends no more; it does not ask for the end.
        let mut signals = std::pin::pin!(signals.chain(futures::stream::pending()));
        tokio::select! {
            () = self.0.asked.cancelled() => tracing::info!("asked to stop"),
            signal = signals.next() => tracing::info!(?signal, "asked to stop"),
        }
        tokio::select! {
            report = self.finish() => Outcome::Finished(report),
            Some(signal) = signals.next() => {
                tracing::warn!(?signal, in_flight = self.in_flight(), "asked to stop again: ending at once");
                self.0.state.send_replace(State::Stopped);
                Outcome::Forced(signal)
            }
        }
    }

    async fn finish(&self) -> Report {
        let begun = Instant::now();
        self.0.asked.cancel();
        self.0.state.send_replace(State::Draining);
        tokio::time::sleep(self.0.limits.lead.min(self.0.limits.total / 3)).await;
        self.0.accepting.cancel();
        let calls = self.drain(begun).await;
        self.0.background.cancel();
        let tasks = emptied(&self.0.tasks, begun + self.share(5)).await;
        let hooks = self.run_hooks(begun + self.share(6)).await;
        self.0.state.send_replace(State::Stopped);
        let panicked = std::mem::take(&mut *self.0.panicked.lock());
        let report = Report { calls, tasks, hooks, panicked };
        let took = begun.elapsed();
        if report.is_clean() {
            tracing::info!(?took, "stopped");
        } else {
            tracing::warn!(?took, calls, tasks, hooks = ?report.hooks, panicked = ?report.panicked, "stopped with work undone");
        }
        report
    }

    /// The time by which a step is over: sixths of the whole. Calls have four,
    /// streams one of them after the lead, background work one more, hooks the last.
    fn share(&self, sixths: u32) -> Duration {
        self.0.limits.total / 6 * sixths
    }

    async fn drain(&self, begun: Instant) -> usize {
        let over = begun + self.share(4);
        let soon = || (Instant::now() + self.share(1)).min(over);
        let left = emptied(&self.0.calls, soon()).await;
        self.0.end_streams.cancel();
        if left > 0 {
            emptied(&self.0.calls, over).await;
        }
        emptied(&self.0.listeners, soon()).await;
        emptied(&self.0.calls, over).await
    }

    async fn run_hooks(&self, until: Instant) -> Vec<&'static str> {
        let mut undone = Vec::new();
        let hooks = std::mem::take(&mut *self.0.hooks.lock());
        for (name, hook) in hooks.into_iter().rev() {
            // A task of its own: a hook that panics must not take the others along.
            let mut task = tokio::spawn(hook());
            let failure = match timeout_at(until, &mut task).await {
                Ok(Ok(Ok(()))) => continue,
                Ok(Ok(Err(reason))) => reason,
                Ok(Err(panic)) => panic.to_string(),
                Err(_) => "no time left".to_owned(),
            };
            task.abort();
            tracing::error!(hook = name, failure, "stop hook failed");
            undone.push(name);
        }
        undone
    }
}

/// Waits until nothing is tracked; returns what is left when the time is over.
async fn emptied(tracker: &TaskTracker, until: Instant) -> usize {
    tracker.close();
    let _ = timeout_at(until, tracker.wait()).await;
    tracker.len()
}

#[cfg(test)]
mod tests;
