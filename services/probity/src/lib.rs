//! The operator command line and the all-in-one platform.
//!
//! The binary is a few lines over this library, so that tests and benchmarks use
//! the same generator ([`samples`]), splitter ([`split`]) and platform
//! ([`platform`]) as people do.
//!
//! **Architecture invariant:** the client commands know the contracts alone; no
//! module but [`platform`] names a service crate.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod args;
pub mod client;
mod commands;
mod demo;
mod dev;
pub mod failure;
pub mod guide;
mod http;
pub mod input;
pub mod kind;
mod open;
pub mod output;
pub mod platform;
pub mod proof;
pub mod rollout;
mod run;
pub mod samples;
mod secret;
pub mod session;
pub mod spans;
pub mod split;
pub mod up;
mod values;

pub use run::main;
