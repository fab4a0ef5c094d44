//! Schedules: when something runs again and again, and what happens when it could not.
//!
//! A [`Timing`] (cron or an interval) names points in time. A [`Schedule`] adds what to do
//! about them: jitter, overlap, catching up, an end. [`Schedule::due`] is the whole of it:
//! `(state, now) → (runs to start, runs to cancel, when to ask again, state)`. It reads no
//! clock and starts nothing; whoever stores the new state in the transaction that starts the
//! runs has each of them exactly once.
//!
//! ```
//! use probity_schedule::{Schedule, Spec, State};
//! use probity_types::Micros;
//!
//! let spec = Spec { timing: "30 2 * * MON-FRI".into(), zone: "Europe/Vienna".into(), ..Spec::default() };
//! let schedule = Schedule::new("schedules/nightly", &spec)?;
//!
//! let created = Micros(1_794_873_600_000_000); // Tuesday 2026-11-17T00:00:00Z
//! let turn = schedule.due(&State::new(created), created);
//! assert!(turn.start.is_empty());
//! let wake = turn.next_wake.ok_or("it runs again")?;
//! assert_eq!(wake.to_string(), "2026-11-17T01:30:00.000000Z");
//!
//! let turn = schedule.due(&turn.state, wake);
//! assert_eq!(turn.start[0].key, "schedules/nightly/1794879000000000");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Architecture invariant:** a time is decided at most once: started, skipped or put in the
//! buffer, whatever the clock does. **Architecture invariant:** a time that some call sees due
//! and inside the catch-up window is decided by that call. `schedule/tests.rs`
//! holds both against a model.
//!
//! Deliberately absent: what a run does, where the state is stored, and waiting.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod decided;
mod schedule;
mod spec;
mod timing;

pub use decided::Decided;
pub use schedule::{MAX_PER_TURN, Run, Schedule, State, Turn};
pub use spec::{Overlap, Spec};
pub use timing::{MAX_SOURCE, Timing, Zone};

/// Why a schedule was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Error {
    /// The field of the [`Spec`], such as `timing`.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl Error {
    pub(crate) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
