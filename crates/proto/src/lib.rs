//! Generated protobuf code, the descriptor set and the boxed gRPC service type.
//!
//! Everything under [`pb`] is generated from `proto/` at build time, without
//! `protoc`. [`DESCRIPTOR_SET`] keeps options and comments; [`pool`] is the same
//! set parsed once, and [`access`] reads from it who may call a method.

pub mod access;
mod boxed;
mod codec;
mod legible;
pub mod time;

pub use boxed::{BoxError, BoxGrpcService, boxed};
pub use codec::RawCodec;
pub use legible::legible;
pub use prost_reflect;

use std::sync::LazyLock;

/// The generated code, a module a package.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::nursery, rustdoc::all)]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}

pub use pb::probity::{
    anticorruption::v1 as anticorruption, audit::v1 as audit, common::v1 as common,
    compliance::v1 as compliance, gateway::v1 as gateway, intake::v1 as intake, monitoring::v1 as monitoring,
    orchestrator::v1 as orchestrator, spam::v1 as spam,
};

/// The encoded `google.protobuf.FileDescriptorSet` of all contracts.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

static POOL: LazyLock<prost_reflect::DescriptorPool> = LazyLock::new(|| {
    #[allow(clippy::expect_used)] // made by our own build script: a broken set cannot be shipped
    prost_reflect::DescriptorPool::decode(DESCRIPTOR_SET).expect("the embedded descriptor set decodes")
});

/// The descriptor set, parsed once for the process.
#[must_use]
pub fn pool() -> &'static prost_reflect::DescriptorPool {
    &POOL
}
