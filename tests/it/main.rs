//! The whole platform under test, through its public door.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod blobs;
mod chaos;
mod clients;
mod clock;
mod consumers;
mod crash;
mod definitions;
mod doors;
mod examples;
mod failpoints;
mod faults;
mod fuzz;
mod gateways;
mod hostile;
mod interop;
mod lines;
mod matrix;
mod real_input;
mod redis;
mod rolling;
mod sabotage;
mod samples;
mod scale;
mod shapes;
mod stand;
mod stores;
mod tenants;
mod up;
mod views;
mod workers;
