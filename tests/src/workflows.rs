//! What `make bench-workflows` is made of: one driver for every engine, the
//! engines, the crash, and the report.
//!
//! The work is the same for all: `triage`, then `anticorruption` and `compliance`
//! side by side, then `audit`; every step is done by a worker process over
//! loopback, answers about 200 bytes of JSON, and is durable before the next
//! begins; a caller posts one execution over HTTP and waits for its result.

pub mod broken;
pub mod crash;
pub mod driver;
pub mod engine;
pub mod jaeger;
pub mod machine;
pub mod ours;
pub mod report;
pub mod restate;

pub use driver::{Round, Target};
pub use engine::{Engine, Kind};
