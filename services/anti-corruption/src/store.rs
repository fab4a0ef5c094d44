//! What is kept: findings with their dispositions, refused items, watchlists.
//!
//! Every write looks up its idempotency key, changes rows, stores the answer and
//! appends the audit event in one transaction. The tenant is part of every key
//! and of every statement.

mod dispositions;
mod findings;
mod pages;
mod record;
mod watchlists;

pub(crate) use findings::StoredFinding;
pub(crate) use record::Investigated;
pub(crate) use watchlists::{Imported, StoredList};

use crate::error::Error;
use probity_storage::idempotency::{self, Scope};
use probity_storage::{Db, Migration, Tx, Value};
use probity_types::{Ctx, Micros};
use prost::Message;
use sha2::{Digest as _, Sha256};

/// The tables.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "findings", sql: include_str!("../migrations/0001_findings.sql") },
    Migration { version: 2, name: "dispositions", sql: include_str!("../migrations/0002_dispositions.sql") },
];

/// Rows of a multi-row insert: few sizes, so that statements stay prepared.
const CHUNKS: [usize; 3] = [64, 8, 1];

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    db: Db,
}

/// A call that changes something: who makes it, and its idempotency key.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    ctx: Ctx,
    scope: Option<Scope>,
}

impl Request {
    /// A call of a method with a message and perhaps a key.
    pub(crate) fn new(
        operation: &'static str,
        ctx: Ctx,
        key: Option<String>,
        message: &impl Message,
    ) -> Self {
        let body_sha256 = Sha256::digest(message.encode_to_vec()).into();
        let tenant = ctx.tenant.clone();
        Self { ctx, scope: key.map(|key| Scope { tenant, operation, key, body_sha256 }) }
    }

    /// The stored answer, when this call was carried out before.
    async fn stored(&self, tx: &mut Tx) -> Result<Option<Vec<u8>>, Error> {
        match &self.scope {
            Some(scope) => Ok(idempotency::lookup(tx, scope).await?),
            None => Ok(None),
        }
    }

    /// Stores the answer for this call.
    async fn store(&self, tx: &mut Tx, answer: &[u8], now: Micros) -> Result<(), Error> {
        match &self.scope {
            Some(scope) => Ok(idempotency::record(tx, scope, answer, now).await?),
            None => Ok(()),
        }
    }
}

impl Store {
    pub(crate) const fn new(db: Db) -> Self {
        Self { db }
    }

    /// The stored answer of a call that was carried out before.
    pub(crate) async fn answered<T: Message + Default>(&self, request: &Request) -> Result<Option<T>, Error> {
        if request.scope.is_none() {
            return Ok(None);
        }
        let request = request.clone();
        let stored = self.db.write(move |tx| Box::pin(async move { request.stored(tx).await })).await?;
        stored.map(|bytes| decode(&bytes)).transpose()
    }
}

/// Reads back an answer that was stored.
fn decode<T: Message + Default>(bytes: &[u8]) -> Result<T, Error> {
    T::decode(bytes).map_err(|error| Error::Unreadable { what: "answer", reason: error.to_string() })
}

/// Inserts rows, many with each statement. `into` names table and columns, `then`
/// follows the values.
async fn insert(tx: &mut Tx, into: &str, then: &str, rows: Vec<Vec<Value>>) -> Result<(), Error> {
    let columns = rows.first().map_or(0, Vec::len);
    let mut left = rows.len();
    let mut rows = rows.into_iter();
    while left > 0 {
        let size = CHUNKS.into_iter().find(|size| *size <= left).unwrap_or(1);
        let args = rows.by_ref().take(size).flatten().collect();
        tx.execute(&format!("INSERT INTO {into} VALUES {} {then}", places(size, columns)), args).await?;
        left -= size;
    }
    Ok(())
}

/// `($1, $2), ($3, $4)`.
fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let places: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_on() {
        assert_eq!(places(2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(places(1, 1), "($1)");
    }
}
