//! The queue that replicas share, and how the board stands on it.
//!
//! **Architecture invariant:** a task that is open on a board is either in its own
//! scheduler or in the shared queue. While the server is away everything is in the
//! scheduler, so that work goes on; when it is back, what no worker has goes into the
//! shared queue again. Whatever the server forgot is offered anew, and what it should
//! have forgotten is taken out.

use super::{Board, GRACE, LEASE, Serving, State, Token, queue_name, recalled, task_id};
use crate::dispatch::{OrderId, Task};
use crate::lane::{Answers, Handle};
use crate::store::QueueSettings;
use bytes::Bytes;
use parking_lot::Mutex;
use probity_proto::orchestrator::WorkerTask;
use probity_proto::time::timestamp;
use probity_queue::scheduler::Stats;
use probity_queue::{
    Error, Held, Lease, LeaseNumber, Offered, ReadyQueue, Refusal, Release, Standing, Take, TaskId,
};
use probity_types::Micros;
use prost::Message as _;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The server is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// One wish for tasks waits this long; so long may a worker that is gone still be given one.
const WAIT: Duration = Duration::from_secs(1);
/// A wish that failed is made again after this.
const PAUSE: Duration = Duration::from_millis(200);
/// Most tasks and bytes of one call.
const CALL: (usize, usize) = (500, 1 << 20);
/// Most tasks to take out that are remembered while the server is away. What is
/// forgotten costs a worker an attempt that nobody waits for.
const REMEMBERED: usize = 100_000;

/// The way to the shared queue.
pub(crate) struct Shared {
    queue: Arc<dyn ReadyQueue>,
    /// Whether tasks go there now.
    up: AtomicBool,
    news: Notify,
    backlog: Mutex<Backlog>,
    turn: AtomicUsize,
}

/// What the server has yet to be told.
#[derive(Default)]
struct Backlog {
    offers: Vec<(TaskId, Option<Micros>)>,
    cancels: Vec<(Arc<str>, TaskId)>,
    configure: bool,
}

/// A task taken from the shared queue.
pub(crate) struct Taken {
    pub(crate) task: WorkerTask,
    pub(crate) token: Token,
}

impl Shared {
    pub(crate) fn new(queue: Arc<dyn ReadyQueue>) -> Self {
        let (news, backlog, turn) = (Notify::new(), Mutex::default(), AtomicUsize::new(0));
        Self { queue, up: AtomicBool::new(false), news, backlog, turn }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(super) fn offer(&self, id: TaskId, not_before: Option<Micros>) {
        self.backlog.lock().offers.push((id, not_before));
        self.news.notify_one();
    }

    pub(super) fn cancel(&self, queue: Arc<str>, id: TaskId) {
        let mut backlog = self.backlog.lock();
        if backlog.cancels.len() < REMEMBERED {
            backlog.cancels.push((queue, id));
        }
        drop(backlog);
        self.news.notify_one();
    }

    /// The rules of queues have changed.
    pub(super) fn configure(&self) {
        self.backlog.lock().configure = true;
        self.news.notify_one();
    }

    /// Something was recalled.
    pub(super) fn look(&self) {
        self.news.notify_one();
    }

    async fn set(&self, settings: QueueSettings) -> Result<(), Error> {
        let name = queue_name(&settings.tenant, &settings.name);
        let configured = self.queue.configure(name.clone(), settings.policy).await;
        let set = match configured {
            Ok(()) => self.queue.pause(name, settings.paused).await,
            refused => refused,
        };
        match set {
            Err(error) if !error.is_transient() => {
                tracing::error!(%error, queue = settings.name, "the settings of a queue cannot be applied");
                Ok(())
            }
            set => set,
        }
    }

    async fn cancel_all(&self, cancels: Vec<(Arc<str>, TaskId)>) -> Result<(), Error> {
        let mut by_queue: HashMap<Arc<str>, Vec<TaskId>> = HashMap::new();
        for (queue, id) in &cancels {
            by_queue.entry(queue.clone()).or_default().push(*id);
        }
        for (queue, ids) in by_queue {
            for ids in ids.chunks(CALL.0) {
                if let Err(error) = self.queue.cancel(queue.clone(), ids.to_vec()).await {
                    let mut backlog = self.backlog.lock();
                    let room = REMEMBERED.saturating_sub(backlog.cancels.len());
                    backlog.cancels.extend(cancels.into_iter().take(room));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    pub(super) async fn standing(&self, queue: &Arc<str>, id: TaskId) -> Option<Standing> {
        if !self.is_up() {
            return None;
        }
        self.queue.standing(queue.clone(), id).await.ok().flatten()
    }

    pub(super) async fn stats(&self, queue: &Arc<str>) -> Option<Stats> {
        if !self.is_up() {
            return None;
        }
        self.queue.stats(queue.clone()).await.ok()
    }

    pub(super) async fn names(&self) -> Vec<Arc<str>> {
        if self.is_up() { self.queue.queues().await.unwrap_or_default() } else { Vec::new() }
    }

    /// A sign of life. `false` when somebody else has the task, or nobody wants it. A
    /// server that is away, or has forgotten who has what, is no reason to stop.
    pub(super) async fn extend(&self, queue: &Arc<str>, id: TaskId, lease: LeaseNumber) -> bool {
        match self.queue.extend(vec![Held { queue: queue.clone(), id, lease }]).await {
            Ok(until) if until.first().is_some_and(Option::is_some) => true,
            Err(_) => true,
            Ok(_) => match self.queue.standing(queue.clone(), id).await {
                Ok(standing) => standing.is_some_and(|s| !matches!(s, Standing::Leased { .. })),
                Err(_) => true,
            },
        }
    }

    pub(super) async fn release(&self, held: Vec<Held>) {
        for held in held.chunks(CALL.0) {
            let back = held.iter().map(|held| Release { held: held.clone(), not_before: None });
            // What cannot be given back comes back when its lease ends.
            let _ = self.queue.release(back.collect()).await;
        }
    }
}

impl Board {
    /// Takes up to `credits` tasks that replicas share; waits for the first for about
    /// a second.
    pub(crate) async fn take_shared(&self, serving: &Serving, credits: usize) -> Vec<Taken> {
        let Some(shared) = &self.0.shared else { return Vec::new() };
        let queues = self.shared_queues(shared, serving).await;
        if queues.is_empty() {
            tokio::time::sleep(WAIT).await;
            return Vec::new();
        }
        let wish = Take { queues, credits, worker: serving.worker.clone(), wait: WAIT };
        match shared.queue.take(wish).await {
            Ok(leases) => {
                let now = self.0.clock.now();
                let taken: Vec<_> = leases.iter().filter_map(|lease| taken(lease, now)).collect();
                self.0.metrics.tasks_taken.inc_by(taken.len() as u64);
                taken
            }
            Err(error) => {
                tracing::debug!(%error, "no tasks from the shared queue");
                tokio::time::sleep(PAUSE).await;
                Vec::new()
            }
        }
    }

    /// The queues a worker is served from; of very many some in turn.
    async fn shared_queues(&self, shared: &Shared, serving: &Serving) -> Vec<Arc<str>> {
        if let Some(tenant) = &serving.tenant {
            return serving.queues.iter().map(|queue| queue_name(tenant, queue)).collect();
        }
        let mut names = shared.names().await;
        let serves = |name: &Arc<str>| {
            name.split_once('.').is_some_and(|(_, queue)| serving.queues.iter().any(|q| q == queue))
        };
        names.retain(serves);
        if names.len() > probity_queue::ready::MAX_QUEUES {
            let turn = shared.turn.fetch_add(probity_queue::ready::MAX_QUEUES, Ordering::Relaxed);
            let at = turn % names.len();
            names.rotate_left(at);
            names.truncate(probity_queue::ready::MAX_QUEUES);
        }
        names
    }

    /// The server answers: everything that no worker has goes there.
    fn rise(&self, shared: &Shared, lost: bool) {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let ids: Vec<TaskId> = state.tasks.keys().copied().collect();
        let mut backlog = shared.backlog.lock();
        backlog.configure = true;
        if lost {
            backlog.cancels.clear();
        }
        for id in ids {
            let Some(queue) = state.scheduler.queue_of(id).cloned() else {
                // It was there before: a worker may be busy with it.
                backlog.offers.push((id, lost.then(|| now.plus(GRACE))));
                continue;
            };
            match state.scheduler.standing(&queue, id) {
                Some(Standing::Leased { .. }) => backlog.cancels.push((queue, id)),
                _ => {
                    state.scheduler.cancel(&queue, id, now);
                    backlog.offers.push((id, None));
                }
            }
        }
        shared.up.store(true, Ordering::Release);
    }

    /// The server is away: everything is given out from here until it is back.
    fn fall_back(&self, shared: &Shared, error: &Error) {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        if !shared.up.swap(false, Ordering::AcqRel) {
            return;
        }
        shared.backlog.lock().offers.clear();
        let all: Vec<TaskId> = state.tasks.keys().copied().collect();
        let gone = all.into_iter().filter(|id| state.scheduler.queue_of(*id).is_none()).collect::<Vec<_>>();
        for id in &gone {
            state.take_in(*id, Some(now.plus(GRACE)), now);
        }
        drop(state);
        tracing::warn!(%error, tasks = gone.len(), "the shared queue is away; this replica gives out its own tasks");
        self.0.metrics.shared_queue.set(0);
        self.0.ready.notify_waiters();
    }

    /// Tells the server what it has yet to be told.
    async fn carry(&self, shared: &Shared) -> Result<(), Error> {
        let Backlog { offers, cancels, configure } = std::mem::take(&mut *shared.backlog.lock());
        shared.cancel_all(cancels).await?;
        if configure {
            for settings in self.all_settings() {
                shared.set(settings).await?;
            }
        }
        let mut rest = offers.as_slice();
        while !rest.is_empty() {
            let (tasks, taken) = self.0.state.lock().to_offer(rest);
            rest = &rest[taken..];
            let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
            let answers = shared.queue.offer(tasks).await?;
            self.take_in_refused(ids.into_iter().zip(answers));
        }
        Ok(())
    }

    /// What found no place there finds one here.
    fn take_in_refused(&self, answers: impl Iterator<Item = (TaskId, Result<Offered, Refusal>)>) {
        let now = self.0.clock.now();
        for (id, answer) in answers {
            if let Err(refusal) = answer {
                tracing::warn!(%refusal, "the shared queue did not take a task; this replica gives it out");
                self.0.state.lock().take_in(id, None, now);
                self.0.ready.notify_waiters();
            }
        }
    }

    /// Takes out what was recalled and no worker has.
    async fn recall_shared(&self, shared: &Shared) -> Vec<OrderId> {
        let wanted: Vec<(Arc<str>, TaskId)> = {
            let state = self.0.state.lock();
            let there = state.recalled.iter().filter(|id| state.scheduler.queue_of(**id).is_none());
            there.filter_map(|id| Some((state.tasks.get(id)?.shared_queue(), *id))).collect()
        };
        let mut orders = Vec::new();
        for (queue, id) in wanted {
            let standing = shared.queue.standing(queue.clone(), id).await;
            if !matches!(standing, Ok(Some(Standing::Leased { .. })) | Err(_)) {
                shared.cancel(queue, id);
                let mut state = self.0.state.lock();
                orders.extend(state.tasks.get(&id).map(|task| task.order));
                state.take_off(id);
            }
        }
        orders
    }

    /// Looks whether the server is there and still knows what it knew.
    async fn look_at(&self, shared: &Shared, seen: &mut Option<u64>) -> Result<(), Error> {
        let mark = shared.queue.incarnation().await?;
        let lost = seen.is_some_and(|seen| seen != mark);
        if lost || !shared.is_up() {
            *seen = Some(mark);
            if lost {
                self.0.metrics.shared_queue_losses.inc();
            }
            self.rise(shared, lost);
            tracing::info!(lost, "tasks go into the shared queue");
            self.0.metrics.shared_queue.set(1);
        }
        Ok(())
    }
}

/// Keeps the shared queue to what is open on the board, until `stop`.
pub(crate) async fn keep_shared(board: Board, lane: Handle, stop: CancellationToken) {
    let Some(shared) = board.0.shared.clone() else { return };
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = None;
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            () = shared.news.notified(), if shared.is_up() => Ok(()),
            _ = look.tick() => board.look_at(&shared, &mut seen).await,
        };
        let outcome = match outcome {
            Ok(()) => board.carry(&shared).await,
            error => error,
        };
        if let Err(error) = outcome {
            board.fall_back(&shared, &error);
            continue;
        }
        let events: Vec<_> = board.recall_shared(&shared).await.into_iter().map(recalled).collect();
        if !events.is_empty() {
            let _ = lane.answers(Answers { tenant: None, events, acknowledge: Box::new(|_, _| {}) }).await;
        }
    }
}

impl State {
    /// The tasks that are still to be offered of these, as many as fit into a call; and
    /// how many were looked at.
    fn to_offer(&self, ids: &[(TaskId, Option<Micros>)]) -> (Vec<probity_queue::Task>, usize) {
        let (mut tasks, mut bytes) = (Vec::new(), 0);
        for (at, (id, not_before)) in ids.iter().enumerate() {
            let open = self.tasks.get(id).filter(|_| self.scheduler.queue_of(*id).is_none());
            let Some(task) = open else { continue };
            if tasks.len() == CALL.0 || (bytes + task.input.len() > CALL.1 && !tasks.is_empty()) {
                return (tasks, at);
            }
            bytes += task.input.len();
            let mut entry = task.entry(*not_before);
            entry.payload = payload(task);
            tasks.push(entry);
        }
        (tasks, ids.len())
    }
}

impl Task {
    pub(super) fn shared_queue(&self) -> Arc<str> {
        queue_name(&self.tenant, &self.queue)
    }
}

/// A task as it lies in the shared queue: as the worker gets it, with its order for a
/// token and the time it may take for a deadline.
fn payload(task: &Task) -> Bytes {
    let token = Token { order: task.order, lease: 0, shared: None };
    let timeout = i64::try_from(task.timeout.as_micros()).unwrap_or(i64::MAX);
    let task = WorkerTask { token: token.encode(), deadline: Some(timestamp(timeout)), ..task.shown() };
    task.encode_to_vec().into()
}

fn taken(lease: &Lease, now: Micros) -> Option<Taken> {
    let task = WorkerTask::decode(lease.task.payload.clone()).ok()?;
    let order = Token::decode(&task.token)?.order;
    let token = Token { order, lease: lease.number.0, shared: Some(lease.task.queue.clone()) };
    let timeout = task.deadline.and_then(|span| {
        Duration::try_from(prost_types::Duration { seconds: span.seconds, nanos: span.nanos }).ok()
    });
    let task = WorkerTask {
        token: token.encode(),
        lease_expire_time: Some(timestamp(lease.expires.0)),
        deadline: Some(timestamp(now.plus(timeout.unwrap_or(LEASE)).0)),
        ..task
    };
    (task_id(order) == lease.task.id).then_some(Taken { task, token })
}
