//! What a batch of entries adds to the tree.

use probity_merkle::{Tile, TileId, TileTree, leaf_hash};
use std::collections::HashSet;
use uuid::Uuid;

/// An entry to add. The columns repeat what the leaf says, to find it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The event: the log keeps each once.
    pub event_id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// The case it belongs to (`cases/…`), or empty.
    pub case: String,
    /// What happened.
    pub action: String,
    /// The bytes that are hashed and kept.
    pub leaf: Vec<u8>,
}

/// Entries of several requests that are written together.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<NewEntry>,
    /// How many of them each request brought.
    lengths: Vec<usize>,
}

impl Batch {
    /// A batch of requests, in the order they came.
    #[must_use]
    pub fn new(requests: Vec<Vec<NewEntry>>) -> Self {
        let lengths = requests.iter().map(Vec::len).collect();
        Self { entries: requests.into_iter().flatten().collect(), lengths }
    }

    /// All entries.
    #[must_use]
    pub fn entries(&self) -> &[NewEntry] {
        &self.entries
    }
}

/// What became of the entries of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Added.
    pub accepted: u64,
    /// In the log already, or earlier in the batch.
    pub duplicates: u64,
}

/// What a batch adds to a tree. Nothing has happened yet.
#[derive(Debug)]
pub struct Addition {
    /// Places in the batch of the entries to add, in order.
    pub fresh: Vec<usize>,
    /// Index of the first of them.
    pub first_index: u64,
    /// Tiles that are new or have grown.
    pub tiles: Vec<(TileId, Tile)>,
    /// The tree afterwards.
    pub tree: TileTree,
    /// One for each request.
    pub counts: Vec<Counts>,
}

impl Addition {
    /// What `batch` adds to `tree`, when `known` events are in the log already.
    #[must_use]
    pub fn new(mut tree: TileTree, batch: &Batch, known: &HashSet<Uuid>) -> Self {
        let first_index = tree.size();
        let (fresh, counts) = deduplicate(batch, known);
        let tiles = tree.extend(fresh.iter().map(|at| leaf_hash(&batch.entries[*at].leaf)));
        Self { fresh, first_index, tiles, tree, counts }
    }

    /// The entries to add, with their indices.
    pub fn rows<'b>(&self, batch: &'b Batch) -> impl Iterator<Item = (u64, &'b NewEntry)> {
        (self.first_index..).zip(self.fresh.iter().map(|at| &batch.entries[*at]).collect::<Vec<_>>())
    }

    /// All requests together.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.counts.iter().fold(Counts::default(), |sum, one| Counts {
            accepted: sum.accepted + one.accepted,
            duplicates: sum.duplicates + one.duplicates,
        })
    }
}

fn deduplicate(batch: &Batch, known: &HashSet<Uuid>) -> (Vec<usize>, Vec<Counts>) {
    let (mut seen, mut fresh, mut at) = (HashSet::new(), Vec::new(), 0);
    let count = |length: &usize| {
        let mut counts = Counts::default();
        for place in at..at + length {
            let id = batch.entries[place].event_id;
            if !known.contains(&id) && seen.insert(id) {
                fresh.push(place);
                counts.accepted += 1;
            } else {
                counts.duplicates += 1;
            }
        }
        at += length;
        counts
    };
    let counts = batch.lengths.iter().map(count).collect();
    (fresh, counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_merkle::Frontier;
    use proptest::prelude::*;

    fn entry(id: u128) -> NewEntry {
        let id = Uuid::from_u128(id);
        NewEntry {
            event_id: id,
            tenant: "t".into(),
            case: String::new(),
            action: "a".into(),
            leaf: id.as_bytes().to_vec(),
        }
    }

    fn check(requests: &[&[u128]], known: &[u128], fresh: &[usize], counts: &[(u64, u64)]) {
        let requests = requests.iter().map(|ids| ids.iter().map(|id| entry(*id)).collect()).collect();
        let known = known.iter().map(|id| Uuid::from_u128(*id)).collect();
        let addition = Addition::new(TileTree::new(), &Batch::new(requests), &known);
        assert_eq!(addition.fresh, fresh);
        let got: Vec<_> = addition.counts.iter().map(|c| (c.accepted, c.duplicates)).collect();
        assert_eq!(got, counts);
        assert_eq!(addition.tree.size(), fresh.len() as u64);
    }

    #[test]
    fn each_event_is_added_once() {
        check(&[], &[], &[], &[]);
        check(&[&[]], &[], &[], &[(0, 0)]);
        check(&[&[1, 2]], &[], &[0, 1], &[(2, 0)]);
        check(&[&[1, 1]], &[], &[0], &[(1, 1)]);
        check(&[&[1], &[1, 2]], &[], &[0, 2], &[(1, 0), (1, 1)]);
        check(&[&[1, 2], &[3]], &[2, 3], &[0], &[(1, 1), (0, 1)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// However requests are grouped, the tree is that of the distinct events.
        #[test]
        fn grouping_makes_no_difference(
            ids in prop::collection::vec(0_u128..60, 0..120),
            cuts in prop::collection::vec(1_usize..20, 1..12),
        ) {
            let mut expect = Frontier::new();
            let mut seen = HashSet::new();
            ids.iter().filter(|id| seen.insert(**id)).for_each(|id| expect.append(leaf_hash(&entry(*id).leaf)));

            let (mut tree, mut known, mut rest) = (TileTree::new(), HashSet::new(), ids.as_slice());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                let batch = Batch::new(now.chunks(3).map(|c| c.iter().map(|id| entry(*id)).collect()).collect());
                let addition = Addition::new(tree, &batch, &known);
                prop_assert_eq!(addition.rows(&batch).count() as u64, addition.total().accepted);
                known.extend(addition.rows(&batch).map(|(_, entry)| entry.event_id));
                tree = addition.tree;
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(tree.root(), expect.root());
        }
    }
}
