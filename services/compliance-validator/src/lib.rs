//! Versioned Rego policies with explanations.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout))]
pub mod config;
pub mod domain;
