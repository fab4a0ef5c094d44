//! What policies decide about a case, and how they are kept from doing harm.
//!
//! **Architecture invariant:** nothing here waits, stores or talks to anybody.
//! A policy is refused ([`inspect`]) before it can recurse without end, reach the
//! network or read a clock; what is left of its freedom is bounded by
//! [`builtins`] and by the time limit of [`Compiled::evaluate`]. Threads and the
//! last resort against a policy that does not come back are in the sandbox,
//! outside of this module.

pub mod builtins;
pub mod case;
pub mod compile;
pub mod decide;
pub mod evaluate;
pub mod inspect;
pub mod policy;
pub mod quarantine;
pub mod scan;
pub mod starter;
pub mod verdict;

pub use case::{Case, CaseKind, Finding, Severity, Spam};
pub use compile::{Compiled, PolicyError};
pub use decide::{Evaluation, Outcome, Reason, decide};
pub use policy::{Policy, PolicyName};
pub use quarantine::Quarantine;
pub use verdict::{Action, Decision, Entry, Trouble, Verdict};
