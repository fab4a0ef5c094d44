//! Merkle trees as RFC 6962 and RFC 9162 define them, in the storage layout of
//! C2SP tiles, with signed checkpoints and receipts that verify offline.
//!
//! - [`hash`]: leaf and node hashes.
//! - [`frontier`]: the right edge of a growing tree; gives the root of any stream
//!   of leaves in constant memory.
//! - [`proof`]: which stored hashes make an inclusion or consistency proof, and
//!   the verification of both.
//! - [`tile`]: hashes in tiles of 256, the unit a store keeps.
//! - [`note`] and [`checkpoint`]: Ed25519 signed notes and tree heads.
//! - [`receipt`]: entries with their proofs and one checkpoint, as a file.
//!
//! **Architecture invariant:** nothing here does I/O, reads a clock, spawns or
//! knows what a leaf means. Whatever bytes come in, the answer is a value or an
//! error that says what is wrong, never a panic.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod checkpoint;
pub mod frontier;
pub mod hash;
pub mod note;
pub mod proof;
pub mod receipt;
pub mod tile;

pub use checkpoint::Checkpoint;
pub use frontier::Frontier;
pub use hash::{Hash, leaf_hash, node_hash};
pub use note::{NoteSigner, SignedNote, VerifierKey};
pub use proof::{NodeId, Plan, consistency_nodes, inclusion_nodes, root_nodes};
pub use proof::{verify_consistency, verify_inclusion};
pub use receipt::{KeySource, Receipt};
pub use tile::{Tile, TileId, TileTree};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
