//! Runs what schedules ask for.
//!
//! Every replica looks. What is due is decided in one transaction that only one of
//! them can make, since a schedule says which revision was read. The runs are stored
//! with it and are started afterwards under keys of their own, so that starting one
//! again, after a crash or by another replica, finds the execution that is there.
//!
//! **Architecture invariant:** a run is stored before it is started and marked after,
//! and its key never changes: at every moment there is a row that says what is left
//! to do, and doing it again changes nothing.

use crate::definitions::Definitions;
use crate::domain::schedules::{Decision, Kept};
use crate::error::Error;
use crate::lane::{Answer, Handle, Message, Start};
use crate::metrics::Metrics;
use crate::store::{Outcome, RunPlace, RunRow, ScheduleCommit, Store, View};
use futures::future::join_all;
use probity_engine::{Event, Opening, What};
use probity_storage::idempotency::Scope;
use probity_types::id::ExecutionId;
use probity_types::{AuditEvent, Clock, Micros};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The longest wait between two looks, unless looking takes long.
const LOOK: Duration = Duration::from_secs(1);
/// Looking may take one part in this many of the time.
const SHARE: u32 = 20;
/// Runs that another replica decided are left to it for so long.
const LEFT_ALONE: Duration = Duration::from_secs(3);
/// Most schedules or runs of each sort that one look takes up.
const AT_ONCE: i64 = 100;
/// How often a person's change is tried when the clock changes the schedule as well.
const TRIES: usize = 16;

/// The runner. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Runner(Arc<Inner>);

struct Inner {
    store: Store,
    lane: Handle,
    definitions: Definitions,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Something changed: look now.
    wake: Notify,
}

impl Runner {
    pub(crate) fn new(
        store: Store,
        lane: Handle,
        definitions: Definitions,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Inner { store, lane, definitions, clock, metrics, wake: Notify::new() }))
    }

    /// Looks until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let begun = self.0.clock.now();
            let wait = match self.look(begun).await {
                Ok(true) => Duration::ZERO,
                Ok(false) => self.until_next(begun).await,
                Err(error) => {
                    tracing::warn!(%error, "the schedules could not be looked after; trying again");
                    LOOK
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.0.wake.notified() => {}
            }
        }
    }

    /// Looks soon: something has changed.
    pub(crate) fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Does all there is to do; answers whether there is more.
    async fn look(&self, now: Micros) -> Result<bool, Error> {
        let due = self.0.store.due_schedules(now, AT_ONCE).await?;
        for kept in &due {
            match kept.due(now) {
                Ok(decision) => drop(self.decide(kept, decision, None, now).await?),
                Err(refused) => tracing::error!(schedule = kept.id, %refused, "a schedule cannot be read"),
            }
        }
        let left_alone = i64::try_from(LEFT_ALONE.as_micros()).unwrap_or(0);
        let alone = RunPlace::Pending(Micros(now.0 - left_alone));
        let pending = self.0.store.open_runs(alone, AT_ONCE).await?;
        self.start_all(&pending).await;
        let unwanted = self.0.store.open_runs(RunPlace::Unwanted, AT_ONCE).await?;
        join_all(unwanted.iter().map(|run| self.cancel(run))).await;
        let ended = self.0.store.ended_runs(AT_ONCE).await?;
        for (run, status) in &ended {
            self.ended(run, Outcome::Execution(*status)).await?;
        }
        let full = |found: usize| i64::try_from(found).is_ok_and(|found| found >= AT_ONCE);
        Ok(full(due.len()) || full(ended.len()))
    }

    async fn until_next(&self, begun: Micros) -> Duration {
        let now = self.0.clock.now();
        let pause = LOOK.max(now.since(begun) * SHARE);
        match self.0.store.next_schedule().await {
            Ok(Some(next)) => pause.min(next.since(now)),
            _ => pause,
        }
    }

    /// Stores what was decided, unless somebody else has decided since, and starts the
    /// runs. Answers whether it was stored.
    async fn decide(
        &self,
        before: &Kept,
        decision: Decision,
        ended: Option<(Vec<u8>, Outcome)>,
        now: Micros,
    ) -> Result<bool, Error> {
        self.commit(before, decision, ended, None, now).await
    }

    async fn commit(
        &self,
        before: &Kept,
        decision: Decision,
        ended: Option<(Vec<u8>, Outcome)>,
        event: Option<AuditEvent>,
        now: Micros,
    ) -> Result<bool, Error> {
        let skipped = decision.kept.state.skipped - before.state.skipped;
        let (missed, fresh): (Vec<_>, Vec<_>) =
            decision.runs.iter().map(|run| (run.id(), run.missed.is_some())).partition(|(_, missed)| *missed);
        let commit = ScheduleCommit { revision: before.revision, decision, ended, event, now };
        if !self.0.store.decide_schedule(commit).await? {
            return Ok(false);
        }
        self.0.metrics.schedules.runs.with_label_values(&["missed"]).inc_by(missed.len() as u64);
        self.0.metrics.schedules.runs.with_label_values(&["skipped"]).inc_by(skipped);
        let mut runs = Vec::with_capacity(fresh.len());
        for (id, _) in fresh {
            runs.extend(self.0.store.run(&before.tenant, &id).await?);
        }
        self.start_all(&runs).await;
        Ok(true)
    }

    /// Carries out what a person wants of a schedule, however often the clock gets in
    /// between.
    pub(crate) async fn change(
        &self,
        tenant: &str,
        id: &str,
        event: &AuditEvent,
        decide: impl Fn(&Kept, Micros) -> Result<Decision, Error>,
    ) -> Result<Kept, Error> {
        for _ in 0..TRIES {
            let now = self.0.clock.now();
            let before = self.0.store.schedule(tenant, id).await?;
            let decision = decide(&before, now)?;
            if self.commit(&before, decision, None, Some(event.clone()), now).await? {
                self.wake();
                return self.0.store.schedule(tenant, id).await;
            }
        }
        Err(Error::Busy)
    }

    /// Starts runs; what cannot be started now is tried again at a later look.
    pub(crate) async fn start_all(&self, runs: &[RunRow]) {
        let mut targets = HashMap::new();
        for run in runs {
            if let std::collections::hash_map::Entry::Vacant(place) = targets.entry(run.schedule) {
                match self.0.store.schedule_of(run.schedule).await {
                    Ok(kept) => drop(place.insert(kept)),
                    Err(error) => return tracing::warn!(%error, "runs cannot be started yet"),
                }
            }
        }
        let known = runs.iter().filter_map(|run| Some((run, targets.get(&run.schedule)?.as_ref()?)));
        join_all(known.map(|(run, kept)| self.start(run, kept))).await;
    }

    async fn start(&self, run: &RunRow, kept: &Kept) {
        let done = match self.execution(run, kept).await {
            Ok(execution) => self.started(run, execution).await,
            Err(error) if is_final(&error) => {
                self.0.metrics.schedules.runs.with_label_values(&["refused"]).inc();
                self.ended(run, Outcome::Refused(error.to_string())).await
            }
            // Its line is another replica's, which looks after the runs as well.
            Err(Error::Elsewhere(_)) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::warn!(schedule = kept.id, run = run.key, %error, "a run cannot be started yet; it is tried again");
        }
    }

    /// The execution of a run, started now or before.
    async fn execution(&self, run: &RunRow, kept: &Kept) -> Result<ExecutionId, Error> {
        let target = &kept.target;
        let definition = self.0.definitions.named(&kept.tenant, &target.definition).await?;
        let input = checked(&definition, target.input_at(run.at))?;
        let ctx = target.ctx(&kept.tenant, &format!("schedules/{}/runs/{}", kept.id, hex::encode(&run.id)));
        let opening = Opening {
            name: String::new(),
            what: What::Plain,
            input,
            priority: target.priority,
            owner: ctx.actor.clone(),
            owner_roles: ctx.roles.clone(),
            parent: None,
        };
        // What a run starts may change between two attempts; which run it is does not.
        let scope = Scope {
            tenant: kept.tenant.clone(),
            operation: "ScheduledRun",
            key: run.key.clone(),
            body_sha256: [0; 32],
        };
        let start = |reply| {
            Message::Start(Box::new(Start {
                ctx,
                opening,
                definition,
                scope: Some(scope),
                reply,
                end: None,
                held: false,
            }))
        };
        match self.0.lane.ask(start).await? {
            Answer::Before(id) => Ok(id),
            Answer::View(View::Plain(execution)) => {
                crate::convert::execution_id("execution", &execution.name)
            }
            Answer::View(View::Case(case)) => Err(Error::NoExecution(case.name)),
        }
    }

    async fn started(&self, run: &RunRow, execution: ExecutionId) -> Result<(), Error> {
        if self.0.store.run_started(run, execution).await? {
            self.0.metrics.schedules.runs.with_label_values(&["started"]).inc();
            if !run.triggered {
                let late = self.0.clock.now().since(run.at);
                self.0.metrics.schedules.delay.observe(late.as_secs_f64());
            }
        }
        Ok(())
    }

    /// Cancels the execution of a run, when this replica has it.
    async fn cancel(&self, run: &RunRow) {
        let Some(execution) = run.execution else { return };
        let Ok(Some(kept)) = self.0.store.schedule_of(run.schedule).await else { return };
        let ctx = kept.target.ctx(&run.tenant, &format!("schedules/{}", kept.id));
        let reason = format!("the next run of schedules/{} is due", kept.id);
        let event = Event::Cancel { actor: ctx.actor.clone(), reason };
        match self.0.lane.person(&ctx, execution, event).await {
            // It has ended, is being taken back, or is another replica's to cancel.
            Ok(_) | Err(Error::Refused(_) | Error::Elsewhere(_)) => {}
            Err(error) => {
                tracing::warn!(schedule = kept.id, run = run.key, %error, "a run cannot be cancelled yet");
            }
        }
    }

    /// A run has ended. When its schedule waits for it, what comes next is decided in
    /// the same transaction.
    async fn ended(&self, run: &RunRow, outcome: Outcome) -> Result<(), Error> {
        for _ in 0..TRIES {
            let now = self.0.clock.now();
            let kept = self.0.store.schedule_of(run.schedule).await?;
            let waits = kept.filter(|kept| !run.triggered && kept.state.running.contains(&run.at));
            let Some(kept) = waits else { return self.0.store.run_ended(run, outcome, now).await };
            let decision = kept.ended(run.at, now).map_err(|e| wrong(&e))?;
            let ended = Some((run.id.clone(), outcome.clone()));
            // What starts now may end at once as well: not within this call.
            if Box::pin(self.decide(&kept, decision, ended, now)).await? {
                return Ok(());
            }
        }
        Err(Error::Busy)
    }
}

/// An input that the definition takes.
pub(crate) fn checked(
    definition: &probity_engine::Definition,
    input: serde_json::Value,
) -> Result<serde_json::Value, Error> {
    if definition.is_case() {
        let why = format!("definitions/{} ends in a verdict: cases cannot be scheduled", definition.name);
        return Err(Error::WrongDefinition(why));
    }
    definition.check_input(&input).map_err(|errors| {
        Error::Input(errors.into_iter().map(|error| (error.pointer, error.message)).collect())
    })?;
    Ok(input)
}

/// A schedule that is refused, as the caller hears of it.
pub(crate) fn wrong(refused: &probity_schedule::Error) -> Error {
    let field = match refused.field {
        "catch_up_us" => "catch_up",
        "jitter_us" => "jitter",
        "starts" => "start_time",
        "ends" => "end_time",
        "limit" => "max_runs",
        other => other,
    };
    Error::Invalid { field: format!("schedule.{field}"), why: refused.reason.clone() }
}

/// Whether trying again soon would change nothing. A tenant with too many dead letters
/// is told so in the history of its schedule: runs of it do not pile up meanwhile.
const fn is_final(error: &Error) -> bool {
    matches!(
        error,
        Error::NoDefinition(_)
            | Error::WrongDefinition(_)
            | Error::Input(_)
            | Error::Invalid { .. }
            | Error::Definition(_)
            | Error::LettersFull { .. }
    )
}
