//! The execution state machine: `(state, event, now) → (state, commands)`.
//!
//! `state.rs` and `fold.rs` fold facts into state and never decide; the others
//! decide and never change state but through facts: `turn.rs` starts what can
//! start, `attempt.rs` and `items.rs` take answers, `wake.rs` what is due,
//! `people.rs` decisions, `operate.rs` what operators do, `signal.rs` signals,
//! `course.rs` the states of a case, `back.rs` takes back what was done, and
//! `end.rs` ends it; `line.rs` has it wait for its turn among others.

mod attempt;
mod back;
mod course;
mod end;
mod event;
mod fold;
mod fork;
mod items;
mod line;
mod opening;
mod operate;
mod outstanding;
mod people;
mod refusal;
mod signal;
mod state;
mod step;
mod turn;
mod view;
mod wake;

pub use crate::fact::Parent;
pub use event::{CallFailure, Command, Event, Turn};
pub use items::MAX_ITEMS;
pub use opening::{Opening, What};
pub(crate) use people::is_assignee;
pub use refusal::Refusal;
pub(crate) use signal::not_received;
pub use signal::{MAX_SIGNAL, MAX_SIGNALS, Signal};
pub use state::{Execution, Line, Status, Verdict};
pub use step::{Asked, Items, StepState, StepStatus};
pub(crate) use wake::LONGEST_WAIT;

/// A step, or one item of a step that runs for each of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    step: usize,
    item: Option<u32>,
}

impl From<usize> for Slot {
    fn from(step: usize) -> Self {
        Self { step, item: None }
    }
}
