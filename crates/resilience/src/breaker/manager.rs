//! The breakers of a process, one for each peer.

use super::{Breaker, Config, Snapshot};
use crate::invalid::Invalid;
use crate::observe::Observed;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;

/// More peers than this are a mistake: names must not come from callers.
const MOST: usize = 1_024;

/// There is no breaker of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no breaker {name:?}; the names are those of the peers called so far")]
pub struct Unknown {
    /// The name.
    pub name: String,
}

/// There are too many breakers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are {limit} breakers already; name them after peers, never after what callers choose")]
pub struct TooMany {
    /// How many there may be.
    pub limit: usize,
}

/// All breakers of a process. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Breakers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    special: BTreeMap<String, Config>,
    observed: Observed,
    known: RwLock<BTreeMap<Arc<str>, Arc<Breaker>>>,
}

impl Breakers {
    /// Breakers of one configuration, but for those with their own.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(
        config: Config,
        special: BTreeMap<String, Config>,
        observed: Observed,
    ) -> Result<Self, Invalid> {
        config.validate()?;
        special.values().try_for_each(Config::validate)?;
        Ok(Self(Arc::new(Inner { config, special, observed, known: RwLock::default() })))
    }

    /// The breaker of a peer, made when it is first asked for.
    ///
    /// # Errors
    /// When there are 1,024 others.
    pub fn of(&self, name: &str) -> Result<Arc<Breaker>, TooMany> {
        if let Ok(known) = self.find(name) {
            return Ok(known);
        }
        let mut known = self.0.known.write();
        if let Some(there) = known.get(name) {
            return Ok(there.clone());
        }
        if known.len() >= MOST {
            return Err(TooMany { limit: MOST });
        }
        let config = self.0.special.get(name).copied().unwrap_or(self.0.config);
        // Both kinds of configuration were validated when this was made.
        let Ok(breaker) = Breaker::new(name, config) else { return Err(TooMany { limit: MOST }) };
        let breaker = Arc::new(breaker.with_observer(self.0.observed.clone()));
        known.insert(breaker.name().clone(), breaker.clone());
        Ok(breaker)
    }

    /// A breaker that has been asked for before.
    ///
    /// # Errors
    /// [`Unknown`], which an operator's door answers as NOT_FOUND.
    pub fn find(&self, name: &str) -> Result<Arc<Breaker>, Unknown> {
        self.0.known.read().get(name).cloned().ok_or_else(|| Unknown { name: name.to_owned() })
    }

    /// Resets a breaker; answers how it stands then.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn reset(&self, name: &str) -> Result<Snapshot, Unknown> {
        let breaker = self.find(name)?;
        breaker.reset();
        Ok(breaker.snapshot())
    }

    /// Resets all of them.
    pub fn reset_all(&self) {
        for breaker in self.0.known.read().values() {
            breaker.reset();
        }
    }

    /// How all of them stand, by name.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.0.known.read().values().map(|breaker| breaker.snapshot()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::State;

    #[test]
    fn each_name_has_one_breaker_with_its_configuration() {
        let special = BTreeMap::from([("slow".to_owned(), Config { open_ms: 7_000, ..Config::default() })]);
        let breakers = Breakers::new(Config::default(), special, Observed::default()).unwrap();
        let first = breakers.of("intake").unwrap();
        assert!(Arc::ptr_eq(&first, &breakers.of("intake").unwrap()));
        let slow = breakers.of("slow").unwrap();
        slow.force_open();
        assert_eq!(slow.ask().unwrap_err().retry_after().as_secs(), 7);
        let names: Vec<_> = breakers.snapshots().iter().map(|s| s.name.to_string()).collect();
        assert_eq!(names, ["intake", "slow"]);
        assert_eq!(breakers.reset("slow").unwrap().state, State::Closed);
        slow.force_open();
        breakers.reset_all();
        assert_eq!(slow.state(), State::Closed);
    }

    #[test]
    fn an_unknown_one_is_not_found_and_too_many_are_refused() {
        let breakers = Breakers::new(Config::default(), BTreeMap::new(), Observed::default()).unwrap();
        let text = breakers.reset("nobody").unwrap_err().to_string();
        assert!(text.contains("no breaker \"nobody\""), "{text}");
        for n in 0..MOST {
            breakers.of(&n.to_string()).unwrap();
        }
        assert_eq!(breakers.of("one more").unwrap_err(), TooMany { limit: MOST });
        assert!(breakers.of("7").is_ok());
    }

    #[test]
    fn an_impossible_configuration_is_refused() {
        let bad = Config { open_ms: 0, ..Config::default() };
        let check = |config, special| {
            assert_eq!(Breakers::new(config, special, Observed::default()).unwrap_err().field, "open_ms");
        };
        check(bad, BTreeMap::new());
        check(Config::default(), BTreeMap::from([("x".to_owned(), bad)]));
    }
}
