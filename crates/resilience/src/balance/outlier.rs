//! Outlier ejection: endpoints that fail while the others work are taken out for
//! a while, longer each time (Envoy's outlier detection and gRFC A50).
//!
//! An endpoint is ejected after `consecutive_failures` in a row, or, looked at
//! every `interval_ms`, when its success rate is `rate_gap` or more below the
//! mean of all that had `min_calls`. It stays out `base_ms` times the number of
//! its ejections, at most `max_ms`. Never more than `max_percent` are out, so
//! that ejection cannot take a whole peer away; that is the breaker's business.

use crate::invalid::{Invalid, share, within};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// When endpoints are taken out. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Failures in a row that eject at once; 1 to 10,000.
    pub consecutive_failures: u32,
    /// How often success rates are compared.
    pub interval_ms: u64,
    /// The fewest calls in an interval for a rate to be compared.
    pub min_calls: u32,
    /// How far below the mean a rate must be; above 0 and at most 1.
    pub rate_gap: f64,
    /// How long the first ejection lasts.
    pub base_ms: u64,
    /// The longest ejection.
    pub max_ms: u64,
    /// The most endpoints that may be out, in percent; 1 to 100.
    pub max_percent: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            interval_ms: 10_000,
            min_calls: 20,
            rate_gap: 0.3,
            base_ms: 30_000,
            max_ms: 300_000,
            max_percent: 50,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("consecutive_failures", self.consecutive_failures, 1..=10_000)?;
        within("interval_ms", self.interval_ms, 100..=3_600_000)?;
        within("min_calls", self.min_calls, 1..=1_000_000)?;
        share("rate_gap", self.rate_gap)?;
        within("base_ms", self.base_ms, 1..=3_600_000)?;
        within("max_ms", self.max_ms, self.base_ms..=86_400_000)?;
        within("max_percent", self.max_percent, 1..=100)
    }
}

/// What is known of one endpoint.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    in_a_row: u32,
    calls: u32,
    failures: u32,
    times: u32,
    until: Option<Instant>,
}

/// An endpoint was taken out (for so long) or put back (`None`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Its position.
    pub endpoint: usize,
    /// For how long; `None` puts it back.
    pub during: Option<Duration>,
}

/// The state machine of outlier ejection, over endpoints by their positions.
#[derive(Debug, Clone)]
pub struct Detector {
    config: Config,
    records: Vec<Record>,
    compared: Instant,
}

impl Detector {
    /// So many endpoints, all of them in; `config` is taken as valid.
    #[must_use]
    pub fn new(config: Config, endpoints: usize, now: Instant) -> Self {
        Self { config, records: vec![Record::default(); endpoints], compared: now }
    }

    /// Whether an endpoint is taken out.
    #[must_use]
    pub fn is_out(&self, endpoint: usize) -> bool {
        self.records.get(endpoint).is_some_and(|record| record.until.is_some())
    }

    /// A call to an endpoint ended.
    pub fn on_result(&mut self, now: Instant, endpoint: usize, failed: bool) -> Option<Change> {
        let record = self.records.get_mut(endpoint)?;
        record.calls += 1;
        record.failures += u32::from(failed);
        record.in_a_row = if failed { record.in_a_row + 1 } else { 0 };
        let fails = record.in_a_row >= self.config.consecutive_failures;
        (fails && record.until.is_none()).then(|| self.eject(endpoint, now))?
    }

    /// Time has passed: puts back whose time is over, and compares success rates
    /// once an interval. To be called before a choice.
    pub fn on_tick(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        for (endpoint, record) in self.records.iter_mut().enumerate() {
            if record.until.is_some_and(|until| now >= until) {
                (record.until, record.in_a_row) = (None, 0);
                changes.push(Change { endpoint, during: None });
            }
        }
        if now.saturating_duration_since(self.compared) >= Duration::from_millis(self.config.interval_ms) {
            self.compared = now;
            changes.extend(self.compare(now));
        }
        changes
    }

    fn compare(&mut self, now: Instant) -> Vec<Change> {
        let enough = |record: &Record| record.until.is_none() && record.calls >= self.config.min_calls;
        let rate = |record: &Record| 1.0 - f64::from(record.failures) / f64::from(record.calls.max(1));
        let rates: Vec<_> =
            self.records.iter().enumerate().filter(|(_, r)| enough(r)).map(|(at, r)| (at, rate(r))).collect();
        for record in &mut self.records {
            // A quiet interval takes one ejection off the count.
            if record.until.is_none() && record.failures == 0 {
                record.times = record.times.saturating_sub(1);
            }
            (record.calls, record.failures) = (0, 0);
        }
        if rates.len() < 2 {
            return Vec::new(); // nobody to compare with
        }
        #[allow(clippy::cast_precision_loss)] // endpoints are few
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / rates.len() as f64;
        let gap = self.config.rate_gap;
        let below = rates.into_iter().filter(|(_, rate)| mean - rate >= gap);
        below.filter_map(|(at, _)| self.eject(at, now)).collect()
    }

    fn eject(&mut self, endpoint: usize, now: Instant) -> Option<Change> {
        let out = self.records.iter().filter(|record| record.until.is_some()).count();
        if (out + 1) * 100 > self.records.len() * self.config.max_percent {
            return None;
        }
        let record = self.records.get_mut(endpoint)?;
        record.times = record.times.saturating_add(1);
        let during = self.config.base_ms.saturating_mul(u64::from(record.times)).min(self.config.max_ms);
        let during = Duration::from_millis(during);
        record.until = Some(now + during);
        Some(Change { endpoint, during: Some(during) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fail(detector: &mut Detector, now: Instant, endpoint: usize, times: u32) -> Option<Change> {
        (0..times).filter_map(|_| detector.on_result(now, endpoint, true)).last()
    }

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn failures_in_a_row_take_it_out_for_longer_each_time() {
        let mut now = Instant::now();
        let mut detector = Detector::new(Config::default(), 3, now);
        assert_eq!(fail(&mut detector, now, 1, 4), None);
        assert_eq!(detector.on_result(now, 1, false), None);
        assert_eq!(fail(&mut detector, now, 1, 4), None);
        for round in 1..=3 {
            let change = fail(&mut detector, now, 1, 5);
            assert_eq!(change, Some(Change { endpoint: 1, during: Some(secs(30 * round)) }));
            assert!(detector.is_out(1));
            assert_eq!(fail(&mut detector, now, 1, 9), None, "it is out already");
            now += secs(30 * round) - secs(1);
            assert_eq!(detector.on_tick(now), []);
            now += secs(1);
            assert_eq!(detector.on_tick(now), [Change { endpoint: 1, during: None }]);
            assert_eq!(fail(&mut detector, now, 1, 0), None);
        }
    }

    #[test]
    fn a_rate_below_the_others_takes_it_out() {
        let check = |failures: [u32; 4], expect: &[usize]| {
            let now = Instant::now();
            let mut detector = Detector::new(Config::default(), 4, now);
            for (endpoint, failures) in failures.into_iter().enumerate() {
                for n in 0..20 {
                    // spread, so that there are never five in a row
                    detector.on_result(now, endpoint, n * failures / 20 != (n + 1) * failures / 20);
                }
            }
            assert_eq!(detector.on_tick(now + secs(9)), []);
            let changes = detector.on_tick(now + secs(10));
            let out: Vec<_> = changes.iter().map(|change| change.endpoint).collect();
            assert_eq!(out, expect, "{failures:?}");
        };
        check([0, 0, 0, 0], &[]);
        check([0, 0, 0, 10], &[3]);
        check([0, 0, 0, 7], &[]);
        check([10, 10, 10, 10], &[]);
        check([0, 0, 14, 14], &[2, 3]);
    }

    #[test]
    fn quiet_times_are_forgiven() {
        let mut now = Instant::now();
        let mut detector = Detector::new(Config::default(), 2, now);
        fail(&mut detector, now, 0, 5);
        now += secs(30);
        detector.on_tick(now);
        let again = fail(&mut detector, now, 0, 5);
        assert_eq!(
            again.and_then(|change| change.during),
            Some(secs(60)),
            "its failures were in that interval"
        );
        now += secs(60);
        detector.on_tick(now);
        for _ in 0..4 {
            now += secs(10);
            detector.on_tick(now);
        }
        assert_eq!(fail(&mut detector, now, 0, 5).and_then(|change| change.during), Some(secs(30)));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |config: Config, expect: &str| {
            assert_eq!(config.validate().unwrap_err().to_string(), expect);
        };
        let fine = Config::default();
        check(
            Config { consecutive_failures: 0, ..fine },
            "consecutive_failures is 0; it must be from 1 to 10000",
        );
        check(Config { interval_ms: 0, ..fine }, "interval_ms is 0; it must be from 100 to 3600000");
        check(Config { min_calls: 0, ..fine }, "min_calls is 0; it must be from 1 to 1000000");
        check(Config { rate_gap: 0.0, ..fine }, "rate_gap is 0; it must be above 0 and at most 1");
        check(Config { base_ms: 0, ..fine }, "base_ms is 0; it must be from 1 to 3600000");
        check(Config { max_ms: 1, ..fine }, "max_ms is 1; it must be from 30000 to 86400000");
        check(Config { max_percent: 0, ..fine }, "max_percent is 0; it must be from 1 to 100");
        assert_eq!(fine.validate(), Ok(()));
    }

    proptest! {
        #[test]
        fn never_more_than_the_share_is_out(
            endpoints in 1usize..10, percent in 1usize..=100,
            steps in proptest::collection::vec((0usize..12, any::<bool>(), 0u64..20), 0..400),
        ) {
            let mut now = Instant::now();
            let config = Config { consecutive_failures: 2, min_calls: 2, max_percent: percent, ..Config::default() };
            let mut detector = Detector::new(config, endpoints, now);
            for (endpoint, failed, pause) in steps {
                now += secs(pause);
                detector.on_tick(now);
                detector.on_result(now, endpoint, failed);
                let out = (0..endpoints).filter(|at| detector.is_out(*at)).count();
                prop_assert!(out * 100 <= endpoints * percent);
            }
            now += secs(301);
            detector.on_tick(now);
            prop_assert!((0..endpoints).all(|at| !detector.is_out(at)), "everybody comes back");
        }
    }
}
