//! Rows of dead letters. The lane writes them with its turns; people review them,
//! and what is over is deleted in small transactions.

mod list;
mod write;

pub(crate) use list::schema;
pub(crate) use write::write;

use super::{Store, id};
use crate::domain::dead_letters::{Slot, State};
use crate::error::Error;
use probity_storage::{Row, Tx, args, outbox};
use probity_types::id::ExecutionId;
use probity_types::{AuditEvent, Micros};
use std::fmt;

/// Letters deleted in one transaction.
const CHUNK: i64 = 500;

/// Which letter: an execution, and the step or item that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LetterId {
    pub(crate) execution: ExecutionId,
    pub(crate) slot: Slot,
}

/// A dead letter as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) id: LetterId,
    pub(crate) case: String,
    pub(crate) definition: String,
    pub(crate) state: i32,
    pub(crate) code: String,
    pub(crate) error: String,
    pub(crate) template: String,
    pub(crate) peer: String,
    pub(crate) operation: String,
    pub(crate) attempts: i32,
    pub(crate) failures: i32,
    /// Empty when it was not read, or is too large for the row.
    pub(crate) payload: String,
    pub(crate) payload_bytes: i64,
    pub(crate) created: Micros,
    pub(crate) opened: Micros,
    pub(crate) updated: Micros,
    pub(crate) reviewer: String,
    pub(crate) note: String,
}

impl Letter {
    pub(crate) const fn is_open(&self) -> bool {
        self.state == State::Failed as i32 || self.state == State::Reviewing as i32
    }
}

/// Open letters of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) failed: i64,
    pub(crate) reviewing: i64,
    /// When the one that waits longest failed.
    pub(crate) oldest: Micros,
}

impl LetterId {
    /// The execution, the step, and after a zero the item: no step has a zero in it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.execution.to_bytes();
        bytes.extend(self.slot.step.as_bytes());
        if let Some(item) = self.slot.item {
            bytes.push(0);
            bytes.extend(item.to_be_bytes());
        }
        bytes
    }

    /// `None` when they are none.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (execution, rest) = bytes.split_at_checked(16)?;
        let (step, item) = match rest.iter().position(|b| *b == 0) {
            Some(at) => (rest.get(..at)?, Some(u32::from_be_bytes(rest.get(at + 1..)?.try_into().ok()?))),
            None => (rest, None),
        };
        let step = std::str::from_utf8(step).ok().filter(|step| !step.is_empty())?.to_owned();
        Some(Self { execution: id(execution).ok()?, slot: Slot { step, item } })
    }
}

/// As in the name of the letter: execution, step and item.
impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.execution, self.slot.step)?;
        self.slot.item.map_or(Ok(()), |item| write!(f, ".{item}"))
    }
}

/// A person looks at a letter.
pub(crate) struct Review {
    pub(crate) tenant: String,
    pub(crate) id: LetterId,
    pub(crate) actor: String,
    /// Empty: the note stays.
    pub(crate) note: String,
    pub(crate) now: Micros,
    pub(crate) event: AuditEvent,
}

impl Store {
    /// A letter with its payload.
    pub(crate) async fn letter(&self, tenant: &str, id: &LetterId) -> Result<Letter, Error> {
        let sql =
            format!("SELECT {}, payload FROM dead_letters WHERE tenant = $1 AND id = $2", list::COLUMNS);
        let row = self.db.query_opt(&sql, args![tenant, id.to_bytes()]).await?;
        let row = row.ok_or_else(|| Error::NoLetter(id.to_string()))?;
        list::read(&row, Some(list::COUNT))
    }

    /// Says who looks at an open letter; `false` when it is not open.
    pub(crate) async fn review_letter(&self, review: Review) -> Result<bool, Error> {
        self.db.write(move |tx| Box::pin(async move { review_in(tx, review).await })).await
    }

    /// Open letters by tenant.
    pub(crate) async fn open_letters(&self) -> Result<Vec<(String, Open)>, Error> {
        let sql = "SELECT tenant, SUM(CASE WHEN state = 1 THEN 1 ELSE 0 END), SUM(CASE WHEN state = 2 THEN 1 ELSE 0 END),
                MIN(opened_us) FROM dead_letters WHERE state < 3 GROUP BY tenant";
        let read = |row: &Row| {
            let (failed, reviewing) = (row.i64(1)?, row.i64(2)?);
            Ok((row.text(0)?, Open { failed, reviewing, oldest: Micros(row.i64(3)?) }))
        };
        self.db.query(sql, args![]).await?.iter().map(read).collect()
    }

    /// Open letters of a tenant; `None` when it has none.
    pub(crate) async fn open_letters_of(&self, tenant: &str) -> Result<Option<Open>, Error> {
        let sql =
            "SELECT SUM(CASE WHEN state = 1 THEN 1 ELSE 0 END), SUM(CASE WHEN state = 2 THEN 1 ELSE 0 END),
                MIN(opened_us) FROM dead_letters WHERE tenant = $1 AND state < 3 GROUP BY tenant";
        let read =
            |row: &Row| Ok(Open { failed: row.i64(0)?, reviewing: row.i64(1)?, oldest: Micros(row.i64(2)?) });
        self.db.query(sql, args![tenant]).await?.first().map(read).transpose()
    }

    /// Deletes finished letters of all tenants that did not change since `before`.
    pub(crate) async fn purge_letters(&self, before: Micros) -> Result<u64, Error> {
        let sql = "DELETE FROM dead_letters WHERE (tenant, id) IN (SELECT tenant, id FROM dead_letters
            WHERE state >= 3 AND updated_us < $1 ORDER BY updated_us LIMIT $2)";
        let mut purged = 0;
        loop {
            let deleted = self
                .db
                .write(move |tx| Box::pin(async move { tx.execute(sql, args![before.0, CHUNK]).await }))
                .await
                .map_err(|e: probity_storage::Error| Error::Store(e))?;
            purged += deleted;
            if deleted < CHUNK.unsigned_abs() {
                return Ok(purged);
            }
        }
    }

    /// How many discarded letters of a tenant did not change since `before`.
    pub(crate) async fn discarded_letters(&self, tenant: &str, before: Micros) -> Result<i64, Error> {
        let sql = "SELECT COUNT(*) FROM dead_letters WHERE tenant = $1 AND state = 4 AND updated_us < $2";
        let row = self.db.query_opt(sql, args![tenant, before.0]).await?;
        row.map_or(Ok(0), |row| Ok(row.i64(0)?))
    }

    /// Deletes discarded letters of a tenant that did not change since `before`.
    /// `event` makes the entry of the audit log for each transaction, from how many
    /// it deleted.
    pub(crate) async fn clear_letters(
        &self,
        tenant: &str,
        before: Micros,
        event: impl Fn(u64) -> AuditEvent + Send + Sync + Clone + 'static,
    ) -> Result<u64, Error> {
        let mut cleared = 0;
        loop {
            let (tenant, event) = (tenant.to_owned(), event.clone());
            let deleted = self.db.write(move |tx| Box::pin(clear_some(tx, tenant, before, event))).await?;
            cleared += deleted;
            if deleted < CHUNK.unsigned_abs() {
                return Ok(cleared);
            }
        }
    }

    /// Puts an event into the outbox.
    pub(crate) async fn record(&self, event: AuditEvent) -> Result<(), Error> {
        self.db
            .write(move |tx| Box::pin(async move { outbox::append(tx, &event).await.map_err(Error::Store) }))
            .await
    }
}

async fn clear_some(
    tx: &mut Tx,
    tenant: String,
    before: Micros,
    event: impl Fn(u64) -> AuditEvent + Send,
) -> Result<u64, Error> {
    let sql = "DELETE FROM dead_letters WHERE tenant = $1 AND id IN (SELECT id FROM dead_letters
        WHERE tenant = $1 AND state = 4 AND updated_us < $2 LIMIT $3)";
    let deleted = tx.execute(sql, args![tenant, before.0, CHUNK]).await?;
    if deleted > 0 {
        outbox::append(tx, &event(deleted)).await?;
    }
    Ok(deleted)
}

async fn review_in(tx: &mut Tx, review: Review) -> Result<bool, Error> {
    let sql = "UPDATE dead_letters SET state = 2, reviewer = $1, updated_us = $2,
            note = CASE WHEN $3 = '' THEN note ELSE $3 END
        WHERE tenant = $4 AND id = $5 AND state < 3";
    let row = args![review.actor, review.now.0, review.note, review.tenant, review.id.to_bytes()];
    let changed = tx.execute(sql, row).await? > 0;
    if changed {
        outbox::append(tx, &review.event).await?;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests;
