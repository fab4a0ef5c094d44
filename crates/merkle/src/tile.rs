//! Hashes in tiles, as C2SP tlog-tiles lays them out: a tile of level L holds up
//! to 256 neighbouring nodes of tree level 8·L. Nodes between are recomputed.
//!
//! A full tile never changes; the last tile of each level grows. What a store
//! keeps is [`Tile::to_bytes`] under [`TileId`]. Where that is, is not known here.

use crate::frontier::Frontier;
use crate::hash::{Hash, node_hash};
use crate::proof::{NodeId, root_nodes};

/// Tree levels in a tile.
pub const HEIGHT: u8 = 8;
/// Hashes in a full tile.
pub const WIDTH: usize = 1 << HEIGHT;

/// Which tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Level of the tile: its hashes are of tree level `8 * level`.
    pub level: u8,
    /// Position among the tiles of its level.
    pub index: u64,
}

impl TileId {
    /// The tile that holds what a node is made of.
    #[must_use]
    pub const fn of(node: NodeId) -> Self {
        let inner = node.level % HEIGHT;
        Self { level: node.level / HEIGHT, index: node.index >> (HEIGHT - inner) }
    }

    /// Index of the first entry under the tile.
    #[must_use]
    pub fn first_entry(self) -> u64 {
        let shift = u32::from(HEIGHT) * (u32::from(self.level) + 1);
        self.index.checked_shl(shift).unwrap_or(u64::MAX)
    }
}

/// The hashes of a tile, from the left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tile(Vec<Hash>);

/// Bytes that are no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tile has 1 to 256 hashes of 32 bytes, this has {0} bytes")]
pub struct BadTile(usize);

impl Tile {
    /// Reads the bytes a store kept.
    ///
    /// # Errors
    /// When they are no multiple of 32, or too few or too many.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadTile> {
        let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
        if hashes.is_empty() || hashes.len() > WIDTH || !rest.is_empty() {
            return Err(BadTile(bytes.len()));
        }
        Ok(Self(hashes.iter().map(|bytes| Hash(*bytes)).collect()))
    }

    /// The bytes to keep.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|hash| hash.0).collect()
    }

    /// The hashes.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }

    /// The hash of a node whose leaves, counted from the tile's level, are all in
    /// this tile; `None` when some are not there yet.
    #[must_use]
    pub fn node(&self, node: NodeId) -> Option<Hash> {
        let inner = node.level % HEIGHT;
        let width = 1_usize << inner;
        // The place within the tile is below 256, whatever the index.
        let first = usize::try_from(node.index % (1 << (HEIGHT - inner))).ok()? << inner;
        Some(perfect(self.0.get(first..first + width)?))
    }

    fn is_full(&self) -> bool {
        self.0.len() == WIDTH
    }
}

/// The root over a power of two of hashes.
fn perfect(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => Hash::of_nothing(),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            node_hash(&perfect(left), &perfect(right))
        }
    }
}

/// The tiles at the right edge of a tree of a given size that are not full, with
/// the number of their hashes.
#[must_use]
pub fn edge_tiles(size: u64) -> Vec<(TileId, usize)> {
    let levels = 0..=u64::BITS.div_ceil(u32::from(HEIGHT)).saturating_sub(1);
    let tile = |level: u32| {
        let nodes = size >> (level * u32::from(HEIGHT));
        let width = usize::from(nodes.to_le_bytes()[0]);
        let id = TileId { level: u8::try_from(level).ok()?, index: nodes >> HEIGHT };
        (width > 0).then_some((id, width))
    };
    levels.filter_map(tile).collect()
}

/// A growing tree that yields the tiles to store.
#[derive(Debug, Clone, Default)]
pub struct TileTree {
    frontier: Frontier,
    /// The tile of each level that is not full, from the leaves up.
    edge: Vec<Tile>,
}

/// A tree that cannot be resumed from the tiles of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tile {} of level {} is not in the store or holds fewer than {width} hashes", id.index, id.level)]
pub struct LostTile {
    /// The tile.
    pub id: TileId,
    /// How many hashes it must have.
    pub width: usize,
}

impl TileTree {
    /// The tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with a tree of `size` leaves from its stored [`edge_tiles`].
    ///
    /// # Errors
    /// When a tile is missing or too short. Whether the hashes are right, only
    /// the comparison of [`TileTree::root`] with a signed root tells.
    pub fn resume(size: u64, mut get: impl FnMut(TileId) -> Option<Tile>) -> Result<Self, LostTile> {
        let mut edge = Vec::new();
        for (id, width) in edge_tiles(size) {
            let mut tile = get(id).filter(|tile| tile.0.len() >= width).ok_or(LostTile { id, width })?;
            tile.0.truncate(width);
            edge.resize(usize::from(id.level), Tile::default());
            edge.push(tile);
        }
        // Every complete subtree of the right edge lies in one of these tiles.
        let stored = |id: NodeId| edge.get(usize::from(TileId::of(id).level)).and_then(|t| t.node(id));
        let nodes: Vec<_> = root_nodes(size).nodes().filter_map(stored).collect();
        let lost = LostTile { id: TileId { level: 0, index: size >> HEIGHT }, width: 1 };
        let frontier = Frontier::from_nodes(size, nodes).ok_or(lost)?;
        Ok(Self { frontier, edge })
    }

    /// Adds a leaf; the tiles it fills are appended to `full`.
    pub fn push(&mut self, leaf: Hash, full: &mut Vec<(TileId, Tile)>) {
        self.frontier.append(leaf);
        let mut hash = leaf;
        for level in 0_u8..=u8::MAX {
            let at = usize::from(level);
            if self.edge.len() <= at {
                self.edge.push(Tile::default());
            }
            self.edge[at].0.push(hash);
            if !self.edge[at].is_full() {
                return;
            }
            let tile = std::mem::take(&mut self.edge[at]);
            hash = perfect(&tile.0);
            let nodes = self.frontier.size() >> (u32::from(level) * u32::from(HEIGHT));
            full.push((TileId { level, index: (nodes >> HEIGHT) - 1 }, tile));
        }
    }

    /// Adds leaves; gives every tile that is new or has grown.
    pub fn extend(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<(TileId, Tile)> {
        let before = self.size();
        let mut changed = Vec::new();
        leaves.into_iter().for_each(|leaf| self.push(leaf, &mut changed));
        let grown =
            |id: TileId| before >> (u32::from(id.level) * 8) != self.size() >> (u32::from(id.level) * 8);
        changed.extend(self.edge().filter(|(id, _)| grown(*id)).map(|(id, tile)| (id, tile.clone())));
        changed
    }

    /// The tiles that are not full.
    pub fn edge(&self) -> impl Iterator<Item = (TileId, &Tile)> + '_ {
        let ids = edge_tiles(self.size()).into_iter();
        ids.filter_map(|(id, _)| Some((id, self.edge.get(usize::from(id.level))?)))
    }

    /// The complete subtrees.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}
