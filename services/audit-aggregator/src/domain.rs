//! The rules of the log: what a batch adds, how pages continue, what a check
//! finds. Pure: no async, no I/O, no clock.

pub mod batch;
pub mod check;
pub mod page;
