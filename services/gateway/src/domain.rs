//! The rules of the door, as pure functions: who a token speaks of, who may call
//! what, and how often; passwords, refresh tokens and the keys they are signed with.
//!
//! **Architecture invariant:** no async, no I/O, no clock: the time is handed in.

pub mod access;
pub mod attempts;
pub mod keyring;
pub mod password;
pub mod principal;
pub mod rates;
pub mod refresh;
pub mod token;
