//! The lock-free part of a retry budget: tokens in thousandths, in one word.

use super::sync::{AtomicU32, Ordering};

/// One token.
pub(super) const TOKEN: u32 = 1_000;

/// A bucket of tokens that starts full.
#[derive(Debug)]
pub(super) struct Tokens {
    max: u32,
    refill: u32,
    left: AtomicU32,
}

impl Tokens {
    pub(super) fn new(max: u32, refill: u32) -> Self {
        Self { max, refill, left: AtomicU32::new(max) }
    }

    /// Takes one token, as far as there is one.
    pub(super) fn take(&self) {
        self.change(|left| left.saturating_sub(TOKEN));
    }

    /// Puts back the refill, as far as there is room.
    pub(super) fn put(&self) {
        self.change(|left| left.saturating_add(self.refill).min(self.max));
    }

    fn change(&self, to: impl Fn(u32) -> u32) {
        let mut left = self.left.load(Ordering::Relaxed);
        while to(left) != left {
            match self.left.compare_exchange_weak(left, to(left), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => left = now,
            }
        }
    }

    pub(super) fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    /// More than half is left.
    pub(super) fn more_than_half(&self) -> bool {
        self.left() > self.max / 2
    }
}
