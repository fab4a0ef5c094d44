#![doc = include_str!("../README.md")]

pub mod error;
pub mod policy;
pub mod scheduler;
pub mod task;

pub use error::{Error, Refusal};
pub use policy::{Limits, Policy, Rate, TenantRule};
pub use scheduler::{Scheduler, Stats, Totals};
pub use task::{Held, Lease, LeaseNumber, Offered, Priority, Standing, Task, TaskId};
