//! The rows of documents. A row of another tenant answers like no row.

use crate::Error;
use crate::domain::Document;
use crate::domain::name::Hash;
use crate::domain::page::Cursor;
use probity_storage::{Db, Migration, Row, Tx, Value, args, outbox};
use probity_types::{AuditEvent, Ctx, Micros};

/// The schema.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "documents", sql: include_str!("../migrations/0001_documents.sql") },
    Migration { version: 2, name: "temporary", sql: include_str!("../migrations/0002_temporary.sql") },
];

const COLUMNS: &str = "sha256, media_type, filename, size_bytes, created_us, expires_us";

/// Documents that expire in one transaction.
const EXPIRED: i64 = 500;
/// How often an upload may meet the same bytes just when they are removed.
const ROUNDS: usize = 3;

/// Hashes in one question: always as many, so that the statement stays prepared.
const ASKED: usize = 64;

/// The store.
#[derive(Debug, Clone)]
pub(crate) struct Store(Db);

impl Store {
    pub(crate) const fn new(db: Db) -> Self {
        Self(db)
    }

    /// Stores a document, with its bytes when they belong in the row, and the
    /// event that says so; answers the document that is there already, if any.
    pub(crate) async fn insert(
        &self,
        ctx: Ctx,
        document: Document,
        body: Option<Vec<u8>>,
    ) -> Result<(Document, bool), Error> {
        self.0.write(|tx| Box::pin(async move { insert(tx, &ctx, document, body).await })).await
    }

    pub(crate) async fn get(&self, tenant: &str, hash: Hash) -> Result<Option<Document>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM document WHERE tenant = $1 AND sha256 = $2");
        let row = self.0.query_opt(&sql, args![tenant, &hash.0]).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// The document with its bytes, when they are in the row.
    pub(crate) async fn get_with_body(
        &self,
        tenant: &str,
        hash: Hash,
    ) -> Result<Option<(Document, Option<Vec<u8>>)>, Error> {
        let sql = format!("SELECT {COLUMNS}, body FROM document WHERE tenant = $1 AND sha256 = $2");
        let row = self.0.query_opt(&sql, args![tenant, &hash.0]).await?;
        row.map(|row| Ok((read(&row)?, row.opt_bytes(6)?))).transpose()
    }

    /// Documents after the cursor, newest first.
    pub(crate) async fn list(&self, tenant: &str, after: Cursor, limit: i64) -> Result<Vec<Document>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM document WHERE tenant = $1 AND (created_us, sha256) < ($2, $3)
             ORDER BY created_us DESC, sha256 DESC LIMIT $4"
        );
        let rows = self.0.query(&sql, args![tenant, after.created, &after.hash.0, limit]).await?;
        rows.iter().map(read).collect()
    }

    /// Keeps documents until then, or for good; answers those that are there.
    pub(crate) async fn hold(
        &self,
        tenant: &str,
        hashes: &[Hash],
        until: Option<Micros>,
    ) -> Result<Vec<Document>, Error> {
        let mut there = Vec::with_capacity(hashes.len());
        for hash in hashes {
            there.extend(self.get(tenant, *hash).await?);
        }
        // Most are kept for good already, and then they stay so: nothing is written.
        if there.iter().all(|document| document.expires.is_none()) {
            return Ok(there);
        }
        let (tenant, hashes) = (tenant.to_owned(), hashes.to_vec());
        self.0
            .write(move |tx| {
                Box::pin(async move {
                    let mut found = Vec::with_capacity(hashes.len());
                    for hash in hashes {
                        found.extend(hold(tx, &tenant, hash, until).await?);
                    }
                    Ok(found)
                })
            })
            .await
    }

    /// Removes the documents whose time is over, and says so in the log; answers
    /// how many.
    pub(crate) async fn expire(&self, now: Micros) -> Result<usize, Error> {
        let mut all = 0;
        loop {
            let expired = self.0.write(move |tx| Box::pin(async move { expire(tx, now).await })).await?;
            all += expired;
            if i64::try_from(expired).unwrap_or(i64::MAX) < EXPIRED {
                return Ok(all);
            }
        }
    }

    /// Those of the hashes that no tenant has a document of.
    pub(crate) async fn unknown(&self, hashes: &[Hash]) -> Result<Vec<Hash>, Error> {
        let places: Vec<_> = (1..=ASKED).map(|n| format!("${n}")).collect();
        let sql = format!("SELECT DISTINCT sha256 FROM document WHERE sha256 IN ({})", places.join(", "));
        let mut unknown = Vec::new();
        for chunk in hashes.chunks(ASKED) {
            let asked = chunk.iter().cycle().take(ASKED).map(|hash| Value::from(&hash.0)).collect();
            let rows = self.0.query(&sql, asked).await?;
            let known = rows.iter().map(|row| hash_of(row, 0)).collect::<Result<Vec<_>, _>>()?;
            unknown.extend(chunk.iter().filter(|hash| !known.contains(hash)));
        }
        Ok(unknown)
    }
}

async fn insert(
    tx: &mut Tx,
    ctx: &Ctx,
    document: Document,
    body: Option<Vec<u8>>,
) -> Result<(Document, bool), Error> {
    let sql = "INSERT INTO document (tenant, sha256, media_type, filename, size_bytes, created_us, expires_us, body)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant, sha256) DO NOTHING";
    let size = i64::try_from(document.size).unwrap_or(i64::MAX);
    let (kind, name) = (&document.media_type, &document.filename);
    let expires = document.expires.map_or(0, |at| at.0);
    for _ in 0..ROUNDS {
        let row =
            args![&ctx.tenant, &document.hash.0, kind, name, size, document.created, expires, body.clone()];
        if tx.execute(sql, row).await? == 1 {
            outbox::append(tx, &stored(ctx, &document)).await?;
            return Ok((document, true));
        }
        // One that was to go stays as long as this one would. Gone in this very
        // moment, it is stored again.
        if let Some(there) = hold(tx, &ctx.tenant, document.hash, document.expires).await? {
            return Ok((there, false));
        }
    }
    let reason = "met the same bytes again and again while they were removed; send them again".to_owned();
    Err(Error::Upload { reason })
}

/// Keeps a document until then, or for good; one that is kept longer stays so.
async fn hold(
    tx: &mut Tx,
    tenant: &str,
    hash: Hash,
    until: Option<Micros>,
) -> Result<Option<Document>, Error> {
    let sql = "UPDATE document SET expires_us = $1
        WHERE tenant = $2 AND sha256 = $3 AND expires_us > 0 AND ($1 = 0 OR expires_us < $1)";
    tx.execute(sql, args![until.map_or(0, |at| at.0), tenant, &hash.0]).await?;
    let sql = format!("SELECT {COLUMNS} FROM document WHERE tenant = $1 AND sha256 = $2");
    let row = tx.query_opt(&sql, args![tenant, &hash.0]).await?;
    row.map(|row| read(&row)).transpose()
}

async fn expire(tx: &mut Tx, now: Micros) -> Result<usize, Error> {
    // Asked twice: what is held meanwhile is not removed.
    let sql = "DELETE FROM document WHERE expires_us > 0 AND expires_us <= $1 AND (tenant, sha256) IN
            (SELECT tenant, sha256 FROM document WHERE expires_us > 0 AND expires_us <= $1 LIMIT $2)
        RETURNING sha256, tenant";
    let rows = tx.query(sql, args![now, EXPIRED]).await?;
    for row in &rows {
        let ctx = Ctx::service("intake", &row.text(1)?, "");
        let event = AuditEvent::new(&ctx, now, "document.expired", hash_of(row, 0)?.name());
        outbox::append(tx, &event).await?;
    }
    Ok(rows.len())
}

fn stored(ctx: &Ctx, document: &Document) -> AuditEvent {
    let detail = serde_json::json!({
        "media_type": document.media_type, "filename": document.filename, "size_bytes": document.size,
    });
    AuditEvent::new(ctx, document.created, "document.stored", document.hash.name()).with_detail(&detail)
}

fn read(row: &Row) -> Result<Document, Error> {
    Ok(Document {
        hash: hash_of(row, 0)?,
        media_type: row.text(1)?,
        filename: row.text(2)?,
        size: u64::try_from(row.i64(3)?).unwrap_or(0),
        created: Micros(row.i64(4)?),
        expires: Some(Micros(row.i64(5)?)).filter(|at| at.0 > 0),
    })
}

fn hash_of(row: &Row, column: usize) -> Result<Hash, Error> {
    let bytes = row.bytes(column)?;
    Hash::from_slice(&bytes).ok_or_else(|| Error::Damaged {
        name: hex::encode(&bytes),
        reason: format!("has a name of {} bytes", bytes.len()),
    })
}

#[cfg(test)]
mod tests;
