//! Inclusion and consistency proofs: which nodes make them, and verifying them.
//!
//! Both are one thing. A proof relates a *subtree* `[start, end)` to the tree it
//! is in: an inclusion proof is that of `[index, index + 1)`, a consistency proof
//! that of `[0, first_size)`. So there is one walk from the root down to the
//! subtree, and making, measuring and verifying a proof all follow it.

use crate::frontier::join;
use crate::hash::{Hash, node_hash};
use std::ops::Range;

/// A complete subtree: the node over the leaves
/// `[index << level, (index + 1) << level)`. Once full, its hash never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    /// Height over the leaves, which are level 0.
    pub level: u8,
    /// Position among the nodes of its level.
    pub index: u64,
}

/// Why a proof cannot be made or does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is past the end of the tree.
    #[error("index {index} is not in a tree of {size} entries")]
    OutOfRange {
        /// The index asked for.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// Nothing follows from the empty tree.
    #[error("consistency with the empty tree says nothing: the older size must be at least 1")]
    Empty,
    /// The range is no subtree of the tree.
    #[error("[{start}, {end}) is no subtree of a tree of {size} entries")]
    NoSubtree {
        /// First leaf of the range.
        start: u64,
        /// One past the last leaf.
        end: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The proof has too few or too many hashes.
    #[error("the proof has {found} hashes where {expected} are needed")]
    Length {
        /// How many a proof of this shape has.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The hashes lead to another root of the larger tree.
    #[error("the proof leads to the root {found}, not to {expected}")]
    Root {
        /// The root to be reached.
        expected: Hash,
        /// The root the proof leads to.
        found: Hash,
    },
    /// The hashes lead to another root of the smaller tree.
    #[error("the proof leads to the older root {found}, not to {expected}")]
    OlderRoot {
        /// The root to be reached.
        expected: Hash,
        /// The root the proof leads to.
        found: Hash,
    },
    /// A store does not have a node that it must have.
    #[error("node {index} of level {level} is not in the store")]
    Missing {
        /// Level of the node.
        level: u8,
        /// Index of the node.
        index: u64,
    },
}

/// The stored nodes that make a list of hashes, such as a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One group a hash; a group of several nodes is joined, which happens at the
    /// right edge, where a subtree is not complete.
    groups: Vec<Vec<NodeId>>,
}

impl Plan {
    /// Every node that is needed.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.groups.iter().flatten().copied()
    }

    /// The hashes, made from the stored ones.
    ///
    /// # Errors
    /// Names the first node for which `get` has no hash.
    pub fn fold(&self, mut get: impl FnMut(NodeId) -> Option<Hash>) -> Result<Vec<Hash>, ProofError> {
        let mut one = |id: &NodeId| get(*id).ok_or(ProofError::Missing { level: id.level, index: id.index });
        self.groups
            .iter()
            .map(|group| {
                let hashes = group.iter().map(&mut one).collect::<Result<Vec<_>, _>>()?;
                Ok(join(&hashes).unwrap_or_else(Hash::of_nothing))
            })
            .collect()
    }
}

/// The nodes that make the root of a tree: one hash.
#[must_use]
pub fn root_nodes(size: u64) -> Plan {
    Plan { groups: vec![cover(0..size)] }
}

/// The nodes that make the inclusion proof of a leaf (RFC 6962, 2.1.1).
///
/// # Errors
/// When the tree has no such leaf.
pub fn inclusion_nodes(index: u64, size: u64) -> Result<Plan, ProofError> {
    Ok(Path::of_leaf(index, size)?.plan())
}

/// The nodes that make the consistency proof of two sizes (RFC 6962, 2.1.2).
///
/// # Errors
/// When the older size is 0 or larger than the newer one.
pub fn consistency_nodes(first: u64, second: u64) -> Result<Plan, ProofError> {
    Ok(Path::of_prefix(first, second)?.plan())
}

/// The nodes that make the consistency proof of a subtree (RFC 9162, 2.1.4, for
/// any aligned range).
///
/// # Errors
/// When the range is no subtree of the tree.
pub fn subtree_nodes(subtree: &Range<u64>, size: u64) -> Result<Plan, ProofError> {
    Ok(Path::new(subtree, size)?.plan())
}

/// Verifies that a leaf is at `index` in the tree of `size` leaves with `root`.
///
/// # Errors
/// When the shape is impossible, the number of hashes is not exact or they lead
/// to another root.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    Path::of_leaf(index, size)?.verify(leaf, proof, root)
}

/// Verifies that the tree of `first` leaves is the beginning of that of `second`.
///
/// # Errors
/// As [`verify_inclusion`]; also for an older tree without leaves.
pub fn verify_consistency(
    first: u64,
    second: u64,
    first_root: &Hash,
    second_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    Path::of_prefix(first, second)?.verify(first_root, proof, second_root)
}

/// Verifies that the subtree with hash `subtree_hash` is in the tree with `root`.
/// A subtree without leaves is in every tree.
///
/// # Errors
/// As [`verify_inclusion`]; also for a range that is no subtree.
pub fn verify_subtree(
    subtree: &Range<u64>,
    size: u64,
    subtree_hash: &Hash,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if subtree.start == subtree.end && subtree.end <= size {
        let nothing = Path { steps: Vec::new(), base: subtree.clone() };
        return nothing.verify(subtree_hash, proof, &Hash::of_nothing());
    }
    Path::new(subtree, size)?.verify(subtree_hash, proof, root)
}

/// Verifies that a leaf is at `index` (counted in the whole tree) in a subtree.
///
/// # Errors
/// As [`verify_inclusion`]; also for a range that is no subtree.
pub fn verify_subtree_inclusion(
    index: u64,
    subtree: &Range<u64>,
    leaf: &Hash,
    proof: &[Hash],
    subtree_hash: &Hash,
) -> Result<(), ProofError> {
    check_subtree(subtree, subtree.end)?;
    let out = ProofError::OutOfRange { index, size: subtree.end };
    let inner = index.checked_sub(subtree.start).ok_or(out)?;
    verify_inclusion(inner, subtree.end - subtree.start, leaf, proof, subtree_hash)
}

/// Where the sibling of a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Left of the way down.
    Left,
    /// Right of the way down.
    Right,
    /// Left of the way down and part of the subtree: the subtree ends inside.
    Inside,
}

/// The way from the root down to a subtree.
#[derive(Debug)]
struct Path {
    /// What was passed by, from the root down.
    steps: Vec<(Range<u64>, Side)>,
    /// Where the way ends.
    base: Range<u64>,
}

impl Path {
    fn of_leaf(index: u64, size: u64) -> Result<Self, ProofError> {
        if index >= size {
            return Err(ProofError::OutOfRange { index, size });
        }
        Self::new(&(index..index + 1), size)
    }

    fn of_prefix(first: u64, second: u64) -> Result<Self, ProofError> {
        if first == 0 { Err(ProofError::Empty) } else { Self::new(&(0..first), second) }
    }

    /// The split of RFC 6962: the left child of n leaves has the largest power
    /// of two below n.
    fn new(subtree: &Range<u64>, size: u64) -> Result<Self, ProofError> {
        check_subtree(subtree, size)?;
        let (mut target, mut at) = (subtree.clone(), 0..size);
        let mut steps = Vec::new();
        while target != at {
            let middle = at.start + (1 << (at.end - at.start - 1).ilog2());
            let side = if target.end <= middle {
                Side::Right
            } else if target.start >= middle {
                Side::Left
            } else {
                target.start = middle;
                Side::Inside
            };
            let (left, right) = (at.start..middle, middle..at.end);
            let (sibling, next) = if side == Side::Right { (right, left) } else { (left, right) };
            steps.push((sibling, side));
            at = next;
        }
        Ok(Self { steps, base: at })
    }

    /// True when the way ends at the subtree itself, whose hash the verifier has;
    /// otherwise the proof begins with the hash of what is left of it.
    fn reaches_subtree(&self) -> bool {
        self.steps.iter().all(|(_, side)| *side != Side::Inside)
    }

    fn plan(&self) -> Plan {
        let base = (!self.reaches_subtree()).then(|| self.base.clone());
        let siblings = self.steps.iter().rev().map(|(sibling, _)| sibling.clone());
        Plan { groups: base.into_iter().chain(siblings).map(cover).collect() }
    }

    /// Climbs back with two hashes: that of the subtree and that of the tree.
    fn verify(&self, subtree: &Hash, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
        let mismatch = ProofError::Length {
            expected: self.steps.len() + usize::from(!self.reaches_subtree()),
            found: proof.len(),
        };
        let (base, rest) = match proof.split_first() {
            _ if self.reaches_subtree() => (*subtree, proof),
            Some((first, rest)) => (*first, rest),
            None => return Err(mismatch),
        };
        if rest.len() != self.steps.len() {
            return Err(mismatch);
        }
        let (mut older, mut found) = (base, base);
        for ((_, side), hash) in self.steps.iter().rev().zip(rest) {
            found = if *side == Side::Right { node_hash(&found, hash) } else { node_hash(hash, &found) };
            if *side == Side::Inside {
                older = node_hash(hash, &older);
            }
        }
        compare(subtree, &older, root, &found)
    }
}

fn compare(subtree: &Hash, older: &Hash, root: &Hash, found: &Hash) -> Result<(), ProofError> {
    if older != subtree {
        return Err(ProofError::OlderRoot { expected: *subtree, found: *older });
    }
    if found != root {
        return Err(ProofError::Root { expected: *root, found: *found });
    }
    Ok(())
}

/// A subtree is a range that starts at a multiple of the power of two it fits in:
/// then the walk never leaves a part of it behind on the left.
fn check_subtree(subtree: &Range<u64>, size: u64) -> Result<(), ProofError> {
    let Range { start, end } = *subtree;
    let fits = start < end && end <= size && {
        let width = (end - start).checked_next_power_of_two();
        start == 0 || width.is_some_and(|width| start % width == 0)
    };
    if fits { Ok(()) } else { Err(ProofError::NoSubtree { start, end, size }) }
}

/// The complete subtrees that cover a range which starts at a node of the tree,
/// the largest first.
fn cover(range: Range<u64>) -> Vec<NodeId> {
    let Range { start: mut at, end } = range;
    let mut nodes = Vec::new();
    while at < end {
        let level = at.trailing_zeros().min((end - at).ilog2());
        // A level is below 64.
        nodes.push(NodeId { level: u8::try_from(level).unwrap_or(u8::MAX), index: at >> level });
        at += 1 << level;
    }
    nodes
}
