//! The records of a process.

use crate::invalid::{Invalid, within};
use crate::methods::Paths;
use crate::observe::{Event, Observed};
use crate::time::{micros, now};
use hdrhistogram::Histogram;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most operations that are told apart.
pub const MOST: usize = 512;

/// The longest time that is told apart, an hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;

/// What is slow, and how long records are kept. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// From here on an operation is slow.
    pub slow_ms: u64,
    /// From here on it is critically slow.
    pub critical_ms: u64,
    /// A summary is about the time since the last turn of the window and the
    /// window before it.
    pub window_ms: u64,
    /// An operation that nobody called for so long is cleaned away.
    pub forget_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { slow_ms: 3_000, critical_ms: 5_000, window_ms: 300_000, forget_ms: 3_600_000 }
    }
}

impl Config {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        const DAY_MS: u64 = 86_400_000;
        within("slow_ms", self.slow_ms, 1..=DAY_MS)?;
        within("critical_ms", self.critical_ms, self.slow_ms..=DAY_MS)?;
        within("window_ms", self.window_ms, 1_000..=DAY_MS)?;
        within("forget_ms", self.forget_ms, self.window_ms..=7 * DAY_MS)
    }
}

/// The records of a process. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Performance(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    observed: Observed,
    /// By provider, then by operation, so that both are looked up without a copy.
    operations: RwLock<Paths<Paths<Operation>>>,
}

/// The records of one operation of one provider. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Operation(Arc<Mutex<Record>>);

#[derive(Debug)]
struct Record {
    current: Window,
    previous: Window,
    turned: Instant,
    used: Instant,
    slow_total: u64,
    critical_total: u64,
    total: u64,
    failed_total: u64,
}

#[derive(Debug, Default)]
struct Window {
    times: Option<Histogram<u32>>,
    count: u64,
    failed: u64,
    sum_us: u64,
}

/// How an operation of a provider did lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The operation.
    pub operation: String,
    /// Who carried it out.
    pub provider: String,
    /// Calls in the window.
    pub count: u64,
    /// Their mean time.
    pub mean: Duration,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 95% of them took no longer.
    pub p95: Duration,
    /// 99% of them took no longer.
    pub p99: Duration,
    /// The share of them that succeeded, from 0 to 1.
    pub success_rate: f64,
    /// Calls since it was first called.
    pub total: u64,
    /// Failures since then.
    pub failed_total: u64,
    /// Slow ones since then, the critical ones included.
    pub slow_total: u64,
    /// Critically slow ones since then.
    pub critical_total: u64,
}

impl Performance {
    /// No records yet.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(config: Config, observed: Observed) -> Result<Self, Invalid> {
        config.validate()?;
        Ok(Self(Arc::new(Inner { config, observed, operations: RwLock::default() })))
    }

    /// The records of an operation of a provider, to keep when both are known
    /// before the call.
    #[must_use]
    pub fn operation(&self, operation: &str, provider: &str) -> Operation {
        let known = self.0.operations.read();
        if let Some(found) = known.get(provider).and_then(|provider| provider.get(operation)) {
            return found.clone();
        }
        let full = known.values().map(Paths::len).sum::<usize>() >= MOST;
        drop(known);
        let (operation, provider) = if full { ("other", "other") } else { (operation, provider) };
        let mut all = self.0.operations.write();
        let provider = all.entry(provider.to_owned()).or_default();
        provider.entry(operation.to_owned()).or_insert_with(|| Operation::new(now())).clone()
    }

    /// One call has ended.
    pub fn record(&self, operation: &str, provider: &str, took: Duration, succeeded: bool) {
        self.record_at(now(), operation, provider, took, succeeded);
    }

    /// One call ends now.
    pub(super) fn record_at(
        &self,
        now: Instant,
        operation: &str,
        provider: &str,
        took: Duration,
        succeeded: bool,
    ) {
        if !self.add(now, operation, provider, took, succeeded) {
            self.operation(operation, provider).add(&self.0.config, now, took, succeeded);
        }
        let slow = Duration::from_millis(self.0.config.slow_ms);
        let critical = took >= Duration::from_millis(self.0.config.critical_ms);
        if took >= slow {
            self.0.observed.tell(&Event::Slow { operation, provider, took, critical });
        }
    }

    /// Counts a call of an operation that is known; false when it is not.
    fn add(&self, now: Instant, operation: &str, provider: &str, took: Duration, succeeded: bool) -> bool {
        let known = self.0.operations.read();
        let found = known.get(provider).and_then(|provider| provider.get(operation));
        found.inspect(|found| found.add(&self.0.config, now, took, succeeded)).is_some()
    }

    /// How all of them did, by provider and operation.
    #[must_use]
    pub fn summaries(&self) -> Vec<Summary> {
        let at = now();
        let mut all = Vec::new();
        for (provider, operations) in &*self.0.operations.read() {
            for (name, operation) in operations {
                all.push(operation.summary(&self.0.config, at, name, provider));
            }
        }
        all.sort_by(|a, b| (&a.provider, &a.operation).cmp(&(&b.provider, &b.operation)));
        all
    }

    /// Cleans away what nobody called for long; answers how many. To be called
    /// now and then, such as every minute.
    pub fn clean(&self) -> usize {
        let (at, forget) = (now(), Duration::from_millis(self.0.config.forget_ms));
        let mut cleaned = 0;
        let mut all = self.0.operations.write();
        for operations in all.values_mut() {
            let before = operations.len();
            operations.retain(|_, kept| at.saturating_duration_since(kept.0.lock().used) < forget);
            cleaned += before - operations.len();
        }
        all.retain(|_, operations| !operations.is_empty());
        cleaned
    }
}

impl Operation {
    fn new(at: Instant) -> Self {
        Self(Arc::new(Mutex::new(Record {
            current: Window::default(),
            previous: Window::default(),
            turned: at,
            used: at,
            slow_total: 0,
            critical_total: 0,
            total: 0,
            failed_total: 0,
        })))
    }

    fn add(&self, config: &Config, at: Instant, took: Duration, succeeded: bool) {
        let mut record = self.0.lock();
        record.turn(config, at);
        record.used = at;
        record.total += 1;
        record.failed_total += u64::from(!succeeded);
        record.slow_total += u64::from(took >= Duration::from_millis(config.slow_ms));
        record.critical_total += u64::from(took >= Duration::from_millis(config.critical_ms));
        record.current.add(took, succeeded);
    }

    fn summary(&self, config: &Config, at: Instant, operation: &str, provider: &str) -> Summary {
        let mut record = self.0.lock();
        record.turn(config, at);
        let (now, before) = (&record.current, &record.previous);
        let count = now.count + before.count;
        let failed = now.failed + before.failed;
        let times = merged(now.times.as_ref(), before.times.as_ref());
        let quantile =
            |q| times.as_ref().map_or(Duration::ZERO, |t| Duration::from_micros(t.value_at_quantile(q)));
        #[allow(clippy::cast_precision_loss)] // a ratio of counts
        let success_rate = if count == 0 { 1.0 } else { (count - failed) as f64 / count as f64 };
        Summary {
            operation: operation.to_owned(),
            provider: provider.to_owned(),
            count,
            mean: Duration::from_micros((now.sum_us + before.sum_us).checked_div(count).unwrap_or(0)),
            p50: quantile(0.50),
            p95: quantile(0.95),
            p99: quantile(0.99),
            success_rate,
            total: record.total,
            failed_total: record.failed_total,
            slow_total: record.slow_total,
            critical_total: record.critical_total,
        }
    }
}

impl Record {
    /// Begins a new window when the current one is over.
    fn turn(&mut self, config: &Config, at: Instant) {
        let window = Duration::from_millis(config.window_ms);
        let since = at.saturating_duration_since(self.turned);
        if since < window {
            return;
        }
        self.previous = std::mem::take(&mut self.current);
        if since >= window * 2 {
            self.previous = Window::default();
        }
        self.turned = at;
    }
}

impl Window {
    fn add(&mut self, took: Duration, succeeded: bool) {
        let took = micros(took).clamp(1, LONGEST_US);
        self.count += 1;
        self.failed += u64::from(!succeeded);
        self.sum_us = self.sum_us.saturating_add(took);
        if self.times.is_none() {
            self.times = histogram();
        }
        if let Some(times) = &mut self.times {
            times.saturating_record(took);
        }
    }
}

/// Grows as longer times come, so that an operation that is always quick needs
/// little memory.
fn histogram() -> Option<Histogram<u32>> {
    let mut times = Histogram::new_with_bounds(1, LONGEST_US, 2).ok()?;
    times.auto(true);
    Some(times)
}

fn merged(a: Option<&Histogram<u32>>, b: Option<&Histogram<u32>>) -> Option<Histogram<u32>> {
    let mut sum = histogram()?;
    for part in [a, b].into_iter().flatten() {
        sum.add(part).ok()?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tests::collecting;
    use proptest::prelude::*;

    fn performance() -> Performance {
        Performance::new(Config::default(), Observed::default()).unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn near(got: Duration, expect: Duration) -> bool {
        got.abs_diff(expect) <= expect.mul_f64(0.011)
    }

    #[tokio::test(start_paused = true)]
    async fn a_summary_says_how_it_went() {
        let performance = performance();
        for n in 1..=100 {
            performance.record("Classify", "spam", ms(n), n % 10 != 0);
        }
        let all = performance.summaries();
        let [summary] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(
            (summary.operation.as_str(), summary.provider.as_str(), summary.count),
            ("Classify", "spam", 100)
        );
        for (got, expect) in [(summary.p50, ms(50)), (summary.p95, ms(95)), (summary.p99, ms(99))] {
            assert!(near(got, expect), "{got:?} {expect:?}");
        }
        assert_eq!(summary.mean, Duration::from_micros(50_500));
        assert!((summary.success_rate - 0.9).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_ones_are_told_and_counted() {
        let (observed, seen) = collecting();
        let performance = Performance::new(Config::default(), observed).unwrap();
        for millis in [2_999, 3_000, 4_999, 5_000] {
            performance.record("Ask", "peer", ms(millis), true);
        }
        let summary = &performance.summaries()[0];
        assert_eq!((summary.slow_total, summary.critical_total), (3, 1));
        let critical: Vec<_> = seen.lock().iter().map(|event| event.contains("critical: true")).collect();
        assert_eq!(critical, [false, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn windows_turn_and_the_forgotten_are_cleaned() {
        let performance = performance();
        let count = || performance.summaries().iter().map(|s| (s.count, s.total)).collect::<Vec<_>>();
        performance.record("a", "p", ms(1), true);
        tokio::time::advance(ms(300_000)).await;
        performance.record("a", "p", ms(1), false);
        assert_eq!(count(), [(2, 2)]);
        tokio::time::advance(ms(300_000)).await;
        assert_eq!(count(), [(1, 2)]);
        tokio::time::advance(ms(900_000)).await;
        assert_eq!(count(), [(0, 2)]);
        assert_eq!(performance.clean(), 0);
        performance.record("b", "p", ms(1), true);
        tokio::time::advance(ms(3_000_000)).await;
        assert_eq!(performance.clean(), 1);
        assert_eq!(performance.summaries()[0].operation, "b");
        tokio::time::advance(ms(3_600_000)).await;
        assert_eq!((performance.clean(), performance.summaries().len()), (1, 0));
    }

    #[test]
    fn too_many_are_counted_together() {
        let performance = performance();
        for n in 0..MOST + 50 {
            performance.record(&n.to_string(), "p", ms(1), true);
        }
        let all = performance.summaries();
        assert_eq!(all.len(), MOST + 1);
        assert!(all.iter().any(|s| s.operation == "other" && s.count == 50));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |config: Config, expect: &str| {
            assert_eq!(config.validate().unwrap_err().to_string(), expect);
        };
        let fine = Config::default();
        check(Config { slow_ms: 0, ..fine }, "slow_ms is 0; it must be from 1 to 86400000");
        check(Config { critical_ms: 2_999, ..fine }, "critical_ms is 2999; it must be from 3000 to 86400000");
        check(Config { window_ms: 999, ..fine }, "window_ms is 999; it must be from 1000 to 86400000");
        check(Config { forget_ms: 1, ..fine }, "forget_ms is 1; it must be from 300000 to 604800000");
        assert_eq!(fine.validate(), Ok(()));
    }

    proptest! {
        #[test]
        fn quantiles_are_exact_to_a_percent(mut times in proptest::collection::vec(1u64..3_600_000_000, 1..300)) {
            let performance = performance();
            for time in &times {
                performance.record("o", "p", Duration::from_micros(*time), true);
            }
            times.sort_unstable();
            let summary = &performance.summaries()[0];
            for (q, got) in [(0.50, summary.p50), (0.95, summary.p95), (0.99, summary.p99)] {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of a length
                let rank = ((times.len() as f64 * q).ceil() as usize).clamp(1, times.len());
                let expect = Duration::from_micros(times[rank - 1]);
                prop_assert!(got.abs_diff(expect) <= expect.mul_f64(0.011) + Duration::from_micros(1), "{q}: {got:?} {expect:?}");
            }
        }
    }
}
