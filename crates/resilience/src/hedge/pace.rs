//! The state machine of hedging, one for each method.

use crate::invalid::{Invalid, share, within};
use crate::time::micros;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// When a second copy is sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The share of calls that end before a copy is sent; 0.5 to 0.999.
    pub quantile: f64,
    /// The share of calls that may get a copy; above 0 and at most 1.
    pub max_share: f64,
    /// No copy is sent sooner, in milliseconds; 1 to 60,000.
    pub min_delay_ms: u64,
    /// Nothing is hedged before so many calls were measured; 10 to 100,000.
    pub min_samples: u64,
    /// Times older than one to two windows are forgotten, in milliseconds.
    pub window_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { quantile: 0.95, max_share: 0.1, min_delay_ms: 5, min_samples: 100, window_ms: 60_000 }
    }
}

impl Config {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("quantile", self.quantile, 0.5..=0.999)?;
        share("max_share", self.max_share)?;
        within("min_delay_ms", self.min_delay_ms, 1..=60_000)?;
        within("min_samples", self.min_samples, 10..=100_000)?;
        within("window_ms", self.window_ms, 1_000..=3_600_000)
    }
}

/// Copies that may be saved up, so that a burst of slow calls can be hedged.
const SAVED: f64 = 10.0;
/// The longest time that is told apart, ten minutes, in microseconds.
const LONGEST_US: u64 = 600_000_000;

/// How long calls of a method take, and what that means for hedging.
#[derive(Debug)]
pub struct Pace {
    config: Config,
    current: Option<Histogram<u32>>,
    delay: Option<Duration>,
    turned: Instant,
    credit: f64,
}

impl Pace {
    /// Nothing measured yet; `config` is taken as valid.
    #[must_use]
    pub const fn new(config: Config, now: Instant) -> Self {
        Self { config, current: None, delay: None, turned: now, credit: 0.0 }
    }

    /// A call begins: earns its share of a copy. Answers how long to wait before
    /// a copy is sent; `None` while too little is known.
    pub fn on_call(&mut self) -> Option<Duration> {
        self.credit = (self.credit + self.config.max_share).min(SAVED);
        self.delay
    }

    /// The wait is over: whether there may be a copy. Takes its credit.
    pub fn may_hedge(&mut self) -> bool {
        let may = self.credit >= 1.0;
        if may {
            self.credit -= 1.0;
        }
        may
    }

    /// A call ended well, after `took`.
    pub fn on_answer(&mut self, now: Instant, took: Duration) {
        if self.current.is_none() {
            self.current = Histogram::new_with_bounds(1, LONGEST_US, 2).ok();
        }
        let Some(times) = &mut self.current else { return };
        times.saturating_record(micros(took).max(1));
        let over = now.saturating_duration_since(self.turned) >= Duration::from_millis(self.config.window_ms);
        let enough = times.len() >= self.config.min_samples;
        if enough && (over || self.delay.is_none()) {
            let quantile = Duration::from_micros(times.value_at_quantile(self.config.quantile));
            self.delay = Some(quantile.max(Duration::from_millis(self.config.min_delay_ms)));
        }
        if over {
            times.reset();
            self.turned = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn near(got: Option<Duration>, expect: Duration) -> bool {
        got.is_some_and(|got| got.abs_diff(expect) <= expect.mul_f64(0.011))
    }

    #[test]
    fn the_delay_is_p95_of_what_was_measured() {
        let now = Instant::now();
        let mut pace = Pace::new(Config::default(), now);
        for n in 1..100 {
            pace.on_answer(now, n * MS);
            assert_eq!(pace.on_call(), None, "{n} calls are too few");
        }
        pace.on_answer(now, 100 * MS);
        assert!(near(pace.on_call(), 95 * MS), "{:?}", pace.on_call());
        for _ in 0..200 {
            pace.on_answer(now + 59_000 * MS, 500 * MS);
        }
        assert!(near(pace.on_call(), 95 * MS), "it is decided once a window");
        pace.on_answer(now + 60_000 * MS, 500 * MS);
        assert!(near(pace.on_call(), 500 * MS));
        for _ in 0..100 {
            pace.on_answer(now + 120_000 * MS, MS);
        }
        pace.on_answer(now + 180_000 * MS, MS);
        assert_eq!(pace.on_call(), Some(5 * MS), "not sooner than the least delay");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |config: Config, expect: &str| {
            assert_eq!(config.validate().unwrap_err().to_string(), expect);
        };
        let fine = Config::default();
        check(Config { quantile: 0.4, ..fine }, "quantile is 0.4; it must be from 0.5 to 0.999");
        check(Config { max_share: 1.5, ..fine }, "max_share is 1.5; it must be above 0 and at most 1");
        check(Config { min_delay_ms: 0, ..fine }, "min_delay_ms is 0; it must be from 1 to 60000");
        check(Config { min_samples: 1, ..fine }, "min_samples is 1; it must be from 10 to 100000");
        check(Config { window_ms: 1, ..fine }, "window_ms is 1; it must be from 1000 to 3600000");
        assert_eq!(fine.validate(), Ok(()));
    }

    proptest! {
        #[test]
        fn copies_never_pass_their_share(share in 0.01f64..=1.0, wants in proptest::collection::vec(any::<bool>(), 0..500)) {
            let mut pace = Pace::new(Config { max_share: share, ..Config::default() }, Instant::now());
            let mut copies = 0.0;
            for (calls, want) in wants.iter().enumerate() {
                pace.on_call();
                copies += f64::from(u8::from(*want && pace.may_hedge()));
                prop_assert!(copies <= (calls + 1) as f64 * share + 1e-6);
            }
        }
    }
}
