//! Ids, money, time, faults and the caller context: the pure values every crate
//! of Probity shares.
//!
//! **Architecture invariant:** nothing here knows tokio, tonic or sqlx, reads a
//! clock on its own or does I/O. What needs the time takes a [`Clock`].

pub mod correlation;
pub mod ctx;
pub mod event;
pub mod fault;
pub mod id;
pub mod kind;
pub mod money;
pub mod page;
pub mod retry;
pub mod time;

pub use ctx::{Ctx, Role, Roles};
pub use event::AuditEvent;
pub use fault::{Fault, FaultKind, Violation};
pub use kind::CaseKind;
pub use money::Money;
pub use time::{Clock, ManualClock, Micros, SystemClock};
