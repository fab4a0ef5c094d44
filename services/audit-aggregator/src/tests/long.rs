//! A log long enough to have tiles above tiles, without a database.

use crate::domain::check::{CheckReport, Checker, Mark, Page, Row};
use crate::tests::signer;
use probity_merkle::{Checkpoint, Hash, Tile, TileId, TileTree, leaf_hash};
use std::collections::HashMap;
use std::ops::Range;

const SIZE: u64 = 66_000;

struct Memory {
    tiles: HashMap<TileId, Tile>,
    marks: Vec<Mark>,
}

fn leaf(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

impl Memory {
    fn new() -> Self {
        let (mut tree, signer, mut tiles, mut marks) =
            (TileTree::new(), signer(1), HashMap::new(), Vec::new());
        for size in (1_000..=SIZE).step_by(1_000) {
            tiles.extend(tree.extend((size - 1_000..size).map(|index| leaf_hash(&leaf(index)))));
            let head = Checkpoint::new(signer.verifier_key().name(), size, tree.root());
            marks.push(Mark { size, note: head.sign(&signer).unwrap() });
        }
        Self { tiles, marks }
    }

    fn page(&self, range: &Range<u64>) -> Page {
        let row =
            |index: u64| Row { index: i64::try_from(index).unwrap(), leaf: leaf(index), misfiled: None };
        let inside = |mark: &&Mark| mark.size > range.start && mark.size <= range.end;
        Page {
            rows: range.clone().map(row).collect(),
            marks: self.marks.iter().filter(inside).cloned().collect(),
            tiles: self.tiles.clone(),
        }
    }

    fn check(&self) -> CheckReport {
        let mut checker = Checker::new(signer(1).verifier_key().clone(), SIZE, None);
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

    fn edit(&mut self, level: u8, index: u64) {
        let id = TileId { level, index };
        let mut bytes = self.tiles[&id].to_bytes();
        bytes[..Hash::LEN].copy_from_slice(&Hash::of_nothing().0);
        self.tiles.insert(id, Tile::from_bytes(&bytes).unwrap());
    }
}

#[test]
fn tiles_above_tiles_are_compared() {
    let mut memory = Memory::new();
    let report = memory.check();
    assert!(report.intact, "{}", report.problem);
    assert_eq!(report.entries_checked, SIZE);
    for (level, index) in [(1, 0), (1, 1), (2, 0)] {
        let good = memory.tiles[&TileId { level, index }].clone();
        memory.edit(level, index);
        let report = memory.check();
        assert_eq!((report.intact, report.first_bad_index), (false, None));
        assert!(
            report.problem.contains(&format!("tile {index} of level {level} was changed")),
            "{}",
            report.problem
        );
        memory.tiles.insert(TileId { level, index }, good);
    }
    memory.edit(0, 256);
    assert_eq!(memory.check().first_bad_index, Some(65_536));
}
