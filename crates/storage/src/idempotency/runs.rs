//! Requests whose effect is not in this store: who runs them, and their answers.

use super::Counts;
use crate::{Db, Error, Row, Tx, args};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use probity_resilience::idempotency::{Begun, Fence, Fingerprint, Key, Statistics, Store, StoreError};
use probity_types::Micros;
use std::time::Duration;

const PROCESSING: i64 = 1;
const COMPLETED: i64 = 2;
const FAILED: i64 = 3;

/// A [`Store`] in the tables of a service. Several processes may share it on
/// PostgreSQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runs(Db);

impl Runs {
    /// The requests of a service.
    #[must_use]
    pub const fn new(db: Db) -> Self {
        Self(db)
    }
}

/// A request that asks to be run.
struct Asked {
    key: Key,
    body: Fingerprint,
    now: Micros,
    lease: Micros,
    expires: Micros,
}

/// Takes the key when nobody has it: it is new, over, failed, or its lease is. Fences
/// are points in time, so that they grow even when a record was deleted between.
const TAKE: &str = "INSERT INTO probity_idempotency_run AS r
    (tenant, operation, key, body_sha256, state, fence, lease_us, expires_us, response)
    VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8)
    ON CONFLICT (tenant, operation, key) DO UPDATE SET
        body_sha256 = excluded.body_sha256, state = 1, lease_us = excluded.lease_us,
        expires_us = excluded.expires_us, response = excluded.response,
        fence = CASE WHEN r.fence >= excluded.fence THEN r.fence + 1 ELSE excluded.fence END
    WHERE r.expires_us <= $5 OR (r.body_sha256 = excluded.body_sha256
        AND (r.state = 3 OR (r.state = 1 AND r.lease_us <= $5)))
    RETURNING fence";

async fn begin(tx: &mut Tx, asked: &Asked) -> Result<Begun, Error> {
    let Asked { key, body, now, lease, expires } = asked;
    let (tenant, operation, name) = (&key.tenant, &key.operation, &key.key);
    let values = args![tenant, operation, name, &body.0, *now, *lease, *expires, Vec::<u8>::new()];
    if let Some(row) = tx.query_opt(TAKE, values).await? {
        tx.count_keys(1, 0);
        return Ok(Begun::Run(fence(&row, 0)?));
    }
    let sql = "SELECT body_sha256, state, lease_us, response FROM probity_idempotency_run
        WHERE tenant = $1 AND operation = $2 AND key = $3";
    let Some(row) = tx.query_opt(sql, args![tenant, operation, name]).await? else {
        // Deleted in this moment: whoever waits looks again.
        return Ok(Begun::Processing { until: *now });
    };
    if row.blob(0)? != body.0 {
        return Ok(Begun::OtherBody);
    }
    match row.i64(1)? {
        COMPLETED => {
            tx.count_keys(1, 1);
            Ok(Begun::Completed(row.bytes(3)?))
        }
        _ => Ok(Begun::Processing { until: Micros(row.i64(2)?) }),
    }
}

fn fence(row: &Row, column: usize) -> Result<Fence, Error> {
    Ok(Fence(u64::try_from(row.i64(column)?).unwrap_or_default()))
}

/// The end of a run: its state, and its answer with a new life when it went well.
struct End {
    key: Key,
    fence: Fence,
    answer: Option<(Vec<u8>, Micros)>,
}

/// Answers whether the run still had its key.
async fn end(tx: &mut Tx, End { key, fence, answer }: End) -> Result<bool, Error> {
    let sql = "UPDATE probity_idempotency_run SET state = $5, response = $6,
            expires_us = CASE WHEN CAST($7 AS BIGINT) = 0 THEN expires_us ELSE $7 END
        WHERE tenant = $1 AND operation = $2 AND key = $3 AND fence = $4 AND state = 1";
    let (state, answer, expires) = match answer {
        Some((answer, expires)) => (COMPLETED, answer, expires),
        None => (FAILED, Vec::new(), Micros(0)),
    };
    let fence = i64::try_from(fence.0).unwrap_or(i64::MAX);
    let values = args![&key.tenant, &key.operation, &key.key, fence, state, answer, expires];
    Ok(tx.execute(sql, values).await? == 1)
}

/// Counts those that live, up to a million.
pub(super) async fn count(db: &Db, now: Micros, soon: Micros) -> Result<Counts, Error> {
    let sql = "SELECT state, COUNT(*), CAST(COALESCE(SUM(CASE WHEN expires_us <= $2 THEN 1 ELSE 0 END), 0) AS BIGINT)
        FROM (SELECT state, expires_us FROM probity_idempotency_run WHERE expires_us > $1
            ORDER BY expires_us LIMIT 1000000) AS counted
        GROUP BY state";
    let mut counts = Counts::default();
    for row in db.query(sql, args![now, soon]).await? {
        let many = row.i64(1)?;
        match row.i64(0)? {
            PROCESSING => counts.processing = many,
            COMPLETED => counts.completed = many,
            _ => counts.failed = many,
        }
        counts.expiring += row.i64(2)?;
    }
    Ok(counts)
}

fn away(error: Error) -> StoreError {
    StoreError::Backend(Box::new(error))
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

impl Store for Runs {
    fn begin(
        &self,
        key: Key,
        fingerprint: Fingerprint,
        now: Micros,
        lease: Duration,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<Begun, StoreError>> {
        let asked = Asked { key, body: fingerprint, now, lease: now.plus(lease), expires: now.plus(ttl) };
        let begun = self.0.write(move |tx| Box::pin(async move { begin(tx, &asked).await }));
        async move { begun.await.map_err(away) }.boxed()
    }

    fn complete(
        &self,
        key: Key,
        fence: Fence,
        answer: Vec<u8>,
        now: Micros,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.end(End { key, fence, answer: Some((answer, now.plus(ttl))) })
    }

    fn fail(&self, key: Key, fence: Fence, _now: Micros) -> BoxFuture<'_, Result<(), StoreError>> {
        self.end(End { key, fence, answer: None })
    }

    fn purge(&self, now: Micros, limit: usize) -> BoxFuture<'_, Result<u64, StoreError>> {
        let sql = "DELETE FROM probity_idempotency_run WHERE (tenant, operation, key) IN (
                SELECT tenant, operation, key FROM probity_idempotency_run
                WHERE expires_us <= $1 ORDER BY expires_us LIMIT $2)";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let purged =
            self.0.write(move |tx| Box::pin(async move { tx.execute(sql, args![now, limit]).await }));
        async move { purged.await.map_err(away) }.boxed()
    }

    fn statistics(&self, now: Micros, soon: Duration) -> BoxFuture<'_, Result<Statistics, StoreError>> {
        async move {
            let counts = count(&self.0, now, now.plus(soon)).await.map_err(away)?;
            Ok(Statistics {
                processing: unsigned(counts.processing),
                completed: unsigned(counts.completed),
                failed: unsigned(counts.failed),
                expiring_soon: unsigned(counts.expiring),
            })
        }
        .boxed()
    }
}

impl Runs {
    fn end(&self, ended: End) -> BoxFuture<'_, Result<(), StoreError>> {
        let written = self.0.write(move |tx| Box::pin(async move { end(tx, ended).await }));
        async move { if written.await.map_err(away)? { Ok(()) } else { Err(StoreError::Lost) } }.boxed()
    }
}
