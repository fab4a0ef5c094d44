//! The lane: the one task that owns the executions.
//!
//! It takes what is waiting, lets the core decide, commits everything in one
//! transaction, and then answers, calls peers and wakes watchers. While a commit
//! runs the next batch gathers, so a batch is as large as the load asks for and
//! nobody waits for a timer.
//!
//! **Architecture invariant:** memory is ahead of the store only between the core's
//! decision and the commit, and nobody hears of that. When a commit fails or its
//! outcome is unknown, the lane forgets everything, takes the lease anew and reads
//! back what is really there.

mod live;
mod work;

use crate::config::Config;
use crate::definitions::Definitions;
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::Store;
use live::Live;
use probity_engine::{Command, Definition, Event, Opening};
use probity_proto::orchestrator::Case;
use probity_storage::Backend;
use probity_storage::idempotency::Scope;
use probity_types::id::CaseId;
use probity_types::{Clock, Ctx, Micros};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use work::Work;

/// First and longest wait before the lane is tried again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Changes a slow watcher may be behind before it reads everything anew.
const WATCH_BUFFER: usize = 4_096;

type Reply = oneshot::Sender<Result<Case, Error>>;

/// What a caller wants of the lane.
pub(crate) enum Message {
    /// Open a case.
    Open(Box<OpenCase>),
    /// A person does something to a case.
    Person(Box<Deed>),
}

/// A case to open.
pub(crate) struct OpenCase {
    pub(crate) ctx: Ctx,
    pub(crate) opening: Opening,
    pub(crate) definition: Arc<Definition>,
    pub(crate) scope: Option<Scope>,
    pub(crate) reply: Reply,
}

/// What a person does to a case.
pub(crate) struct Deed {
    pub(crate) ctx: Ctx,
    pub(crate) case: CaseId,
    pub(crate) event: Event,
    pub(crate) reply: Reply,
}

/// The way to the lane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    messages: mpsc::Sender<Message>,
    committed: Arc<Notify>,
    changed: broadcast::Sender<CaseId>,
}

impl Handle {
    /// Lets a person do something to a case.
    pub(crate) async fn person(&self, ctx: &Ctx, case: CaseId, event: Event) -> Result<Case, Error> {
        let ctx = ctx.clone();
        self.ask(|reply| Message::Person(Box::new(Deed { ctx, case, event, reply }))).await
    }

    /// Sends a message and waits for the answer, which comes after the commit.
    pub(crate) async fn ask(&self, make: impl FnOnce(Reply) -> Message) -> Result<Case, Error> {
        let (reply, answer) = oneshot::channel();
        self.messages.try_send(make(reply)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Busy,
            mpsc::error::TrySendError::Closed(_) => Error::Away("it is shutting down".to_owned()),
        })?;
        answer.await.unwrap_or_else(|_| Err(Error::Away("it is shutting down".to_owned())))
    }

    /// Woken after every commit.
    pub(crate) fn committed(&self) -> Arc<Notify> {
        self.committed.clone()
    }

    /// Cases as they change, after the commit.
    pub(crate) fn watch(&self) -> broadcast::Receiver<CaseId> {
        self.changed.subscribe()
    }
}

/// An execution as it was last committed.
pub(crate) async fn execution_of(
    store: &Store,
    definitions: &Definitions,
    case: CaseId,
) -> Result<probity_engine::Execution, Error> {
    Live::read(store, definitions, case).await.map(|live| live.execution)
}

/// Which call it is: case, step, attempt, compensation.
type CallId = (CaseId, usize, u32, bool);

/// The lane itself.
pub(crate) struct Lane {
    owner: String,
    ttl: Duration,
    max_batch: usize,
    store: Store,
    definitions: Definitions,
    dispatcher: Arc<Dispatcher>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    handle: Handle,
    messages: mpsc::Receiver<Message>,
    /// Answers of calls; a call whose answer finds no place waits for one.
    answers: mpsc::Receiver<(CaseId, Event)>,
    answer: mpsc::Sender<(CaseId, Event)>,
    live: HashMap<CaseId, Live>,
    in_flight: HashSet<CallId>,
    timers: BinaryHeap<Reverse<(Micros, CaseId)>>,
    epoch: i64,
    /// Position of the newest turn in the journal.
    position: i64,
}

impl Lane {
    pub(crate) fn new(
        config: &Config,
        store: Store,
        definitions: Definitions,
        dispatcher: Arc<Dispatcher>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (send, messages) = mpsc::channel(config.queue);
        let (answer, answers) = mpsc::channel(config.max_calls_in_flight);
        let (changed, _) = broadcast::channel(WATCH_BUFFER);
        Self {
            owner: config.replica.clone(),
            ttl: Duration::from_millis(config.lease_ttl_ms),
            max_batch: config.max_batch,
            store,
            definitions,
            dispatcher,
            clock,
            metrics,
            handle: Handle { messages: send, committed: Arc::new(Notify::new()), changed },
            messages,
            answers,
            answer,
            live: HashMap::new(),
            in_flight: HashSet::new(),
            timers: BinaryHeap::new(),
            epoch: 0,
            position: 0,
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
                self.metrics.commit_failures.inc();
                tracing::error!(%error, "the lane lost its footing; reading back what is stored");
            }
        }
    }

    /// Takes the lease and reads back what is under way, as often as it takes.
    /// Answers whether it came to that before `stop`.
    async fn take_over(&mut self, stop: &CancellationToken) -> bool {
        let mut wait = AGAIN.0;
        loop {
            match self.read_back().await {
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
                Some(message) = self.messages.recv() => {
                    let reply = match message {
                        Message::Open(open) => open.reply,
                        Message::Person(deed) => deed.reply,
                    };
                    let _ = reply.send(Err(Error::Away(why.to_owned())));
                }
                Some((case, event)) = self.answers.recv() => self.landed(case, &event),
            }
        }
    }

    async fn read_back(&mut self) -> Result<(), Error> {
        self.live.clear();
        self.timers.clear();
        let now = self.clock.now();
        // A SQLite file has one process; its lock is the lease.
        let alone = self.store.db.backend() == Backend::Sqlite;
        self.epoch = self.store.acquire(&self.owner, alone, now, now.plus(self.ttl)).await?;
        self.position = self.store.last_position().await?;
        let cases = self.store.active_cases().await?;
        let count = cases.len();
        for case in cases {
            match Live::read(&self.store, &self.definitions, case).await {
                Ok(live) => {
                    let commands = live.execution.outstanding();
                    self.live.insert(case, live);
                    self.carry_out(case, commands);
                }
                // One case that cannot be read must not keep the others waiting.
                Err(error @ (Error::Journal { .. } | Error::Definition(_) | Error::NoDefinition(_))) => {
                    self.metrics.unreadable.inc();
                    tracing::error!(%case, %error, "a case cannot be gone on with");
                }
                Err(error) => return Err(error),
            }
        }
        if count > 0 {
            tracing::info!(cases = count, epoch = self.epoch, "going on with what was under way");
        }
        Ok(())
    }

    async fn serve(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let mut renew = tokio::time::interval(self.ttl / 3);
        loop {
            let mut work = Work::default();
            let due = self.next_timer();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some((case, event)) = self.answers.recv() => self.answered(case, event, &mut work),
                Some(message) = self.messages.recv() => self.asked(message, &mut work).await,
                () = sleep(due) => {}
                _ = renew.tick() => work.renew = true,
            }
            self.gather(&mut work).await;
            self.wake_due(&mut work);
            if work.is_empty() {
                continue;
            }
            self.commit(work).await?;
        }
    }

    /// Takes what else is waiting.
    async fn gather(&mut self, work: &mut Work) {
        while work.len() < self.max_batch {
            if let Ok((case, event)) = self.answers.try_recv() {
                self.answered(case, event, work);
            } else if let Ok(message) = self.messages.try_recv() {
                self.asked(message, work).await;
            } else {
                return;
            }
        }
    }

    async fn asked(&mut self, message: Message, work: &mut Work) {
        match message {
            Message::Open(open) => self.open(*open, work),
            Message::Person(deed) => match self.ensure_live(&deed.ctx, deed.case).await {
                Ok(()) => self.decide(deed.case, deed.event, Some(&deed.ctx), Some(deed.reply), work),
                Err(error) => {
                    let _ = deed.reply.send(Err(error));
                }
            },
        }
    }

    fn open(&mut self, open: OpenCase, work: &mut Work) {
        let now = self.clock.now();
        let case = CaseId::new();
        let opening = Opening { name: format!("cases/{case}"), ..open.opening };
        let (live, turn) = Live::open(open.definition, opening, &open.ctx, now);
        work.open(case, open.scope, open.reply);
        work.add(case, live.stored(case, 1, turn.facts, &open.ctx.actor, now), turn.commands);
        self.live.insert(case, live);
    }

    /// A case of this tenant in memory, read back if it is not.
    async fn ensure_live(&mut self, ctx: &Ctx, case: CaseId) -> Result<(), Error> {
        if !self.live.contains_key(&case) {
            self.store.case(&ctx.tenant, case).await?;
            let live = Live::read(&self.store, &self.definitions, case).await?;
            self.live.insert(case, live);
        }
        match self.live.get(&case) {
            Some(live) if live.tenant == ctx.tenant => Ok(()),
            _ => Err(Error::NoCase(case.to_string())),
        }
    }

    /// A call is over, whatever becomes of its answer.
    fn landed(&mut self, case: CaseId, event: &Event) {
        if let Event::CallEnded { step, attempt, compensation, .. } = event {
            self.in_flight.remove(&(case, *step, *attempt, *compensation));
        }
    }

    fn answered(&mut self, case: CaseId, event: Event, work: &mut Work) {
        self.landed(case, &event);
        self.decide(case, event, None, None, work);
    }

    /// Lets the core decide; what it decides joins the batch.
    fn decide(
        &mut self,
        case: CaseId,
        event: Event,
        by: Option<&Ctx>,
        reply: Option<Reply>,
        work: &mut Work,
    ) {
        let now = self.clock.now();
        let Some(live) = self.live.get_mut(&case) else { return };
        let first = live.execution.sequence + 1;
        match live.execution.take(event, now, fastrand::f64()) {
            Ok(turn) => {
                let actor = by.map_or_else(|| live.itself(), |ctx| ctx.actor.clone());
                let mut stored = live.stored(case, first, turn.facts, &actor, now);
                if let Some(ctx) = by {
                    stored.request_id.clone_from(&ctx.request_id);
                    stored.trace_id.clone_from(&ctx.trace_id);
                }
                work.add(case, stored, turn.commands);
                if let Some(reply) = reply {
                    work.answer(case, reply);
                }
            }
            // Told after the commit: it may rest on what this batch changed.
            Err(refusal) => work.refuse(reply, refusal),
        }
    }

    fn wake_due(&mut self, work: &mut Work) {
        let now = self.clock.now();
        while let Some(Reverse((at, case))) = self.timers.peek().copied() {
            if at > now || work.len() >= self.max_batch {
                return;
            }
            self.timers.pop();
            self.decide(case, Event::Woken, None, None, work);
        }
    }

    /// How long until the next timer; `None` when there is none.
    fn next_timer(&self) -> Option<Duration> {
        self.timers.peek().map(|Reverse((at, _))| at.since(self.clock.now()))
    }

    async fn commit(&mut self, mut work: Work) -> Result<(), Error> {
        let now = self.clock.now();
        let batch = work.batch(&self.live, now);
        let turns = batch.turns.len();
        let outcome = self.store.commit(batch, self.epoch, self.position, now.plus(self.ttl)).await;
        let opened = match outcome {
            Ok(opened) => opened,
            Err(error) => {
                work.fail(&error);
                return Err(error);
            }
        };
        if turns > 0 {
            self.metrics.batch.observe(turns as f64);
        }
        let commands = work.commands();
        let settled = work.settle(opened, &self.metrics);
        self.position += settled.turns;
        for case in &settled.left_out {
            self.live.remove(case);
        }
        for (case, commands) in commands {
            if !settled.left_out.contains(&case) {
                self.carry_out(case, commands);
            }
        }
        for case in settled.changed {
            self.let_go(case);
            let _ = self.handle.changed.send(case);
        }
        self.metrics.live.set(i64::try_from(self.live.len()).unwrap_or(i64::MAX));
        if settled.turns > 0 {
            self.handle.committed.notify_one();
        }
        Ok(())
    }

    /// A case with nothing under way is read back when somebody asks for it.
    fn let_go(&mut self, case: CaseId) {
        if self.live.get(&case).is_some_and(|live| !live.execution.is_active()) {
            self.live.remove(&case);
        }
    }

    fn carry_out(&mut self, case: CaseId, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::WakeAt(at) => self.timers.push(Reverse((at, case))),
                // No method of a service is an execution of its own.
                Command::CancelChild { .. } => {}
                Command::Call { step, attempt, compensation, input, key, item: _ } => {
                    let Some(live) = self.live.get(&case) else { continue };
                    if !self.in_flight.insert((case, step, attempt, compensation)) {
                        continue; // the same call is still under way
                    }
                    let Some(call) = live.call(case, step, attempt, compensation, input, &key) else {
                        continue;
                    };
                    let (dispatcher, answer) = (self.dispatcher.clone(), self.answer.clone());
                    tokio::spawn(async move {
                        let event = dispatcher.run(call).await;
                        let _ = answer.send((case, event)).await;
                    });
                }
            }
        }
    }
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
