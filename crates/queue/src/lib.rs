//! The ready queue of tasks: fast, fair, and allowed to forget. What it must not
//! lose is kept elsewhere, by the owner of the tasks.
//!
#![doc = include_str!("../README.md")]

mod bells;
pub mod error;
pub mod in_process;
pub mod policy;
pub mod ready;
#[cfg(feature = "redis")]
pub mod redis;
pub mod scheduler;
pub mod task;

pub use error::{Error, Refusal};
pub use in_process::InProcess;
pub use policy::{Limits, Policy, Rate, TenantRule};
pub use ready::{Answer, ReadyQueue, Release, Take};
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisConfig};
pub use scheduler::{Scheduler, Stats, Totals};
pub use task::{Held, Lease, LeaseNumber, Offered, Priority, Standing, Task, TaskId};
