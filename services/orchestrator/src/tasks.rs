//! Tasks for workers: what is ready, who has it, and until when.
//!
//! **Architecture invariant:** the board is only a queue. What has to be done is
//! in the journal; whoever starts again reads it there and offers it anew. A task
//! may therefore be given out twice, never lost, and the number of its attempt
//! decides which answer counts.
//!
//! Tasks are kept in process, or in a queue that replicas share ([`shared`]).

mod entry;
mod queues;
mod shared;
mod token;

use entry::{mark, queue_name};
pub(crate) use queues::{Figures, Place, keep_settings};
pub(crate) use shared::{Shared, Taken, keep_shared};
pub(crate) use token::Token;

use crate::dispatch::{OrderId, Task};
use crate::lane::{Answers, Handle};
use crate::metrics::Metrics;
use parking_lot::Mutex;
use probity_engine::{CallFailure, Event};
use probity_proto::orchestrator::WorkerTask;
use probity_proto::time::timestamp;
use probity_queue::{Held, Lease, LeaseNumber, Limits, Scheduler, Standing, TaskId};
use probity_types::id::ExecutionId;
use probity_types::{Clock, Micros};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// After a start, workers that were busy are given this long to come back with what
/// they have, before their tasks are given out again.
const GRACE: Duration = Duration::from_millis(500);
/// How long a task is left to a worker that was busy with it before a start.
const LEASE: Duration = Duration::from_secs(30);
/// Leases are looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// Largest input of a task, as JSON.
const MAX_PAYLOAD: usize = 1 << 20;

/// The board. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Board(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    ready: Notify,
    state: Mutex<State>,
    queues: queues::Queues,
    /// The queue that replicas share, when there is one.
    shared: Option<Arc<Shared>>,
}

struct State {
    scheduler: Scheduler,
    tasks: HashMap<TaskId, Task>,
    /// The open tasks of each execution, so that they can be taken off together.
    of: HashMap<ExecutionId, Vec<TaskId>>,
    /// The name of each tenant's queue in the scheduler, by the name people use.
    queues: HashMap<String, HashMap<String, Arc<str>>>,
    /// Tasks that nobody should begin any more.
    recalled: HashSet<TaskId>,
}

/// Whose tasks a worker gets.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    pub(crate) worker: Arc<str>,
    /// Only this tenant's; everybody's when absent.
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) queues: Vec<String>,
}

impl Serving {
    /// A worker answers for its own tenant only, whatever tokens it has come by.
    fn may_answer(&self, task: &Task) -> bool {
        self.tenant.as_deref().is_none_or(|tenant| tenant == task.tenant)
    }
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// It counts, as far as the board can tell.
    Counts,
    /// Somebody else has the task now.
    Lost,
}

impl Board {
    pub(crate) fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>, shared: Option<Shared>) -> Self {
        let (ready, state) = (Notify::new(), Mutex::new(State::default()));
        let (queues, shared) = (queues::Queues::default(), shared.map(Arc::new));
        Self(Arc::new(Inner { clock, metrics, ready, state, queues, shared }))
    }

    /// The shared queue, while tasks go there.
    fn shared_now(&self) -> Option<&Arc<Shared>> {
        self.0.shared.as_ref().filter(|shared| shared.is_up())
    }

    /// Whether replicas share their tasks.
    pub(crate) fn is_shared(&self) -> bool {
        self.0.shared.is_some()
    }

    /// Puts tasks up.
    pub(crate) fn offer(&self, tasks: Vec<Task>) {
        self.put_up(tasks, None);
    }

    /// Puts tasks up that may already be in somebody's hands.
    pub(crate) fn offer_again(&self, tasks: Vec<Task>) {
        self.put_up(tasks, Some(self.0.clock.now().plus(GRACE)));
    }

    fn put_up(&self, tasks: Vec<Task>, not_before: Option<Micros>) {
        if tasks.is_empty() {
            return;
        }
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        match self.shared_now() {
            Some(shared) => {
                for task in tasks {
                    let id = state.keep(task);
                    shared.offer(id, not_before);
                }
            }
            None => tasks.into_iter().for_each(|task| state.put_up(task, not_before, now)),
        }
        drop(state);
        self.0.ready.notify_waiters();
    }

    /// Waits until there may be something to take. Make it before looking.
    pub(crate) fn ready(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.ready.notified()
    }

    /// Gives out up to `credits` tasks.
    pub(crate) fn take(&self, serving: &Serving, credits: usize) -> Vec<WorkerTask> {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let queues = state.queues_of(serving);
        let leases = state.scheduler.take(&queues, credits, &serving.worker, now);
        let mut tasks = Vec::with_capacity(leases.len());
        tasks.extend(leases.iter().filter_map(|lease| state.worker_task(lease, now)));
        self.0.metrics.tasks_taken.inc_by(tasks.len() as u64);
        tasks
    }

    /// When somebody should look again although nothing was put up: a delay or the
    /// wait of a rate limit is over.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        let now = self.0.clock.now();
        self.0.state.lock().scheduler.next_wake(now).map(|at| at.since(now))
    }

    /// A worker has answered.
    pub(crate) fn finish(&self, serving: &Serving, token: &Token) -> Finish {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let id = task_id(token.order);
        if state.tasks.get(&id).is_some_and(|task| !serving.may_answer(task)) {
            return Finish::Lost;
        }
        let here = state.scheduler.queue_of(id).is_some();
        let known = state.tasks.get(&id).map(Task::shared_queue);
        let mut counts = true;
        if state.scheduler.finish(id, LeaseNumber(token.lease), now) || !here {
            // What is not here is in the shared queue, or was answered before.
            state.take_off(id);
        } else {
            // Not given out since the start: the answer is of the time before.
            counts = state.withdraw(id, now).is_some();
        }
        drop(state);
        if !counts {
            return Finish::Lost;
        }
        if let Some(shared) = &self.0.shared
            && let Some(queue) = known.or_else(|| token.shared_for(serving).cloned())
        {
            shared.cancel(queue, id);
        }
        Finish::Counts
    }

    /// A worker still works on it; `false` when somebody else has it. After a start
    /// nobody is known to have it yet: then it is left to this worker for a lease.
    pub(crate) async fn extend(&self, serving: &Serving, token: &Token) -> bool {
        let now = self.0.clock.now();
        let id = task_id(token.order);
        let here = self.0.state.lock().scheduler.queue_of(id).is_some();
        if !here && let (Some(shared), Some(queue)) = (&self.0.shared, token.shared_for(serving)) {
            return shared.extend(queue, id, LeaseNumber(token.lease)).await;
        }
        self.extend_here(serving, token, id, now)
    }

    fn extend_here(&self, serving: &Serving, token: &Token, id: TaskId, now: Micros) -> bool {
        let mut state = self.0.state.lock();
        let Some(task) = state.tasks.get(&id).filter(|task| serving.may_answer(task)).cloned() else {
            return false;
        };
        if state.scheduler.extend(id, LeaseNumber(token.lease), now).is_some() {
            return true;
        }
        let nobodys = state.withdraw(id, now).is_some();
        if nobodys {
            state.put_up(task, Some(now.plus(LEASE)), now);
        }
        nobodys
    }

    /// Gives tasks back that were not answered by a worker who is gone.
    pub(crate) fn give_back(&self, tokens: impl IntoIterator<Item = Token>) {
        let now = self.0.clock.now();
        let mut shared = Vec::new();
        let mut state = self.0.state.lock();
        for token in tokens {
            let (id, lease) = (task_id(token.order), LeaseNumber(token.lease));
            match token.shared {
                Some(queue) => shared.push(Held { queue, id, lease }),
                None => drop(state.scheduler.release(id, lease, None, now)),
            }
        }
        drop(state);
        self.0.ready.notify_waiters();
        if let Some(queue) = self.0.shared.clone().filter(|_| !shared.is_empty()) {
            tokio::spawn(async move { queue.release(shared).await });
        }
    }

    /// Tasks whose workers gave no sign of life are ready again, but for those that
    /// were recalled meanwhile, which are answered.
    pub(crate) fn expire(&self) -> Vec<OrderId> {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let expired = state.scheduler.expire(now);
        let withdrawn = expired.iter().filter(|id| state.recalled.contains(id)).copied().collect::<Vec<_>>();
        let orders = withdrawn.into_iter().filter_map(|id| state.withdraw(id, now)).collect();
        drop(state);
        if !expired.is_empty() {
            tracing::warn!(
                tasks = expired.len(),
                "workers gave no sign of life; their tasks are given out again"
            );
            self.0.metrics.leases_expired.inc_by(expired.len() as u64);
            self.0.ready.notify_waiters();
        }
        orders
    }

    /// Takes off what nobody has yet of an execution that is being taken back, and
    /// answers what that was. What a worker has is waited for, until its lease ends.
    pub(crate) fn recall(&self, execution: ExecutionId) -> Vec<OrderId> {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let open = state.of.get(&execution).cloned().unwrap_or_default();
        let mut recalled = Vec::new();
        for id in open {
            let Some(order) = state.tasks.get(&id).map(|task| task.order) else { continue };
            if order.compensation {
                continue;
            }
            state.recalled.insert(id);
            recalled.extend(state.withdraw(id, now));
        }
        drop(state);
        if let Some(shared) = &self.0.shared {
            shared.look();
        }
        recalled
    }

    /// Takes off everything of an execution.
    pub(crate) fn forget(&self, execution: ExecutionId) {
        let here = self.leave(execution);
        if let Some(shared) = &self.0.shared {
            here.into_iter().for_each(|(queue, id)| shared.cancel(queue, id));
        }
    }

    /// Forgets an execution that somebody else has now. Its tasks stay in the shared
    /// queue; answers which they are.
    pub(crate) fn leave(&self, execution: ExecutionId) -> Vec<(Arc<str>, TaskId)> {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let mut left = Vec::new();
        for id in state.of.remove(&execution).unwrap_or_default() {
            state.recalled.remove(&id);
            if let Some(task) = state.tasks.remove(&id) {
                let queue = state.queue(&task.tenant, &task.queue);
                state.scheduler.cancel(&queue, id, now);
                left.push((queue, id));
            }
        }
        left
    }
}

/// Gives tasks out again whose workers fell silent, until `stop`.
pub(crate) async fn watch_leases(board: Board, lane: Handle, stop: CancellationToken) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {
                let events: Vec<_> = board.expire().into_iter().map(recalled).collect();
                if !events.is_empty() {
                    let _ = lane.answers(Answers { tenant: None, events, acknowledge: Box::new(|_, _| {}) }).await;
                }
            }
        }
    }
}

/// The answer to a task that is not wanted any more.
pub(crate) fn recalled(order: OrderId) -> (ExecutionId, Event) {
    (order.execution, order.event(Err(recall())))
}

/// Why something was not done that nobody wants any more.
pub(crate) fn recall() -> CallFailure {
    CallFailure {
        code: "ORC-0027".to_owned(),
        message: "it was recalled because the execution is being taken back".to_owned(),
        transient: false,
        retry_after: None,
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            scheduler: Scheduler::new(Limits { payload_bytes: MAX_PAYLOAD, ..Limits::default() }),
            tasks: HashMap::new(),
            of: HashMap::new(),
            queues: HashMap::new(),
            recalled: HashSet::new(),
        }
    }
}

/// Distinct for every attempt of every step of an execution: the numbers change
/// bits that are random between executions.
fn task_id(order: OrderId) -> TaskId {
    let mut bytes = *order.execution.0.as_bytes();
    let item = order.item.map_or(0, |item| u64::from(item) + 1);
    let packed = (order.step as u64) << 48
        ^ item << 24
        ^ u64::from(order.attempt) << 1
        ^ u64::from(order.compensation);
    for (byte, mask) in bytes[8..].iter_mut().zip(packed.to_be_bytes()) {
        *byte ^= mask;
    }
    TaskId(bytes)
}

impl State {
    /// A queue belongs to a tenant: what one does to its own changes nobody else's.
    fn queue(&mut self, tenant: &str, queue: &str) -> Arc<str> {
        if let Some(known) = self.queues.get(queue).and_then(|of| of.get(tenant)) {
            return known.clone();
        }
        let name = queue_name(tenant, queue);
        self.queues.entry(queue.to_owned()).or_default().insert(tenant.to_owned(), name.clone());
        name
    }

    /// The queues a worker is served from.
    fn queues_of(&mut self, serving: &Serving) -> Vec<Arc<str>> {
        match &serving.tenant {
            Some(tenant) => serving.queues.iter().map(|queue| self.queue(tenant, queue)).collect(),
            None => {
                let named = serving.queues.iter().filter_map(|queue| self.queues.get(queue));
                named.flat_map(|of| of.values().cloned()).collect()
            }
        }
    }

    fn put_up(&mut self, task: Task, not_before: Option<Micros>, now: Micros) {
        let id = self.keep(task);
        self.take_in(id, not_before, now);
    }

    /// Knows a task from now on.
    fn keep(&mut self, task: Task) -> TaskId {
        let id = task_id(task.order);
        let execution = task.order.execution;
        if self.tasks.insert(id, task).is_none() {
            self.of.entry(execution).or_default().push(id);
        }
        id
    }

    /// Takes a known task into the scheduler.
    fn take_in(&mut self, id: TaskId, not_before: Option<Micros>, now: Micros) {
        let Some(task) = self.tasks.get(&id) else { return };
        let (tenant, queue, entry) = (task.tenant.clone(), task.queue.clone(), task.entry(not_before));
        self.queue(&tenant, &queue);
        if let Err(refusal) = self.scheduler.offer(entry, now) {
            // The journal still has it: it is offered again after the next start.
            tracing::error!(%refusal, queue, "a task found no place");
            self.take_off(id);
        }
    }

    /// Takes a task off that no worker has.
    fn withdraw(&mut self, id: TaskId, now: Micros) -> Option<OrderId> {
        let task = self.tasks.get(&id)?;
        let (order, tenant, queue) = (task.order, task.tenant.clone(), task.queue.clone());
        let queue = self.queue(&tenant, &queue);
        if matches!(self.scheduler.standing(&queue, id), Some(Standing::Leased { .. })) {
            return None;
        }
        self.scheduler.cancel(&queue, id, now).then(|| self.take_off(id))?;
        Some(order)
    }

    fn take_off(&mut self, id: TaskId) {
        self.recalled.remove(&id);
        if let Some(task) = self.tasks.remove(&id)
            && let Some(open) = self.of.get_mut(&task.order.execution)
        {
            open.retain(|other| *other != id);
            if open.is_empty() {
                self.of.remove(&task.order.execution);
            }
        }
    }

    fn worker_task(&self, lease: &Lease, now: Micros) -> Option<WorkerTask> {
        let task = self.tasks.get(&lease.task.id)?;
        let token = Token { order: task.order, lease: lease.number.0, shared: None };
        Some(WorkerTask {
            token: token.encode(),
            lease_expire_time: Some(timestamp(lease.expires.0)),
            deadline: Some(timestamp(now.plus(task.timeout).0)),
            ..task.shown()
        })
    }
}
