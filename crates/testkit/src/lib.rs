//! Helpers for tests: a throw-away PostgreSQL or Redis, child processes, assertions that
//! wait and free ports.
//!
//! Helpers panic with a sentence that says what to do: a test has nobody to hand
//! an error to. **Architecture invariant:** nothing of Probity is used here, so
//! every crate may use it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // see above

mod child;
mod eventually;
mod port;
mod postgres;
mod redis;

pub use child::{Child, ChildExit};
pub use eventually::eventually;
pub use port::free_port;
pub use postgres::Postgres;
pub use redis::Redis;
