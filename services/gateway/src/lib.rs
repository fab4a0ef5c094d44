//! The one door: authentication, gRPC proxying and REST transcoding.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod domain;
pub mod transcode;
