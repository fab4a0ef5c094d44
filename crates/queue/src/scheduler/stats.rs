//! The figures of a queue.

use super::tenant::RANKS;
use probity_types::Micros;
use std::time::Duration;

/// Time constant of the rates, in seconds.
const MEMORY_S: f64 = 60.0;

/// The figures of one queue at one time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Tasks that could be given out, limits of rate and number permitting, by
    /// [rank](crate::Priority::rank).
    pub ready: [usize; RANKS],
    /// Tasks that wait for others with their key.
    pub blocked: usize,
    /// Tasks whose time has not come.
    pub delayed: usize,
    /// Tasks given out.
    pub running: usize,
    /// True when nothing is given out.
    pub paused: bool,
    /// How long the task that waits longest has been ready, among those next in
    /// line of their tenant that could be given out; none when there is none.
    pub oldest_ready: Option<Duration>,
    /// What happened since the queue came into use.
    pub totals: Totals,
    /// Tasks taken in per second, over the last minute or so.
    pub offered_per_s: f64,
    /// Tasks given out per second, over the last minute or so.
    pub taken_per_s: f64,
    /// Tasks finished per second, over the last minute or so.
    pub finished_per_s: f64,
}

/// Counters that only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Tasks taken in.
    pub offered: u64,
    /// Leases given out.
    pub taken: u64,
    /// Tasks finished.
    pub finished: u64,
    /// Tasks given back by their worker.
    pub released: u64,
    /// Leases that ran out.
    pub expired: u64,
    /// Tasks taken out by their owner.
    pub cancelled: u64,
}

/// What is counted of a queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) totals: Totals,
    offered: Meter,
    taken: Meter,
    finished: Meter,
}

impl Counters {
    pub(super) fn offered(&mut self, now: Micros) {
        self.totals.offered += 1;
        self.offered.count(now);
    }

    pub(super) fn taken(&mut self, now: Micros) {
        self.totals.taken += 1;
        self.taken.count(now);
    }

    pub(super) fn finished(&mut self, now: Micros) {
        self.totals.finished += 1;
        self.finished.count(now);
    }

    /// Fills in what is counted.
    pub(super) fn fill(&self, stats: &mut Stats, now: Micros) {
        stats.totals = self.totals;
        stats.offered_per_s = self.offered.per_s(now);
        stats.taken_per_s = self.taken.per_s(now);
        stats.finished_per_s = self.finished.per_s(now);
    }
}

/// A rate that forgets exponentially, with a time constant of a minute.
#[derive(Debug, Clone, Copy, Default)]
struct Meter {
    per_s: f64,
    at: Micros,
}

impl Meter {
    fn count(&mut self, now: Micros) {
        self.per_s = self.per_s(now) + 1.0 / MEMORY_S;
        self.at = self.at.max(now);
    }

    fn per_s(&self, now: Micros) -> f64 {
        let elapsed = now.since(self.at).as_secs_f64();
        if self.per_s == 0.0 { 0.0 } else { self.per_s * (-elapsed / MEMORY_S).exp() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_measured_and_forgotten() {
        let mut meter = Meter::default();
        let at = |ms: i64| Micros(ms * 1_000);
        (0..6_000).for_each(|n| meter.count(at(n * 100)));
        let rate = meter.per_s(at(600_000));
        assert!((9.5..10.5).contains(&rate), "{rate}");
        assert!(meter.per_s(at(900_000)) < 0.1);
    }
}
