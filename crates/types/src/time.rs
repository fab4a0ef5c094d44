//! Points in time as integer microseconds, and clocks that can be faked.

mod steady;

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use steady::Steady;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// This point plus a duration; stays at the largest point on overflow.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Seconds and nanoseconds, as `google.protobuf.Timestamp` has them.
    #[must_use]
    pub fn seconds_nanos(self) -> (i64, i32) {
        let nanos = i32::try_from(self.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        (self.0.div_euclid(1_000_000), nanos)
    }
}

impl std::fmt::Display for Micros {
    /// RFC 3339 with microseconds in UTC.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Micros;
}

/// The clock of the machine, without its jumps: one that is set wrong and right
/// again within ten minutes moves nothing. All of a process show the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The first moment that was asked for, and the time since.
static STEADY: Mutex<Option<(Instant, Steady)>> = Mutex::new(None);

impl Clock for SystemClock {
    fn now(&self) -> Micros {
        // What holds a lock never panics in between, and half of it is a time too.
        let mut steady = STEADY.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, steady) =
            steady.get_or_insert_with(|| (Instant::now(), Steady::new(wall(), Duration::ZERO)));
        steady.read(wall(), first.elapsed())
    }
}

fn wall() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock at a point in time.
    #[must_use]
    pub const fn at(now: Micros) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_splits() {
        let check = |micros: i64, text: &str, split: (i64, i32)| {
            assert_eq!(Micros(micros).to_string(), text);
            assert_eq!(Micros(micros).seconds_nanos(), split);
        };
        check(0, "1970-01-01T00:00:00.000000Z", (0, 0));
        check(1_500_000, "1970-01-01T00:00:01.500000Z", (1, 500_000_000));
        check(-1, "1969-12-31T23:59:59.999999Z", (-1, 999_999_000));
    }

    #[test]
    fn since_never_goes_below_zero() {
        assert_eq!(Micros(5).since(Micros(9)), Duration::ZERO);
        assert_eq!(Micros(9).since(Micros(5)), Duration::from_micros(4));
    }
}
