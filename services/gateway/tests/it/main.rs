//! The gateway from outside: over TCP, with peers of our own making behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod audit;
mod auth;
mod catalog;
mod fakes;
mod grpc;
mod keys;
mod limits;
mod login;
mod monitoring;
mod platform;
mod rest;
mod site;
mod speed;
mod streams;
mod world;
