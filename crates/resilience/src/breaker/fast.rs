//! The lock-free part of a breaker: two words.
//!
//! The **gate** mirrors the state, so that a call can be let through or refused
//! by one load. The **tally** counts calls that went well in the current slot of
//! the window, so that they cost one exchange; who takes the lock folds them in.
//!
//! **Architecture invariant:** no call that went well is counted twice, and none
//! is lost but those of a state that is over. Every interleaving of it is tried
//! by `interleavings.rs`.

use super::sync::{AtomicU64, Ordering};

const CLOSED: u64 = 0;
const ASK: u64 = 1;
const FOREVER: u64 = (1 << 48) - 1;

/// What the gate shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Pass, and bring this back.
    Closed { generation: u16 },
    /// The state machine has to be asked.
    Ask,
    /// Refused until that many microseconds after the start of the breaker.
    Open { until_us: u64 },
    /// Refused by an operator.
    Forced,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Fast {
    gate: AtomicU64,
    tally: AtomicU64,
}

impl Fast {
    pub(super) fn new() -> Self {
        Self { gate: AtomicU64::new(CLOSED), tally: AtomicU64::new(0) }
    }

    pub(super) fn gate(&self) -> Gate {
        let word = self.gate.load(Ordering::Acquire);
        #[allow(clippy::cast_possible_truncation)] // the upper 16 bits
        let generation = (word >> 48) as u16;
        match word & FOREVER {
            CLOSED => Gate::Closed { generation },
            ASK => Gate::Ask,
            FOREVER => Gate::Forced,
            until_us => Gate::Open { until_us },
        }
    }

    /// Shows a new state. The lock of the state machine must be held.
    pub(super) fn show(&self, generation: u16, gate: Gate) {
        let low = match gate {
            Gate::Closed { .. } => CLOSED,
            Gate::Ask => ASK,
            Gate::Forced => FOREVER,
            Gate::Open { until_us } => until_us.clamp(ASK + 1, FOREVER - 1),
        };
        self.gate.store(u64::from(generation) << 48 | low, Ordering::Release);
    }

    /// Counts a call that went well in a slot; false when the tally is about an
    /// earlier slot (or full), so that somebody has to fold it in first.
    pub(super) fn count(&self, slot: u32) -> bool {
        let mut word = self.tally.load(Ordering::Relaxed);
        loop {
            let (kept, count) = split(word);
            if kept != slot || count == u32::MAX {
                return false;
            }
            match self.tally.compare_exchange_weak(word, word + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Takes what was counted, with its slot, and begins a new slot at zero. The
    /// lock of the state machine must be held.
    pub(super) fn take(&self, slot: u32) -> (u32, u32) {
        split(self.tally.swap(u64::from(slot) << 32, Ordering::Relaxed))
    }
}

#[allow(clippy::cast_possible_truncation)] // the two halves of a word
const fn split(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}
