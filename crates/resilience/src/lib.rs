//! What keeps a call from waiting for ever, failing needlessly or being cut off:
//! deadlines, retries and an orderly end of the process.
//!
//! | layer | module | outermost first |
//! |---|---|---|
//! | [`DeadlineLayer`] | [`deadline`] | 1: bounds the whole call, every attempt and wait included |
//! | [`RetryLayer`] | [`retry`] | 2: repeats what may be repeated, never past the deadline |
//! | [`TrackLayer`] | [`shutdown`] | server side: counts what must finish before the end |
//!
//! [`stack`] puts the first two together in that order; a test there shows what
//! goes wrong the other way round.
//!
//! **Architecture invariant:** nothing here knows a service, a route or a table.
//! What may be repeated is read from the contracts (`probity_proto::access`), so
//! it is written down once, next to the method.
//!
//! Deliberately absent: circuit breaking, bulkheads, hedging and load balancing.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod deadline;
mod methods;
pub mod retry;
pub mod shutdown;
pub mod stack;

pub use deadline::{Deadline, DeadlineLayer};
pub use retry::{Policy, Preset, RetryLayer, Retryable, Verdict};
pub use shutdown::{Shutdown, TrackLayer};
pub use stack::ClientSettings;
