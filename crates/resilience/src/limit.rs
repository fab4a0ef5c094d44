//! An adaptive limit: how many calls at once are sensible is found out from how
//! long they take, and the least important ones are refused first.
//!
//! [`Vegas`] is the state machine. It carries the congestion avoidance of TCP
//! Vegas (Brakmo, O'Malley, Peterson: *TCP Vegas: New Techniques for Congestion
//! Detection and Avoidance*, SIGCOMM 1994) over from packets to calls, as
//! Netflix's concurrency-limits did: calls that take longer than they take
//! without load are waiting in a queue, and the queue is estimated by
//!
//! ```text
//! queue = limit · (1 − rtt_without_load / rtt)
//! ```
//!
//! A short queue lets the limit grow, a long one makes it shrink. [`Limiter`]
//! shares it, counts calls under way without a lock, and sheds by [`Criticality`].

mod criticality;
mod layer;
mod limiter;
mod seats;
mod vegas;

pub use criticality::{CRITICALITY_HEADER, Criticality};
pub use layer::{LimitLayer, LimitService};
pub use limiter::{Admitted, Limiter, Snapshot};
pub use vegas::{Config, Vegas};

/// The atomics of the lock-free part; the test of every interleaving swaps them.
mod sync {
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
}

#[cfg(test)]
mod interleavings;
