//! How often somebody may try to log in: failures by account and by address.
//!
//! Each has so many tries, which come back evenly over a window. A try is taken
//! before the password is looked at, so that a thousand at once are no way around,
//! and given back when it was right. Accounts that do not exist count like others:
//! nobody learns from a refusal which there are.

use lru::LruCache;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Accounts and addresses remembered; the one longest unused is forgotten first.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// Whose tries are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whose {
    /// All for one account: tenant and actor.
    Account(String, String),
    /// All from one address.
    Address(String),
}

impl Whose {
    /// Its name in errors and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Account(..) => "account",
            Self::Address(_) => "address",
        }
    }
}

/// How many failures are let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Failures for one account within the window; 0 for no limit.
    pub account: u32,
    /// Failures from one address within the window; 0 for no limit.
    pub address: u32,
    /// The window.
    pub window: Duration,
}

/// A try too many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooMany {
    /// Account or address.
    pub whose: &'static str,
    /// When the next one may come.
    pub after: Duration,
}

/// The tries of all.
#[derive(Debug)]
pub struct Attempts {
    limit: Limit,
    /// Tries left, and when that was so.
    left: LruCache<Whose, (f64, Duration)>,
}

impl Attempts {
    /// Nobody has tried yet.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self { limit, left: LruCache::new(REMEMBERED) }
    }

    /// Takes a try of each. `now` is the time since some fixed moment.
    ///
    /// # Errors
    /// When one of them has none left; nothing is taken then.
    pub fn take(&mut self, all: &[Whose], now: Duration) -> Result<(), TooMany> {
        for whose in all {
            let (left, rate) = self.standing(whose, now);
            if left < 1.0 {
                let after = Duration::from_secs_f64((1.0 - left) / rate);
                return Err(TooMany { whose: whose.as_str(), after });
            }
        }
        all.iter().for_each(|whose| self.add(whose, -1.0, now));
        Ok(())
    }

    /// Gives a try of each back: it was no failure.
    pub fn give_back(&mut self, all: &[Whose], now: Duration) {
        all.iter().for_each(|whose| self.add(whose, 1.0, now));
    }

    const fn most(&self, whose: &Whose) -> u32 {
        match whose {
            Whose::Account(..) => self.limit.account,
            Whose::Address(_) => self.limit.address,
        }
    }

    /// What somebody has left, and what comes back each second.
    fn standing(&self, whose: &Whose, now: Duration) -> (f64, f64) {
        let most = f64::from(self.most(whose));
        if most == 0.0 {
            return (f64::INFINITY, 1.0);
        }
        let rate = most / self.limit.window.as_secs_f64();
        let (left, at) = self.left.peek(whose).copied().unwrap_or((most, now));
        ((left + now.saturating_sub(at).as_secs_f64() * rate).min(most), rate)
    }

    fn add(&mut self, whose: &Whose, count: f64, now: Duration) {
        let most = f64::from(self.most(whose));
        let (left, _) = self.standing(whose, now);
        if left.is_finite() {
            self.left.put(whose.clone(), ((left + count).clamp(0.0, most), now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { account: 3, address: 5, window: Duration::from_secs(60) };

    fn who(actor: &str, address: &str) -> [Whose; 2] {
        [Whose::Account("t".into(), actor.into()), Whose::Address(address.into())]
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_account_is_closed_after_its_failures_and_opens_slowly() {
        let mut attempts = Attempts::new(LIMIT);
        for n in 0..3 {
            assert_eq!(attempts.take(&who("olga", &format!("10.0.0.{n}")), at(0)), Ok(()));
        }
        let closed = attempts.take(&who("olga", "10.0.0.9"), at(0));
        assert_eq!(closed, Err(TooMany { whose: "account", after: at(20) }));
        assert!(attempts.take(&who("paul", "10.0.0.9"), at(0)).is_ok(), "others do not pay for it");
        assert!(attempts.take(&who("olga", "10.0.0.9"), at(20)).is_ok());
        assert!(attempts.take(&who("olga", "10.0.0.9"), at(20)).is_err());
    }

    #[test]
    fn an_address_is_closed_over_all_accounts() {
        let mut attempts = Attempts::new(LIMIT);
        for n in 0..5 {
            assert_eq!(attempts.take(&who(&format!("u{n}"), "10.0.0.1"), at(0)), Ok(()));
        }
        let closed = attempts.take(&who("u9", "10.0.0.1"), at(0)).map_err(|e| e.whose);
        assert_eq!(closed, Err("address"));
        assert!(attempts.take(&who("u9", "10.0.0.2"), at(0)).is_ok(), "nothing was taken of the account");
    }

    #[test]
    fn what_was_right_costs_nothing_and_0_is_no_limit() {
        let mut attempts = Attempts::new(LIMIT);
        for _ in 0..100 {
            attempts.take(&who("olga", "a"), at(0)).unwrap();
            attempts.give_back(&who("olga", "a"), at(0));
        }
        let mut open = Attempts::new(Limit { account: 0, address: 0, ..LIMIT });
        assert!((0..100).all(|_| open.take(&who("olga", "a"), at(0)).is_ok()));
    }
}
