//! The state machine: time is passed in, nothing is shared.

use super::window::{Counts, SLOTS, Window};
use super::{Config, Outcome};
use crate::time::micros;
use std::time::{Duration, Instant};

/// Where a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// A few calls pass as probes.
    HalfOpen,
}

impl State {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Its name as a label of a metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Why a state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Too many failures in the window.
    Failures,
    /// Too many slow calls in the window.
    SlowCalls,
    /// It has been open for long enough.
    OpenTimeOver,
    /// The peer's health check says that it serves again.
    PeerServes,
    /// A probe failed.
    ProbeFailed,
    /// A probe did not end within the open time.
    ProbeLost,
    /// Enough probes succeeded.
    Recovered,
    /// An operator forced it.
    Forced,
    /// An operator reset it.
    Reset,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
    /// Why.
    pub reason: Reason,
}

/// What a call that may pass brings back with its result. Plain data: whoever
/// holds it must give a result or say that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    pub(super) generation: u16,
    pub(super) probe: bool,
}

/// What a breaker says to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It may pass.
    Pass(Pass),
    /// It may not; the time after which asking again makes sense.
    Refused(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen { running: u32, successes: u32, oldest: Instant },
    ForcedOpen,
    ForcedClosed,
}

/// The state machine of a breaker; see the [module](super).
#[derive(Debug, Clone)]
pub struct Machine {
    config: Config,
    begun: Instant,
    since: Instant,
    phase: Phase,
    /// Counts the changes of state: results of earlier ones do not count.
    generation: u16,
    window: Window,
}

impl Machine {
    /// A closed breaker; `config` is taken as valid.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let window = Window::new(&config);
        Self { config, begun: now, since: now, phase: Phase::Closed, generation: 0, window }
    }

    /// Where it is. An open breaker whose time is over says so when a call asks.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Closed | Phase::ForcedClosed => State::Closed,
            Phase::Open { .. } | Phase::ForcedOpen => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// True when an operator holds it where it is.
    #[must_use]
    pub const fn is_forced(&self) -> bool {
        matches!(self.phase, Phase::ForcedOpen | Phase::ForcedClosed)
    }

    /// When it got there.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.since
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) const fn generation(&self) -> u16 {
        self.generation
    }

    pub(super) fn counts(&self, now: Instant) -> Counts {
        self.window.counts(self.slot(now))
    }

    /// The slot of the window a point in time is in.
    pub(super) fn slot(&self, now: Instant) -> u32 {
        slot_of(&self.config, now.saturating_duration_since(self.begun))
    }

    /// A call asks whether it may pass.
    pub fn on_ask(&mut self, now: Instant) -> (Asked, Option<Change>) {
        let mut change = None;
        if let Phase::Open { until } = self.phase
            && now >= until
        {
            let probing = Phase::HalfOpen { running: 0, successes: 0, oldest: now };
            change = Some(self.go(probing, now, Reason::OpenTimeOver));
        }
        match self.phase {
            Phase::Closed | Phase::ForcedClosed => (Asked::Pass(self.pass(false)), change),
            Phase::ForcedOpen => (Asked::Refused(self.config.open()), change),
            Phase::Open { until } => (Asked::Refused(until.saturating_duration_since(now)), change),
            Phase::HalfOpen { running, successes, oldest } if running < self.config.max_probes => {
                let oldest = if running == 0 { now } else { oldest };
                self.phase = Phase::HalfOpen { running: running + 1, successes, oldest };
                (Asked::Pass(self.pass(true)), change)
            }
            Phase::HalfOpen { oldest, .. } => self.wait_for_probe(oldest, now, change),
        }
    }

    /// As many probes are under way as may be.
    fn wait_for_probe(
        &mut self,
        oldest: Instant,
        now: Instant,
        change: Option<Change>,
    ) -> (Asked, Option<Change>) {
        let lost = oldest + self.config.open();
        if now < lost {
            // A probe may end at any moment, at the latest then.
            return (Asked::Refused(lost.saturating_duration_since(now).min(Duration::from_secs(1))), change);
        }
        let change = self.open(now, Reason::ProbeLost);
        (Asked::Refused(self.config.open()), Some(change))
    }

    /// A call that passed has ended after `took`.
    pub fn on_result(
        &mut self,
        now: Instant,
        pass: Pass,
        outcome: Outcome,
        took: Duration,
    ) -> Option<Change> {
        if pass.generation != self.generation {
            return None;
        }
        let slow = took >= self.config.slow_call();
        match (self.phase, outcome) {
            (Phase::HalfOpen { .. }, Outcome::Unknown) => self.on_abandoned(pass),
            (Phase::HalfOpen { .. }, _) => self.on_probe(now, outcome, slow),
            (_, Outcome::Unknown) => None,
            _ => self.on_call(now, outcome == Outcome::Failure, slow),
        }
    }

    fn on_call(&mut self, now: Instant, failed: bool, slow: bool) -> Option<Change> {
        let slot = self.slot(now);
        self.window.push(slot, failed, slow);
        if !(failed || slow) || self.phase != Phase::Closed {
            return None;
        }
        let reason = self.verdict(self.window.counts(slot))?;
        Some(self.open(now, reason))
    }

    fn on_probe(&mut self, now: Instant, outcome: Outcome, slow: bool) -> Option<Change> {
        if outcome == Outcome::Failure || (slow && self.config.slow_rate.is_some()) {
            return Some(self.open(now, Reason::ProbeFailed));
        }
        let Phase::HalfOpen { running, successes, oldest } = &mut self.phase else { return None };
        *running = running.saturating_sub(1);
        *successes += 1;
        *oldest = now; // the others are given their time anew: somebody answers
        let recovered = *successes >= self.config.success_threshold;
        recovered.then(|| self.close(now, Reason::Recovered))
    }

    /// A call that passed will never have a result: its caller went away.
    pub fn on_abandoned(&mut self, pass: Pass) -> Option<Change> {
        if pass.generation == self.generation
            && let Phase::HalfOpen { running, .. } = &mut self.phase
        {
            *running = running.saturating_sub(1);
        }
        None
    }

    /// Calls that passed and went well in a slot of the window, counted elsewhere.
    pub(super) fn on_fine(&mut self, slot: u32, count: u32) {
        self.window.push_fine(slot, count);
    }

    /// The peer says that it serves: an open breaker lets probes pass now instead
    /// of when its time is over. One that an operator holds stays as it is.
    pub fn on_peer_serves(&mut self, now: Instant) -> Option<Change> {
        let Phase::Open { .. } = self.phase else { return None };
        let probing = Phase::HalfOpen { running: 0, successes: 0, oldest: now };
        Some(self.go(probing, now, Reason::PeerServes))
    }

    /// Refuses everything until it is reset or forced closed.
    pub fn force_open(&mut self, now: Instant) -> Option<Change> {
        (self.phase != Phase::ForcedOpen).then(|| self.go(Phase::ForcedOpen, now, Reason::Forced))
    }

    /// Lets everything pass until it is reset or forced open.
    pub fn force_close(&mut self, now: Instant) -> Option<Change> {
        (self.phase != Phase::ForcedClosed).then(|| self.go(Phase::ForcedClosed, now, Reason::Forced))
    }

    /// Closed, with nothing held against the peer, and on its own again.
    pub fn reset(&mut self, now: Instant) -> Option<Change> {
        let change = self.close(now, Reason::Reset);
        (change.from != State::Closed).then_some(change)
    }

    /// Whether what is in the window opens the breaker.
    fn verdict(&self, counts: Counts) -> Option<Reason> {
        let config = &self.config;
        let enough = counts.calls >= u64::from(config.min_calls);
        #[allow(clippy::cast_precision_loss)] // counts of calls stay far below 2^52
        let reaches = |part: u64, rate: f64| enough && part as f64 >= rate * counts.calls as f64;
        let failed = counts.failures >= u64::from(config.failure_threshold);
        if failed && config.failure_rate.is_none_or(|rate| reaches(counts.failures, rate)) {
            return Some(Reason::Failures);
        }
        let slow = config.slow_rate.is_some_and(|rate| reaches(counts.slow, rate));
        slow.then_some(Reason::SlowCalls)
    }

    fn open(&mut self, now: Instant, reason: Reason) -> Change {
        self.go(Phase::Open { until: now + self.config.open() }, now, reason)
    }

    fn close(&mut self, now: Instant, reason: Reason) -> Change {
        self.go(Phase::Closed, now, reason)
    }

    fn go(&mut self, phase: Phase, now: Instant, reason: Reason) -> Change {
        let from = self.state();
        self.phase = phase;
        self.since = now;
        self.generation = self.generation.wrapping_add(1);
        self.window.clear();
        Change { from, to: self.state(), reason }
    }

    const fn pass(&self, probe: bool) -> Pass {
        Pass { generation: self.generation, probe }
    }
}

/// The slot a time since the start of a breaker is in. A window of calls has one.
pub(super) fn slot_of(config: &Config, since: Duration) -> u32 {
    if config.window_calls.is_some() {
        return 0;
    }
    // At least a millisecond, as a window has at least twelve.
    let slot_us = config.window_ms * 1_000 / u64::from(SLOTS);
    u32::try_from(micros(since) / slot_us.max(1)).unwrap_or(u32::MAX - 1)
}
