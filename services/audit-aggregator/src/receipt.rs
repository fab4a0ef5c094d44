//! Makes receipts: entries, their proofs and one checkpoint.

use crate::convert;
use crate::domain::page::{Filter, Logged};
use crate::error::Error;
use crate::log::Head;
use crate::nodes::Nodes;
use crate::store::{Reach, Store};
use probity_merkle::receipt::{MAX_ENTRIES, ProvedEntry};
use probity_merkle::{Checkpoint, Hash, Receipt, inclusion_nodes, leaf_hash, verify_inclusion};

/// Entries that are read and proved together.
const CHUNK: usize = 256;

/// The receipt of all entries of a case, cut at the limits of a receipt.
pub(crate) async fn of_case(store: &Store, head: &Head, tenant: &str, case: &str) -> Result<Receipt, Error> {
    let size = head.checkpoint.size;
    let total = store.count(tenant, case, size).await?;
    if total == 0 {
        return Err(Error::NotFound { name: case.to_owned() });
    }
    let filter = Filter { tenant: tenant.to_owned(), case: case.to_owned(), action: String::new() };
    let mut nodes = Nodes::new(store);
    let (mut entries, mut from, mut room) = (Vec::new(), 0, convert::MAX_RECEIPT_BYTES);
    while entries.len() < MAX_ENTRIES {
        let limit = CHUNK.min(MAX_ENTRIES - entries.len());
        let (rows, _) = store.list(&filter, &Reach { from, size, limit }).await?;
        let Some(last) = rows.last() else { break };
        from = last.index + 1;
        let proved = prove(&mut nodes, &head.checkpoint, rows).await?;
        let read = proved.len();
        entries.extend(proved.into_iter().take_while(|entry| fits(entry, &mut room)));
        if room == 0 || read < limit {
            break;
        }
    }
    Ok(Receipt::new(case, total, entries, head.note.clone()))
}

/// The receipt of one entry.
pub(crate) async fn of_entry(store: &Store, head: &Head, entry: Logged) -> Result<Receipt, Error> {
    let name = convert::entry_name(entry.index);
    let entries = prove(&mut Nodes::new(store), &head.checkpoint, vec![entry]).await?;
    Ok(Receipt::new(&name, 1, entries, head.note.clone()))
}

/// Takes the room of an entry in JSON; once one does not fit, none does.
fn fits(entry: &ProvedEntry, room: &mut usize) -> bool {
    let hashes = entry.inclusion.len() * (Hash::LEN.div_ceil(3) * 4 + 3);
    let need = entry.leaf.len().div_ceil(3) * 4 + hashes + 64;
    *room = room.checked_sub(need).unwrap_or(0);
    *room > 0
}

async fn prove(
    nodes: &mut Nodes<'_>,
    head: &Checkpoint,
    rows: Vec<Logged>,
) -> Result<Vec<ProvedEntry>, Error> {
    let plans: Vec<_> = rows
        .iter()
        .map(|row| inclusion_nodes(row.index, head.size))
        .collect::<Result<_, _>>()
        .map_err(Error::damaged)?;
    nodes.load(&plans).await?;
    let prove = |(row, plan): (Logged, _)| {
        let inclusion = nodes.fold(plan)?;
        verify_inclusion(row.index, head.size, &leaf_hash(&row.leaf), &inclusion, &head.root)
            .map_err(|error| Error::damaged(format!("{}: {error}", convert::entry_name(row.index))))?;
        Ok(ProvedEntry { index: row.index, leaf: row.leaf, inclusion })
    };
    rows.into_iter().zip(&plans).map(prove).collect()
}
