//! A limit that threads share.

use super::seats::Seats;
use super::{Config, Criticality, Vegas};
use crate::invalid::Invalid;
use crate::observe::{Event, Observed};
use crate::refusal::Refusal;
use crate::time::now;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// An adaptive limit; see the [module](super). Clones are the same one.
#[derive(Debug, Clone)]
pub struct Limiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    seats: Seats,
    limit: AtomicUsize,
    vegas: Mutex<Vegas>,
    shed: AtomicU64,
    observed: Observed,
}

/// How a limiter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Calls that may be under way.
    pub limit: usize,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls it refused.
    pub shed_total: u64,
    /// What it takes for the time of a call without load.
    pub unloaded: Option<Duration>,
}

/// A call that was let in. Dropped, it gives its seat back and says nothing
/// about how long calls take.
#[derive(Debug)]
#[must_use = "dropping it gives the seat back"]
pub struct Admitted {
    inner: Arc<Inner>,
    began: Instant,
    in_flight: usize,
}

impl Limiter {
    /// A limiter at its initial limit.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(name: impl Into<Arc<str>>, config: Config, observed: Observed) -> Result<Self, Invalid> {
        config.validate()?;
        Ok(Self(Arc::new(Inner {
            name: name.into(),
            seats: Seats::new(),
            limit: AtomicUsize::new(config.initial),
            vegas: Mutex::new(Vegas::new(config, now())),
            shed: AtomicU64::new(0),
            observed,
        })))
    }

    /// Lets a call in if there is room for calls of its importance.
    ///
    /// # Errors
    /// [`Refusal::Shed`].
    pub fn admit(&self, criticality: Criticality) -> Result<Admitted, Refusal> {
        let limit = self.0.limit.load(Ordering::Relaxed);
        match self.0.seats.take(criticality.seats(limit)) {
            Some(in_flight) => Ok(Admitted { inner: self.0.clone(), began: now(), in_flight }),
            None => Err(self.refuse(limit, criticality)),
        }
    }

    /// How it stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            limit: self.0.limit.load(Ordering::Relaxed),
            in_flight: self.0.seats.taken(),
            shed_total: self.0.shed.load(Ordering::Relaxed),
            unloaded: self.0.vegas.lock().unloaded(),
        }
    }

    fn refuse(&self, limit: usize, criticality: Criticality) -> Refusal {
        self.0.shed.fetch_add(1, Ordering::Relaxed);
        let refusal = Refusal::Shed { name: self.0.name.clone(), limit, criticality: criticality.name() };
        self.0.observed.tell(&Event::Refused { name: &self.0.name, code: refusal.code() });
        refusal
    }
}

impl Admitted {
    /// The call ended; `overloaded` when that was because there was too much to
    /// do or no time left.
    pub fn done(self, overloaded: bool) {
        let now = now();
        let rtt = now.saturating_duration_since(self.began);
        // Who finds the lock taken goes on: a sample more or less decides nothing.
        if let Some(mut vegas) = self.inner.vegas.try_lock()
            && let Some(limit) = vegas.on_sample(now, rtt, self.in_flight, overloaded)
        {
            self.inner.limit.store(limit, Ordering::Relaxed);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.inner.seats.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_important_are_refused_first() {
        let config = Config { initial: 10, min: 10, ..Config::default() };
        let limiter = Limiter::new("door", config, Observed::default()).unwrap();
        let mut inside = Vec::new();
        let mut check = |level: Criticality, seats: usize| {
            while let Ok(admitted) = limiter.admit(level) {
                inside.push(admitted);
            }
            assert_eq!(inside.len(), seats, "{level:?}");
        };
        check(Criticality::Sheddable, 6);
        check(Criticality::SheddablePlus, 7);
        check(Criticality::Critical, 9);
        check(Criticality::CriticalPlus, 10);
        let snapshot = limiter.snapshot();
        assert_eq!((snapshot.limit, snapshot.in_flight, snapshot.shed_total), (10, 10, 4));
        drop(inside);
        assert_eq!(limiter.snapshot().in_flight, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn it_learns_from_calls_that_ended() {
        let limiter = Limiter::new("door", Config::default(), Observed::default()).unwrap();
        let round = async |millis: u64| {
            let calls: Vec<_> =
                std::iter::from_fn(|| limiter.admit(Criticality::CriticalPlus).ok()).collect();
            tokio::time::advance(Duration::from_millis(millis)).await;
            calls.into_iter().for_each(|call| call.done(false));
            limiter.snapshot().limit
        };
        for _ in 0..3 {
            round(101).await;
        }
        let grown = round(101).await;
        assert!(grown > 64, "{grown}");
        assert_eq!(limiter.snapshot().unloaded, Some(Duration::from_millis(101)));
        for _ in 0..30 {
            round(1_000).await;
        }
        assert!(limiter.snapshot().limit < grown);
    }
}
