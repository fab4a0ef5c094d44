//! The state machine of the memory tier.

use crate::invalid::{Invalid, within};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// How much is kept, and for how long. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Entries in memory; 1 to 10,000,000.
    pub max_entries: usize,
    /// How long a value is good for.
    pub ttl_ms: u64,
    /// How long it is remembered that there is none; 0 remembers nothing.
    pub negative_ttl_ms: u64,
    /// How eagerly values are renewed before their end; 0 never, 1 as the paper
    /// finds best, at most 10.
    pub renew_early: f64,
    /// By how much of its time a value may end sooner, drawn for each, so that what was
    /// loaded together does not end together; 0 to 0.9.
    pub ttl_jitter: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_entries: 10_000,
            ttl_ms: 60_000,
            negative_ttl_ms: 5_000,
            renew_early: 1.0,
            ttl_jitter: 0.1,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        const DAY_MS: u64 = 86_400_000;
        within("max_entries", self.max_entries, 1..=10_000_000)?;
        within("ttl_ms", self.ttl_ms, 1..=30 * DAY_MS)?;
        within("negative_ttl_ms", self.negative_ttl_ms, 0..=DAY_MS)?;
        within("renew_early", self.renew_early, 0.0..=10.0)?;
        within("ttl_jitter", self.ttl_jitter, 0.0..=0.9)
    }

    pub(super) const fn ttl(&self, is_there: bool) -> Duration {
        Duration::from_millis(if is_there { self.ttl_ms } else { self.negative_ttl_ms })
    }
}

/// What a shelf has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken<V> {
    /// A value that is good, or the knowledge that there is none (`None`).
    Good(Option<V>),
    /// The same, and this reader is the one to renew it.
    Renew(Option<V>),
    /// Nothing that is good.
    Missing,
}

#[derive(Debug)]
struct Entry<V> {
    value: Option<V>,
    until: Instant,
    /// How long it took to load, which is how much sooner it is worth renewing.
    cost: Duration,
    renewing: bool,
}

/// Entries in memory: bounded, with an end each.
#[derive(Debug)]
pub struct Shelf<V> {
    config: Config,
    entries: LruCache<String, Entry<V>>,
}

impl<V: Clone> Shelf<V> {
    /// An empty shelf; `config` is taken as valid.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let most = NonZeroUsize::new(config.max_entries).unwrap_or(NonZeroUsize::MIN);
        Self { config, entries: LruCache::new(most) }
    }

    /// Takes what there is for a key; `random` is even over (0, 1].
    pub fn take(&mut self, now: Instant, key: &str, random: f64) -> Taken<V> {
        let Some(entry) = self.entries.get_mut(key) else { return Taken::Missing };
        if now >= entry.until {
            self.entries.pop(key);
            return Taken::Missing;
        }
        // XFetch: now − cost · β · ln(random) ≥ until
        let early = entry.cost.as_secs_f64() * self.config.renew_early * -random.clamp(1e-12, 1.0).ln();
        let left = entry.until.saturating_duration_since(now).as_secs_f64();
        if early < left || entry.renewing {
            return Taken::Good(entry.value.clone());
        }
        entry.renewing = true;
        Taken::Renew(entry.value.clone())
    }

    /// Puts in what was loaded, which took `cost`. Nothing is kept for no time. `random`
    /// is even over [0, 1).
    pub fn put(&mut self, now: Instant, key: &str, value: Option<V>, cost: Duration, random: f64) {
        let ttl = self.config.ttl(value.is_some()).mul_f64(1.0 - self.config.ttl_jitter * random);
        if ttl.is_zero() {
            self.entries.pop(key);
            return;
        }
        self.entries.put(key.to_owned(), Entry { value, until: now + ttl, cost, renewing: false });
    }

    /// A renewal failed: the next reader that is drawn may try again.
    pub fn renewal_failed(&mut self, key: &str) {
        if let Some(entry) = self.entries.peek_mut(key) {
            entry.renewing = false;
        }
    }

    /// Takes an entry away; whether there was one.
    pub fn remove(&mut self, key: &str) -> bool {
        self.entries.pop(key).is_some()
    }

    /// Takes away entries whose keys begin so.
    pub fn remove_prefix(&mut self, prefix: &str) {
        let keys: Vec<_> = self
            .entries
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.entries.pop(&key);
        }
    }

    /// Entries there are, the overdue ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn values_end_and_so_does_knowing_that_there_is_none() {
        let now = Instant::now();
        let mut shelf = Shelf::new(Config::default());
        shelf.put(now, "a", Some(1), Duration::ZERO, 0.0);
        shelf.put(now, "b", None, Duration::ZERO, 0.0);
        let mut check = |at_ms: u32, key: &str, expect: Taken<i32>| {
            assert_eq!(shelf.take(now + at_ms * MS, key, 1.0), expect, "{key} at {at_ms}");
        };
        check(0, "a", Taken::Good(Some(1)));
        check(0, "c", Taken::Missing);
        check(4_999, "b", Taken::Good(None));
        check(5_000, "b", Taken::Missing);
        check(59_999, "a", Taken::Good(Some(1)));
        check(60_000, "a", Taken::Missing);
        assert!(shelf.is_empty());
    }

    #[test]
    fn what_was_loaded_together_ends_apart() {
        let now = Instant::now();
        let mut shelf = Shelf::new(Config { ttl_jitter: 0.5, renew_early: 0.0, ..Config::default() });
        let mut check = |random: f64, lasts_ms: u32| {
            shelf.put(now, "a", Some(1), Duration::ZERO, random);
            assert_eq!(shelf.take(now + (lasts_ms - 1) * MS, "a", 1.0), Taken::Good(Some(1)), "{random}");
            assert_eq!(shelf.take(now + lasts_ms * MS, "a", 1.0), Taken::Missing, "{random}");
        };
        check(0.0, 60_000);
        check(0.5, 45_000);
        check(1.0, 30_000);
    }

    #[test]
    fn one_reader_near_the_end_renews() {
        let now = Instant::now();
        let mut shelf = Shelf::new(Config::default());
        shelf.put(now, "a", Some(1), 1_000 * MS, 0.0);
        let mut check = |at_ms: u32, random: f64, expect: Taken<i32>| {
            assert_eq!(shelf.take(now + at_ms * MS, "a", random), expect, "{at_ms} {random}");
        };
        let e = std::f64::consts::E;
        check(58_000, 1.0 / e, Taken::Good(Some(1))); // -ln(1/e) = 1: one second too soon
        check(59_000, 1.0 / e, Taken::Renew(Some(1)));
        check(59_500, 1.0 / e, Taken::Good(Some(1))); // somebody renews it already
        shelf.renewal_failed("a");
        assert_eq!(shelf.take(now + 59_500 * MS, "a", 1.0 / e), Taken::Renew(Some(1)));
        shelf.put(now + 59_600 * MS, "a", Some(2), 1_000 * MS, 0.0);
        assert_eq!(shelf.take(now + 60_000 * MS, "a", 0.5), Taken::Good(Some(2)));
    }

    #[test]
    fn what_is_invalid_goes() {
        let now = Instant::now();
        let mut shelf = Shelf::new(Config { max_entries: 3, ..Config::default() });
        for key in ["cases/1", "cases/2", "policies/1"] {
            shelf.put(now, key, Some(1), Duration::ZERO, 0.0);
        }
        shelf.remove_prefix("cases/");
        assert_eq!(shelf.len(), 1);
        shelf.remove("policies/1");
        assert!(shelf.is_empty());
        for key in ["a", "b", "c", "d"] {
            shelf.put(now, key, Some(1), Duration::ZERO, 0.0);
        }
        assert_eq!((shelf.len(), shelf.take(now, "a", 1.0)), (3, Taken::Missing), "the oldest made room");
        let mut forgetful = Shelf::new(Config { negative_ttl_ms: 0, ..Config::default() });
        forgetful.put(now, "a", Some(1), Duration::ZERO, 0.0);
        forgetful.put(now, "a", None, Duration::ZERO, 0.0);
        assert_eq!(forgetful.take(now, "a", 1.0), Taken::Missing);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |config: Config, expect: &str| {
            assert_eq!(config.validate().unwrap_err().to_string(), expect);
        };
        let fine = Config::default();
        check(Config { max_entries: 0, ..fine }, "max_entries is 0; it must be from 1 to 10000000");
        check(Config { ttl_ms: 0, ..fine }, "ttl_ms is 0; it must be from 1 to 2592000000");
        check(
            Config { negative_ttl_ms: 86_400_001, ..fine },
            "negative_ttl_ms is 86400001; it must be from 0 to 86400000",
        );
        check(Config { ttl_jitter: 1.0, ..fine }, "ttl_jitter is 1; it must be from 0 to 0.9");
        check(Config { renew_early: -1.0, ..fine }, "renew_early is -1; it must be from 0 to 10");
        assert_eq!(fine.validate(), Ok(()));
    }

    proptest! {
        #[test]
        fn nothing_is_served_after_its_end_and_the_bound_holds(
            steps in proptest::collection::vec((0u8..6, any::<bool>(), 0u32..20_000, 0.0f64..1.0), 0..200),
        ) {
            let mut now = Instant::now();
            let config = Config { max_entries: 4, ..Config::default() };
            let mut shelf = Shelf::new(config);
            let mut written = std::collections::HashMap::new();
            for (key, put, pause, random) in steps {
                now += pause * MS;
                let name = key.to_string();
                if put {
                    let value = (random > 0.3).then_some(random.to_bits());
                    shelf.put(now, &name, value, 100 * MS, 0.0);
                    written.insert(key, (value, now + config.ttl(value.is_some())));
                } else if let Taken::Good(value) | Taken::Renew(value) = shelf.take(now, &name, random) {
                    let (last, until) = written[&key];
                    prop_assert!(value == last && now < until);
                }
                prop_assert!(shelf.len() <= 4);
            }
        }
    }
}
