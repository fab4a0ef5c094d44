//! The rows of documents. A row of another tenant answers like no row.

use crate::Error;
use crate::domain::Document;
use crate::domain::name::Hash;
use crate::domain::page::Cursor;
use probity_storage::{Db, Migration, Row, Tx, Value, args, outbox};
use probity_types::{AuditEvent, Ctx, Micros};

/// The schema.
pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "documents", sql: include_str!("../migrations/0001_documents.sql") }];

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
        let sql = "SELECT sha256, media_type, filename, size_bytes, created_us FROM document
            WHERE tenant = $1 AND sha256 = $2";
        let row = self.0.query_opt(sql, args![tenant, &hash.0]).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// The document with its bytes, when they are in the row.
    pub(crate) async fn get_with_body(
        &self,
        tenant: &str,
        hash: Hash,
    ) -> Result<Option<(Document, Option<Vec<u8>>)>, Error> {
        let sql = "SELECT sha256, media_type, filename, size_bytes, created_us, body FROM document
            WHERE tenant = $1 AND sha256 = $2";
        let row = self.0.query_opt(sql, args![tenant, &hash.0]).await?;
        row.map(|row| Ok((read(&row)?, row.opt_bytes(5)?))).transpose()
    }

    /// Documents after the cursor, newest first.
    pub(crate) async fn list(&self, tenant: &str, after: Cursor, limit: i64) -> Result<Vec<Document>, Error> {
        let sql = "SELECT sha256, media_type, filename, size_bytes, created_us FROM document
            WHERE tenant = $1 AND (created_us, sha256) < ($2, $3)
            ORDER BY created_us DESC, sha256 DESC LIMIT $4";
        let rows = self.0.query(sql, args![tenant, after.created, &after.hash.0, limit]).await?;
        rows.iter().map(read).collect()
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
    let sql = "INSERT INTO document (tenant, sha256, media_type, filename, size_bytes, created_us, body)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, sha256) DO NOTHING";
    let size = i64::try_from(document.size).unwrap_or(i64::MAX);
    let (kind, name) = (&document.media_type, &document.filename);
    let row = args![&ctx.tenant, &document.hash.0, kind, name, size, document.created, body];
    if tx.execute(sql, row).await? == 1 {
        outbox::append(tx, &stored(ctx, &document)).await?;
        return Ok((document, true));
    }
    let sql = "SELECT sha256, media_type, filename, size_bytes, created_us FROM document
        WHERE tenant = $1 AND sha256 = $2";
    let row = tx.query_opt(sql, args![&ctx.tenant, &document.hash.0]).await?;
    let there = row.map(|row| read(&row)).transpose()?;
    Ok((there.unwrap_or(document), false))
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
