//! How the lane comes by its shards, keeps them and hands them over. What to do is
//! decided in [`crate::domain::ownership`].

use super::{Answers, Backend, Error, Lane, Live, Micros, Work};
use crate::domain::ownership::{SHARDS, shard_of};
use crate::store::{Lease, Place};
use probity_types::id::ExecutionId;
use std::time::Duration;

/// Between two looks after shards, however many ask for them.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

impl Lane {
    /// A SQLite file has one process: its lock is the lease.
    fn alone(&self) -> bool {
        self.parts.store.db.backend() == Backend::Sqlite
    }

    /// Whether something new may be started for a tenant.
    pub(super) fn may_start(&self, tenant: &str) -> Result<(), Error> {
        self.has_shards()?;
        self.parts.letters.admit(tenant)
    }

    /// Without shards nothing can be started here, and whoever has some can be asked.
    pub(super) fn has_shards(&self) -> Result<(), Error> {
        if !self.shards.is_empty() {
            return Ok(());
        }
        let nobody = || Error::Away("no replica has shards yet".to_owned());
        Err(self.handle.someones(&self.address).map_or_else(nobody, Error::Elsewhere))
    }

    fn lease(&self) -> Micros {
        self.parts.clock.now().plus(self.ttl)
    }

    fn own(&self) -> Lease {
        Lease { log: self.place.log, until: self.lease() }
    }

    /// Begins a log and takes what shards there are for it.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        self.parts.views.disown();
        self.live.clear();
        self.timers.clear();
        self.inner.clear();
        self.children.clear();
        self.child_of.clear();
        self.lines.clear();
        self.shards.clear();
        self.parts.board.clear();
        self.refuse_waiting();
        self.parts.store.lay_out_shards().await?;
        let log = self.parts.store.begin_log(&self.owner, &self.address, self.lease()).await?;
        self.place = Place { log, after: 0 };
        self.handle.recent().lock().begin(log);
        self.look_after_shards().await?;
        tracing::info!(log, shards = self.shards.len(), executions = self.live.len(), "the lane runs");
        Ok(())
    }

    /// A sign of life; then seals, claims and releases what the moment asks for.
    pub(super) async fn look_after_shards(&mut self) -> Result<(), Error> {
        let settled = self.alone() && self.shards.len() == SHARDS;
        (self.asked_to_look, self.looked) = (false, self.parts.clock.now());
        self.sweep_waiting();
        if settled {
            return Ok(());
        }
        let (store, log) = (self.parts.store.clone(), self.place.log);
        if let Err(error) = store.renew_log(log, self.lease()).await {
            self.parts.metrics.fenced.inc_by(u64::from(matches!(error, Error::Fenced)));
            return Err(error);
        }
        let survey = store.survey().await?;
        let plan = survey.plan(log, &self.owner, self.alone(), self.parts.clock.now());
        for dead in &plan.seal {
            let Some(row) = survey.logs.iter().find(|l| l.log == *dead) else { continue };
            if store.seal_log(*dead, self.own(), row.until).await? {
                tracing::info!(log = dead, owner = %row.owner, "sealed the log of a replica that is gone");
                self.handle.recent().lock().inherit();
            }
        }
        if !plan.release.is_empty() {
            self.forget_shards(&plan.release);
            store.release(log, &plan.release).await?;
            tracing::info!(shards = plan.release.len(), "let shards go to other replicas");
        }
        let claimed = store.claim(self.own(), &plan.claim).await?;
        if !claimed.is_empty() {
            probity_failpoint::hit("own.claimed");
            self.read_back(&claimed).await?;
        }
        self.parts.views.own(log, &self.shards);
        self.handle.owning(!self.shards.is_empty());
        self.parts.metrics.shards.set(i64::try_from(self.shards.len()).unwrap_or(0));
        self.handle.surveyed(store.survey().await?);
        Ok(())
    }

    /// Goes on with what is under way in shards that are now owned.
    async fn read_back(&mut self, shards: &[u8]) -> Result<(), Error> {
        self.shards.extend(shards);
        self.shards.sort_unstable();
        self.shards.dedup();
        let mut tasks = Vec::new();
        for id in self.parts.store.active(shards).await? {
            match Live::read(&self.parts.store, &self.parts.definitions, id).await {
                Ok(live) => {
                    let commands = live.execution.outstanding();
                    self.live.insert(id, live);
                    self.carry_out(id, commands, &mut tasks);
                }
                // One execution that cannot be read must not keep the others waiting.
                Err(error @ (Error::Journal { .. } | Error::Definition(_) | Error::NoDefinition(_))) => {
                    self.parts.metrics.unreadable.inc();
                    tracing::error!(execution = %id, %error, "an execution cannot be gone on with");
                }
                Err(error) => return Err(error),
            }
        }
        self.parts.board.offer_again(tasks);
        self.read_lines(shards).await
    }

    /// Forgets everything of these shards: somebody else goes on with it.
    fn forget_shards(&mut self, shards: &[u8]) {
        let gone = |id: &ExecutionId| shards.contains(&shard_of(*id));
        self.shards.retain(|shard| !shards.contains(shard));
        self.parts.views.own(self.place.log, &self.shards);
        let ids: Vec<ExecutionId> = self.live.keys().filter(|id| gone(id)).copied().collect();
        for id in ids {
            self.live.remove(&id);
            self.parts.board.leave(id);
        }
        self.lines.forget(|id| gone(&id));
        let waiting: Vec<ExecutionId> = self.ends.keys().filter(|id| gone(id)).copied().collect();
        for reply in waiting.iter().filter_map(|id| self.ends.remove(id)).flatten() {
            let _ = reply.send(Err(Error::Away("it went to another replica".to_owned())));
        }
    }

    /// Takes answers of workers; those for executions that somebody else has now are
    /// told apart, never acknowledged.
    pub(super) fn workers_answered(&mut self, answers: Answers, work: &mut Work) {
        let whose = answers.tenant.as_deref();
        let mut moved = Vec::new();
        for (at, (id, event)) in answers.events.into_iter().enumerate() {
            let own = |live: &Live| whose.is_none_or(|tenant| live.tenant == tenant);
            if !self.owns(id) {
                moved.push(at);
            } else if self.live.get(&id).is_some_and(own) {
                self.decide(id, event, None, None, work);
            }
        }
        let told = answers.acknowledge;
        work.acknowledge(Box::new(move |durable| told(durable, &moved)));
    }

    /// Whether to look after shards now because somebody asks for it.
    pub(super) fn looks_early(&self) -> bool {
        self.asked_to_look && self.parts.clock.now().since(self.looked) >= LOOK_PAUSE
    }

    fn refuse_waiting(&mut self) {
        for reply in self.ends.drain().flat_map(|(_, waiting)| waiting) {
            let _ = reply.send(Err(Error::Away("it is starting again".to_owned())));
        }
    }

    /// Forgets who has given up waiting.
    fn sweep_waiting(&mut self) {
        self.ends.retain(|_, waiting| {
            waiting.retain(|reply| !reply.is_closed());
            !waiting.is_empty()
        });
    }

    /// Lets everything go at the end, so that nobody has to wait for the lease.
    pub(super) async fn hand_over(&mut self) {
        if self.alone() || self.place.log == 0 {
            return;
        }
        let over = self.parts.store.renew_log(self.place.log, Micros(0)).await;
        if let Err(error) = over {
            tracing::warn!(%error, "the shards could not be handed over; others wait for the lease");
        }
    }
}
