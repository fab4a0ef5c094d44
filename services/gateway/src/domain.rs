//! The rules of the door, as pure functions: who a token speaks of, who may call
//! what, which ids a request may carry, how often, and how denials are counted.
//!
//! **Architecture invariant:** no async, no I/O, no clock: the time is handed in.

pub mod access;
pub mod correlation;
pub mod denials;
pub mod principal;
pub mod rates;
pub mod token;
