//! How much one caller may ask: token buckets by address, principal and tenant.
//!
//! A bucket holds `burst` calls and gains `per_second` of them each second. Only
//! callers seen lately have one; whoever is forgotten begins with a full one.

use lru::LruCache;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Buckets remembered; the one longest unused is forgotten first.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// A limit; none when `per_second` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Calls gained each second.
    pub per_second: u32,
    /// Most calls at once.
    pub burst: u32,
}

/// Whose calls are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whose {
    /// All from one address; of IPv6, from one /64.
    Address,
    /// All of one user or service account.
    Principal,
    /// All of one tenant.
    Tenant,
}

impl Whose {
    /// Its name in headers and errors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Principal => "principal",
            Self::Tenant => "tenant",
        }
    }
}

/// What is left of a limit after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which limit.
    pub whose: Whose,
    /// The limit.
    pub limit: Limit,
    /// Whole calls left right now.
    pub left: u32,
    /// When the bucket is full again.
    pub full_after: Duration,
}

/// A call too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// How the limit stands.
    pub standing: Standing,
    /// When the next call may come.
    pub after: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    calls: f64,
    at: Duration,
}

/// All buckets.
#[derive(Debug)]
pub struct Rates {
    buckets: LruCache<(Whose, String), Bucket>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { buckets: LruCache::new(REMEMBERED) }
    }
}

impl Rates {
    /// Counts one call; `None` when there is no limit. `now` is the time since
    /// some fixed moment.
    ///
    /// # Errors
    /// When it is one too many; it is not counted then.
    pub fn take(
        &mut self,
        whose: Whose,
        who: &str,
        limit: Limit,
        now: Duration,
    ) -> Result<Option<Standing>, TooMany> {
        if limit.per_second == 0 {
            return Ok(None);
        }
        let (rate, burst) = (f64::from(limit.per_second), f64::from(limit.burst.max(1)));
        let full = || Bucket { calls: burst, at: now };
        let bucket = self.buckets.get_or_insert_mut((whose, who.to_owned()), full);
        let gained = now.saturating_sub(bucket.at).as_secs_f64() * rate;
        bucket.calls = (bucket.calls + gained).min(burst);
        bucket.at = bucket.at.max(now);
        let counted = bucket.calls >= 1.0;
        if counted {
            bucket.calls -= 1.0;
        }
        let standing = Standing {
            whose,
            limit,
            left: whole(bucket.calls),
            full_after: Duration::from_secs_f64((burst - bucket.calls) / rate),
        };
        if counted {
            return Ok(Some(standing));
        }
        Err(TooMany { standing, after: Duration::from_secs_f64((1.0 - bucket.calls) / rate) })
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 0 to a u32
fn whole(calls: f64) -> u32 {
    calls.max(0.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: Limit = Limit { per_second: 10, burst: 5 };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut rates = Rates::default();
        let mut take = |ms| rates.take(Whose::Principal, "users/olga", LIMIT, at(ms));
        for left in (0..5).rev() {
            assert_eq!(take(0).expect("within the burst").map(|s| s.left), Some(left));
        }
        let too_many = take(0).expect_err("one too many");
        assert_eq!((too_many.after, too_many.standing.full_after), (at(100), at(500)));
        assert!(take(99).is_err(), "not yet");
        assert!(take(100).is_ok() && take(100).is_err(), "one a tenth of a second");
        assert_eq!(take(60_000).expect("rested").map(|s| s.left), Some(4), "never more than the burst");
    }

    #[test]
    fn callers_do_not_pay_for_each_other() {
        let mut rates = Rates::default();
        let one = Limit { per_second: 1, burst: 1 };
        assert!(rates.take(Whose::Address, "10.0.0.1", one, at(0)).is_ok());
        assert!(rates.take(Whose::Address, "10.0.0.1", one, at(0)).is_err());
        assert!(rates.take(Whose::Address, "10.0.0.2", one, at(0)).is_ok());
        assert!(rates.take(Whose::Tenant, "10.0.0.1", one, at(0)).is_ok());
        let none = Limit { per_second: 0, burst: 0 };
        assert_eq!(rates.take(Whose::Tenant, "t", none, at(0)), Ok(None));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_allow(gaps in prop::collection::vec(0_u64..300, 1..200)) {
            let (mut rates, mut now, mut passed) = (Rates::default(), 0_u64, 0_u64);
            for gap in gaps {
                now += gap;
                passed += u64::from(rates.take(Whose::Tenant, "t", LIMIT, at(now)).is_ok());
                prop_assert!(passed <= 5 + now / 100, "{passed} in {now} ms");
            }
        }
    }
}
