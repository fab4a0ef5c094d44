//! The check on logs in memory: long enough for tiles above tiles, and changed
//! in every way at every place.

use crate::domain::check::{CheckReport, Checker, Mark, Page, Row};
use crate::tests::signer;
use probity_merkle::{Checkpoint, Hash, Tile, TileId, TileTree, leaf_hash};
use proptest::prelude::*;
use std::collections::HashMap;
use std::ops::Range;

struct Memory {
    rows: Vec<Row>,
    tiles: HashMap<TileId, Tile>,
    marks: Vec<Mark>,
}

fn leaf(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

impl Memory {
    /// A log with a checkpoint after each of these numbers of entries.
    fn new(batches: impl IntoIterator<Item = u64>) -> Self {
        let (mut tree, signer, mut tiles, mut marks) =
            (TileTree::new(), signer(1), HashMap::new(), Vec::new());
        for batch in batches {
            let size = tree.size() + batch;
            tiles.extend(tree.extend((tree.size()..size).map(|index| leaf_hash(&leaf(index)))));
            let head = Checkpoint::new(signer.verifier_key().name(), size, tree.root());
            marks.push(Mark { size, note: head.sign(&signer).unwrap() });
        }
        let row =
            |index: u64| Row { index: i64::try_from(index).unwrap(), leaf: leaf(index), misfiled: None };
        Self { rows: (0..tree.size()).map(row).collect(), tiles, marks }
    }

    fn page(&self, range: &Range<u64>) -> Page {
        let inside = |row: &&Row| u64::try_from(row.index).is_ok_and(|index| range.contains(&index));
        let marked = |mark: &&Mark| mark.size > range.start && mark.size <= range.end;
        Page {
            rows: self.rows.iter().filter(inside).cloned().collect(),
            marks: self.marks.iter().filter(marked).cloned().collect(),
            tiles: self.tiles.clone(),
        }
    }

    fn check(&self) -> CheckReport {
        let covered = self.marks.last().map_or(0, |mark| mark.size);
        let mut checker = Checker::new(signer(1).verifier_key().clone(), covered, None);
        while let Some(range) = checker.next_page() {
            for (id, made) in checker.page(&range, &self.page(&range)) {
                checker.tile(id, &made, self.tiles.get(&id));
            }
        }
        for (id, made) in checker.edge() {
            checker.tile(id, &made, self.tiles.get(&id));
        }
        checker.finish()
    }

    fn edit_hash(&mut self, level: u8, index: u64, at: usize, hash: Hash) {
        let id = TileId { level, index };
        let mut bytes = self.tiles[&id].to_bytes();
        bytes[at * Hash::LEN..(at + 1) * Hash::LEN].copy_from_slice(&hash.0);
        self.tiles.insert(id, Tile::from_bytes(&bytes).unwrap());
    }

    fn edit_leaf_hash(&mut self, index: usize, hash: Hash) {
        self.edit_hash(0, (index / 256) as u64, index % 256, hash);
    }

    /// Size of the last checkpoint before an entry.
    fn mark_before(&self, index: u64) -> u64 {
        self.marks.iter().map(|mark| mark.size).filter(|size| *size <= index).max().unwrap_or(0)
    }
}

#[test]
fn tiles_above_tiles_are_compared() {
    const SIZE: u64 = 66_000;
    let mut memory = Memory::new([1_000; 66]);
    let report = memory.check();
    assert!(report.intact, "{}", report.problem);
    assert_eq!(report.entries_checked, SIZE);
    for (level, index) in [(1, 0), (1, 1), (2, 0)] {
        let good = memory.tiles[&TileId { level, index }].clone();
        memory.edit_hash(level, index, 0, Hash::of_nothing());
        let report = memory.check();
        assert_eq!((report.intact, report.first_bad_index), (false, None));
        assert!(
            report.problem.contains(&format!("tile {index} of level {level} was changed")),
            "{}",
            report.problem
        );
        memory.tiles.insert(TileId { level, index }, good);
    }
    memory.edit_leaf_hash(65_536, Hash::of_nothing());
    assert_eq!(memory.check().first_bad_index, Some(65_536));
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Leaf,
    LeafHash,
    Both,
    Delete,
    DeleteAndMoveUp,
    SwapWithNext,
    Repeat,
    CutOff,
}

impl Change {
    const ALL: [Self; 8] = [
        Self::Leaf,
        Self::LeafHash,
        Self::Both,
        Self::Delete,
        Self::DeleteAndMoveUp,
        Self::SwapWithNext,
        Self::Repeat,
        Self::CutOff,
    ];

    /// Makes the change at a row; answers the entry the check must name.
    fn make(self, memory: &mut Memory, at: usize) -> u64 {
        let index = at as u64;
        let rows = &mut memory.rows;
        match self {
            Self::Leaf => rows[at].leaf[0] ^= 1,
            Self::LeafHash => memory.edit_leaf_hash(at, Hash::of_nothing()),
            Self::Both => {
                rows[at].leaf[0] ^= 1;
                let hash = leaf_hash(&rows[at].leaf);
                memory.edit_leaf_hash(at, hash);
                return memory.mark_before(index);
            }
            Self::Delete => drop(rows.remove(at)),
            Self::DeleteAndMoveUp => {
                rows.remove(at);
                rows[at..].iter_mut().for_each(|row| row.index -= 1);
            }
            Self::SwapWithNext if at + 1 < rows.len() => {
                let next = std::mem::take(&mut rows[at + 1].leaf);
                rows[at + 1].leaf = std::mem::replace(&mut rows[at].leaf, next);
            }
            Self::SwapWithNext => rows[at].leaf.clear(),
            Self::Repeat => rows.insert(at, rows[at].clone()),
            Self::CutOff => rows.truncate(at),
        }
        index
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_change_is_named(
        batches in prop::collection::vec(1_u64..700, 1..6),
        at in any::<prop::sample::Index>(),
        change in prop::sample::select(Change::ALL.to_vec()),
    ) {
        let mut memory = Memory::new(batches);
        prop_assert!(memory.check().intact);
        let at = at.index(memory.rows.len());
        let expect = change.make(&mut memory, at);
        let report = memory.check();
        prop_assert!(!report.intact);
        prop_assert_eq!(report.first_bad_index, Some(expect), "{}", report.problem);
    }
}
