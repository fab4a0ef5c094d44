//! Hashes of tree nodes, made from stored tiles. Each tile is read once for all
//! the proofs that a request needs.

use crate::error::Error;
use crate::store::Store;
use probity_merkle::{
    Checkpoint, Hash, NodeId, Plan, TileId, consistency_nodes, root_nodes, verify_consistency,
};
use std::collections::{BTreeSet, HashMap};

/// Tiles held in memory at once.
const TILES: usize = 64;

/// The nodes a request has asked for so far.
pub(crate) struct Nodes<'s> {
    store: &'s Store,
    known: HashMap<NodeId, Hash>,
}

impl<'s> Nodes<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store, known: HashMap::new() }
    }

    /// Reads what plans need.
    pub(crate) async fn load(&mut self, plans: &[Plan]) -> Result<(), Error> {
        let wanted: BTreeSet<_> = plans.iter().flat_map(Plan::nodes).collect();
        let wanted: Vec<_> = wanted.into_iter().filter(|id| !self.known.contains_key(id)).collect();
        let ids: BTreeSet<_> = wanted.iter().map(|node| TileId::of(*node)).collect();
        for ids in ids.into_iter().collect::<Vec<_>>().chunks(TILES) {
            let tiles = self.store.tiles(ids.iter().copied()).await?;
            let made =
                wanted.iter().filter_map(|node| Some((*node, tiles.get(&TileId::of(*node))?.node(*node)?)));
            self.known.extend(made);
        }
        Ok(())
    }

    /// The hashes of a plan that was loaded.
    pub(crate) fn fold(&self, plan: &Plan) -> Result<Vec<Hash>, Error> {
        plan.fold(|id| self.known.get(&id).copied()).map_err(Error::damaged)
    }

    /// The hashes of a plan.
    pub(crate) async fn get(&mut self, plan: Plan) -> Result<Vec<Hash>, Error> {
        let plan = [plan];
        self.load(&plan).await?;
        self.fold(&plan[0])
    }

    /// The root of the log at a size, proved to be a beginning of the log that
    /// the checkpoint covers. So no proof is given that leads to no signature.
    pub(crate) async fn root_at(&mut self, size: u64, head: &Checkpoint) -> Result<Hash, Error> {
        if size == head.size {
            return Ok(head.root);
        }
        let root = self.get(root_nodes(size)).await?.first().copied().unwrap_or_else(Hash::of_nothing);
        let proof = self.get(consistency_nodes(size, head.size).map_err(Error::damaged)?).await?;
        verify_consistency(size, head.size, &root, &head.root, &proof).map_err(Error::damaged)?;
        Ok(root)
    }
}
