//! The state machine of the limit: samples in, a limit out.

use crate::invalid::{Invalid, within};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Between which numbers a limit moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it begins.
    pub initial: usize,
    /// The least it may be; 1 or more.
    pub min: usize,
    /// The most it may be; at most 100,000.
    pub max: usize,
    /// How long samples are gathered for one decision, in milliseconds; 1 to
    /// 60,000.
    pub window_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { initial: 64, min: 8, max: 2_048, window_ms: 100 }
    }
}

impl Config {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("max", self.max, 1..=100_000)?;
        within("min", self.min, 1..=self.max)?;
        within("initial", self.initial, self.min..=self.max)?;
        within("window_ms", self.window_ms, 1..=60_000)
    }
}

/// The fewest samples a decision is made of.
const SAMPLES: u32 = 10;
/// The time without load is measured anew after so many decisions, because a
/// peer that has been moved or grown has another one.
const PROBE_EVERY: u32 = 600;

/// The state machine; see the [module](super).
#[derive(Debug, Clone)]
pub struct Vegas {
    config: Config,
    limit: f64,
    unloaded: Option<Duration>,
    decisions: u32,
    window: Window,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    begun: Instant,
    samples: u32,
    total: Duration,
    fastest: Duration,
    most_in_flight: usize,
    overloaded: bool,
}

impl Window {
    const fn new(now: Instant) -> Self {
        Self {
            begun: now,
            samples: 0,
            total: Duration::ZERO,
            fastest: Duration::MAX,
            most_in_flight: 0,
            overloaded: false,
        }
    }
}

impl Vegas {
    /// A limit at its beginning; `config` is taken as valid.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        #[allow(clippy::cast_precision_loss)] // at most 100,000
        let limit = config.initial as f64;
        Self { config, limit, unloaded: None, decisions: 0, window: Window::new(now) }
    }

    /// Calls that may be under way now.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from min to max
    pub const fn limit(&self) -> usize {
        self.limit as usize
    }

    /// The shortest time a call took lately, taken as the time without load.
    #[must_use]
    pub const fn unloaded(&self) -> Option<Duration> {
        self.unloaded
    }

    /// A call ended that took `rtt`, while `in_flight` were under way;
    /// `overloaded` when the peer said that it had too much to do or ran out of
    /// time. Answers the limit when it was decided anew.
    pub fn on_sample(
        &mut self,
        now: Instant,
        rtt: Duration,
        in_flight: usize,
        overloaded: bool,
    ) -> Option<usize> {
        let window = &mut self.window;
        window.samples += 1;
        window.total = window.total.saturating_add(rtt);
        window.fastest = window.fastest.min(rtt);
        window.most_in_flight = window.most_in_flight.max(in_flight);
        window.overloaded |= overloaded;
        let long_enough =
            now.saturating_duration_since(window.begun) >= Duration::from_millis(self.config.window_ms);
        if window.samples < SAMPLES || !long_enough {
            return None;
        }
        let gathered = std::mem::replace(&mut self.window, Window::new(now));
        self.decide(gathered);
        Some(self.limit())
    }

    fn decide(&mut self, window: Window) {
        self.decisions += 1;
        if self.decisions.is_multiple_of(PROBE_EVERY) {
            self.unloaded = None;
        }
        let unloaded = self.unloaded.map_or(window.fastest, |known| known.min(window.fastest));
        self.unloaded = Some(unloaded);
        let step = self.limit.log10().max(1.0);
        let next = if window.overloaded {
            self.limit - step
        } else if self.is_idle(&window) {
            self.limit // what is not used says nothing about its bounds
        } else {
            let mean = window.total.as_secs_f64() / f64::from(window.samples);
            self.by_queue(self.queue(unloaded.as_secs_f64(), mean), step)
        };
        #[allow(clippy::cast_precision_loss)] // at most 100,000
        let (min, max) = (self.config.min as f64, self.config.max as f64);
        self.limit = next.clamp(min, max);
    }

    /// Fewer than half of the calls allowed were under way.
    fn is_idle(&self, window: &Window) -> bool {
        window.most_in_flight.saturating_mul(2) < self.limit()
    }

    /// Calls that wait at the peer, by how much longer than without load they take.
    fn queue(&self, unloaded: f64, rtt: f64) -> f64 {
        if rtt <= 0.0 { 0.0 } else { self.limit * (1.0 - unloaded / rtt).clamp(0.0, 1.0) }
    }

    /// Vegas' α and β, which grow with the logarithm of the limit.
    fn by_queue(&self, queue: f64, step: f64) -> f64 {
        let (alpha, beta) = (3.0 * step, 6.0 * step);
        if queue <= step {
            self.limit + beta
        } else if queue < alpha {
            self.limit + step
        } else if queue > beta {
            self.limit - step
        } else {
            self.limit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    /// A peer that works on `capacity` calls at once, each 10 ms; the rest wait.
    /// Sends as many as the limit allows for some rounds; answers the limit then.
    fn settle(vegas: &mut Vegas, now: &mut Instant, capacity: usize, rounds: u32) -> usize {
        for _ in 0..rounds {
            let in_flight = vegas.limit();
            let queued = in_flight.max(capacity);
            let rtt = (10 * MS).mul_f64(queued as f64 / capacity as f64);
            *now += 101 * MS;
            for _ in 0..SAMPLES {
                vegas.on_sample(*now, rtt, in_flight, false);
            }
        }
        vegas.limit()
    }

    #[test]
    fn it_finds_what_a_peer_can_do_and_follows_it() {
        let mut now = Instant::now();
        let config = Config { initial: 20, ..Config::default() };
        let mut vegas = Vegas::new(config, now);
        let mut check = |capacity: usize, rounds| {
            let limit = settle(&mut vegas, &mut now, capacity, rounds);
            assert!((capacity..=capacity * 2).contains(&limit), "{limit} for {capacity}");
        };
        check(100, 200);
        check(400, 400);
        check(50, 400);
    }

    #[test]
    fn overload_shrinks_it_and_idleness_leaves_it() {
        let check = |in_flight, rtt: Duration, overloaded, expect: usize| {
            let now = Instant::now();
            let mut vegas = Vegas::new(Config { initial: 100, ..Config::default() }, now);
            vegas.unloaded = Some(10 * MS);
            for _ in 0..SAMPLES {
                vegas.on_sample(now + 100 * MS, rtt, in_flight, overloaded);
            }
            assert_eq!(vegas.limit(), expect, "{in_flight} {rtt:?} {overloaded}");
        };
        check(100, 10 * MS, true, 98); // overloaded: one step of log10(100) = 2
        check(100, 10 * MS, false, 112); // no queue: β = 6 steps
        check(100, 10 * MS + MS / 3, false, 102); // a short queue: one step
        check(100, 11 * MS, false, 100); // between α and β
        check(100, 20 * MS, false, 98); // a long queue
        check(49, 10 * MS, false, 100); // hardly used
        check(49, 90 * MS, false, 100);
    }

    #[test]
    fn a_decision_needs_samples_and_time() {
        let now = Instant::now();
        let mut vegas = Vegas::new(Config::default(), now);
        for _ in 0..SAMPLES * 2 {
            assert_eq!(vegas.on_sample(now + 99 * MS, MS, 64, false), None);
        }
        assert!(vegas.on_sample(now + 100 * MS, MS, 64, false).is_some());
        assert_eq!(vegas.unloaded(), Some(MS));
        for n in 1..SAMPLES {
            assert_eq!(vegas.on_sample(now + 900 * MS, MS, 64, false), None, "{n}");
        }
        assert!(vegas.on_sample(now + 900 * MS, MS, 64, false).is_some());
    }

    #[test]
    fn the_time_without_load_is_measured_anew() {
        let mut now = Instant::now();
        let mut vegas = Vegas::new(Config::default(), now);
        let mut sample = |rtt: Duration, rounds: u32| {
            for _ in 0..rounds {
                now += 101 * MS;
                for _ in 0..SAMPLES {
                    vegas.on_sample(now, rtt, 64, false);
                }
            }
            vegas.unloaded()
        };
        assert_eq!(sample(10 * MS, 1), Some(10 * MS));
        assert_eq!(sample(30 * MS, PROBE_EVERY - 2), Some(10 * MS));
        assert_eq!(sample(30 * MS, 1), Some(30 * MS));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |config: Config, expect: &str| {
            assert_eq!(config.validate().unwrap_err().to_string(), expect);
        };
        let fine = Config::default();
        check(Config { max: 0, ..fine }, "max is 0; it must be from 1 to 100000");
        check(Config { min: 0, ..fine }, "min is 0; it must be from 1 to 2048");
        check(Config { initial: 4, ..fine }, "initial is 4; it must be from 8 to 2048");
        check(Config { window_ms: 0, ..fine }, "window_ms is 0; it must be from 1 to 60000");
        assert_eq!(fine.validate(), Ok(()));
    }

    proptest! {
        #[test]
        fn it_stays_between_its_bounds(
            min in 1usize..50, more in 0usize..200,
            samples in proptest::collection::vec((0u64..1_000_000, 0usize..500, any::<bool>(), 0u64..300), 0..400),
        ) {
            let mut now = Instant::now();
            let config = Config { initial: min, min, max: min + more, window_ms: 1 };
            let mut vegas = Vegas::new(config, now);
            for (micros, in_flight, overloaded, pause) in samples {
                now += Duration::from_millis(pause);
                vegas.on_sample(now, Duration::from_micros(micros), in_flight, overloaded);
                prop_assert!((min..=min + more).contains(&vegas.limit()));
            }
        }
    }
}
