//! How often and how patiently to try.

use super::{Codes, Verdict};
use crate::invalid::Invalid;
use probity_types::retry::RetryPolicy;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a wait is spread, so that many callers do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Anything from nothing to the whole wait, evenly.
    #[default]
    Full,
    /// The whole wait: for tests and for a single caller.
    None,
}

/// How often and how patiently to try.
///
/// The wait before attempt n+1 is drawn from zero to `base` · 2ⁿ⁻¹, at most
/// `cap`. In a configuration it is the name of a [`Preset`] or a table with
/// `max_attempts`, `base_ms`, `cap_ms` and, if wanted, `jitter` and `max_total_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in all, the first one included.
    pub max_attempts: u32,
    /// The longest first wait.
    pub base: Duration,
    /// The longest wait of all.
    pub cap: Duration,
    /// By how much a wait grows, in percent of the one before; 100 to 10,000.
    pub multiplier_percent: u32,
    /// Codes worth another try even when the server does not say so.
    pub codes: Codes,
    /// How a wait is spread.
    pub jitter: Jitter,
    /// The most time for all attempts and waits together.
    pub max_total: Option<Duration>,
}

/// A policy by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Somebody is waiting: 3 attempts, 0.5 s to 5 s.
    Quick,
    /// The usual: 5 attempts, 1 s to 30 s.
    Standard,
    /// It has to get done: 10 attempts, 2 s to 60 s.
    Aggressive,
    /// The other side counts requests: 5 attempts, 5 s to 120 s.
    RateLimited,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 4] = [Self::Quick, Self::Standard, Self::Aggressive, Self::RateLimited];

    /// Its name in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Aggressive => "aggressive",
            Self::RateLimited => "rate_limited",
        }
    }

    /// What it stands for.
    #[must_use]
    pub const fn policy(self) -> Policy {
        match self {
            Self::Quick => Policy::QUICK,
            Self::Standard => Policy::STANDARD,
            Self::Aggressive => Policy::AGGRESSIVE,
            Self::RateLimited => Policy::RATE_LIMITED,
        }
    }
}

pub(super) const DOUBLE: u32 = 200;
const MAX_ATTEMPTS: u32 = 100;
const MAX_BASE: Duration = Duration::from_secs(3_600);
const MAX_CAP: Duration = Duration::from_secs(24 * 3_600);

impl Policy {
    /// See [`Preset::Quick`].
    pub const QUICK: Self = Self::of(RetryPolicy::QUICK, 30);
    /// See [`Preset::Standard`].
    pub const STANDARD: Self = Self::of(RetryPolicy::STANDARD, 120);
    /// See [`Preset::Aggressive`].
    pub const AGGRESSIVE: Self = Self::of(RetryPolicy::AGGRESSIVE, 900);
    /// See [`Preset::RateLimited`].
    pub const RATE_LIMITED: Self = Self::of(RetryPolicy::RATE_LIMITED, 600);
    /// One attempt, no second.
    pub const ONCE: Self = Self { max_attempts: 1, ..Self::QUICK };

    const fn of(timing: RetryPolicy, max_total_secs: u64) -> Self {
        let RetryPolicy { max_attempts, base, cap } = timing;
        let max_total = Some(Duration::from_secs(max_total_secs));
        let (multiplier_percent, codes) = (DOUBLE, Codes::UNAVAILABLE);
        Self { max_attempts, base, cap, multiplier_percent, codes, jitter: Jitter::Full, max_total }
    }

    const fn timing(&self) -> RetryPolicy {
        RetryPolicy { max_attempts: self.max_attempts, base: self.base, cap: self.cap }
    }

    /// Refuses what is out of range, naming the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        let refuse = |field, value: String, range| Err(Invalid { field, value, range });
        if !(1..=MAX_ATTEMPTS).contains(&self.max_attempts) {
            return refuse(
                "max_attempts",
                self.max_attempts.to_string(),
                format!("from 1 to {MAX_ATTEMPTS}"),
            );
        }
        let least = Duration::from_millis(1);
        let check = |field, value: Duration, from: Duration, to: Duration| {
            if (from..=to).contains(&value) {
                return Ok(());
            }
            let range = format!("from {} to {} ms", from.as_millis(), to.as_millis());
            Err(Invalid { field, value: format!("{} ms", value.as_millis()), range })
        };
        check("base_ms", self.base, least, MAX_BASE)?;
        check("cap_ms", self.cap, self.base, MAX_CAP)?;
        if !(100..=10_000).contains(&self.multiplier_percent) {
            return refuse(
                "multiplier_percent",
                self.multiplier_percent.to_string(),
                "from 100 to 10000".into(),
            );
        }
        self.max_total.map_or(Ok(()), |total| check("max_total_ms", total, least, MAX_CAP * 7))
    }

    /// The longest wait after `attempt` (from 1), before it is spread.
    #[must_use]
    pub fn bound(&self, attempt: u32) -> Duration {
        if self.multiplier_percent == DOUBLE {
            return self.timing().bound(attempt);
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = (f64::from(self.multiplier_percent) / 100.0).powi(exponent);
        Duration::try_from_secs_f64(self.base.as_secs_f64() * factor)
            .map_or(self.cap, |wait| wait.min(self.cap))
    }

    /// The wait after `attempt` (from 1), spread.
    #[must_use]
    pub fn delay(&self, attempt: u32, rng: &mut fastrand::Rng) -> Duration {
        let bound = self.bound(attempt);
        match self.jitter {
            Jitter::None => bound,
            Jitter::Full => {
                Duration::from_micros(rng.u64(0..=u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
            }
        }
    }

    /// How long to wait after `attempt` failed, `elapsed` since the first one
    /// began; `None` when it was the last. A callee that asks for longer than
    /// `cap` is not waited for: its answer goes to the caller, who can decide.
    #[must_use]
    pub fn next_wait(
        &self,
        attempt: u32,
        verdict: Verdict,
        elapsed: Duration,
        rng: &mut fastrand::Rng,
    ) -> Option<Duration> {
        let asked = match verdict {
            Verdict::Final => return None,
            Verdict::Retry => Duration::ZERO,
            Verdict::RetryAfter(asked) => asked,
        };
        if attempt >= self.max_attempts || asked > self.cap {
            return None;
        }
        let wait = self.delay(attempt, rng).max(asked);
        let fits = self.max_total.is_none_or(|total| elapsed.saturating_add(wait) <= total);
        fits.then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn presets_are_valid_and_as_promised() {
        let check = |preset: Preset, attempts, base_ms, cap_s| {
            let policy = preset.policy();
            assert_eq!(policy.validate(), Ok(()));
            assert_eq!(policy.max_attempts, attempts);
            assert_eq!(policy.base, Duration::from_millis(base_ms));
            assert_eq!(policy.cap, Duration::from_secs(cap_s));
        };
        check(Preset::Quick, 3, 500, 5);
        check(Preset::Standard, 5, 1_000, 30);
        check(Preset::Aggressive, 10, 2_000, 60);
        check(Preset::RateLimited, 5, 5_000, 120);
        assert_eq!(Policy::ONCE.validate(), Ok(()));
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits = |policy: Policy| -> Vec<u64> { (1..=6).map(|n| policy.bound(n).as_secs()).collect() };
        assert_eq!(waits(Policy::STANDARD), [1, 2, 4, 8, 16, 30]);
        assert_eq!(waits(Policy::RATE_LIMITED), [5, 10, 20, 40, 80, 120]);
        assert_eq!(Policy::AGGRESSIVE.bound(u32::MAX), Duration::from_secs(60));
        assert_eq!(Policy::STANDARD.bound(0), Duration::from_secs(1));
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let check = |change: fn(&mut Policy), expect: &str| {
            let mut policy = Policy::STANDARD;
            change(&mut policy);
            assert_eq!(policy.validate().map_err(|e| e.to_string()), Err(expect.to_owned()));
        };
        check(|p| p.max_attempts = 0, "max_attempts is 0; it must be from 1 to 100");
        check(|p| p.max_attempts = 101, "max_attempts is 101; it must be from 1 to 100");
        check(|p| p.base = Duration::ZERO, "base_ms is 0 ms; it must be from 1 to 3600000 ms");
        check(
            |p| p.cap = Duration::from_millis(999),
            "cap_ms is 999 ms; it must be from 1000 to 86400000 ms",
        );
        check(|p| p.multiplier_percent = 99, "multiplier_percent is 99; it must be from 100 to 10000");
        check(
            |p| p.max_total = Some(Duration::ZERO),
            "max_total_ms is 0 ms; it must be from 1 to 604800000 ms",
        );
    }

    #[test]
    fn the_callee_is_heard() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut check = |verdict, expect: fn(Option<Duration>) -> bool| {
            let got = Policy::QUICK.next_wait(1, verdict, Duration::ZERO, &mut rng);
            assert!(expect(got), "{verdict:?} {got:?}");
        };
        check(Verdict::Final, |wait| wait.is_none());
        check(Verdict::RetryAfter(Duration::from_secs(4)), |wait| wait == Some(Duration::from_secs(4)));
        check(Verdict::RetryAfter(Duration::from_secs(6)), |wait| wait.is_none());
        check(Verdict::RetryAfter(Duration::ZERO), |wait| wait.is_some());
    }

    fn policies() -> impl Strategy<Value = Policy> {
        let total = proptest::option::of(1u64..1_000_000);
        (1u32..=100, 1u64..=3_600_000, 0u64..=80_000_000, 100u32..=10_000, any::<bool>(), total).prop_map(
            |(max_attempts, base, above, multiplier_percent, full, total)| Policy {
                max_attempts,
                base: Duration::from_millis(base),
                cap: Duration::from_millis(base + above),
                multiplier_percent,
                codes: Codes::default(),
                jitter: if full { Jitter::Full } else { Jitter::None },
                max_total: total.map(Duration::from_millis),
            },
        )
    }

    proptest! {
        #[test]
        fn a_wait_is_within_its_bounds(policy in policies(), attempt: u32, seed: u64) {
            prop_assert_eq!(policy.validate(), Ok(()));
            let wait = policy.delay(attempt, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(wait <= policy.bound(attempt) && policy.bound(attempt) <= policy.cap);
            prop_assert!(policy.bound(attempt) <= policy.bound(attempt.saturating_add(1)));
        }

        #[test]
        fn the_same_seed_waits_the_same(policy in policies(), attempt in 1u32..20, seed: u64) {
            let wait = || policy.delay(attempt, &mut fastrand::Rng::with_seed(seed));
            prop_assert_eq!(wait(), wait());
        }

        #[test]
        fn attempts_and_total_time_are_kept(policy in policies(), asked in 0u64..10_000_000, seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut attempt, mut elapsed) = (1, Duration::ZERO);
            let verdict = Verdict::RetryAfter(Duration::from_millis(asked));
            while let Some(wait) = policy.next_wait(attempt, verdict, elapsed, &mut rng) {
                prop_assert!(wait >= Duration::from_millis(asked));
                attempt += 1;
                elapsed += wait;
            }
            prop_assert!(attempt <= policy.max_attempts);
            prop_assert!(policy.max_total.is_none_or(|total| elapsed <= total));
        }
    }
}
