//! The scheduler: which task goes to whom, and when. No I/O, no clock, no lock:
//! the time is passed in, and everything that happens follows from the calls.
//!
//! # Order
//! - Among the **priorities** of a queue the turns follow a fixed pattern of 15:
//!   8 for critical, 4 for high, 2 for normal, 1 for low. A priority with nothing
//!   to give leaves its turn to the most urgent one that has. So while a priority
//!   has something to give it waits for at most 1 (critical), 3 (high), 7
//!   (normal) or 14 (low) others of its queue: nothing starves.
//! - Among the **tenants** of a priority: deficit round robin (Shreedhar and
//!   Varghese, 1995) with a cost of 1 a task and the tenant's weight as quantum.
//!   With *T* tenants of weight 1, a tenant's next low task waits for at most
//!   15·*T* − 1 others.
//! - Within a tenant and priority: in the order in which tasks became ready. A
//!   task that comes back (released without delay, lease expired) has its old
//!   place again.
//! - Among the **queues** of one call: one task each in turn.
//!
//! # Cost
//! Every operation on a task is O(log n) in the tasks held: a task that may not
//! run because of a limit is never met by a search, because its tenant takes no
//! part in the turns, or it waits with its key. [`Scheduler::configure`] and
//! [`Scheduler::stats`] are O(tenants of the queue). What became due is moved
//! within the next call, at most [`MOVED_PER_CALL`] tasks of it.
//!
//! # Leases
//! **Architecture invariant:** a task is held under at most one lease, and only
//! the newest number may finish, extend or release it. The number is the fence: an
//! answer that comes after the lease was expired and the task given out again is
//! refused.

mod bucket;
mod due;
mod keys;
mod queue;
mod rings;
mod stats;
mod tenant;

use crate::{Lease, LeaseNumber, Limits, Offered, Policy, Refusal, Standing, Task, TaskId};
use keys::Place;
use probity_types::Micros;
use queue::{Choice, Found, Queue};
pub use stats::{Stats, Totals};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The most tasks that one call moves because their time has come.
pub const MOVED_PER_CALL: usize = 4_096;
/// The most tasks one call gives out.
pub const MAX_CREDITS: usize = 1_000;

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub struct Scheduler {
    limits: Limits,
    tasks: HashMap<TaskId, Entry>,
    queues: HashMap<Arc<str>, Queue>,
    delayed: BTreeSet<(Micros, TaskId)>,
    leased: BTreeSet<(Micros, TaskId)>,
    timers: BTreeSet<Timer>,
    seq: u64,
    last_lease: u64,
    calls: usize,
}

/// When to look at a tenant of a queue, or at the queue itself.
type Timer = (Micros, Arc<str>, Option<Arc<str>>);

#[derive(Debug)]
struct Entry {
    task: Task,
    seq: u64,
    delivery: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In its lane, or waiting with its key.
    Ready {
        since: Micros,
    },
    Delayed {
        until: Micros,
    },
    Leased {
        number: u64,
        expires: Micros,
        worker: Arc<str>,
    },
}

/// A task's place in its queue.
pub(crate) struct Spot<'a> {
    rank: usize,
    seq: u64,
    id: TaskId,
    tenant: &'a Arc<str>,
    key: Option<&'a Arc<str>>,
}

impl Spot<'_> {
    const fn place(&self) -> Place {
        Place { rank: self.rank, seq: self.seq, id: self.id }
    }
}

impl Entry {
    fn spot(&self) -> Spot<'_> {
        let task = &self.task;
        let (tenant, key) = (&task.tenant, task.key.as_ref());
        Spot { rank: task.priority.rank(), seq: self.seq, id: task.id, tenant, key }
    }

    /// When its delay or its lease is over, while it has one.
    const fn due(&self) -> Option<Micros> {
        match self.state {
            State::Delayed { until } => Some(until),
            State::Leased { expires, .. } => Some(expires),
            State::Ready { .. } => None,
        }
    }

    const fn is_held(&self, lease: LeaseNumber) -> bool {
        matches!(self.state, State::Leased { number, .. } if number == lease.0)
    }
}

impl Scheduler {
    /// An empty scheduler.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes a task in, unless it is open already by its id or its unique key.
    ///
    /// # Errors
    /// A [`Refusal`] when a name, the size or a capacity does not allow it.
    pub fn offer(&mut self, task: Task, now: Micros) -> Result<Offered, Refusal> {
        task.check(self.limits.payload_bytes)?;
        self.advance(now);
        if self.tasks.contains_key(&task.id) {
            return Ok(Offered::Open(task.id));
        }
        let twin = |unique: &Arc<str>| self.queues.get(&task.queue)?.unique(&task.tenant, unique);
        if let Some(first) = task.unique.as_ref().and_then(twin) {
            return Ok(Offered::Open(first));
        }
        self.room_for(&task)?;
        let queue = self.queues.entry(Arc::clone(&task.queue)).or_default();
        queue.open(task.id, &task.tenant, task.unique.as_ref());
        queue.counters.offered(now);
        let not_before = task.not_before;
        self.place(Entry { task, seq: 0, delivery: 0, state: State::Ready { since: now } }, not_before, now);
        Ok(Offered::Accepted)
    }

    fn room_for(&mut self, task: &Task) -> Result<(), Refusal> {
        let Limits { capacity, queue_capacity, .. } = self.limits;
        if self.tasks.len() >= capacity {
            return Err(Refusal::Full { capacity });
        }
        match self.queues.get(&task.queue) {
            Some(queue) if queue.open >= queue_capacity => {
                Err(Refusal::QueueFull { queue: Arc::clone(&task.queue), capacity: queue_capacity })
            }
            Some(_) => Ok(()),
            None => self.room_for_queue(&task.queue),
        }
    }

    /// Makes room for one more queue: idle ones are forgotten when there are too many.
    fn room_for_queue(&mut self, name: &Arc<str>) -> Result<(), Refusal> {
        let limit = self.limits.queues;
        if self.queues.len() >= limit {
            self.queues.retain(|_, queue| !queue.is_idle());
        }
        if self.queues.len() >= limit {
            return Err(Refusal::TooManyQueues { queue: Arc::clone(name), limit });
        }
        Ok(())
    }

    /// Puts a task among the delayed, or in line.
    fn place(&mut self, mut entry: Entry, not_before: Option<Micros>, now: Micros) {
        let id = entry.task.id;
        if let Some(queue) = self.queues.get_mut(&entry.task.queue) {
            match not_before {
                Some(until) if until > now => {
                    queue.delayed += 1;
                    self.delayed.insert((until, id));
                    entry.seq = 0; // its place in line is that of the time it becomes ready
                    entry.state = State::Delayed { until };
                }
                _ => {
                    if entry.seq == 0 {
                        self.seq += 1;
                        entry.seq = self.seq;
                    }
                    entry.state = State::Ready { since: entry.due().map_or(now, |due| due.min(now)) };
                    queue.insert(&entry.spot());
                }
            }
        }
        self.tasks.insert(id, entry);
    }

    /// Gives out up to `credits` tasks (at most [`MAX_CREDITS`]) of these queues
    /// to a worker, one of each queue in turn.
    pub fn take(
        &mut self,
        queues: &[Arc<str>],
        credits: usize,
        worker: &Arc<str>,
        now: Micros,
    ) -> Vec<Lease> {
        self.advance(now);
        let credits = credits.min(MAX_CREDITS);
        let mut leases = Vec::new();
        self.calls = self.calls.wrapping_add(1);
        let mut open: Vec<_> = queues.iter().collect();
        open.rotate_left(self.calls % queues.len().max(1));
        while leases.len() < credits && !open.is_empty() {
            open.retain(|queue| {
                let lease = (leases.len() < credits).then(|| self.take_one(queue, worker, now)).flatten();
                let found = lease.is_some();
                leases.extend(lease);
                found
            });
        }
        leases
    }

    fn take_one(&mut self, name: &Arc<str>, worker: &Arc<str>, now: Micros) -> Option<Lease> {
        loop {
            match self.queues.get_mut(name)?.find(now) {
                Found::Task(choice) => return self.lease(name, &choice, worker, now),
                Found::Parked(tenant, until) => self.arm(name, &tenant, until),
                Found::Later(until) => {
                    self.arm_queue(name, until);
                    return None;
                }
                Found::Nothing => return None,
            }
        }
    }

    fn lease(&mut self, name: &Arc<str>, choice: &Choice, worker: &Arc<str>, now: Micros) -> Option<Lease> {
        let entry = self.tasks.get_mut(&choice.place.id)?;
        let queue = self.queues.get_mut(name)?;
        let parked = queue.begin(choice, entry.task.key.as_ref(), now);
        queue.counters.taken(now);
        let number = self.last_lease.saturating_add(1).max(u64::try_from(now.0).unwrap_or(0));
        self.last_lease = number;
        let expires = now.plus(queue.policy.lease);
        self.leased.insert((expires, entry.task.id));
        entry.state = State::Leased { number, expires, worker: Arc::clone(worker) };
        entry.delivery = entry.delivery.saturating_add(1);
        let (task, delivery) = (entry.task.clone(), entry.delivery);
        if let Some(until) = parked {
            self.arm(name, &choice.tenant, until);
        }
        Some(Lease { task, number: LeaseNumber(number), expires, delivery })
    }

    /// A sign of life: the lease lasts as long again from now. Answers until
    /// when; nothing when the lease is not the newest of an open task.
    pub fn extend(&mut self, id: TaskId, lease: LeaseNumber, now: Micros) -> Option<Micros> {
        let entry = self.tasks.get_mut(&id).filter(|entry| entry.is_held(lease))?;
        let until = now.plus(self.queues.get(&entry.task.queue)?.policy.lease);
        if let State::Leased { expires, .. } = &mut entry.state {
            self.leased.remove(&(*expires, id));
            self.leased.insert((until, id));
            *expires = until;
        }
        Some(until)
    }

    /// The task is done and leaves the queue. False when the lease is not the
    /// newest of an open task: then nothing has changed.
    pub fn finish(&mut self, id: TaskId, lease: LeaseNumber, now: Micros) -> bool {
        let held = self.tasks.get(&id).is_some_and(|entry| entry.is_held(lease));
        if held && let Some(queue) = self.close(id, now) {
            queue.counters.finished(now);
        }
        held
    }

    /// The worker gives the task back; it is ready again at `not_before`, or at
    /// once. False when the lease is not the newest of an open task.
    pub fn release(
        &mut self,
        id: TaskId,
        lease: LeaseNumber,
        not_before: Option<Micros>,
        now: Micros,
    ) -> bool {
        if !self.tasks.get(&id).is_some_and(|entry| entry.is_held(lease)) {
            return false;
        }
        self.advance(now);
        if let Some(entry) = self.end(id) {
            if let Some(queue) = self.queues.get_mut(&entry.task.queue) {
                queue.counters.totals.released += 1;
            }
            self.place(entry, not_before, now);
        }
        true
    }

    /// Takes an open task out, whatever it stands at; its worker's answer will be
    /// refused. False when it is not open in that queue.
    pub fn cancel(&mut self, queue: &str, id: TaskId, now: Micros) -> bool {
        let open = self.tasks.get(&id).is_some_and(|entry| &*entry.task.queue == queue);
        if open && let Some(queue) = self.close(id, now) {
            queue.counters.totals.cancelled += 1;
        }
        open
    }

    /// Ends the lease of a task and hands out its entry, to be placed again.
    fn end(&mut self, id: TaskId) -> Option<Entry> {
        let entry = self.tasks.remove(&id)?;
        if let State::Leased { expires, .. } = entry.state {
            self.leased.remove(&(expires, id));
            self.queues.get_mut(&entry.task.queue)?.end(&entry.spot());
        }
        Some(entry)
    }

    /// Takes a task out from wherever it is; gives its queue.
    fn close(&mut self, id: TaskId, now: Micros) -> Option<&mut Queue> {
        let entry = self.end(id)?;
        let (name, tenant) = (Arc::clone(&entry.task.queue), Arc::clone(&entry.task.tenant));
        let queue = self.queues.get_mut(&name)?;
        match entry.state {
            State::Ready { .. } => queue.remove(&entry.spot()),
            State::Delayed { until } => {
                queue.delayed -= 1;
                self.delayed.remove(&(until, id));
            }
            State::Leased { .. } => {}
        }
        if let Some(until) = queue.close(&tenant, entry.task.unique.as_ref(), now) {
            self.arm(&name, &tenant, until);
        }
        self.queues.get_mut(&name)
    }

    /// Gives a queue its rules; they hold from now on, also for the tasks in it.
    /// Check them with [`Policy::validate`] first.
    ///
    /// # Errors
    /// [`Refusal`] when the name is not allowed or there are too many queues.
    pub fn configure(&mut self, name: &Arc<str>, policy: Policy) -> Result<(), Refusal> {
        self.ensure(name)?.configure(policy);
        Ok(())
    }

    /// Stops (`true`) a queue from giving out tasks, or lets it go on. What is
    /// given out already may be finished.
    ///
    /// # Errors
    /// [`Refusal`] when the name is not allowed or there are too many queues.
    pub fn pause(&mut self, name: &Arc<str>, paused: bool) -> Result<(), Refusal> {
        self.ensure(name)?.paused = paused;
        Ok(())
    }

    fn ensure(&mut self, name: &Arc<str>) -> Result<&mut Queue, Refusal> {
        crate::task::check_queue_name(name)?;
        if !self.queues.contains_key(name) {
            self.room_for_queue(name)?;
        }
        Ok(self.queues.entry(Arc::clone(name)).or_default())
    }

    /// Where an open task of a queue stands; nothing when it is not open there.
    #[must_use]
    pub fn standing(&self, queue: &str, id: TaskId) -> Option<Standing> {
        let entry = self.tasks.get(&id).filter(|entry| &*entry.task.queue == queue)?;
        Some(match &entry.state {
            State::Delayed { until } => Standing::Delayed { until: *until },
            State::Leased { worker, expires, .. } => {
                Standing::Leased { worker: Arc::clone(worker), expires: *expires }
            }
            State::Ready { .. } if self.queues.get(queue)?.blocks(&entry.spot()) => Standing::Blocked,
            State::Ready { .. } => Standing::Ready,
        })
    }

    /// The figures of a queue; zeros for one that is not in use.
    #[must_use]
    pub fn stats(&self, queue: &str, now: Micros) -> Stats {
        let Some(queue) = self.queues.get(queue) else { return Stats::default() };
        let since = queue.heads().filter_map(|id| match self.tasks.get(&id)?.state {
            State::Ready { since } => Some(since),
            _ => None,
        });
        let mut stats = Stats {
            ready: queue.ready,
            blocked: queue.blocked,
            delayed: queue.delayed,
            running: queue.running as usize,
            paused: queue.paused,
            oldest_ready: since.min().map(|since| now.since(since)),
            ..Stats::default()
        };
        queue.counters.fill(&mut stats, now);
        stats
    }

    /// The queue an open task is in.
    #[must_use]
    pub fn queue_of(&self, id: TaskId) -> Option<&Arc<str>> {
        self.tasks.get(&id).map(|entry| &entry.task.queue)
    }

    /// True when a queue has a task that could be given out, were it not paused
    /// and its rate and concurrency allowed it.
    #[must_use]
    pub fn has_ready(&self, queue: &str) -> bool {
        self.queues.get(queue).is_some_and(Queue::has_ready)
    }

    /// The queues in use, in order of their names.
    #[must_use]
    pub fn queues(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.queues.keys().cloned().collect();
        names.sort();
        names
    }

    /// Open tasks in all queues.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// True when no task is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}
