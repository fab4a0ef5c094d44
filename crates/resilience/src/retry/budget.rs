//! How much retrying a peer is worth: the throttling of gRPC's retry design.
//!
//! [gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md):
//! a bucket of `max_tokens` starts full. Each attempt that fails with a status
//! worth another try takes one token, each that succeeds puts back
//! `token_ratio`. Nothing is tried again unless more than half is left. So when
//! every second call fails, retries stop after a handful of calls, instead of
//! doubling the load on a peer that is in trouble.

use super::tokens::{TOKEN, Tokens};
use crate::invalid::{Invalid, within};
use serde::{Deserialize, Serialize};

/// The size of a retry budget, as `retryThrottling` in a gRPC service config.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// Tokens in a full bucket; 1 to 1,000.
    pub max_tokens: u32,
    /// What an attempt that succeeds puts back; above 0 and at most 1, exact to
    /// a thousandth.
    pub token_ratio: f64,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { max_tokens: 10, token_ratio: 0.1 }
    }
}

impl BudgetConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("max_tokens", self.max_tokens, 1..=1_000)?;
        within("token_ratio", self.token_ratio, 0.001..=1.0)
    }
}

/// A retry budget. One for each peer, shared by all its calls.
#[derive(Debug)]
pub struct Budget(Tokens);

impl Budget {
    /// A full budget.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(config: BudgetConfig) -> Result<Self, Invalid> {
        config.validate()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 1 to 1,000
        let refill = (config.token_ratio * f64::from(TOKEN)) as u32;
        Ok(Self(Tokens::new(config.max_tokens * TOKEN, refill)))
    }

    /// An attempt succeeded, or failed in a way that trying again does not mend.
    pub fn on_success(&self) {
        self.0.put();
    }

    /// An attempt failed in a way that trying again may mend.
    pub fn on_failure(&self) {
        self.0.take();
    }

    /// Whether there may be another attempt.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.0.more_than_half()
    }

    /// What is left, in tokens.
    #[must_use]
    pub fn tokens(&self) -> f64 {
        f64::from(self.0.left()) / f64::from(TOKEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_empties_with_failures_and_fills_with_successes() {
        let budget = Budget::new(BudgetConfig::default()).unwrap();
        let check = |failures: u32, successes: u32, tokens: f64, allows| {
            (0..failures).for_each(|_| budget.on_failure());
            (0..successes).for_each(|_| budget.on_success());
            assert_eq!((budget.tokens(), budget.allows()), (tokens, allows));
        };
        check(0, 1, 10.0, true);
        check(4, 0, 6.0, true);
        check(1, 0, 5.0, false);
        check(0, 1, 5.1, true);
        check(9, 0, 0.0, false);
        check(0, 50, 5.0, false);
        check(0, 51, 10.0, true);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |max_tokens, token_ratio, expect: &str| {
            let error = Budget::new(BudgetConfig { max_tokens, token_ratio }).unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        check(0, 0.1, "max_tokens is 0; it must be from 1 to 1000");
        check(1_001, 0.1, "max_tokens is 1001; it must be from 1 to 1000");
        check(10, 0.0, "token_ratio is 0; it must be from 0.001 to 1");
        check(10, 1.5, "token_ratio is 1.5; it must be from 0.001 to 1");
        check(10, f64::NAN, "token_ratio is NaN; it must be from 0.001 to 1");
    }

    /// Attempts for each call when every attempt fails with this probability and
    /// a call is tried up to five times.
    fn amplification(error_rate: f64, calls: u32, seed: u64) -> f64 {
        let budget = Budget::new(BudgetConfig::default()).unwrap();
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut attempts = 0;
        for _ in 0..calls {
            for attempt in 1..=5 {
                attempts += 1;
                if rng.f64() >= error_rate {
                    budget.on_success();
                    break;
                }
                budget.on_failure();
                if attempt == 5 || !budget.allows() {
                    break;
                }
            }
        }
        f64::from(attempts) / f64::from(calls)
    }

    proptest! {
        #[test]
        fn a_storm_is_never_fed(error_rate in 0.0f64..=1.0, seed: u64) {
            let factor = amplification(error_rate, 1_000, seed);
            prop_assert!(factor <= 1.2, "{factor} at {error_rate}");
        }
    }

    #[test]
    fn half_of_all_calls_failing_costs_hardly_any_load() {
        let factor = amplification(0.5, 10_000, 7);
        assert!(factor <= 1.02, "{factor}");
    }
}
