//! The one write of the log: entries, tiles, checkpoint and head together.

use super::{Store, number, sql};
use crate::domain::batch::{Addition, Batch, NewEntry};
use crate::error::Error;
use probity_merkle::{Checkpoint, NoteSigner, Tile, TileId, TileTree};
use probity_storage::{Tx, Value, args, row};
use probity_types::Micros;
use std::collections::HashSet;
use std::sync::Arc;
use uuid::Uuid;

/// Everything an append needs.
pub(crate) struct Append {
    /// The tree of the last commit.
    pub(crate) tree: TileTree,
    pub(crate) batch: Arc<Batch>,
    pub(crate) signer: Arc<NoteSigner>,
    pub(crate) now: Micros,
}

impl Store {
    /// Adds what is new of a batch to the log, in one transaction; answers after
    /// its commit.
    ///
    /// # Errors
    /// [`Error::Contended`] when the log is not at the size of `tree` any more;
    /// nothing is written then.
    pub(crate) async fn append(&self, append: Append) -> Result<Addition, Error> {
        self.db.write(move |tx| Box::pin(append.run(tx))).await
    }

    /// Signs the head of a log without entries.
    pub(crate) async fn begin(&self, signer: &NoteSigner, now: Micros) -> Result<(), Error> {
        let note = sign(signer, &TileTree::new())?;
        self.db.write(move |tx| Box::pin(async move { checkpoint(tx, 0, now, &note).await })).await
    }
}

impl Append {
    async fn run(self, tx: &mut Tx) -> Result<Addition, Error> {
        let known = known(tx, self.batch.entries()).await?;
        let addition = Addition::new(self.tree, &self.batch, &known);
        if addition.fresh.is_empty() {
            return Ok(addition);
        }
        let size = addition.tree.size();
        advance(tx, addition.first_index, size).await?;
        insert(tx, &addition.rows(&self.batch).collect::<Vec<_>>()).await?;
        upsert(tx, &addition.tiles).await?;
        checkpoint(tx, size, self.now, &sign(&self.signer, &addition.tree)?).await?;
        Ok(addition)
    }
}

fn sign(signer: &NoteSigner, tree: &TileTree) -> Result<String, Error> {
    let origin = signer.verifier_key().name();
    Checkpoint::new(origin, tree.size(), tree.root()).sign(signer).map_err(Error::damaged)
}

/// Those of the events that are in the log already.
async fn known(tx: &mut Tx, entries: &[NewEntry]) -> Result<HashSet<Uuid>, Error> {
    let mut known = HashSet::new();
    for chunk in sql::chunks(entries) {
        let text = format!("SELECT event_id FROM entry WHERE event_id IN ({})", sql::list(1, chunk.len()));
        let ids = chunk.iter().map(|entry| Value::from(entry.event_id)).collect();
        for row in tx.query(&text, ids).await? {
            known.insert(Uuid::from_slice(&row.bytes(0)?).map_err(Error::damaged)?);
        }
    }
    Ok(known)
}

/// Takes the head from the size this writer knows. Another process that writes
/// to the same log waits here for the row, and then loses.
async fn advance(tx: &mut Tx, from: u64, to: u64) -> Result<(), Error> {
    let sql = "UPDATE log_head SET size = $1 WHERE id = 1 AND size = $2";
    match tx.execute(sql, args![number(to), number(from)]).await? {
        1 => Ok(()),
        _ => Err(Error::Contended),
    }
}

async fn insert(tx: &mut Tx, rows: &[(u64, &NewEntry)]) -> Result<(), Error> {
    let sql = "INSERT INTO entry (idx, event_id, tenant, case_name, action, leaf)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let row = |(index, entry): &(u64, &NewEntry)| {
        row![
            number(*index),
            entry.event_id,
            entry.tenant.as_str(),
            entry.case.as_str(),
            entry.action.as_str(),
            entry.leaf.as_slice()
        ]
    };
    tx.execute_many(sql, rows.iter().map(row).collect::<Vec<_>>()).await?;
    Ok(())
}

async fn upsert(tx: &mut Tx, tiles: &[(TileId, Tile)]) -> Result<(), Error> {
    let sql = "INSERT INTO tile (level, idx, hashes) VALUES ($1, $2, $3)
        ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes";
    let row = |(id, tile): &(TileId, Tile)| row![i32::from(id.level), number(id.index), tile.to_bytes()];
    tx.execute_many(sql, tiles.iter().map(row).collect::<Vec<_>>()).await?;
    Ok(())
}

/// Only the head of the empty log can be there already: two processes start.
async fn checkpoint(tx: &mut Tx, size: u64, now: Micros, note: &str) -> Result<(), Error> {
    let sql =
        "INSERT INTO checkpoint (size, time_us, note) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING";
    tx.execute(sql, args![number(size), now, note]).await?;
    Ok(())
}
