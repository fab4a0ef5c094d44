//! The settings and figures of queues, and which workers serve them.
//!
//! Settings are durable in the store; each replica reads them and gives them to its
//! own board. Limits are therefore counted by each replica on its own, unless the
//! replicas share their tasks.

use super::{Board, Serving, State, Task, mark};
use crate::store::{QueueSettings, Store};
use futures::future::join_all;
use parking_lot::Mutex;
use probity_queue::scheduler::Stats;
use probity_queue::{Policy, Standing};
use probity_types::id::ExecutionId;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Settings that another replica changed are seen after this long.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// What is known of queues beside their tasks.
#[derive(Default)]
pub(super) struct Queues {
    /// By tenant and name. Where the board is held as well, these are held first.
    settings: Mutex<HashMap<(String, String), QueueSettings>>,
    workers: Mutex<HashMap<u64, Serving>>,
    arrivals: std::sync::atomic::AtomicU64,
}

/// A queue's figures: those of all replicas when they share their tasks, else this one's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) stats: Stats,
    pub(crate) workers: usize,
}

/// Where a task of its own stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In its queue.
    Queued,
    /// In its queue; its time has not come.
    Delayed,
    /// A worker has it.
    With(String),
}

/// Nothing when it rests because somebody said so.
fn oldest_of(stats: &Stats) -> Option<Duration> {
    stats.oldest_ready.filter(|_| !stats.paused)
}

impl Place {
    fn of(standing: Standing) -> Self {
        match standing {
            Standing::Ready | Standing::Blocked => Self::Queued,
            Standing::Delayed { .. } => Self::Delayed,
            Standing::Leased { worker, .. } => Self::With(worker.to_string()),
        }
    }
}

/// A worker is there as long as this is.
pub(crate) struct Present {
    board: Board,
    number: u64,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.board.0.queues.workers.lock().remove(&self.number);
    }
}

impl State {
    fn configure(&mut self, settings: &QueueSettings) {
        let name = self.queue(&settings.tenant, &settings.name);
        let configured = self.scheduler.configure(&name, settings.policy.clone());
        let configured = configured.and_then(|()| self.scheduler.pause(&name, settings.paused));
        if let Err(refusal) = configured {
            tracing::error!(%refusal, queue = settings.name, "the settings of a queue cannot be applied");
        }
    }
}

impl Board {
    /// Takes off everything but settings.
    pub(crate) fn clear(&self) {
        let known = self.0.queues.settings.lock();
        let mut state = self.0.state.lock();
        *state = State::default();
        known.values().for_each(|settings| state.configure(settings));
    }

    /// Gives settings to the board where they changed.
    pub(crate) fn configure(&self, all: Vec<QueueSettings>) {
        let mut known = self.0.queues.settings.lock();
        let mut state = self.0.state.lock();
        let mut changed = false;
        for settings in all {
            let key = (settings.tenant.clone(), settings.name.clone());
            if known.get(&key) != Some(&settings) {
                state.configure(&settings);
                known.insert(key, settings);
                changed = true;
            }
        }
        drop((state, known));
        if changed {
            self.0.ready.notify_waiters();
            self.0.shared.iter().for_each(|shared| shared.configure());
        }
    }

    pub(super) fn all_settings(&self) -> Vec<QueueSettings> {
        self.0.queues.settings.lock().values().cloned().collect()
    }

    /// The settings of a queue of this tenant.
    pub(crate) fn settings(&self, tenant: &str, name: &str) -> QueueSettings {
        let key = (tenant.to_owned(), name.to_owned());
        let known = self.0.queues.settings.lock().get(&key).cloned();
        known.unwrap_or_else(|| QueueSettings {
            tenant: key.0,
            name: key.1,
            paused: false,
            policy: Policy::default(),
        })
    }

    /// The names of the queues of a tenant: those with settings and those in use.
    pub(crate) async fn names(&self, tenant: &str) -> BTreeSet<String> {
        let mut names = self.names_here(tenant);
        if let Some(shared) = &self.0.shared {
            let mark = mark(tenant);
            let own = |name: &str| name.strip_prefix(&mark)?.strip_prefix('.').map(str::to_owned);
            names.extend(shared.names().await.iter().filter_map(|name| own(name)));
        }
        names
    }

    fn names_here(&self, tenant: &str) -> BTreeSet<String> {
        let settings = self.0.queues.settings.lock();
        let mut names: BTreeSet<String> =
            settings.keys().filter(|(whose, _)| whose == tenant).map(|(_, name)| name.clone()).collect();
        drop(settings);
        let state = self.0.state.lock();
        names.extend(
            state.queues.iter().filter(|(_, of)| of.contains_key(tenant)).map(|(name, _)| name.clone()),
        );
        names
    }

    /// The figures of a queue.
    pub(crate) async fn figures(&self, tenant: &str, name: &str) -> Figures {
        let here = self.figures_here(tenant, name);
        let all = match &self.0.shared {
            Some(shared) => shared.stats(&super::queue_name(tenant, name)).await,
            None => None,
        };
        Figures { stats: all.unwrap_or(here.stats), ..here }
    }

    fn figures_here(&self, tenant: &str, name: &str) -> Figures {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let queue = state.queues.get(name).and_then(|of| of.get(tenant)).cloned();
        // What became due since somebody took last is counted as ready.
        state.scheduler.take(&[], 0, &"".into(), now);
        let stats = queue.map(|queue| state.scheduler.stats(&queue, now)).unwrap_or_default();
        drop(state);
        let serves = |serving: &&Serving| {
            serving.tenant.as_deref().is_none_or(|whose| whose == tenant)
                && serving.queues.iter().any(|q| q == name)
        };
        Figures { stats, workers: self.0.queues.workers.lock().values().filter(serves).count() }
    }

    /// How long the task has waited that waits longest and could be given out.
    pub(crate) async fn oldest_ready(&self) -> Duration {
        let now = self.0.clock.now();
        let (here, names) = {
            let mut state = self.0.state.lock();
            state.scheduler.take(&[], 0, &"".into(), now);
            let names: HashSet<_> = state.tasks.values().map(Task::shared_queue).collect();
            let ready = names.iter().filter_map(|queue| oldest_of(&state.scheduler.stats(queue, now)));
            (ready.max().unwrap_or_default(), names)
        };
        let Some(shared) = self.shared_now() else { return here };
        let all = join_all(names.iter().map(|queue| shared.stats(queue))).await;
        all.iter().flatten().filter_map(oldest_of).chain([here]).max().unwrap_or_default()
    }

    /// Where the open task of an execution stands; nothing when it is not on this
    /// board.
    pub(crate) async fn place(&self, execution: ExecutionId) -> Option<Place> {
        let (id, queue) = {
            let state = self.0.state.lock();
            let id = *state.of.get(&execution)?.first()?;
            if let Some(queue) = state.scheduler.queue_of(id) {
                return state.scheduler.standing(queue, id).map(Place::of);
            }
            (id, state.tasks.get(&id).map(Task::shared_queue)?)
        };
        self.0.shared.as_ref()?.standing(&queue, id).await.map(Place::of)
    }

    /// A worker came; it is gone when the answer is dropped.
    pub(crate) fn arrived(&self, serving: &Serving) -> Present {
        let number = self.0.queues.arrivals.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.queues.workers.lock().insert(number, serving.clone());
        Present { board: self.clone(), number }
    }
}

/// Keeps the board to the settings in the store, whoever changes them, until `stop`.
pub(crate) async fn keep_settings(board: Board, store: Store, stop: CancellationToken) {
    loop {
        match store.queues().await {
            Ok(all) => board.configure(all),
            Err(error) => {
                tracing::warn!(%error, "the settings of the queues could not be read; trying again")
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(READ_AGAIN) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_types::SystemClock;
    use std::sync::Arc;
    use std::sync::mpsc;

    /// A start clears the board while settings that changed come to it.
    #[test]
    fn a_board_that_is_cleared_and_configured_at_once_stands_still_for_nobody() {
        let registry = prometheus::Registry::new();
        let metrics = Arc::new(crate::metrics::Metrics::new(&registry).unwrap());
        let board = Board::new(Arc::new(SystemClock), metrics, None);
        let (done, ended) = mpsc::channel();
        let turns = |turn: fn(&Board, u32)| {
            let (board, done) = (board.clone(), done.clone());
            std::thread::spawn(move || {
                (0..20_000).for_each(|number| turn(&board, number));
                let _ = done.send(());
            });
        };
        turns(|board, _| board.clear());
        turns(|board, number| {
            let paused = number % 2 == 0;
            let (tenant, name) = ("t".to_owned(), "q".to_owned());
            board.configure(vec![QueueSettings { tenant, name, paused, policy: Policy::default() }]);
        });
        for _ in 0..2 {
            ended.recv_timeout(Duration::from_secs(60)).expect("both come to an end");
        }
        assert_eq!(board.all_settings().len(), 1);
    }
}
