//! Recomputes the log from its rows, page by page, and finds the first entry
//! that is not as it was signed.
//!
//! Three things are compared: the rows, the leaf hashes in the tiles, and the
//! roots in the signed checkpoints. A row that does not fit its leaf hash is
//! named at once; the next checkpoint tells which of the two was changed. When
//! both were changed together, the checkpoints around them bound the place: the
//! older one still fits, the newer one does not. Memory does not grow with the
//! log.

mod problem;

pub use problem::{Culprit, Problem};

use probity_merkle::checkpoint::CheckpointError;
use probity_merkle::{
    Checkpoint, Frontier, Hash, SignedNote, Tile, TileId, TileTree, VerifierKey, leaf_hash,
};
use std::collections::HashMap;
use std::iter::Peekable;
use std::ops::Range;

/// Entries in a page: whole tiles.
pub const PAGE: u64 = 1_024;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Everything up to the checkpoint is as it was signed.
    pub intact: bool,
    /// How many entries were recomputed.
    pub entries_checked: u64,
    /// Size of the tree at the checkpoint.
    pub tree_size: u64,
    /// Index of the first bad entry, where one can be named.
    pub first_bad_index: Option<u64>,
    /// What is wrong; empty when nothing is.
    pub problem: String,
}

/// A row of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its index.
    pub index: i64,
    /// Its bytes.
    pub leaf: Vec<u8>,
    /// The column that does not say what the leaf says.
    pub misfiled: Option<&'static str>,
}

/// A stored checkpoint; nothing about it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The size it is filed under.
    pub size: u64,
    /// The signed note.
    pub note: String,
}

/// One page of the store.
#[derive(Debug, Default)]
pub struct Page {
    /// Every row with an index in the page's range, in order.
    pub rows: Vec<Row>,
    /// The checkpoints of sizes in the range, its start excluded and its end included.
    pub marks: Vec<Mark>,
    /// The tiles of level 0 of the range.
    pub tiles: HashMap<TileId, Tile>,
}

/// A check in progress.
#[derive(Debug)]
pub struct Checker {
    key: VerifierKey,
    /// Size of the checkpoint to check against.
    covered: u64,
    /// A checkpoint kept elsewhere, already verified.
    witness: Option<Checkpoint>,
    /// The tree of the rows so far.
    tree: TileTree,
    /// The first row that differs from its leaf hash, and the frontier that the
    /// leaf hashes lead to from there on, while they are known.
    altered: Option<(u64, Option<Frontier>)>,
    /// The newest checkpoint the rows led to; its signature is not verified yet.
    agreed: Option<Mark>,
    /// Size of the newest checkpoint the rows led to that is surely signed.
    anchor: u64,
    /// The problem with the lowest index so far.
    worst: Option<Problem>,
    ended: bool,
}

impl Checker {
    /// A check of the entries that the newest good checkpoint covers.
    #[must_use]
    pub fn new(key: VerifierKey, covered: u64, witness: Option<Checkpoint>) -> Self {
        let mut new = Self {
            key,
            covered,
            witness,
            tree: TileTree::new(),
            altered: None,
            agreed: None,
            anchor: 0,
            worst: None,
            ended: false,
        };
        if let Some(witnessed) = new.witness.as_ref().map(|w| w.size).filter(|size| *size > covered) {
            new.report(Problem::RolledBack { witnessed, covered });
        }
        new
    }

    /// The range of the next page; `None` when the check is over.
    #[must_use]
    pub fn next_page(&self) -> Option<Range<u64>> {
        let start = self.tree.size();
        let more = !self.ended && start < self.covered;
        more.then(|| start..self.covered.min(start - start % PAGE + PAGE))
    }

    /// Keeps a problem unless one with a lower index is known.
    pub fn report(&mut self, problem: Problem) {
        let rank = |problem: &Problem| problem.first_bad().unwrap_or(u64::MAX);
        if self.worst.as_ref().is_none_or(|worst| rank(&problem) < rank(worst)) {
            self.worst = Some(problem);
        }
    }

    /// Checks a page; answers the full tiles above the leaves that it completed,
    /// to be compared with [`Checker::tile`].
    pub fn page(&mut self, range: &Range<u64>, page: &Page) -> Vec<(TileId, Tile)> {
        let mut full = Vec::new();
        let mut marks = page.marks.iter().peekable();
        for row in &page.rows {
            if u64::try_from(row.index) == Ok(self.tree.size()) {
                self.row(row, &page.tiles, &mut full);
                self.marks_here(&mut marks);
            } else {
                self.out_of_order(row.index);
            }
            if self.ended {
                return Vec::new();
            }
        }
        if self.tree.size() < range.end {
            self.missing(None);
        }
        self.settle();
        full.retain(|(id, _)| id.level > 0);
        full
    }

    fn out_of_order(&mut self, index: i64) {
        match u64::try_from(index) {
            Ok(index) if index < self.tree.size() => {
                self.report(Problem::Repeated { index });
                self.ended = true;
            }
            _ => self.missing(Some(index)),
        }
    }

    /// The next row is not there; `next` is one that comes later.
    fn missing(&mut self, next: Option<i64>) {
        self.report(Problem::Missing { index: self.tree.size(), next, covered: self.covered });
        self.ended = true;
    }

    /// What the store has after the gap, when the page did not tell.
    pub fn next_after_gap(&mut self, found: i64) {
        if let Some(Problem::Missing { next: next @ None, .. }) = &mut self.worst {
            *next = Some(found);
        }
    }

    /// The index of a missing entry after which the next one is not known.
    #[must_use]
    pub const fn gap(&self) -> Option<u64> {
        match &self.worst {
            Some(Problem::Missing { index, next: None, .. }) => Some(*index),
            _ => None,
        }
    }

    fn row(&mut self, row: &Row, tiles: &HashMap<TileId, Tile>, full: &mut Vec<(TileId, Tile)>) {
        let index = self.tree.size();
        let hash = leaf_hash(&row.leaf);
        let stored = self.stored_hash(index, tiles);
        if self.altered.is_none() {
            match (stored, row.misfiled) {
                (Some(stored), _) if stored != hash => self.fork(index),
                (_, Some(column)) => self.report(Problem::Misfiled { index, column }),
                _ => {}
            }
        }
        if let Some((_, frontier)) = &mut self.altered {
            match (frontier.as_mut(), stored) {
                (Some(frontier), Some(stored)) => frontier.append(stored),
                _ => *frontier = None,
            }
        }
        self.tree.push(hash, full);
    }

    fn stored_hash(&mut self, index: u64, tiles: &HashMap<TileId, Tile>) -> Option<Hash> {
        let id = TileId { level: 0, index: index >> 8 };
        let tile = tiles.get(&id);
        let hash = tile.and_then(|tile| tile.hashes().get(usize::from(index.to_le_bytes()[0]))).copied();
        if hash.is_none() {
            let what = if tile.is_some() { "is too short" } else { "is missing" };
            self.report(Problem::Tile { id, what });
        }
        hash
    }

    /// From here on two trees are followed: that of the rows and that of the
    /// leaf hashes. Up to here they are the same.
    fn fork(&mut self, index: u64) {
        let frontier = self.tree.frontier().clone();
        self.altered = Some((index, Some(frontier)));
    }

    fn marks_here<'m>(&mut self, marks: &mut Peekable<impl Iterator<Item = &'m Mark>>) {
        let size = self.tree.size();
        while let Some(mark) = marks.next_if(|mark| mark.size <= size) {
            match self.read(mark) {
                Ok(Some(root)) => self.compare(size, root),
                Ok(None) => {}
                Err(error) => self.report(Problem::Checkpoint { size: mark.size, error: error.to_string() }),
            }
        }
        if let Some(witness) = self.witness.take_if(|witness| witness.size == size) {
            self.confront(&witness);
        }
    }

    /// Compares with the checkpoint kept elsewhere. When the stored ones fit and
    /// this one does not, they were signed anew, and bound nothing.
    fn confront(&mut self, witness: &Checkpoint) {
        if self.ended || self.tree.root() == witness.root {
            return;
        }
        if self.altered.is_some() {
            return self.compare(witness.size, witness.root);
        }
        self.report(Problem::Rewritten { size: witness.size });
        self.ended = true;
    }

    /// The root of a checkpoint that does not simply fit. Verifying every
    /// signature would take longer than everything else, so of those that fit
    /// only the last of a page is verified, and those that do not must be signed
    /// to count.
    fn read(&mut self, mark: &Mark) -> Result<Option<Hash>, CheckpointError> {
        let note = SignedNote::parse(mark.note.as_bytes())?;
        let claimed = Checkpoint::parse(note.unverified_text())?;
        if claimed.size != mark.size {
            let what = "is of another size than it is filed under";
            return Err(CheckpointError::Malformed { line: 2, what });
        }
        if self.altered.is_none() && claimed.root == self.tree.root() {
            self.agreed = Some(mark.clone());
            return Ok(None);
        }
        Checkpoint::open(mark.note.as_bytes(), &self.key).map(|checkpoint| Some(checkpoint.root))
    }

    /// Verifies the newest checkpoint the rows led to: from there on nothing
    /// before it is in question.
    fn settle(&mut self) {
        let Some(mark) = self.agreed.take() else { return };
        match Checkpoint::open(mark.note.as_bytes(), &self.key) {
            Ok(_) => self.anchor = mark.size,
            Err(error) => self.report(Problem::Checkpoint { size: mark.size, error: error.to_string() }),
        }
    }

    /// Compares with a signed root; unless it fits, the check ends here.
    fn compare(&mut self, size: u64, root: Hash) {
        let rows_fit = self.tree.root() == root;
        self.settle();
        let problem = match &self.altered {
            None if rows_fit => {
                self.anchor = size;
                return;
            }
            None => Problem::Within { from: self.anchor, to: size },
            Some((index, frontier)) => {
                let hashes_fit = frontier.as_ref().is_some_and(|frontier| frontier.root() == root);
                let culprit = match (rows_fit, hashes_fit) {
                    (true, false) => Culprit::Hash,
                    (false, true) => Culprit::Entry,
                    _ => Culprit::Unclear,
                };
                Problem::Altered { index: *index, culprit }
            }
        };
        self.report(problem);
        self.altered = None;
        self.ended = true;
    }

    /// Compares a tile made from the rows with the stored one.
    pub fn tile(&mut self, id: TileId, made: &Tile, stored: Option<&Tile>) {
        let made = made.hashes();
        let what = match stored {
            _ if self.ended || self.altered.is_some() => return,
            None => "is missing",
            // The last tile of a level may have grown meanwhile.
            Some(stored) if !stored.hashes().starts_with(made) => "was changed",
            Some(_) => return,
        };
        self.report(Problem::Tile { id, what });
    }

    /// The tiles at the right edge, to be compared once all pages are through.
    #[must_use]
    pub fn edge(&self) -> Vec<(TileId, Tile)> {
        let done = !self.ended && self.tree.size() == self.covered;
        let above = |(id, tile): (TileId, &Tile)| (id.level > 0).then(|| (id, tile.clone()));
        if done { self.tree.edge().filter_map(above).collect() } else { Vec::new() }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> CheckReport {
        if let Some((index, _)) = self.altered {
            self.report(Problem::Altered { index, culprit: Culprit::Unclear });
        }
        CheckReport {
            intact: self.worst.is_none(),
            entries_checked: self.tree.size(),
            tree_size: self.covered,
            first_bad_index: self.worst.as_ref().and_then(Problem::first_bad),
            problem: self.worst.map(|problem| problem.to_string()).unwrap_or_default(),
        }
    }
}
