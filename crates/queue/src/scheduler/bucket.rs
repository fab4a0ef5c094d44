//! A token bucket: `count` tokens a `period`, at most `burst` in it.
//!
//! Levels are floating point on purpose: the same arithmetic runs in Lua, where
//! there is nothing else, and both give the same answers.

use crate::Rate;
use probity_types::Micros;

/// A token counts as there when only rounding is missing.
const ALMOST: f64 = 1e-9;

/// How much is in a bucket, and since when.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket(Option<Level>);

#[derive(Debug, Clone, Copy)]
struct Level {
    tokens: f64,
    at: Micros,
}

impl Bucket {
    /// The tokens at a time. A clock that went back adds none and takes none.
    fn level(self, rate: &Rate, now: Micros) -> Level {
        let burst = f64::from(rate.burst);
        let Some(Level { tokens, at }) = self.0 else { return Level { tokens: burst, at: now } };
        let elapsed = micros(now.0.saturating_sub(at.0).max(0));
        let tokens = (tokens + elapsed * f64::from(rate.count) / period(rate)).min(burst);
        Level { tokens, at: at.max(now) }
    }

    /// When a token is there: `now` or later.
    pub(super) fn ready_at(self, rate: &Rate, now: Micros) -> Micros {
        self.reaches(1.0, rate, now)
    }

    /// When the bucket is full, so that nothing need be remembered of it.
    pub(super) fn full_at(self, rate: &Rate, now: Micros) -> Micros {
        self.reaches(f64::from(rate.burst), rate, now)
    }

    fn reaches(self, wanted: f64, rate: &Rate, now: Micros) -> Micros {
        let Level { tokens, at } = self.level(rate, now);
        let missing = wanted - ALMOST - tokens;
        if missing <= 0.0 {
            return now;
        }
        let wait = (missing * period(rate) / f64::from(rate.count)).ceil();
        Micros(at.0.saturating_add(whole(wait)))
    }

    /// Takes a token out.
    pub(super) fn take(&mut self, rate: &Rate, now: Micros) {
        let Level { tokens, at } = self.level(rate, now);
        self.0 = Some(Level { tokens: (tokens - 1.0).max(0.0), at });
    }
}

fn period(rate: &Rate) -> f64 {
    micros(i64::try_from(rate.period.as_micros()).unwrap_or(i64::MAX))
}

/// Exact below 2⁵³ µs, which is 285 years.
#[allow(clippy::cast_precision_loss)]
const fn micros(value: i64) -> f64 {
    value as f64
}

/// A whole number of microseconds; `as` stops at the largest.
#[allow(clippy::cast_possible_truncation)]
const fn whole(value: f64) -> i64 {
    value as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate { count: 2, period: Duration::from_secs(1), burst: 3 };
        let mut bucket = Bucket::default();
        let mut now = Micros(10_000_000);
        let mut given = Vec::new();
        for _ in 0..6 {
            now = bucket.ready_at(&rate, now);
            bucket.take(&rate, now);
            given.push(now.0 - 10_000_000);
        }
        assert_eq!(given, [0, 0, 0, 500_000, 1_000_000, 1_500_000]);
        assert_eq!(bucket.full_at(&rate, now).0 - now.0, 1_500_000);
        assert_eq!(bucket.full_at(&rate, now.plus(Duration::from_secs(2))), now.plus(Duration::from_secs(2)));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_allow(count in 1_u32..50, burst in 1_u32..20, steps in prop::collection::vec(-200_000_i64..400_000, 1..200)) {
            let rate = Rate { count, period: Duration::from_secs(1), burst };
            let (mut bucket, mut now, mut first, mut last, mut given) = (Bucket::default(), Micros(0), 0, 0, 0_i64);
            for step in steps {
                now = Micros(now.0 + step);
                (first, last) = (first.min(now.0), last.max(now.0));
                if bucket.ready_at(&rate, now) <= now {
                    bucket.take(&rate, now);
                    given += 1;
                }
            }
            let allowed = i64::from(burst) + (last - first) * i64::from(count) / 1_000_000 + 1;
            prop_assert!(given <= allowed, "{given} > {allowed}");
        }
    }
}
