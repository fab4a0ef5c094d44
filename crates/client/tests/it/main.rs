//! The client against a platform of the test's own making, over TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod calls;
mod fake;
mod worker;
