//! The workflow core of Probity: definitions, the case machine and the execution
//! state machine.
//!
//! The core is sans-I/O. An [`Execution`] takes an [`Event`] at a point in time
//! and answers with a [`Turn`]: the [`Fact`]s to store and the [`Command`]s to
//! carry out once they are stored. It reads no clock, draws no random number and
//! knows no runtime, so a property test, a simulation and the server run the same
//! code.
//!
//! **Architecture invariants.** Decisions are made once: what is stored are facts,
//! and state is a fold of facts ([`Execution::apply`]), so replaying never asks an
//! expression or a policy again. A command is only carried out after its facts are
//! durable. Everything an execution still waits for can be read from its state
//! ([`Execution::outstanding`]), so nothing is lost with the process.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod case;
pub mod definition;
pub mod execution;
pub mod expr;
pub mod fact;
pub mod pattern;
pub mod render;
pub mod schema;
pub mod trial;
pub mod value;

pub use case::CaseState;
pub use definition::{
    Catalog, Definition, DefinitionError, Finding, MethodSpec, Severity, Step, Target, lint,
};
pub use execution::{
    CallFailure, Command, Event, Execution, Opening, Parent, Refusal, Status, StepStatus, Turn, What,
};
pub use fact::{Disposition, Fact, Outcome};
pub use probity_types::CaseKind;
pub use schema::InputError;
