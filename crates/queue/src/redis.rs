//! The queue on a Redis server, for platforms of several processes.
//!
//! The rules are those of the [scheduler](crate::scheduler), carried out by a
//! script on the server, so that every process sees one queue. Calls gather while
//! the last run of the script is under way and go out together: one round trip,
//! and one fsync where `appendfsync always` is set, carry as many as have come.
//!
//! Nothing here is the truth. When the server is away calls fail within a bounded
//! time with [`Error::Unavailable`] or [`Error::Timeout`], and the next one
//! connects again. After a FLUSHALL work goes on with an empty queue;
//! [`ReadyQueue::incarnation`] tells the owner.
//!
//! All keys share one hash tag, so a cluster keeps them on one node.

mod codec;
mod lane;
mod listener;
mod policies;

use crate::bells::Bells;
use crate::ready::check_batch;
use crate::task::check_queue_name;
use crate::{
    Answer, Error, Held, Lease, Limits, Offered, Policy, ReadyQueue, Refusal, Release, Standing, Stats, Take,
    Task, TaskId,
};
use codec::Call;
use futures::FutureExt;
use lane::{Lane, Link};
use policies::Policies;
use probity_types::{Clock, Micros};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Where the server is and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/database]`.
    pub url: String,
    /// What every key begins with; 1 to 96 of `a-z A-Z 0-9 . _ -`. Platforms that
    /// share a server need different ones.
    pub prefix: String,
    /// The longest a connection or an answer may take; 10 ms to 60 s. A call fails
    /// after three times as long at the latest.
    pub timeout: Duration,
    /// How many calls may wait for their turn; 1 to 100,000.
    pub waiting: usize,
    /// Bounds of what the queues keep. Processes that share queues need the same.
    pub limits: Limits,
}

impl RedisConfig {
    /// A server with the usual settings: prefix `probity`, 2 s, 4,096 calls.
    pub fn new(url: impl Into<String>) -> Self {
        let timeout = Duration::from_secs(2);
        Self { url: url.into(), prefix: "probity".into(), timeout, waiting: 4_096, limits: Limits::default() }
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting and the allowed range.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |key, reason: String| Err(Error::Config { key, reason });
        if check_queue_name(&self.prefix).is_err() {
            return wrong("prefix", format!("is {:?}; it must be 1 to 96 of a-z A-Z 0-9 . _ -", self.prefix));
        }
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&self.timeout) {
            return wrong("timeout", format!("is {:?}; it must be from 10ms to 60s", self.timeout));
        }
        if !(1..=100_000).contains(&self.waiting) {
            return wrong("waiting", format!("is {}; it must be from 1 to 100,000", self.waiting));
        }
        Ok(())
    }
}

/// See the [module documentation](self).
pub struct Redis {
    lane: Lane,
    link: Arc<Link>,
    bells: Arc<Bells>,
    policies: Arc<Policies>,
    payload_bytes: usize,
    tasks: [AbortHandle; 2],
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("server", &self.link.server()).finish_non_exhaustive()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Redis {
    /// A queue on a server, which need not be there yet. Its time is the server's.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is wrong.
    pub fn new(config: &RedisConfig) -> Result<Self, Error> {
        Self::open(config, None)
    }

    /// The same with a clock of the caller instead of the server's: for tests.
    /// Processes that share queues must share the clock.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is wrong.
    pub fn with_clock(config: &RedisConfig, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::open(config, Some(clock))
    }

    fn open(config: &RedisConfig, clock: Option<Arc<dyn Clock>>) -> Result<Self, Error> {
        config.validate()?;
        let link = Arc::new(Link::new(config)?);
        let (bells, policies) = (Arc::new(Bells::default()), Arc::new(Policies::default()));
        let (lane, carrier) = lane::open(config, Arc::clone(&link), Arc::clone(&policies), clock);
        let ears = listener::listen(Arc::clone(&link), Arc::clone(&bells));
        let tasks = [tokio::spawn(carrier).abort_handle(), tokio::spawn(ears).abort_handle()];
        Ok(Self { lane, link, bells, policies, payload_bytes: config.limits.payload_bytes, tasks })
    }

    /// Sends calls and decodes their answers.
    async fn send<T>(
        &self,
        calls: Vec<Call>,
        decode: impl Fn(usize, ::redis::Value) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let values = self.lane.send(calls).await?;
        let decoded = values.into_iter().enumerate().map(|(at, value)| decode(at, value));
        decoded.collect::<Option<_>>().ok_or_else(|| self.link.odd("an answer has another shape"))
    }

    async fn send_one<T>(
        &self,
        call: Call,
        decode: impl Fn(::redis::Value) -> Option<T>,
    ) -> Result<T, Error> {
        let mut answers = self.send(vec![call], |_, value| decode(value)).await?;
        answers.pop().ok_or_else(|| self.link.odd("there is no answer"))
    }

    /// Tasks that cannot be sent are refused here, the others by the server.
    async fn offer_all(&self, tasks: Vec<Task>) -> Result<Vec<Result<Offered, Refusal>>, Error> {
        check_batch(&tasks)?;
        let mut refused = HashMap::new();
        let mut sent = Vec::with_capacity(tasks.len());
        let count = tasks.len();
        for (at, task) in tasks.into_iter().enumerate() {
            match task.check(self.payload_bytes) {
                Ok(()) => sent.push(task),
                Err(refusal) => drop(refused.insert(at, refusal)),
            }
        }
        let calls = sent.iter().map(Call::offer).collect();
        let limits = self.lane.limits();
        let answers = self.send(calls, |at, value| codec::offered(&value, &sent[at].queue, &limits)).await?;
        let mut answers = answers.into_iter();
        let all = (0..count).map(|at| refused.remove(&at).map(Err).or_else(|| answers.next()));
        all.collect::<Option<_>>().ok_or_else(|| self.link.odd("answers are missing"))
    }

    async fn wait_and_take(&self, wish: Take) -> Result<Vec<Lease>, Error> {
        wish.check()?;
        let wanted = &wish;
        let look = move || self.send_one(Call::take(wanted), codec::taken);
        self.bells.wait_for(&wish, look).await
    }

    /// Sends a call for each item and reads flags.
    async fn flags<I>(&self, items: Vec<I>, call: impl Fn(&I) -> Call) -> Result<Vec<bool>, Error> {
        check_batch(&items)?;
        self.send(items.iter().map(call).collect(), |_, value| codec::flag(&value)).await
    }

    /// Brings a queue into use with a call that answers whether there was room.
    async fn ensure(&self, queue: &Arc<str>, call: Call) -> Result<(), Error> {
        if self.send_one(call, |value| codec::flag(&value)).await? {
            return Ok(());
        }
        let limit = self.lane.limits().queues;
        Err(Refusal::TooManyQueues { queue: Arc::clone(queue), limit }.into())
    }
}

impl ReadyQueue for Redis {
    fn offer(&self, tasks: Vec<Task>) -> Answer<'_, Vec<Result<Offered, Refusal>>> {
        self.offer_all(tasks).boxed()
    }

    fn take(&self, wish: Take) -> Answer<'_, Vec<Lease>> {
        self.wait_and_take(wish).boxed()
    }

    fn extend(&self, held: Vec<Held>) -> Answer<'_, Vec<Option<Micros>>> {
        async move {
            check_batch(&held)?;
            let calls = held.iter().map(|held| Call::held("extend", held)).collect();
            self.send(calls, |_, value| codec::until(&value)).await
        }
        .boxed()
    }

    fn finish(&self, held: Vec<Held>) -> Answer<'_, Vec<bool>> {
        self.flags(held, |held| Call::held("finish", held)).boxed()
    }

    fn release(&self, released: Vec<Release>) -> Answer<'_, Vec<bool>> {
        self.flags(released, Call::release).boxed()
    }

    fn cancel(&self, queue: Arc<str>, ids: Vec<TaskId>) -> Answer<'_, Vec<bool>> {
        self.flags(ids, move |id| Call::of_task("cancel", &queue, *id)).boxed()
    }

    fn configure(&self, queue: Arc<str>, policy: Policy) -> Answer<'_, ()> {
        async move {
            policy.validate()?;
            check_queue_name(&queue)?;
            let call = Call::flagged("configure", &queue, policy != Policy::default());
            self.policies.set(&queue, &policy);
            self.ensure(&queue, call).await
        }
        .boxed()
    }

    fn pause(&self, queue: Arc<str>, paused: bool) -> Answer<'_, ()> {
        async move {
            check_queue_name(&queue)?;
            self.ensure(&queue, Call::flagged("pause", &queue, paused)).await
        }
        .boxed()
    }

    fn standing(&self, queue: Arc<str>, id: TaskId) -> Answer<'_, Option<Standing>> {
        self.send_one(Call::of_task("standing", &queue, id), codec::standing).boxed()
    }

    fn stats(&self, queue: Arc<str>) -> Answer<'_, Stats> {
        self.send_one(Call::of_queue("stats", &queue), codec::stats).boxed()
    }

    fn queues(&self) -> Answer<'_, Vec<Arc<str>>> {
        self.send_one(Call::named("queues"), codec::queues).boxed()
    }

    fn incarnation(&self) -> Answer<'_, u64> {
        async move {
            let mark = self.send_one(Call::named("mark"), |value| codec::number(&value)).await?;
            Ok(self.link.run().await?.rotate_left(1) ^ mark)
        }
        .boxed()
    }
}
