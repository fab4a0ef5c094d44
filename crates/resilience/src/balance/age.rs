//! How long a connection lives: so that load spreads to new instances and no
//! connection outlives a certificate or a name (gRFC A9, MAX_CONNECTION_AGE with
//! a jitter of 10%).

use crate::invalid::{Invalid, within};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long connections live. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionAge {
    /// How long a connection lives on average; 1 s to a day.
    pub max_age_ms: u64,
    /// How much sooner or later it ends, in percent; 0 to 50.
    pub jitter_percent: u64,
    /// How long calls may go on after that; up to an hour.
    pub grace_ms: u64,
}

impl Default for ConnectionAge {
    fn default() -> Self {
        Self { max_age_ms: 1_800_000, jitter_percent: 10, grace_ms: 30_000 }
    }
}

impl ConnectionAge {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("max_age_ms", self.max_age_ms, 1_000..=86_400_000)?;
        within("jitter_percent", self.jitter_percent, 0..=50)?;
        within("grace_ms", self.grace_ms, 0..=3_600_000)
    }

    /// The age one connection may reach, drawn evenly around `max_age_ms`, so
    /// that connections made together do not end together.
    #[must_use]
    pub fn lifetime(&self, rng: &mut fastrand::Rng) -> Duration {
        let spread = self.max_age_ms * self.jitter_percent / 100;
        Duration::from_millis(rng.u64(self.max_age_ms - spread..=self.max_age_ms + spread))
    }

    /// How long calls may go on after that.
    #[must_use]
    pub const fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |age: ConnectionAge, expect: &str| {
            assert_eq!(age.validate().unwrap_err().to_string(), expect);
        };
        let fine = ConnectionAge::default();
        check(ConnectionAge { max_age_ms: 0, ..fine }, "max_age_ms is 0; it must be from 1000 to 86400000");
        check(ConnectionAge { jitter_percent: 51, ..fine }, "jitter_percent is 51; it must be from 0 to 50");
        check(
            ConnectionAge { grace_ms: 3_600_001, ..fine },
            "grace_ms is 3600001; it must be from 0 to 3600000",
        );
        assert_eq!((fine.validate(), fine.grace()), (Ok(()), Duration::from_secs(30)));
    }

    proptest! {
        #[test]
        fn a_life_is_near_its_length(max_age_ms in 1_000u64..=86_400_000, jitter_percent in 0u64..=50, seed: u64) {
            let age = ConnectionAge { max_age_ms, jitter_percent, grace_ms: 0 };
            let life = crate::time::millis(age.lifetime(&mut fastrand::Rng::with_seed(seed)));
            prop_assert!(life.abs_diff(max_age_ms) * 100 <= max_age_ms * jitter_percent);
        }
    }
}
