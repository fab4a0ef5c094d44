//! The right edge of a growing tree: the roots of its complete subtrees.
//!
//! A tree of n leaves has one complete subtree for each bit set in n, so the edge
//! holds at most 64 hashes however many leaves went in.

use crate::hash::{Hash, node_hash};

/// The complete subtrees of a tree, the largest and leftmost first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, nodes: Vec::new() }
    }

    /// The frontier of a tree of `size` leaves from the hashes of the nodes that
    /// [`crate::root_nodes`] names. `None` when there is not one for each.
    #[must_use]
    pub fn from_nodes(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// Adds a leaf at the end.
    pub fn append(&mut self, leaf: Hash) {
        let mut top = leaf;
        // As in binary addition: each trailing one is a subtree of the same size
        // that merges with the carry.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                top = node_hash(&left, &top);
            }
        }
        self.nodes.push(top);
        self.size += 1;
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        join(&self.nodes).unwrap_or_else(Hash::of_nothing)
    }

    /// The hashes of the complete subtrees, the largest first.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }
}

/// The hash over neighbouring complete subtrees of falling size.
pub(crate) fn join(nodes: &[Hash]) -> Option<Hash> {
    nodes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right))
}
