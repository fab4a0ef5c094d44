//! The definitions of RFC 6962, written down as they stand there: slow,
//! recursive, and independent of the crate's own walk.

use probity_merkle::{Hash, leaf_hash, node_hash};

/// Leaf `n` of the test trees.
pub(crate) fn leaf(n: u64) -> Vec<u8> {
    format!("leaf {n}").into_bytes()
}

/// Leaf hashes `0..n`.
pub(crate) fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&leaf(i))).collect()
}

fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// MTH(D[n]).
pub(crate) fn root(d: &[Hash]) -> Hash {
    match d.len() {
        0 => Hash::of_nothing(),
        1 => d[0],
        n => node_hash(&root(&d[..split(n)]), &root(&d[split(n)..])),
    }
}

/// PATH(m, D[n]).
pub(crate) fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
    if d.len() == 1 {
        return Vec::new();
    }
    let k = split(d.len());
    let (mut proof, sibling) =
        if m < k { (path(m, &d[..k]), &d[k..]) } else { (path(m - k, &d[k..]), &d[..k]) };
    proof.push(root(sibling));
    proof
}

/// SUBPROOF(m, D[n], b); PROOF(m, D[n]) is that with `b` true.
pub(crate) fn subproof(m: usize, d: &[Hash], b: bool) -> Vec<Hash> {
    if m == d.len() {
        return if b { Vec::new() } else { vec![root(d)] };
    }
    let k = split(d.len());
    let (mut proof, sibling) =
        if m <= k { (subproof(m, &d[..k], b), &d[k..]) } else { (subproof(m - k, &d[k..], false), &d[..k]) };
    proof.push(root(sibling));
    proof
}
