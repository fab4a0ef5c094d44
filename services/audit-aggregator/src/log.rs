//! What the log answers: entries, heads and proofs, all read from the store.

use crate::check;
use crate::convert::{self, EntryName, Subject};
use crate::domain::check::CheckReport;
use crate::domain::page::{Filter, Logged, cut};
use crate::error::Error;
use crate::nodes::Nodes;
use crate::receipt;
use crate::store::{Reach, Store};
use probity_merkle::{
    Checkpoint, Hash, Receipt, TileId, VerifierKey, consistency_nodes, inclusion_nodes, verify_consistency,
    verify_inclusion,
};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The log as readers see it.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    store: Store,
    key: VerifierKey,
    /// A check reads everything: one at a time.
    pub(crate) checking: Arc<Semaphore>,
}

/// A tree head and the note that proves it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: String,
}

/// Proof that an entry is in a tree.
#[derive(Debug)]
pub(crate) struct Inclusion {
    pub(crate) index: u64,
    pub(crate) size: u64,
    pub(crate) leaf: Hash,
    pub(crate) proof: Vec<Hash>,
}

/// Proof that one tree is the beginning of another.
#[derive(Debug)]
pub(crate) struct Consistency {
    pub(crate) first: u64,
    pub(crate) second: u64,
    pub(crate) proof: Vec<Hash>,
}

impl Log {
    pub(crate) fn new(store: Store, key: VerifierKey) -> Self {
        Self { store, key, checking: Arc::new(Semaphore::new(1)) }
    }

    pub(crate) const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The newest head of at most a size; the newest of all without one. A note
    /// that does not verify is not handed out.
    pub(crate) async fn head(&self, most: Option<u64>) -> Result<Head, Error> {
        let mark = self.store.checkpoint(most.unwrap_or(u64::MAX)).await?;
        let mark = mark.ok_or_else(|| Error::NotFound { name: "a checkpoint of that size".to_owned() })?;
        let checkpoint = Checkpoint::open(mark.note.as_bytes(), &self.key).map_err(Error::damaged)?;
        if checkpoint.size != mark.size {
            return Err(Error::damaged("a checkpoint is filed under another size than it says"));
        }
        Ok(Head { checkpoint, note: mark.note })
    }

    /// One entry of a tenant.
    pub(crate) async fn entry(&self, tenant: &str, name: &EntryName) -> Result<Logged, Error> {
        let entry = match name {
            EntryName::Index(index) => self.store.entry(tenant, *index).await?,
            EntryName::Event(event) => self.store.entry_of_event(tenant, *event).await?,
        };
        entry.ok_or_else(|| Error::NotFound { name: name.to_string() })
    }

    /// A page of entries and the token of the next one.
    pub(crate) async fn list(
        &self,
        filter: &Filter,
        token: &str,
        limit: usize,
    ) -> Result<(Vec<Logged>, Option<String>), Error> {
        let from = filter.start(token).ok_or(Error::PageToken)?;
        let size = self.head(None).await?.checkpoint.size;
        let reach = Reach { from, size, limit: limit + 1 };
        let (rows, end) = self.store.list(filter, &reach).await?;
        let (rows, next) = cut(rows, limit, convert::MAX_PAGE_BYTES, end, size);
        Ok((rows, next.map(|index| filter.token(index))))
    }

    /// Proves that an entry is in the log of a size; of the newest without one.
    pub(crate) async fn inclusion(&self, index: u64, size: Option<u64>) -> Result<Inclusion, Error> {
        let head = self.head(None).await?.checkpoint;
        let size = within(size, "tree_size", &head)?;
        let plan = inclusion_nodes(index, size)
            .map_err(|error| Error::Range { field: "index", reason: error.to_string() })?;
        let mut nodes = Nodes::new(&self.store);
        let root = nodes.root_at(size, &head).await?;
        let proof = nodes.get(plan).await?;
        let leaf = self.leaf_hash(index).await?;
        verify_inclusion(index, size, &leaf, &proof, &root).map_err(Error::damaged)?;
        Ok(Inclusion { index, size, leaf, proof })
    }

    async fn leaf_hash(&self, index: u64) -> Result<Hash, Error> {
        let node = probity_merkle::NodeId { level: 0, index };
        let id = TileId::of(node);
        let tile = self.store.tiles([id]).await?.remove(&id);
        tile.and_then(|tile| tile.node(node))
            .ok_or_else(|| Error::damaged(format!("leaf hash {index} is missing")))
    }

    /// Proves that the log of one size is the beginning of that of another.
    pub(crate) async fn consistency(&self, first: u64, second: Option<u64>) -> Result<Consistency, Error> {
        let head = self.head(None).await?.checkpoint;
        let second = within(second, "second_size", &head)?;
        let plan = consistency_nodes(first, second).map_err(|_| Error::Range {
            field: "first_size",
            reason: format!("{first} is not between 1 and the newer size {second}"),
        })?;
        let mut nodes = Nodes::new(&self.store);
        let older = nodes.root_at(first, &head).await?;
        let newer = nodes.root_at(second, &head).await?;
        let proof = nodes.get(plan).await?;
        verify_consistency(first, second, &older, &newer, &proof).map_err(Error::damaged)?;
        Ok(Consistency { first, second, proof })
    }

    /// The receipt of a case or of one entry of a tenant.
    pub(crate) async fn receipt(&self, tenant: &str, subject: &Subject) -> Result<Receipt, Error> {
        let head = self.head(None).await?;
        let mut receipt = match subject {
            Subject::Case(case) => receipt::of_case(&self.store, &head, tenant, case).await?,
            Subject::Entry(name) => {
                receipt::of_entry(&self.store, &head, self.entry(tenant, name).await?).await?
            }
        };
        receipt.verifier_key = Some(self.key.to_string());
        Ok(receipt)
    }

    /// Recomputes the log.
    pub(crate) async fn check(&self) -> Result<CheckReport, Error> {
        let _permit = self.checking.try_acquire().map_err(|_| Error::Busy)?;
        check::run(&self.store, &self.key, None).await
    }
}

/// A size of the log, at most that of its head.
fn within(size: Option<u64>, field: &'static str, head: &Checkpoint) -> Result<u64, Error> {
    match size {
        None => Ok(head.size),
        Some(size) if size <= head.size => Ok(size),
        Some(size) => {
            Err(Error::Range { field, reason: format!("{size} is more than the log has: {}", head.size) })
        }
    }
}
