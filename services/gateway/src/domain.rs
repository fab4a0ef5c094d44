//! The rules of the door, as pure functions: who a token speaks of, who may call
//! what, which ids a request may carry, and how often.
//!
//! **Architecture invariant:** no async, no I/O, no clock: the time is handed in.

pub mod access;
pub mod correlation;
pub mod principal;
pub mod rates;
pub mod token;
