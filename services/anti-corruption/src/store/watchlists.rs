//! Watchlists with their entries.

use super::{Request, Store, decode, insert};
use crate::convert;
use crate::domain::watchlist::{Entry, List};
use crate::error::Error;
use probity_proto::anticorruption as pb;
use probity_storage::{Row, Tx, Value, args, outbox};
use probity_types::{AuditEvent, Micros};
use prost::Message as _;
use serde_json::json;

/// From how many entries a list that loses half of them is taken for damaged.
const LARGE_LIST: i64 = 1_000;

/// A list as it is stored, without its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredList {
    pub(crate) name: String,
    pub(crate) entries: i64,
    pub(crate) aliases: i64,
    pub(crate) sha256: String,
    pub(crate) rows_refused: i64,
    pub(crate) loaded: Micros,
}

impl StoredList {
    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            name: row.text(0)?,
            entries: row.i64(1)?,
            aliases: row.i64(2)?,
            sha256: row.text(3)?,
            rows_refused: row.i64(4)?,
            loaded: Micros(row.i64(5)?),
        })
    }
}

/// A list that is to be stored.
pub(crate) struct Imported {
    /// Its name.
    pub(crate) name: String,
    /// Its entries.
    pub(crate) list: List,
    /// Hash of the documents it came from.
    pub(crate) sha256: String,
    /// When.
    pub(crate) now: Micros,
}

impl Imported {
    fn row(&self) -> StoredList {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        StoredList {
            name: self.name.clone(),
            entries: number(self.list.entries.len()),
            aliases: number(self.list.aliases()),
            sha256: self.sha256.clone(),
            rows_refused: i64::try_from(self.list.rows_refused).unwrap_or(i64::MAX),
            loaded: self.now,
        }
    }
}

impl Store {
    /// The lists of a tenant, by name.
    pub(crate) async fn watchlists(&self, tenant: &str) -> Result<Vec<StoredList>, Error> {
        let sql = "SELECT name, entries, aliases, sha256, rows_refused, loaded_us FROM watchlist
            WHERE tenant = $1 ORDER BY name";
        self.db.query(sql, args![tenant]).await?.iter().map(StoredList::read).collect()
    }

    /// The tenants that have lists.
    pub(crate) async fn tenants_with_lists(&self) -> Result<Vec<String>, Error> {
        let rows = self.db.query("SELECT DISTINCT tenant FROM watchlist ORDER BY tenant", args![]).await?;
        rows.iter().map(|row| Ok(row.text(0)?)).collect()
    }

    /// The entries of a list, in order.
    pub(crate) async fn entries(&self, tenant: &str, name: &str) -> Result<List, Error> {
        let sql = "SELECT entry_id, name, kind, programs, aliases FROM watchlist_entry
            WHERE tenant = $1 AND watchlist = $2 ORDER BY position";
        let rows = self.db.query(sql, args![tenant, name]).await?;
        Ok(List { entries: rows.iter().map(read_entry).collect::<Result<_, _>>()?, rows_refused: 0 })
    }

    /// Replaces a list as a whole, or refuses and leaves the old one in force.
    pub(crate) async fn import(&self, request: Request, imported: Imported) -> Result<pb::Watchlist, Error> {
        let stored = self.db.write(move |tx| {
            Box::pin(async move {
                if let Some(answer) = request.stored(tx).await? {
                    return Ok(answer);
                }
                let row = imported.row();
                replace(tx, &request.ctx.tenant, &row, &imported.list).await?;
                let event = AuditEvent::new(
                    &request.ctx,
                    imported.now,
                    "watchlist.imported",
                    format!("watchlists/{}", row.name),
                );
                let event = event.with_detail(&json!({
                    "entries": row.entries,
                    "aliases": row.aliases,
                    "rows_refused": row.rows_refused,
                    "sha256": row.sha256,
                }));
                outbox::append(tx, &event).await?;
                let answer = convert::watchlist(&row).encode_to_vec();
                request.store(tx, &answer, imported.now).await?;
                Ok::<_, Error>(answer)
            })
        });
        decode(&stored.await?)
    }
}

async fn replace(tx: &mut Tx, tenant: &str, row: &StoredList, list: &List) -> Result<(), Error> {
    let sql = "SELECT entries FROM watchlist WHERE tenant = $1 AND name = $2";
    let old = tx.query_opt(sql, args![tenant, &row.name]).await?.map_or(Ok(0), |row| row.i64(0))?;
    if old >= LARGE_LIST && row.entries < old / 2 {
        let reason = format!(
            "it has {} entries where the list in force has {old}; a list that lost half of its entries is taken for \
             cut off (import it under another name if it is right)",
            row.entries
        );
        return Err(Error::Watchlist { name: row.name.clone(), reason });
    }
    let sql = "DELETE FROM watchlist_entry WHERE tenant = $1 AND watchlist = $2";
    tx.execute(sql, args![tenant, &row.name]).await?;
    let entries =
        (0_i64..).zip(&list.entries).map(|(position, entry)| entry_row(tenant, row, position, entry));
    let into = "watchlist_entry (tenant, watchlist, position, entry_id, name, kind, programs, aliases)";
    insert(tx, into, "", entries.collect()).await?;
    let sql = "INSERT INTO watchlist (tenant, name, entries, aliases, sha256, rows_refused, loaded_us)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (tenant, name) DO UPDATE SET entries = excluded.entries, aliases = excluded.aliases,
            sha256 = excluded.sha256, rows_refused = excluded.rows_refused, loaded_us = excluded.loaded_us";
    let row = args![tenant, &row.name, row.entries, row.aliases, &row.sha256, row.rows_refused, row.loaded];
    tx.execute(sql, row).await?;
    Ok(())
}

fn entry_row(tenant: &str, list: &StoredList, position: i64, entry: &Entry) -> Vec<Value> {
    let aliases = json!(entry.aliases).to_string();
    args![tenant, &list.name, position, &entry.id, &entry.name, &entry.kind, &entry.programs, aliases]
}

fn read_entry(row: &Row) -> Result<Entry, Error> {
    let aliases = serde_json::from_str(&row.text(4)?)
        .map_err(|error| Error::Unreadable { what: "watchlist entry", reason: error.to_string() })?;
    Ok(Entry { id: row.text(0)?, name: row.text(1)?, kind: row.text(2)?, programs: row.text(3)?, aliases })
}
