//! What every service is made of: the [`Service`] trait, [`App`] and [`Host`],
//! configuration, peers, caller tokens, health, the admin port and the one table
//! between faults and statuses.
//!
//! **Architecture invariants.** A handler never runs without a verified caller
//! (the door excepted, which authenticates users itself). A call to a peer takes
//! the same layers whether the peer is in this process or behind a channel.
//! Limits of the listener sit in `listener.rs` and `config.rs` alone.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod admin;
mod allocator;
mod app;
pub mod call;
mod client;
pub mod config;
pub mod denials;
pub mod documents;
pub mod edges;
pub mod faults;
mod host;
mod idempotency;
pub mod identity;
pub mod keys;
mod listener;
mod metrics;
pub mod monitoring;
mod patient;
mod peers;
mod probe;
pub mod problem;
mod recovery;
mod relay;
mod resilience;
mod server;
mod service;
pub mod status;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;

pub use app::App;
pub use call::{Call, Caller, IDEMPOTENCY_KEY, REQUEST_ID, RemoteAddr};
pub use config::ServiceConfig;
pub use host::{Host, HostSettings, Running};
pub use identity::{CALLER_HEADER, Minter};
pub use metrics::CacheMetrics;
pub use probe::is_ready;
pub use relay::{Outbox, Pending};
pub use server::Answered;
pub use service::{Dialer, Service, Setup};
pub use status::{fault_of, status};
