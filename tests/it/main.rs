//! The whole platform under test, through its public door.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod chaos;
mod clients;
mod crash;
mod examples;
mod failpoints;
mod faults;
mod real_input;
mod redis;
mod sabotage;
mod scale;
mod shapes;
mod up;
mod workers;
