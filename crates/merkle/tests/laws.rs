//! Laws of trees and proofs: against the definitions, for all small sizes, and
//! for random ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "common/reference.rs"]
mod reference;

use probity_merkle::proof::{ProofError, subtree_nodes, verify_subtree, verify_subtree_inclusion};
use probity_merkle::{
    Frontier, Hash, NodeId, Tile, TileId, TileTree, consistency_nodes, inclusion_nodes, leaf_hash,
    root_nodes, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use reference::{leaves, path, root, subproof};
use std::cell::RefCell;
use std::collections::HashMap;

/// Sizes up to which every index and every pair is tried.
const ALL: u64 = 300;

/// A store as a service keeps one: tiles by id.
#[derive(Default)]
struct Store(HashMap<TileId, Tile>);

/// A store that remembers the nodes it made from its tiles: all small sizes ask
/// for the same few.
struct Nodes(Store, RefCell<HashMap<NodeId, Hash>>);

impl Nodes {
    fn get(&self, id: NodeId) -> Option<Hash> {
        let known = self.1.borrow().get(&id).copied();
        known.or_else(|| {
            let hash = self.0.node(id)?;
            self.1.borrow_mut().insert(id, hash);
            Some(hash)
        })
    }
}

impl Store {
    fn of(size: u64) -> Self {
        let mut store = Self::default();
        store.0.extend(TileTree::new().extend(leaves(size)));
        store
    }

    fn node(&self, id: NodeId) -> Option<Hash> {
        self.0.get(&TileId::of(id))?.node(id)
    }

    fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        inclusion_nodes(index, size).unwrap().fold(|id| self.node(id)).unwrap()
    }

    fn consistency(&self, first: u64, second: u64) -> Vec<Hash> {
        consistency_nodes(first, second).unwrap().fold(|id| self.node(id)).unwrap()
    }
}

/// Roots of all sizes up to `most`.
fn roots(most: u64) -> Vec<Hash> {
    let mut frontier = Frontier::new();
    let mut roots = vec![frontier.root()];
    for leaf in leaves(most) {
        frontier.append(leaf);
        roots.push(frontier.root());
    }
    roots
}

#[test]
fn known_roots() {
    let check = |leaves: &[&str], expect: &str| {
        let mut frontier = Frontier::new();
        leaves.iter().for_each(|leaf| frontier.append(leaf_hash(&hex::decode(leaf).unwrap())));
        assert_eq!(frontier.root().to_string(), expect, "{leaves:?}");
    };
    let all =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    check(&[], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check(&all[..1], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    check(&all[..2], "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    check(&all[..3], "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
    check(&all[..5], "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4");
    check(&all[..7], "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c");
    check(&all, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
}

#[test]
fn every_inclusion_proof_of_every_small_tree_verifies() {
    let (store, roots, leaves) = (Nodes(Store::of(ALL), RefCell::default()), roots(ALL), leaves(ALL));
    for size in 1..=ALL {
        let root = &roots[usize::try_from(size).unwrap()];
        for (index, leaf) in (0..size).zip(&leaves) {
            let proof = inclusion_nodes(index, size).unwrap().fold(|id| store.get(id)).unwrap();
            verify_inclusion(index, size, leaf, &proof, root)
                .unwrap_or_else(|e| panic!("{index} of {size}: {e}"));
        }
    }
}

#[test]
fn every_consistency_proof_of_every_small_pair_verifies() {
    let (store, roots) = (Nodes(Store::of(ALL), RefCell::default()), roots(ALL));
    for second in 1..=ALL {
        for first in 1..=second {
            let proof = consistency_nodes(first, second).unwrap().fold(|id| store.get(id)).unwrap();
            let (a, b) = (&roots[usize::try_from(first).unwrap()], &roots[usize::try_from(second).unwrap()]);
            verify_consistency(first, second, a, b, &proof)
                .unwrap_or_else(|e| panic!("{first}..{second}: {e}"));
        }
    }
}

#[test]
fn proofs_are_those_of_the_definitions() {
    const SMALL: usize = 40;
    let (store, leaves) = (Store::of(SMALL as u64), leaves(SMALL as u64));
    for size in 1..=SMALL {
        let d = &leaves[..size];
        assert_eq!(roots(size as u64)[size], root(d));
        for m in 0..size {
            assert_eq!(store.inclusion(m as u64, size as u64), path(m, d), "{m} of {size}");
        }
        for m in 1..=size {
            assert_eq!(store.consistency(m as u64, size as u64), subproof(m, d, true), "{m}..{size}");
        }
    }
}

#[test]
fn every_subtree_of_every_small_tree_verifies() {
    const SMALL: u64 = 40;
    let (store, leaves) = (Store::of(SMALL), leaves(SMALL));
    let slice = |from: u64, to: u64| &leaves[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
    for (size, start, end) in
        (1..=SMALL).flat_map(|n| (0..n).flat_map(move |s| (s + 1..=n).map(move |e| (n, s, e))))
    {
        let range = start..end;
        let Ok(plan) = subtree_nodes(&range, size) else {
            assert_ne!(start % (end - start).next_power_of_two(), 0, "{range:?} of {size}");
            continue;
        };
        let (proof, subtree) = (plan.fold(|id| store.node(id)).unwrap(), slice(start, end));
        verify_subtree(&range, size, &root(subtree), &root(slice(0, size)), &proof).unwrap();
        for at in range.clone() {
            let inner = usize::try_from(at - start).unwrap();
            let leaf = &subtree[inner];
            verify_subtree_inclusion(at, &range, leaf, &path(inner, subtree), &root(subtree)).unwrap();
        }
    }
}

#[test]
fn impossible_shapes_are_refused() {
    let hash = Hash::of_nothing();
    let check = |got: Result<(), ProofError>, expect: &str| assert_eq!(got.unwrap_err().to_string(), expect);
    check(verify_inclusion(0, 0, &hash, &[], &hash), "index 0 is not in a tree of 0 entries");
    check(
        verify_inclusion(u64::MAX, u64::MAX, &hash, &[], &hash),
        &format!("index {0} is not in a tree of {0} entries", u64::MAX),
    );
    check(verify_inclusion(0, 2, &hash, &[], &hash), "the proof has 0 hashes where 1 are needed");
    check(verify_inclusion(0, 2, &hash, &[hash; 2], &hash), "the proof has 2 hashes where 1 are needed");
    check(
        verify_inclusion(0, u64::MAX, &hash, &[hash; 9], &hash),
        "the proof has 9 hashes where 64 are needed",
    );
    check(verify_consistency(0, 0, &hash, &hash, &[]), &ProofError::Empty.to_string());
    check(verify_consistency(0, 5, &hash, &hash, &[]), &ProofError::Empty.to_string());
    check(verify_consistency(3, 2, &hash, &hash, &[]), "[0, 3) is no subtree of a tree of 2 entries");
    check(verify_consistency(3, 4, &hash, &hash, &[]), "the proof has 0 hashes where 3 are needed");
    check(verify_consistency(2, 2, &hash, &hash, &[hash]), "the proof has 1 hashes where 0 are needed");
    check(verify_subtree(&(5..5), 4, &hash, &hash, &[]), "[5, 5) is no subtree of a tree of 4 entries");
    check(verify_subtree(&(1..3), 4, &hash, &hash, &[]), "[1, 3) is no subtree of a tree of 4 entries");
    assert!(verify_consistency(1, u64::MAX, &hash, &hash, &[hash; 64]).is_err());
    assert_eq!(verify_consistency(7, 7, &hash, &hash, &[]), Ok(()));
}

#[test]
fn a_store_without_a_node_is_named() {
    let plan = inclusion_nodes(0, 2).unwrap();
    assert_eq!(plan.fold(|_| None), Err(ProofError::Missing { level: 0, index: 1 }));
}

#[test]
fn a_frontier_is_rebuilt_from_stored_nodes() {
    let store = Store::of(ALL);
    for (size, expect) in (0..).zip(roots(ALL)) {
        let nodes: Vec<_> = root_nodes(size).nodes().map(|id| store.node(id).unwrap()).collect();
        let frontier = Frontier::from_nodes(size, nodes).unwrap();
        assert_eq!((frontier.root(), frontier.size()), (expect, size));
        assert_eq!(root_nodes(size).fold(|id| store.node(id)).unwrap(), [expect]);
    }
    assert_eq!(Frontier::from_nodes(3, vec![Hash::of_nothing()]), None);
}

fn flip(hash: &mut Hash, bit: usize) {
    hash.0[bit / 8] ^= 1 << (bit % 8);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_breaks_inclusion(size in 1_u64..600, at in any::<u64>(), pick in any::<usize>(), bit in 0_usize..256) {
        let (store, leaves, index) = (Store::of(size), leaves(size), at % size);
        let proof = store.inclusion(index, size);
        let mut parts = proof;
        parts.push(leaves[usize::try_from(index).unwrap()]);
        parts.push(root(&leaves));
        let pick = pick % parts.len();
        flip(&mut parts[pick], bit);
        let [proof @ .., leaf, root] = parts.as_slice() else { unreachable!() };
        prop_assert!(verify_inclusion(index, size, leaf, proof, root).is_err());
    }

    #[test]
    fn a_flipped_bit_breaks_consistency(
        second in 2_u64..600, at in any::<u64>(), pick in any::<usize>(), bit in 0_usize..256,
    ) {
        let (store, leaves, first) = (Store::of(second), leaves(second), 1 + at % (second - 1));
        let mut parts = store.consistency(first, second);
        parts.push(root(&leaves[..usize::try_from(first).unwrap()]));
        parts.push(root(&leaves));
        let pick = pick % parts.len();
        flip(&mut parts[pick], bit);
        let [proof @ .., older, newer] = parts.as_slice() else { unreachable!() };
        prop_assert!(verify_consistency(first, second, older, newer, proof).is_err());
    }

    #[test]
    fn another_index_or_size_breaks_inclusion(size in 2_u64..600, at in any::<u64>(), other in any::<u64>()) {
        let (store, leaves, index) = (Store::of(size), leaves(size), at % size);
        let (proof, leaf, root) = (store.inclusion(index, size), &leaves[usize::try_from(index).unwrap()], root(&leaves));
        if other != index {
            prop_assert!(verify_inclusion(other, size, leaf, &proof, &root).is_err());
            prop_assert!(verify_inclusion(other % size, size, leaf, &proof, &root).is_err() || other % size == index);
        }
    }

    #[test]
    fn a_tree_grown_in_any_steps_is_the_same(steps in prop::collection::vec(0_usize..700, 1..8)) {
        let total: usize = steps.iter().sum();
        let leaves = leaves(total as u64);
        let (mut store, mut tree, mut rest) = (Store::default(), TileTree::new(), leaves.as_slice());
        for step in steps {
            let (now, later) = rest.split_at(step);
            rest = later;
            for (id, tile) in tree.extend(now.iter().copied()) {
                store.0.insert(id, Tile::from_bytes(&tile.to_bytes()).unwrap());
            }
            tree = TileTree::resume(tree.size(), |id| store.0.get(&id).cloned()).unwrap();
        }
        prop_assert_eq!(tree.root(), root(&leaves));
        prop_assert_eq!(store.0, Store::of(total as u64).0);
    }

    #[test]
    fn hostile_proofs_never_panic(
        a in any::<u64>(), b in any::<u64>(), c in any::<u64>(),
        proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..70),
    ) {
        let hash = Hash::of_nothing();
        prop_assert!(verify_inclusion(a, b, &hash, &proof, &hash).is_err());
        prop_assert!(verify_consistency(a, b, &hash, &hash, &proof).is_err() || a == b);
        let _ = verify_subtree(&(a..b), c, &hash, &hash, &proof);
        let _ = verify_subtree_inclusion(a, &(b..c), &hash, &proof, &hash);
        let _ = root_nodes(a);
        let _ = TileId { level: c.to_le_bytes()[0], index: a }.first_entry();
    }
}

#[test]
fn large_trees_have_upper_tiles() {
    const SIZE: u64 = 70_000;
    let (store, leaves) = (Store::of(SIZE), leaves(SIZE));
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    assert_eq!(store.0.keys().map(|id| id.level).max(), Some(2));
    for index in [0, 1, 255, 256, 65_535, 65_536, 69_999] {
        let leaf = &leaves[usize::try_from(index).unwrap()];
        let proof = store.inclusion(index, SIZE);
        verify_inclusion(index, SIZE, leaf, &proof, &frontier.root()).unwrap();
    }
    let first = root(&leaves[..65_537]);
    verify_consistency(65_537, SIZE, &first, &frontier.root(), &store.consistency(65_537, SIZE)).unwrap();
    assert_eq!(TileTree::resume(SIZE, |id| store.0.get(&id).cloned()).unwrap().root(), frontier.root());
    assert!(TileTree::resume(SIZE, |_| None).is_err());
    assert_eq!(TileId { level: 1, index: 1 }.first_entry(), 65_536);
}

#[test]
fn bytes_that_are_no_tile_are_refused() {
    for len in [0, 1, 31, 33, 257 * 32] {
        assert!(Tile::from_bytes(&vec![0; len]).is_err(), "{len}");
    }
    assert!(Tile::from_bytes(&[0; 256 * 32]).is_ok());
}
