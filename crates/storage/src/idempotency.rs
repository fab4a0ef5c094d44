//! Answers to requests with an idempotency key.
//!
//! Where the effect is in this store, its answer is stored in the same transaction
//! ([`lookup`], [`record`]), so a request that is sent again after an unknown
//! outcome gets the first answer and has no second effect. How long these records
//! live is the owner's choice: see [`purge`].
//!
//! Where it is elsewhere, or in many transactions, [`Runs`] remembers who runs a
//! request and what was answered; `probity_resilience::idempotency` has the rules.

mod runs;

pub use runs::Runs;

use crate::{Db, Error, Tx, args, row};
use probity_types::Micros;

/// Rows deleted in one transaction.
const PURGE_ROWS: i64 = 1_000;

/// Which request it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whose.
    pub tenant: String,
    /// The method; the same key in two methods is two requests.
    pub operation: &'static str,
    /// The key of the caller.
    pub key: String,
    /// Hash of the body: the same key with another body is refused.
    pub body_sha256: [u8; 32],
}

/// The answer stored for this request, if it was carried out before.
///
/// # Errors
/// [`Error::KeyReused`] when the key came with another body.
pub async fn lookup(tx: &mut Tx, scope: &Scope) -> Result<Option<Vec<u8>>, Error> {
    let answer = answer_of(tx, scope).await?;
    if answer.is_some() {
        tx.count_keys(1, 1);
    }
    Ok(answer)
}

/// As [`lookup`] for a request that [`try_record_all`] has taken.
///
/// # Errors
/// As [`lookup`].
pub async fn answer_of(tx: &mut Tx, scope: &Scope) -> Result<Option<Vec<u8>>, Error> {
    let sql = "SELECT body_sha256, response FROM probity_idempotency
        WHERE tenant = $1 AND operation = $2 AND key = $3";
    let row = tx.query_opt(sql, args![&scope.tenant, scope.operation, &scope.key]).await?;
    let Some(row) = row else { return Ok(None) };
    if row.blob(0)? != scope.body_sha256 {
        return Err(Error::KeyReused { key: scope.key.clone() });
    }
    row.bytes(1).map(Some)
}

/// Stores the answers of many requests in one trip, passing over those whose key is
/// taken, by an earlier request or by one before it in the list. Answers whether
/// none was: only after `false` does [`answer_of`] tell more than is known already.
///
/// # Errors
/// When the store is away.
pub async fn try_record_all<'a, I>(tx: &mut Tx, requests: I, now: Micros) -> Result<bool, Error>
where
    I: IntoIterator<Item = (&'a Scope, &'a [u8])>,
{
    let sql = "INSERT INTO probity_idempotency (tenant, operation, key, body_sha256, response, created_us)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let rows: Vec<_> = requests
        .into_iter()
        .map(|(scope, response)| {
            row![&*scope.tenant, scope.operation, &*scope.key, scope.body_sha256.as_slice(), response, now]
        })
        .collect();
    let asked = rows.len() as u64;
    let new = tx.execute_many(sql, rows).await?;
    tx.count_keys(asked, asked.saturating_sub(new));
    Ok(new == asked)
}

/// Stores the answer of this request.
///
/// # Errors
/// [`Error::KeyInUse`] when another process carried it out in the meantime: the
/// operation must end, and the request sent again will find the other's answer.
pub async fn record(tx: &mut Tx, scope: &Scope, response: &[u8], now: Micros) -> Result<(), Error> {
    let sql = "INSERT INTO probity_idempotency (tenant, operation, key, body_sha256, response, created_us)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let row = args![&scope.tenant, scope.operation, &scope.key, &scope.body_sha256, response, now];
    tx.count_keys(1, 0);
    match tx.execute(sql, row).await {
        Err(Error::Unique { .. }) => Err(Error::KeyInUse { key: scope.key.clone() }),
        other => other.map(drop),
    }
}

/// Requests with a key, of both sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Under way.
    pub processing: i64,
    /// With a stored answer; each sort counted up to a million.
    pub completed: i64,
    /// Failed; they may be sent again.
    pub failed: i64,
    /// Of all of them, those that are forgotten soon.
    pub expiring: i64,
}

/// Counts requests with a key. Of the answers stored with their effect, those made
/// before `before` expire soon; of the others, those whose life ends by `soon`.
///
/// # Errors
/// When the store is away.
pub async fn statistics(db: &Db, before: Option<Micros>, now: Micros, soon: Micros) -> Result<Counts, Error> {
    // Bounded: nobody who looks at the platform may make it read a whole table.
    let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN created_us < $1 THEN 1 ELSE 0 END), 0) AS BIGINT)
        FROM (SELECT created_us FROM probity_idempotency ORDER BY created_us LIMIT 1000000) AS counted";
    let before = before.map_or(i64::MIN, |at| at.0);
    let mut counts = runs::count(db, now, soon).await?;
    if let Some(row) = db.query_opt(sql, args![before]).await? {
        counts.completed += row.i64(0)?;
        counts.expiring += row.i64(1)?;
    }
    Ok(counts)
}

/// Forgets the records made before a point in time; answers how many. Deletes in
/// small transactions, so that other writes go on.
///
/// # Errors
/// When the store is away; what was deleted stays deleted.
pub async fn purge(db: &Db, before: Micros) -> Result<u64, Error> {
    let sql = "DELETE FROM probity_idempotency WHERE (tenant, operation, key) IN (
            SELECT tenant, operation, key FROM probity_idempotency
            WHERE created_us < $1 ORDER BY created_us LIMIT $2)";
    let mut deleted = 0;
    loop {
        let rows = db
            .write(move |tx| Box::pin(async move { tx.execute(sql, args![before, PURGE_ROWS]).await }))
            .await?;
        deleted += rows;
        if rows == 0 {
            return Ok(deleted);
        }
    }
}
