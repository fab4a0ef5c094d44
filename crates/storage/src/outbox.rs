//! Audit events that leave with the transaction they belong to.
//!
//! Events of a group are numbered and inserted together, right before the
//! commit, so their order is the order of commits. The relay reads with
//! [`pending`], hands on, and then says so with [`acknowledge`]; a crash between
//! the two repeats events and never loses or reorders one.

use crate::config::Backend;
use crate::{Db, Error, Row, Tx, args, row};
use probity_types::AuditEvent;

/// Largest `detail` of an event.
pub const MAX_DETAIL_BYTES: usize = 16 * 1024;
/// So many handed-on rows in a table make it worth changing to the other one.
const SPENT_ROWS: i64 = 10_000;

/// Adds an event to the transaction.
///
/// # Errors
/// When it is too large or cannot be encoded.
#[allow(clippy::unused_async)] // stores may need to write at once some day; callers await already
pub async fn append(tx: &mut Tx, event: &AuditEvent) -> Result<(), Error> {
    if event.detail.len() > MAX_DETAIL_BYTES {
        return Err(Error::EventTooLarge {
            action: event.action.clone(),
            size: event.detail.len(),
            limit: MAX_DETAIL_BYTES,
        });
    }
    let text = serde_json::to_string(event)
        .map_err(|error| Error::Unreadable { what: "audit event", reason: error.to_string() })?;
    tx.remember(text);
    Ok(())
}

/// Numbers and inserts the events of a group.
pub(crate) async fn store(tx: &mut Tx, events: Vec<String>) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let sql = "UPDATE probity_outbox_state SET next_seq = next_seq + $1 WHERE id = 1
        RETURNING next_seq - $1, active";
    let state = tx.query_opt(sql, args![count]).await?.ok_or_else(no_state)?;
    let insert = match state.i64(1)? {
        0 => "INSERT INTO probity_outbox_0 (seq, event) VALUES ($1, $2)",
        _ => "INSERT INTO probity_outbox_1 (seq, event) VALUES ($1, $2)",
    };
    let rows = (state.i64(0)?..).zip(events).map(|(seq, event)| row![seq, event]);
    tx.execute_many(insert, rows).await.map(drop)
}

fn no_state() -> Error {
    Error::Unreadable { what: "outbox state", reason: "its row is missing".to_owned() }
}

/// Events that were not handed on yet and come after `after_seq`, in order.
///
/// # Errors
/// When the store is away or an event cannot be read back.
pub async fn pending(db: &Db, after_seq: i64, limit: u32) -> Result<Vec<(i64, AuditEvent)>, Error> {
    let sql = "SELECT seq, event FROM (
            SELECT seq, event FROM probity_outbox_0 UNION ALL SELECT seq, event FROM probity_outbox_1
        ) AS rows
        WHERE seq > $1 AND seq > (SELECT acknowledged FROM probity_outbox_state WHERE id = 1)
        ORDER BY seq LIMIT $2";
    let rows = db.query(sql, args![after_seq, limit]).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<(i64, AuditEvent), Error> {
    let seq = row.i64(0)?;
    let event = serde_json::from_str(row.str(1)?).map_err(|error| Error::Unreadable {
        what: "audit event",
        reason: format!("number {seq}: {error}"),
    })?;
    Ok((seq, event))
}

/// The number of the newest event that was handed on; 0 when there is none.
///
/// # Errors
/// When the store is away.
pub async fn acknowledged(db: &Db) -> Result<i64, Error> {
    let sql = "SELECT acknowledged FROM probity_outbox_state WHERE id = 1";
    db.query_opt(sql, args![]).await?.ok_or_else(no_state)?.i64(0)
}

/// How many events wait to be handed on.
///
/// # Errors
/// When the store is away.
pub async fn backlog(db: &Db) -> Result<i64, Error> {
    let sql = "SELECT next_seq - 1 - acknowledged FROM probity_outbox_state WHERE id = 1";
    db.query_opt(sql, args![]).await?.ok_or_else(no_state)?.i64(0)
}

/// Says that everything up to `up_to_seq` was handed on.
///
/// # Errors
/// When the store is away; then the events will be handed on again.
pub async fn acknowledge(db: &Db, up_to_seq: i64) -> Result<(), Error> {
    let due = db.write(move |tx| Box::pin(async move { mark(tx, up_to_seq).await })).await?;
    if !due {
        return Ok(());
    }
    match db.write(|tx| Box::pin(async move { rotate(tx).await })).await {
        // A long reader, such as a backup, holds the table: next time.
        Err(Error::Conflict { .. }) => Ok(()),
        other => other,
    }
}

/// Moves the mark forward; answers whether the tables may take turns.
async fn mark(tx: &mut Tx, up_to_seq: i64) -> Result<bool, Error> {
    let sql = "UPDATE probity_outbox_state SET acknowledged = $1
        WHERE id = 1 AND acknowledged < $1 AND next_seq > $1
        RETURNING acknowledged, boundary, spare";
    let Some(state) = tx.query_opt(sql, args![up_to_seq]).await? else { return Ok(false) };
    Ok(turn(state.i64(0)?, state.i64(1)?, state.bool(2)?) != Turn::Stay)
}

#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Stay,
    /// Everything in the other table was handed on: empty it.
    Empty,
    /// The other table is empty and enough of this one was handed on: change over.
    Change,
}

const fn turn(acknowledged: i64, boundary: i64, spare: bool) -> Turn {
    match spare {
        false if acknowledged >= boundary - 1 => Turn::Empty,
        true if acknowledged - boundary + 1 >= SPENT_ROWS => Turn::Change,
        _ => Turn::Stay,
    }
}

async fn rotate(tx: &mut Tx) -> Result<(), Error> {
    let (columns, table) = ("acknowledged, boundary, spare, active, next_seq", "probity_outbox_state");
    let wait = if tx.backend() == Backend::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!("SELECT {columns} FROM {table} WHERE id = 1 {wait}");
    let state = tx.query_opt(&sql, args![]).await?.ok_or_else(no_state)?;
    let (active, next_seq) = (state.i64(3)?, state.i64(4)?);
    match turn(state.i64(0)?, state.i64(1)?, state.bool(2)?) {
        Turn::Stay => Ok(()),
        Turn::Empty => empty(tx, 1 - active).await,
        Turn::Change => {
            let sql =
                "UPDATE probity_outbox_state SET active = 1 - active, boundary = $1, spare = 0 WHERE id = 1";
            tx.execute(sql, args![next_seq]).await.map(drop)
        }
    }
}

/// Without a `WHERE`, SQLite too drops the pages as a whole.
async fn empty(tx: &mut Tx, table: i64) -> Result<(), Error> {
    match tx.backend() {
        Backend::Sqlite => {
            tx.execute(&format!("DELETE FROM probity_outbox_{table}"), args![]).await.map(drop)?
        }
        Backend::Postgres => {
            let wait = "SET LOCAL lock_timeout = 100";
            tx.script(&format!("{wait}; TRUNCATE probity_outbox_{table}; SET LOCAL lock_timeout = 0"))
                .await?;
        }
    }
    tx.execute("UPDATE probity_outbox_state SET spare = 1 WHERE id = 1", args![]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_take_turns() {
        let check = |acknowledged: i64, boundary: i64, spare: bool, expect: Turn| {
            assert_eq!(turn(acknowledged, boundary, spare), expect, "{acknowledged} {boundary} {spare}");
        };
        check(0, 1, true, Turn::Stay);
        check(SPENT_ROWS - 1, 1, true, Turn::Stay);
        check(SPENT_ROWS, 1, true, Turn::Change);
        check(SPENT_ROWS, SPENT_ROWS + 6, false, Turn::Stay);
        check(SPENT_ROWS + 5, SPENT_ROWS + 6, false, Turn::Empty);
        check(SPENT_ROWS + 50, SPENT_ROWS + 6, false, Turn::Empty);
        check(SPENT_ROWS + 50, SPENT_ROWS + 6, true, Turn::Stay);
    }
}
