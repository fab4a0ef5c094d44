//! The rows of the log: one SQL text for SQLite and PostgreSQL.
//!
//! Reading is here, the one write in [`write`]. Nothing here verifies what it
//! reads; who serves or checks it does.

mod sql;
pub(crate) mod write;

use crate::convert;
use crate::domain::check::{Mark, Row};
use crate::domain::page::{Filter, Logged};
use crate::error::Error;
use probity_merkle::{Tile, TileId};
use probity_storage::{Db, Migration, Row as DbRow, Value, args};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use uuid::Uuid;

/// The tables of the log.
pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "log", sql: include_str!("../migrations/0001_log.sql") }];

/// Entries without a case are listed by looking through the log; at most so many
/// are looked through for one page.
const WINDOW: u64 = 100_000;

/// The store of the log.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    db: Db,
}

/// What a list of entries reads at once.
#[derive(Debug)]
pub(crate) struct Reach {
    /// Where it begins,
    pub(crate) from: u64,
    /// the size of the log it shows,
    pub(crate) size: u64,
    /// and how many rows it takes at most.
    pub(crate) limit: usize,
}

/// The ends of the store, read in one go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The size the writer goes by.
    pub(crate) head: i64,
    /// Size of the newest checkpoint; 0 when there is none.
    pub(crate) newest: i64,
    /// A row with an index below 0 or past the newest checkpoint.
    pub(crate) stray: Option<i64>,
}

impl Store {
    pub(crate) const fn new(db: Db) -> Self {
        Self { db }
    }

    /// The newest checkpoint of at most a size.
    pub(crate) async fn checkpoint(&self, most: u64) -> Result<Option<Mark>, Error> {
        let sql = "SELECT size, note FROM checkpoint WHERE size <= $1 ORDER BY size DESC LIMIT 1";
        self.db.query_opt(sql, args![number(most)]).await?.as_ref().map(mark).transpose()
    }

    /// When a checkpoint was signed, in microseconds; 0 when there is none of that size.
    pub(crate) async fn checkpoint_time(&self, size: u64) -> Result<i64, Error> {
        let sql = "SELECT time_us FROM checkpoint WHERE size = $1";
        let row = self.db.query_opt(sql, args![number(size)]).await?;
        Ok(row.map(|row| row.i64(0)).transpose()?.unwrap_or(0))
    }

    /// The newest checkpoints, the newest first.
    pub(crate) async fn newest_checkpoints(&self, count: i64) -> Result<Vec<Mark>, Error> {
        let sql = "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT $1";
        self.db.query(sql, args![count]).await?.iter().map(mark).collect()
    }

    /// The checkpoints of the sizes past the start of a range, its end included.
    pub(crate) async fn checkpoints_in(&self, range: &Range<u64>) -> Result<Vec<Mark>, Error> {
        let sql = "SELECT size, note FROM checkpoint WHERE size > $1 AND size <= $2 ORDER BY size";
        let rows = self.db.query(sql, args![number(range.start), number(range.end)]).await?;
        rows.iter().map(mark).collect()
    }

    /// Those of the tiles that are there and readable.
    pub(crate) async fn tiles(
        &self,
        ids: impl IntoIterator<Item = TileId>,
    ) -> Result<HashMap<TileId, Tile>, Error> {
        let mut levels: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
        ids.into_iter().for_each(|id| levels.entry(id.level).or_default().push(id.index));
        let mut tiles = HashMap::new();
        for (level, indices) in levels {
            for chunk in sql::chunks(&indices) {
                let sql = format!(
                    "SELECT idx, hashes FROM tile WHERE level = $1 AND idx IN ({})",
                    sql::list(2, chunk.len())
                );
                let mut args = args![i32::from(level)];
                args.extend(chunk.iter().map(|index| Value::from(number(*index))));
                for row in self.db.query(&sql, args).await? {
                    let id = TileId { level, index: unsigned(row.i64(0)?)? };
                    // A damaged tile is as good as none.
                    tiles.extend(Tile::from_bytes(&row.bytes(1)?).ok().map(|tile| (id, tile)));
                }
            }
        }
        Ok(tiles)
    }

    /// The entry at an index, if it is of this tenant.
    pub(crate) async fn entry(&self, tenant: &str, index: u64) -> Result<Option<Logged>, Error> {
        let sql = "SELECT idx, leaf FROM entry WHERE idx = $1 AND tenant = $2";
        self.db.query_opt(sql, args![number(index), tenant]).await?.as_ref().map(logged).transpose()
    }

    /// The entry of an event, if it is of this tenant.
    pub(crate) async fn entry_of_event(&self, tenant: &str, event: Uuid) -> Result<Option<Logged>, Error> {
        let sql = "SELECT idx, leaf FROM entry WHERE event_id = $1 AND tenant = $2";
        self.db.query_opt(sql, args![event, tenant]).await?.as_ref().map(logged).transpose()
    }

    /// Entries of a list in the order of the log, and the index at which the
    /// reading stopped.
    pub(crate) async fn list(&self, filter: &Filter, reach: &Reach) -> Result<(Vec<Logged>, u64), Error> {
        let window = if filter.case.is_empty() { WINDOW } else { u64::MAX };
        let end = reach.size.min(reach.from.saturating_add(window));
        let limit = i64::try_from(reach.limit).unwrap_or(i64::MAX);
        let mut args = args![filter.tenant.as_str(), number(reach.from), number(end), limit];
        let mut sql = String::from("SELECT idx, leaf FROM entry WHERE idx >= $2 AND idx < $3 AND ");
        // The concatenation keeps planners away from the index by case, which
        // would have to be sorted.
        sql.push_str(if filter.case.is_empty() { "tenant || '' = $1" } else { "tenant = $1" });
        if !filter.case.is_empty() {
            args.push(filter.case.as_str().into());
            sql.push_str(&format!(" AND case_name <> '' AND case_name = ${}", args.len()));
        }
        if !filter.action.is_empty() {
            args.push(filter.action.as_str().into());
            sql.push_str(&format!(" AND action = ${}", args.len()));
        }
        sql.push_str(" ORDER BY idx LIMIT $4");
        let rows = self.db.query(&sql, args).await?;
        Ok((rows.iter().map(logged).collect::<Result<_, _>>()?, end))
    }

    /// How many entries a case has in a log of that size.
    pub(crate) async fn count(&self, tenant: &str, case: &str, size: u64) -> Result<u64, Error> {
        let sql = "SELECT COUNT(*) FROM entry
            WHERE tenant = $1 AND case_name <> '' AND case_name = $2 AND idx < $3";
        let row = self.db.query_opt(sql, args![tenant, case, number(size)]).await?;
        row.map_or(Ok(0), |row| unsigned(row.i64(0)?))
    }

    /// Every row with an index in a range. A page more than full is cut: one row
    /// too many is enough to see that one is there twice.
    pub(crate) async fn rows(&self, range: &Range<u64>) -> Result<Vec<Row>, Error> {
        let sql = "SELECT idx, leaf, event_id, tenant, case_name, action FROM entry
            WHERE idx >= $1 AND idx < $2 ORDER BY idx LIMIT $3";
        let limit = number(range.end - range.start + 1);
        let rows = self.db.query(sql, args![number(range.start), number(range.end), limit]).await?;
        rows.iter().map(checked_row).collect()
    }

    /// The first index past one.
    pub(crate) async fn next_index(&self, index: u64) -> Result<Option<i64>, Error> {
        let sql = "SELECT MIN(idx) FROM entry WHERE idx > $1";
        let row = self.db.query_opt(sql, args![number(index)]).await?;
        Ok(row.map(|row| row.opt_i64(0)).transpose()?.flatten())
    }

    /// The ends of the store.
    pub(crate) async fn bounds(&self) -> Result<Bounds, Error> {
        let sql = "SELECT
            (SELECT MAX(size) FROM log_head),
            (SELECT MAX(size) FROM checkpoint),
            (SELECT MIN(idx) FROM entry WHERE idx < 0),
            (SELECT MIN(idx) FROM entry WHERE idx >= (SELECT COALESCE(MAX(size), 0) FROM checkpoint))";
        let row =
            self.db.query_opt(sql, args![]).await?.ok_or_else(|| Error::damaged("the store is empty"))?;
        Ok(Bounds {
            head: row.opt_i64(0)?.unwrap_or(-1),
            newest: row.opt_i64(1)?.unwrap_or(0),
            stray: row.opt_i64(2)?.or(row.opt_i64(3)?),
        })
    }
}

fn mark(row: &DbRow) -> Result<Mark, Error> {
    Ok(Mark { size: unsigned(row.i64(0)?)?, note: row.text(1)? })
}

fn logged(row: &DbRow) -> Result<Logged, Error> {
    Ok(Logged { index: unsigned(row.i64(0)?)?, leaf: row.bytes(1)? })
}

fn checked_row(row: &DbRow) -> Result<Row, Error> {
    let (index, leaf) = (row.i64(0)?, row.bytes(1)?);
    let columns = (row.bytes(2)?, row.text(3)?, row.text(4)?, row.text(5)?);
    let misfiled = convert::misfiled(&leaf, &columns.0, &columns.1, &columns.2, &columns.3);
    Ok(Row { index, leaf, misfiled })
}

/// Sizes and indices are `BIGINT`; no log reaches the end of it.
fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> Result<u64, Error> {
    u64::try_from(n).map_err(|_| Error::damaged(format!("the store holds the index or size {n}")))
}
