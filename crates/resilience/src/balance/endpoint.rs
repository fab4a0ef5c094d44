//! What is known of one endpoint.

use std::time::{Duration, Instant};

/// A moving average of times that believes bad news at once and good news slowly
/// (Finagle's peak EWMA).
#[derive(Debug, Clone, Copy)]
pub struct Ewma {
    seconds: f64,
    at: Instant,
    decay: f64,
}

impl Ewma {
    /// Begins with `initial`; what was measured `decay` ago counts a third (1/e).
    #[must_use]
    pub const fn new(initial: Duration, decay: Duration, now: Instant) -> Self {
        Self { seconds: initial.as_secs_f64(), at: now, decay: decay.as_secs_f64() }
    }

    /// A call took so long.
    pub fn on_time(&mut self, now: Instant, took: Duration) {
        let took = took.as_secs_f64();
        let weight = self.weight(now);
        self.seconds = if took > self.seconds { took } else { self.seconds * weight + took * (1.0 - weight) };
        self.at = self.at.max(now);
    }

    /// The average now, in seconds; it comes down when nothing is measured, so
    /// that an endpoint is tried again.
    #[must_use]
    pub fn seconds(&self, now: Instant) -> f64 {
        self.seconds * self.weight(now)
    }

    fn weight(&self, now: Instant) -> f64 {
        (-now.saturating_duration_since(self.at).as_secs_f64() / self.decay).exp()
    }
}

/// What a choice is made by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Whether it may be chosen.
    pub available: bool,
    /// Calls under way.
    pub in_flight: u32,
    /// How much of the load it is meant to take; 0 takes none.
    pub weight: u32,
    /// The average time of a call, in seconds.
    pub seconds: f64,
}

impl Load {
    /// Finagle's cost: the time, once for each call under way and once more.
    pub(super) fn cost(&self) -> f64 {
        // An endpoint nobody has measured costs almost nothing, but not nothing:
        // calls under way must still count.
        self.seconds.max(1e-6) * (f64::from(self.in_flight) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn bad_news_at_once_good_news_slowly() {
        let now = Instant::now();
        let mut ewma = Ewma::new(10 * MS, Duration::from_secs(10), now);
        let near = |got: f64, expect: f64| assert!((got - expect).abs() < 1e-4, "{got} {expect}");
        ewma.on_time(now, 100 * MS);
        near(ewma.seconds(now), 0.1);
        ewma.on_time(now, 10 * MS);
        near(ewma.seconds(now), 0.1);
        let later = now + Duration::from_secs(10);
        ewma.on_time(later, 10 * MS);
        near(ewma.seconds(later), 0.1 / std::f64::consts::E + 0.01 * (1.0 - 1.0 / std::f64::consts::E));
        assert!(ewma.seconds(later + Duration::from_secs(100)) < 1e-5, "it is tried again after a while");
    }

    proptest! {
        #[test]
        fn it_stays_between_what_was_measured(times in proptest::collection::vec((1u64..100_000, 0u64..5_000), 1..100)) {
            let mut now = Instant::now();
            let mut ewma = Ewma::new(Duration::ZERO, Duration::from_secs(10), now);
            let most = times.iter().map(|t| t.0).max().unwrap() as f64 / 1e6;
            for (micros, pause) in times {
                now += Duration::from_millis(pause);
                ewma.on_time(now, Duration::from_micros(micros));
                prop_assert!((0.0..=most + 1e-9).contains(&ewma.seconds(now)));
            }
        }
    }
}
