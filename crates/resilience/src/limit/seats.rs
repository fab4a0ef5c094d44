//! The lock-free part of a limiter: calls under way, never more than allowed.

use super::sync::{AtomicUsize, Ordering};

/// Calls under way.
#[derive(Debug)]
pub(super) struct Seats(AtomicUsize);

impl Seats {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Takes a seat when fewer than `limit` are taken; answers how many are then.
    pub(super) fn take(&self, limit: usize) -> Option<usize> {
        let mut taken = self.0.load(Ordering::Relaxed);
        while taken < limit {
            match self.0.compare_exchange_weak(taken, taken + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(taken + 1),
                Err(now) => taken = now,
            }
        }
        None
    }

    pub(super) fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
