//! A breaker that threads share.

use super::fast::{Fast, Gate};
use super::machine::{Phase, slot_of};
use super::{Asked, Change, Config, Machine, Outcome, Pass, State};
use crate::invalid::Invalid;
use crate::observe::{Event, Observed};
use crate::refusal::Refusal;
use crate::time::{micros, now};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A breaker; see the [module](super).
#[derive(Debug)]
pub struct Breaker {
    name: Arc<str>,
    config: Config,
    begun: Instant,
    fast: Fast,
    machine: Mutex<Machine>,
    opened: AtomicU64,
    refused: AtomicU64,
    observed: Observed,
}

/// How a breaker stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is.
    pub state: State,
    /// True when an operator holds it there.
    pub forced: bool,
    /// How long it has been there.
    pub since: Duration,
    /// Calls in the window.
    pub calls: u64,
    /// Calls in the window that failed.
    pub failures: u64,
    /// Calls in the window that were slow.
    pub slow: u64,
    /// How often it opened.
    pub opened_total: u64,
    /// Calls it refused.
    pub refused_total: u64,
    /// When the next probe may pass, if it is open on its own.
    pub retry_after: Option<Duration>,
}

impl Breaker {
    /// A closed breaker.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(name: impl Into<Arc<str>>, config: Config) -> Result<Self, Invalid> {
        config.validate()?;
        let begun = now();
        Ok(Self {
            name: name.into(),
            config,
            begun,
            fast: Fast::new(),
            machine: Mutex::new(Machine::new(config, begun)),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            observed: Observed::default(),
        })
    }

    /// Tells an observer of every change of state and every refusal.
    #[must_use]
    pub fn with_observer(mut self, observed: Observed) -> Self {
        self.observed = observed;
        self
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Asks whether a call may pass. A pass must come back through
    /// [`Breaker::record`] or [`Breaker::abandon`].
    ///
    /// # Errors
    /// [`Refusal::BreakerOpen`] with the time to wait.
    pub fn ask(&self) -> Result<Pass, Refusal> {
        match self.fast.gate() {
            Gate::Closed { generation } => return Ok(Pass { generation, probe: false }),
            Gate::Forced => return Err(self.refuse(self.config.open())),
            Gate::Open { until_us } => {
                let left = until_us.saturating_sub(micros(now().saturating_duration_since(self.begun)));
                if left > 0 {
                    return Err(self.refuse(Duration::from_micros(left)));
                }
            }
            Gate::Ask => {}
        }
        match self.locked(Machine::on_ask) {
            Asked::Pass(pass) => Ok(pass),
            Asked::Refused(after) => Err(self.refuse(after)),
        }
    }

    /// The end of a call that passed and took so long.
    pub fn record(&self, pass: Pass, outcome: Outcome, took: Duration) {
        self.record_at(now(), pass, outcome, took);
    }

    /// The end, now, of a call that passed and began then.
    pub(crate) fn record_since(&self, pass: Pass, outcome: Outcome, began: Instant) {
        let now = now();
        self.record_at(now, pass, outcome, now.saturating_duration_since(began));
    }

    fn record_at(&self, now: Instant, pass: Pass, outcome: Outcome, took: Duration) {
        if outcome == Outcome::Unknown && !pass.probe {
            return;
        }
        let fine = outcome == Outcome::Success && took < self.config.slow_call();
        if fine && !pass.probe {
            let slot = slot_of(&self.config, now.saturating_duration_since(self.begun));
            let current = self.fast.gate() == Gate::Closed { generation: pass.generation };
            if !current || self.fast.count(slot) {
                return;
            }
        }
        self.locked_at(now, |machine, now| ((), machine.on_result(now, pass, outcome, took)));
    }

    /// A call that passed will have no result: its caller went away.
    pub fn abandon(&self, pass: Pass) {
        if pass.probe {
            self.locked(|machine, _| ((), machine.on_abandoned(pass)));
        }
    }

    /// The peer's health check says that it serves: probes may pass now.
    pub fn peer_serves(&self) {
        self.locked(|machine, now| ((), machine.on_peer_serves(now)));
    }

    /// Refuses everything until it is reset or forced closed.
    pub fn force_open(&self) {
        self.locked(|machine, now| ((), machine.force_open(now)));
    }

    /// Lets everything pass until it is reset or forced open.
    pub fn force_close(&self) {
        self.locked(|machine, now| ((), machine.force_close(now)));
    }

    /// Closed, with nothing held against the peer, and on its own again.
    pub fn reset(&self) {
        self.locked(|machine, now| ((), machine.reset(now)));
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.machine.lock().state()
    }

    /// How it stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = now();
        let mut machine = self.machine.lock();
        self.fold(&mut machine, now);
        let counts = machine.counts(now);
        let retry_after = match machine.phase() {
            Phase::Open { until } => Some(until.saturating_duration_since(now)),
            _ => None,
        };
        Snapshot {
            name: self.name.clone(),
            state: machine.state(),
            forced: machine.is_forced(),
            since: now.saturating_duration_since(machine.since()),
            calls: counts.calls,
            failures: counts.failures,
            slow: counts.slow,
            opened_total: self.opened.load(Ordering::Relaxed),
            refused_total: self.refused.load(Ordering::Relaxed),
            retry_after,
        }
    }

    fn refuse(&self, retry_after: Duration) -> Refusal {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let refusal = Refusal::BreakerOpen { name: self.name.clone(), retry_after };
        self.observed.tell(&Event::Refused { name: &self.name, code: refusal.code() });
        refusal
    }

    /// Takes calls that went well into the window.
    fn fold(&self, machine: &mut Machine, now: Instant) {
        let (slot, count) = self.fast.take(machine.slot(now));
        if count > 0 {
            machine.on_fine(slot, count);
        }
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Machine, Instant) -> (T, Option<Change>)) -> T {
        self.locked_at(now(), act)
    }

    /// Runs the state machine under its lock, mirrors what became of it, and
    /// tells the observer when the lock is free again.
    fn locked_at<T>(
        &self,
        now: Instant,
        act: impl FnOnce(&mut Machine, Instant) -> (T, Option<Change>),
    ) -> T {
        let mut machine = self.machine.lock();
        self.fold(&mut machine, now);
        let before = machine.generation();
        let (answer, change) = act(&mut machine, now);
        if machine.generation() != before {
            self.fast.show(machine.generation(), self.mirror(&machine));
            self.fast.take(machine.slot(now)); // what came between belongs to a state that is over
        }
        drop(machine);
        if let Some(change) = change {
            if change.to == State::Open {
                self.opened.fetch_add(1, Ordering::Relaxed);
            }
            self.observed.tell(&Event::BreakerChanged { name: &self.name, change });
        }
        answer
    }

    fn mirror(&self, machine: &Machine) -> Gate {
        match machine.phase() {
            Phase::Closed | Phase::ForcedClosed => Gate::Closed { generation: machine.generation() },
            Phase::ForcedOpen => Gate::Forced,
            Phase::HalfOpen { .. } => Gate::Ask,
            Phase::Open { until } => {
                Gate::Open { until_us: micros(until.saturating_duration_since(self.begun)) }
            }
        }
    }
}
