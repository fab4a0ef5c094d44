//! Hedging: a read that takes longer than 95% of its kind is sent a second time,
//! and the first good answer counts (Dean, Barroso: *The Tail at Scale*, CACM
//! 2013). The slow copy is dropped, which cancels it.
//!
//! [`Pace`] is the state machine: how long calls of a method take, and how many
//! copies there may be. Only methods whose contract says NO_SIDE_EFFECTS are
//! hedged, and at most a tenth of them unless told otherwise, so that a peer
//! that is slow for everybody is not asked twice by everybody.

mod layer;
mod pace;

pub use layer::{HedgeLayer, HedgeService};
pub use pace::{Config, Pace};
