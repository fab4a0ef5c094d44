//! A read-through cache: memory first, then a tier that processes share, then
//! the source.
//!
//! - **Stampedes.** Of many readers of one key at once, one loads; the others get
//!   what it got. It is driven by all of them, so a reader that goes away takes
//!   nobody along.
//! - **Early renewal.** A value near its end is renewed by one reader, drawn at
//!   random, while the others still get it (XFetch: Vattani, Chierichetti,
//!   Lowenstein: *Optimal Probabilistic Cache Stampede Prevention*, VLDB 2015).
//! - **Negative entries.** That there is nothing is remembered too, for a shorter
//!   time. A failure is not remembered.
//! - **Invalidation** by key and by prefix, as events ask for it. What was being
//!   loaded when its key was invalidated is given to those who waited and kept by
//!   nobody.
//! - **Writes** in this process: while one is under way its keys are read from the
//!   source, and its values are kept before anybody hears of it ([`Cache::write`]).
//! - **Warm-up** with values somebody has anyway. Times have jitter, so that what was
//!   loaded together does not end together.
//!
//! What may change elsewhere at any time is not kept: [`Fresh`] asks for it, once for
//! all who wait, and never answers with something older than the question.
//!
//! Memory is bounded by entries, the least recently used one goes first. Time is
//! passed to the state machine, [`Shelf`]; [`Cache`] shares it.

mod flights;
mod fresh;
mod read_through;
mod shelf;
mod tier;

pub use fresh::Fresh;
pub use read_through::{Cache, Snapshot, Write};
pub use shelf::{Config, Shelf, Taken};
pub use tier::{MemoryTier, NoTier, Tier, TierError};

/// What a cache found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The value, in memory.
    Memory,
    /// The value, in the second tier.
    Tier,
    /// That there is none, in memory or in the second tier.
    Nothing,
    /// No entry: the source was asked.
    Missed,
    /// No entry, but somebody was asking the source already.
    Joined,
    /// Somebody asks the source for all who have come: see [`Fresh`].
    Shared,
}
