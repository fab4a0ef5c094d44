//! What keeps a call from waiting for ever, failing needlessly or taking others
//! along, and a process from ending in the middle of something.
//!
//! | module | layer | what it is for |
//! |---|---|---|
//! | [`deadline`] | [`DeadlineLayer`] | bounds a call, tells the peer what is left |
//! | [`performance`] | [`MeasureLayer`] | how long calls take, which ones were slow |
//! | [`retry`] | [`RetryLayer`] | repeats what may be repeated, within a budget |
//! | [`hedge`] | [`HedgeLayer`] | sends slow reads twice |
//! | [`breaker`] | [`BreakerLayer`] | leaves a peer alone that fails |
//! | [`bulkhead`] | [`BulkheadLayer`] | so many calls to a peer at once |
//! | [`balance`] | [`Balance`] | chooses an endpoint, takes out those that fail |
//! | [`limit`] | [`LimitLayer`] | finds out how many calls are sensible, sheds the least important |
//! | [`idempotency`] | [`idempotency::IdempotencyLayer`] | one effect for one key |
//! | [`cache`] | none, a function | reads once for many readers |
//! | [`shutdown`] | [`TrackLayer`] | an orderly end |
//!
//! [`stack`] puts the client side together in its one right order; tests there
//! show what goes wrong in any other. [`observe`] tells whoever measures.
//!
//! **Architecture invariant:** every decision is made by a state machine that is
//! given the time and draws no lock (`Machine`, `Vegas`, `Pace`, `Picker`,
//! `Detector`, `Shelf`); what threads share is a thin shell around it.
//!
//! **Architecture invariant:** nothing here knows a service, a route or a table.
//! What may be repeated is read from the contracts (`probity_proto::access`), so
//! it is written down once, next to the method.
//!
//! Deliberately absent: a metrics library, stores with a database, discovery.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod balance;
pub mod breaker;
pub mod bulkhead;
pub mod cache;
pub mod deadline;
pub mod hedge;
pub mod idempotency;
mod invalid;
pub mod limit;
mod methods;
pub mod observe;
pub mod performance;
mod refusal;
pub mod retry;
pub mod shutdown;
pub mod stack;
mod time;
mod watched;

pub use balance::Balance;
pub use breaker::{Breaker, BreakerLayer, Breakers};
pub use bulkhead::{Bulkhead, BulkheadLayer};
pub use deadline::{Deadline, DeadlineLayer};
pub use hedge::HedgeLayer;
pub use invalid::Invalid;
pub use limit::{Criticality, LimitLayer, Limiter};
pub use observe::{Event, Observed, Observer};
pub use performance::{MeasureLayer, Performance};
pub use refusal::Refusal;
pub use retry::{Policy, Preset, RetryLayer, Retryable, Verdict};
pub use shutdown::{Shutdown, TrackLayer};
pub use stack::Stack;
