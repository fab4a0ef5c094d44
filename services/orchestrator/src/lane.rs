//! The lane: the one task of a replica that owns executions.
//!
//! It takes what is waiting, lets the core decide, commits everything in one
//! transaction, and then answers, hands out work and wakes watchers. While a commit
//! runs the next batch gathers, so a batch is as large as the load asks for and
//! nobody waits for a timer.
//!
//! **Architecture invariant:** memory is ahead of the store only between the core's
//! decision and the commit, and nobody hears of that. When a commit fails or its
//! outcome is unknown, the lane forgets everything, begins a new log and reads back
//! what is really there.

mod children;
mod fork;
mod handle;
mod live;
mod own;
mod queue;
mod settle;
mod work;

use handle::Reply;
pub(crate) use handle::{Answer, Answers, Fork, Handle, Message, Start, answered};
pub(crate) use live::Live;

use crate::config::Config;
use crate::definitions::Definitions;
use crate::dispatch::{Child, Dispatcher, Finished, OrderId};
use crate::domain::lines::Lines;
use crate::domain::ownership::{SHARDS, shard_of};
use crate::error::Error;
use crate::letters::Keeper;
use crate::metrics::Metrics;
use crate::runnable::Runnable;
use crate::store::{Opened, Place, Store};
use crate::tasks::Board;
use crate::views::Views;
use futures::future::BoxFuture;
use live::By;
use probity_engine::{Event, Fact, Turn};
use probity_storage::Backend;
use probity_types::id::ExecutionId;
use probity_types::{Clock, Ctx, Micros};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use work::Work;

/// First and longest wait before the lane is tried again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// An execution as it was last committed.
pub(crate) async fn read(store: &Store, definitions: &Definitions, id: ExecutionId) -> Result<Live, Error> {
    Live::read(store, definitions, id).await
}

/// An execution as it was last committed, and all its facts.
pub(crate) async fn read_with_facts(
    store: &Store,
    definitions: &Definitions,
    id: ExecutionId,
) -> Result<(Live, Vec<(Micros, Fact)>), Error> {
    Live::read_with_facts(store, definitions, id).await
}

/// What the lane is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) views: Views,
    pub(crate) definitions: Definitions,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) board: Board,
    pub(crate) letters: Keeper,
    pub(crate) runnable: Runnable,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
}

/// A batch on its way to the disk, and who waits for it.
type Committing = BoxFuture<'static, (Work, Result<Vec<Opened>, Error>)>;

/// The lane itself.
pub(crate) struct Lane {
    owner: String,
    address: String,
    ttl: Duration,
    max_batch: usize,
    parts: Parts,
    handle: Handle,
    messages: mpsc::Receiver<Message>,
    /// Answers of calls; a call whose answer finds no place waits for one.
    finished: mpsc::Receiver<Finished>,
    finish: mpsc::Sender<Finished>,
    live: HashMap<ExecutionId, Live>,
    in_flight: HashSet<OrderId>,
    timers: BinaryHeap<Reverse<(Micros, ExecutionId)>>,
    /// Who waits for the end of which execution.
    ends: HashMap<ExecutionId, Vec<Reply>>,
    /// Events of executions of this lane for each other.
    inner: VecDeque<(ExecutionId, Event)>,
    /// The child that each step started last.
    child_of: HashMap<(ExecutionId, usize, Option<u32>), ExecutionId>,
    /// Executions that steps have asked for.
    children: VecDeque<Child>,
    /// Who runs and who waits, where definitions limit it.
    lines: Lines,
    /// Where the next batch goes.
    place: Place,
    /// The shards this replica owns.
    shards: Vec<u8>,
    /// When it last looked after its shards, and whether somebody asks for it since.
    looked: Micros,
    asked_to_look: bool,
}

impl Lane {
    pub(crate) fn new(config: &Config, parts: Parts) -> Self {
        let (handle, messages) = Handle::new(config.queue);
        let (finish, finished) = mpsc::channel(config.max_calls_in_flight);
        Self {
            owner: config.replica.clone(),
            address: config.advertise.clone(),
            ttl: Duration::from_millis(config.lease_ttl_ms),
            max_batch: config.max_batch,
            parts,
            handle,
            messages,
            finished,
            finish,
            live: HashMap::new(),
            in_flight: HashSet::new(),
            timers: BinaryHeap::new(),
            ends: HashMap::new(),
            inner: VecDeque::new(),
            child_of: HashMap::new(),
            children: VecDeque::new(),
            lines: Lines::default(),
            place: Place { log: 0, after: 0 },
            shards: Vec::new(),
            looked: Micros(0),
            asked_to_look: false,
        }
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until `stop`. What is under way then goes on after the next start.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if !self.take_over(&stop).await {
                return;
            }
            if let Err(error) = self.serve(&stop).await {
                self.parts.metrics.commit_failures.inc();
                tracing::error!(%error, "the lane lost its footing; reading back what is stored");
            }
        }
        self.hand_over().await;
    }

    /// Begins a log and reads back what is under way, as often as it takes. Answers
    /// whether it came to that before `stop`.
    async fn take_over(&mut self, stop: &CancellationToken) -> bool {
        let mut wait = AGAIN.0;
        loop {
            match self.begin().await {
                Ok(()) => return true,
                Err(error) => {
                    tracing::warn!(%error, "the lane cannot be taken over yet");
                    if !self.wait_out(&error.to_string(), wait, stop).await {
                        return false;
                    }
                }
            }
            wait = (wait * 2).min(AGAIN.1);
        }
    }

    /// Waits, telling everybody who comes meanwhile that nothing can be changed.
    async fn wait_out(&mut self, why: &str, wait: Duration, stop: &CancellationToken) -> bool {
        let over = tokio::time::sleep(wait);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = &mut over => return true,
                Some(message) = self.messages.recv() => message.refuse(why),
                Some(finished) = self.finished.recv() => { self.in_flight.remove(&finished.order); }
            }
        }
    }

    async fn serve(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let mut look = tokio::time::interval(self.ttl / 3);
        look.reset(); // `begin` has just looked
        let mut committing: Option<Committing> = None;
        let mut work = Work::default();
        let mut looking = false;
        let outcome = loop {
            let due = self.next_timer();
            // Before shards change hands everything taken is committed.
            let room = work.len() < self.max_batch && !looking;
            tokio::select! {
                biased;
                (done, outcome) = under_way(&mut committing), if committing.is_some() => {
                    committing = None;
                    if let Err(error) = self.settle(done, outcome, &work) {
                        break Err(error);
                    }
                }
                () = stop.cancelled(), if committing.is_none() => break Ok(()),
                Some(finished) = self.finished.recv(), if room => self.answered(finished, &mut work),
                Some(message) = self.messages.recv(), if room => self.asked(message, &mut work).await,
                () = sleep(due), if room => {}
                () = std::future::ready(()), if room && self.has_inner() => {}
                _ = look.tick() => looking = true,
            }
            looking |= self.looks_early();
            if !looking {
                self.let_in();
                self.gather(&mut work).await;
                self.wake_due(&mut work);
            }
            if committing.is_none() && !work.is_empty() {
                committing = Some(self.commit(std::mem::take(&mut work)));
            } else if committing.is_none() && looking {
                looking = false;
                if let Err(error) = self.look_after_shards().await {
                    break Err(error);
                }
            }
        };
        if outcome.is_err() {
            self.parts.views.disown();
        }
        if let Some(committing) = committing {
            committing.await.0.fail("another batch was lost");
        }
        work.fail("it is starting again");
        outcome
    }

    fn has_inner(&self) -> bool {
        !self.inner.is_empty() || !self.children.is_empty()
    }

    /// Takes what else is waiting.
    async fn gather(&mut self, work: &mut Work) {
        while work.len() < self.max_batch {
            if let Some((id, event)) = self.inner.pop_front() {
                self.inner_event(id, event, work).await;
            } else if let Some(child) = self.children.pop_front() {
                self.start_child(child, work).await;
            } else if let Ok(finished) = self.finished.try_recv() {
                self.answered(finished, work);
            } else if let Ok(message) = self.messages.try_recv() {
                self.asked(message, work).await;
            } else {
                return;
            }
        }
    }

    async fn asked(&mut self, message: Message, work: &mut Work) {
        match message {
            Message::Start(start) => self.start(*start, work),
            Message::Fork(fork) => self.fork(*fork, work).await,
            Message::Person(deed) => match self.ensure_live(&deed.ctx, deed.id).await {
                Ok(()) => self.decide(deed.id, deed.event, Some(&deed.ctx), Some(deed.reply), work),
                Err(error) => {
                    let _ = deed.reply.send(Err(error));
                }
            },
            Message::Answers(answers) => self.workers_answered(answers, work),
            Message::AwaitEnd { id, reply } => self.await_end(id, reply).await,
            Message::Look => self.asked_to_look = true,
        }
    }

    fn start(&mut self, start: Start, work: &mut Work) {
        if let Err(refused) = self.may_start(&start.ctx.tenant) {
            let _ = start.reply.send(Err(refused));
            return;
        }
        let id = match self.new_id(&start.ctx.tenant, &start.definition, &start.opening) {
            Ok(id) => id,
            Err(elsewhere) => {
                let _ = start.reply.send(Err(elsewhere));
                return;
            }
        };
        let opening = start.named(id);
        if start.held {
            let now = self.parts.clock.now();
            let (live, turn) = Live::hold(id, start.definition, opening, &start.ctx, now);
            self.begin_turn(live, turn, &start.ctx, now, work);
        } else {
            self.begin_execution(id, start.definition, opening, &start.ctx, work);
        }
        work.open(id, start.scope, start.reply);
        if let Some(reply) = start.end {
            self.ends.insert(id, vec![reply]);
        }
    }

    fn begin_execution(
        &mut self,
        id: ExecutionId,
        definition: Arc<probity_engine::Definition>,
        opening: probity_engine::Opening,
        ctx: &Ctx,
        work: &mut Work,
    ) {
        let now = self.parts.clock.now();
        let (live, turn) = Live::open(id, definition, opening, ctx, now);
        self.begin_turn(live, turn, ctx, now, work);
    }

    /// The first turn of an execution joins the batch.
    fn begin_turn(&mut self, mut live: Live, turn: Turn, ctx: &Ctx, now: Micros, work: &mut Work) {
        let id = live.id;
        // One that waits from its first turn on, or ends in it, is let go after it.
        work.visit(id);
        let by = By { actor: &ctx.actor, request_id: &ctx.request_id, trace_id: &ctx.trace_id };
        match live.stored(1, turn.facts, Some(&by), now) {
            Ok(stored) => work.add(stored, turn.commands),
            Err(error) => tracing::error!(execution = %id, %error, "a turn has no stored form"),
        }
        self.live.insert(id, live);
    }

    /// Answers when the execution has ended, at once if it has.
    async fn await_end(&mut self, id: ExecutionId, reply: Reply) {
        if !self.owns(id) {
            let _ = reply.send(Err(Error::Elsewhere(shard_of(id))));
            return;
        }
        if let Some(live) = self.live.get(&id).filter(|live| live.end_stored) {
            let _ = reply.send(Ok(Answer::View(live.view())));
            return;
        }
        if !self.live.contains_key(&id) {
            let read = Live::read(&self.parts.store, &self.parts.definitions, id).await;
            match read {
                Ok(live) if live.execution.ended.is_some() => {
                    let _ = reply.send(Ok(Answer::View(live.view())));
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    let _ = reply.send(Err(error));
                    return;
                }
            }
        }
        let waiting = self.ends.entry(id).or_default();
        waiting.retain(|reply| !reply.is_closed());
        waiting.push(reply);
    }

    /// An execution of this tenant in memory, read back if it is not.
    async fn ensure_live(&mut self, ctx: &Ctx, id: ExecutionId) -> Result<(), Error> {
        if !self.owns(id) {
            return Err(Error::Elsewhere(shard_of(id)));
        }
        if !self.live.contains_key(&id) {
            self.parts.store.view(&ctx.tenant, id).await?;
            let live = Live::read(&self.parts.store, &self.parts.definitions, id).await?;
            self.live.insert(id, live);
        }
        match self.live.get(&id) {
            Some(live) if live.tenant == ctx.tenant => Ok(()),
            _ => Err(Error::NoExecution(id.to_string())),
        }
    }

    fn owns(&self, id: ExecutionId) -> bool {
        self.shards.len() == SHARDS || self.shards.binary_search(&shard_of(id)).is_ok()
    }

    /// A call is over, whatever becomes of its answer.
    fn answered(&mut self, finished: Finished, work: &mut Work) {
        self.in_flight.remove(&finished.order);
        self.decide(finished.order.execution, finished.event(), None, None, work);
    }

    /// Lets the core decide; what it decides joins the batch.
    fn decide(
        &mut self,
        id: ExecutionId,
        event: Event,
        by: Option<&Ctx>,
        reply: Option<Reply>,
        work: &mut Work,
    ) {
        let now = self.parts.clock.now();
        let Some(live) = self.live.get_mut(&id) else { return };
        work.visit(id);
        let first = live.execution.sequence + 1;
        match live.execution.take(event, now, fastrand::f64()) {
            Ok(turn) => {
                if !turn.facts.is_empty() {
                    let by = by.map(|ctx| By {
                        actor: &ctx.actor,
                        request_id: &ctx.request_id,
                        trace_id: &ctx.trace_id,
                    });
                    match live.stored(first, turn.facts, by.as_ref(), now) {
                        Ok(stored) => work.add(stored, turn.commands),
                        Err(error) => tracing::error!(execution = %id, %error, "a turn has no stored form"),
                    }
                } else {
                    work.command(id, turn.commands);
                }
                if let Some(reply) = reply {
                    work.answer(id, reply);
                }
            }
            // Told after the commit: it may rest on what this batch changed.
            Err(refusal) => work.refuse(reply, refusal),
        }
    }

    fn wake_due(&mut self, work: &mut Work) {
        let now = self.parts.clock.now();
        self.parts.runnable.next_timer(self.timers.peek().map(|Reverse((at, _))| *at));
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if at > now || work.len() >= self.max_batch {
                return;
            }
            self.timers.pop();
            self.decide(id, Event::Woken, None, None, work);
        }
    }

    /// How long until the next timer, or until somebody may have a place; `None` when
    /// there is neither.
    fn next_timer(&self) -> Option<Duration> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let next = timer.into_iter().chain(self.lines.next_look()).min();
        next.map(|at| at.since(self.parts.clock.now()))
    }
}

async fn under_way(committing: &mut Option<Committing>) -> (Work, Result<Vec<Opened>, Error>) {
    match committing {
        Some(committing) => committing.await,
        None => std::future::pending().await,
    }
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
