//! The gateway from outside: over TCP, with peers of our own making behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod audit;
mod auth;
mod fakes;
mod grpc;
mod limits;
mod monitoring;
mod platform;
mod rest;
mod speed;
mod streams;
mod world;
