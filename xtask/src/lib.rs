//! The repository's own tool: a file a sub-command.
//!
//! What a rule finds is a [`Problem`]: where, what, and how to fix it. The rules
//! run as tests too (`cargo test -p xtask`), so a broken one shows up like every
//! other failure.
//!
//! Deliberately absent: anything a released binary needs. Nothing depends on this
//! crate.

// A tool for the terminal: printing is what it does.
#![allow(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod bans;
pub mod buf;
pub mod calls;
pub mod check;
pub mod cli;
pub mod coverage;
pub mod deploy;
pub mod edges;
pub mod errors;
pub mod layers;
pub mod links;
pub mod metrics_doc;
pub mod new_service;
pub mod npm;
pub mod openapi;
pub mod problem;
pub mod release;
pub mod sbom;
pub mod site;
pub mod source;
pub mod tidy;
pub mod tree;

pub use problem::Problem;
