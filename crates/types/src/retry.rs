//! How often and when to try again: the numbers, without a clock or a runtime.
//!
//! Exponential back-off with full jitter: attempt *n* waits a random time between
//! zero and `min(cap, base · 2ⁿ⁻¹)` (Brooker, "Exponential Backoff And Jitter",
//! 2015).

use std::time::Duration;

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; at least 1.
    pub max_attempts: u32,
    /// Upper bound of the first wait.
    pub base: Duration,
    /// Upper bound of every wait.
    pub cap: Duration,
}

impl RetryPolicy {
    /// 3 attempts, waits up to 0.5–5 s.
    pub const QUICK: Self = Self::new(3, 500, 5_000);
    /// 5 attempts, waits up to 1–30 s.
    pub const STANDARD: Self = Self::new(5, 1_000, 30_000);
    /// 10 attempts, waits up to 2–60 s.
    pub const AGGRESSIVE: Self = Self::new(10, 2_000, 60_000);
    /// 5 attempts, waits up to 5–120 s: for peers that limit rates.
    pub const RATE_LIMITED: Self = Self::new(5, 5_000, 120_000);
    /// One attempt.
    pub const NEVER: Self = Self::new(1, 1, 1);

    /// A policy; times in milliseconds.
    #[must_use]
    pub const fn new(max_attempts: u32, base_ms: u64, cap_ms: u64) -> Self {
        Self { max_attempts, base: Duration::from_millis(base_ms), cap: Duration::from_millis(cap_ms) }
    }

    /// The preset of that name: `quick`, `standard`, `aggressive`,
    /// `rate_limited` or `never`.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "quick" => Some(Self::QUICK),
            "standard" => Some(Self::STANDARD),
            "aggressive" => Some(Self::AGGRESSIVE),
            "rate_limited" => Some(Self::RATE_LIMITED),
            "never" => Some(Self::NEVER),
            _ => None,
        }
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the field and the allowed range.
    pub fn validate(&self) -> Result<(), String> {
        if self.max_attempts == 0 {
            return Err("max_attempts = 0: must be at least 1".to_owned());
        }
        if self.base.is_zero() {
            return Err("base = 0: must be at least 1 ms".to_owned());
        }
        if self.cap < self.base {
            return Err(format!("cap = {:?}: must not be below base = {:?}", self.cap, self.base));
        }
        Ok(())
    }

    /// The longest wait after `attempt` (from 1), before it is spread.
    #[must_use]
    pub fn bound(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// The wait after the failed attempt `attempt` (counted from 1), or `None`
    /// when there is none left. `random` is uniform in `[0, 1)`.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        Some(self.bound(attempt).mul_f64(random.clamp(0.0, 1.0)))
    }
}

/// How a wait is spread, so that what failed together does not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Jitter {
    /// Anything from nothing to the whole wait, evenly.
    #[default]
    Full,
    /// Half the wait, and anything up to the other half.
    Equal,
    /// The whole wait.
    None,
}

impl Jitter {
    /// The jitter of that name: `full`, `equal` or `none`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "full" => Some(Self::Full),
            "equal" => Some(Self::Equal),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

/// A [`RetryPolicy`] with everything that can be said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How often, and the bounds of the waits.
    pub policy: RetryPolicy,
    /// What each wait is of the one before, in percent; 200 doubles it. 100 to 1,000.
    pub multiplier_percent: u32,
    /// How a wait is spread.
    pub jitter: Jitter,
    /// The most time from the first attempt to the start of the last.
    pub total: Option<Duration>,
}

impl From<RetryPolicy> for Schedule {
    fn from(policy: RetryPolicy) -> Self {
        Self { policy, multiplier_percent: 200, jitter: Jitter::Full, total: None }
    }
}

impl Schedule {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the field and the allowed range.
    pub fn validate(&self) -> Result<(), String> {
        self.policy.validate()?;
        if !(100..=1_000).contains(&self.multiplier_percent) {
            let given = f64::from(self.multiplier_percent) / 100.0;
            return Err(format!("multiplier = {given}: must be from 1 to 10"));
        }
        match self.total {
            Some(total) if total < self.policy.base => Err(format!(
                "total = {total:?}: must not be below base = {:?}, or nothing is ever repeated",
                self.policy.base
            )),
            _ => Ok(()),
        }
    }

    /// The longest wait after `attempt` (from 1), before it is spread.
    #[must_use]
    pub fn bound(&self, attempt: u32) -> Duration {
        let factor = f64::from(self.multiplier_percent) / 100.0;
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let cap = self.policy.cap.as_secs_f64();
        let grown = self.policy.base.as_secs_f64() * factor.powi(exponent);
        // Compared as numbers: what has grown beyond the cap may be infinite.
        if grown < cap { Duration::from_secs_f64(grown) } else { self.policy.cap }
    }

    /// The wait after the failed attempt `attempt` (counted from 1), which ended
    /// `elapsed` after the first began; `None` when no attempt is left or the next
    /// would begin after `total`. `random` is uniform in `[0, 1)`.
    #[must_use]
    pub fn delay(&self, attempt: u32, elapsed: Duration, random: f64) -> Option<Duration> {
        if attempt >= self.policy.max_attempts {
            return None;
        }
        let (bound, random) = (self.bound(attempt), random.clamp(0.0, 1.0));
        let wait = match self.jitter {
            Jitter::Full => bound.mul_f64(random),
            Jitter::Equal => bound.mul_f64(0.5 + random / 2.0),
            Jitter::None => bound,
        };
        let in_time = self.total.is_none_or(|total| elapsed.saturating_add(wait) <= total);
        in_time.then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn schedules_keep_their_bounds(
            attempt in 1_u32..2_000, random in 0.0_f64..1.0, elapsed in 0_u64..400_000,
            base in 1_u64..5_000, more in 0_u64..100_000, factor in 100_u32..=1_000, total in 0_u64..500_000,
        ) {
            let total = (total > base).then(|| Duration::from_millis(total));
            for jitter in [Jitter::Full, Jitter::Equal, Jitter::None] {
                let policy = RetryPolicy::new(1_000, base, base + more);
                let schedule = Schedule { policy, multiplier_percent: factor, jitter, total };
                prop_assert_eq!(schedule.validate(), Ok(()));
                prop_assert!(schedule.bound(attempt) <= schedule.bound(attempt + 1));
                prop_assert!(schedule.bound(attempt) <= policy.cap);
                let elapsed = Duration::from_millis(elapsed);
                if let Some(wait) = schedule.delay(attempt, elapsed, random) {
                    prop_assert!(attempt < 1_000 && wait <= policy.cap);
                    prop_assert!(total.is_none_or(|total| elapsed + wait <= total));
                    prop_assert!(jitter == Jitter::Full || wait * 2 + Duration::from_nanos(2) >= schedule.bound(attempt));
                }
            }
        }

        #[test]
        fn a_plain_policy_is_a_schedule(attempt in 1_u32..40, random in 0.0_f64..1.0) {
            let policy = RetryPolicy::AGGRESSIVE;
            let (plain, full) = (policy.delay(attempt, random), Schedule::from(policy).delay(attempt, Duration::ZERO, random));
            let apart = plain.unwrap_or_default().abs_diff(full.unwrap_or_default());
            prop_assert!(plain.is_some() == full.is_some() && apart < Duration::from_micros(1));
        }

        #[test]
        fn waits_stay_in_their_bounds(attempt in 1_u32..200, random in 0.0_f64..1.0, base in 1_u64..5_000, more in 0_u64..100_000) {
            let policy = RetryPolicy::new(100, base, base + more);
            match policy.delay(attempt, random) {
                Some(wait) => prop_assert!(attempt < 100 && wait <= policy.cap),
                None => prop_assert!(attempt >= 100),
            }
        }
    }

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let check = |attempt, ms| {
            let wait = RetryPolicy::QUICK.delay(attempt, 1.0).map(|d| d.as_millis());
            assert_eq!(wait, ms);
        };
        check(1, Some(500));
        check(2, Some(1_000));
        check(3, None);
        assert_eq!(RetryPolicy::AGGRESSIVE.delay(9, 1.0), Some(Duration::from_secs(60)));
    }

    #[test]
    fn impossible_policies_are_refused() {
        let check = |policy: RetryPolicy, part: &str| {
            assert!(policy.validate().is_err_and(|why| why.contains(part)));
        };
        check(RetryPolicy::new(0, 1, 1), "max_attempts");
        check(RetryPolicy::new(1, 0, 1), "base");
        check(RetryPolicy::new(1, 5, 1), "cap");
        let refused = |schedule: Schedule, part: &str| {
            assert!(schedule.validate().is_err_and(|why| why.contains(part)));
        };
        let own = Schedule::from(RetryPolicy::QUICK);
        refused(Schedule { multiplier_percent: 99, ..own }, "multiplier");
        refused(Schedule { multiplier_percent: 1_001, ..own }, "multiplier");
        refused(Schedule { total: Some(Duration::from_millis(1)), ..own }, "total");
        assert_eq!(RetryPolicy::STANDARD.validate(), Ok(()));
    }
}
