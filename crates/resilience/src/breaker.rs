//! A circuit breaker: when a peer fails too often, calls to it are answered here
//! for a while, so that callers do not wait and the peer can recover.
//!
//! ```text
//!            enough failures (or slow calls) in the window
//!   CLOSED ────────────────────────────────────────────────▶ OPEN
//!      ▲                                                     │ │ ▲
//!      │ success_threshold probes in a row             after │ │ │ a probe failed
//!      │                                             open_ms ▼ │ │ or never ended
//!      └────────────────────────────────────────────── HALF_OPEN
//! ```
//!
//! A health check that says the peer serves again ([`Breaker::peer_serves`]) lets
//! probes pass before `open_ms` is over, so that a restart of two seconds does not
//! cost a minute.
//!
//! The pattern is Nygard's (*Release It!*, 2007); sliding windows, slow calls and
//! bounded probes follow resilience4j. [`Machine`] is the state machine: no
//! clock, no lock. [`Breaker`] shares it between threads: a call that is let
//! through a closed breaker and succeeds costs an atomic load and an atomic
//! exchange; the lock is taken only for failures, probes and once a slot of the
//! window. [`Breakers`] keeps one for each peer; [`BreakerLayer`] puts one in
//! front of a gRPC client.
//!
//! **Architecture invariants.** A success never opens a breaker. What a caller
//! did wrong never opens a breaker. A call that began before the last change of
//! state changes nothing any more.

mod config;
mod fast;
mod layer;
mod machine;
mod manager;
mod outcome;
mod shared;
mod window;

pub use config::Config;
pub use layer::{BreakerFuture, BreakerLayer, BreakerService, Classify};
pub use machine::{Asked, Change, Machine, Pass, Reason, State};
pub use manager::{Breakers, TooMany, Unknown};
pub(crate) use outcome::given_up;
pub use outcome::{Outcome, PATIENCE, of_http, of_status};
pub use shared::{Breaker, Snapshot};

/// The atomics of the lock-free part; the test of every interleaving swaps them.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;
