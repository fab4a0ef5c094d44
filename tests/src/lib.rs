//! What the tests of the whole platform share: the platform as one process and
//! as one process a service, a load of generated items, and the independent
//! checker that reads the stores afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test has nobody to hand an error to

pub mod balancer;
pub mod chaos;
pub mod checker;
pub mod cluster;
pub mod control;
pub mod doors;
pub mod fuzz;
pub mod load;
pub mod peers;
pub mod proxy;
pub mod sandbox;
pub mod trial;
pub mod workflows;

pub use control::Control;
pub use load::Load;
pub use proxy::{Line, Proxy};
pub use sandbox::{Embedded, Separate, Setup};
