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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
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
        assert_eq!(RetryPolicy::STANDARD.validate(), Ok(()));
    }
}
