//! The salts of the keys that sign tokens, and their times.

use super::Store;
use crate::domain::keyring::{Record, Rotation};
use crate::error::Error;
use probity_storage::{Row, Tx, args, outbox};
use probity_types::{AuditEvent, Micros};

const SELECT: &str = "SELECT number, salt, made_us, signs_us, ends_us FROM signing_key ORDER BY number";

impl Store {
    /// All keys. The first one is that of the key file; it is noted at the first
    /// start.
    pub(crate) async fn keys(&self, now: Micros) -> Result<Vec<Record>, Error> {
        let rows = self.0.query(SELECT, args![]).await?;
        if !rows.is_empty() {
            return rows.iter().map(read).collect();
        }
        self.0
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "INSERT INTO signing_key (number, salt, made_us, signs_us, ends_us)
                        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (number) DO NOTHING";
                    tx.execute(sql, args![0, Vec::<u8>::new(), now, now, 0]).await?;
                    all(tx).await
                })
            })
            .await
    }

    /// Rotates: `plan` says how, given the keys there are. Answers all keys.
    pub(crate) async fn rotate(
        &self,
        plan: impl FnOnce(&[Record]) -> Option<Rotation> + Send + 'static,
        event: AuditEvent,
    ) -> Result<Vec<Record>, Error> {
        self.0
            .write(move |tx| {
                Box::pin(async move {
                    let known = all(tx).await?;
                    let Some(Rotation { next, others_end }) = plan(&known) else { return Ok(known) };
                    let sql = "UPDATE signing_key SET ends_us = $1 WHERE ends_us = 0 OR ends_us > $1";
                    tx.execute(sql, args![others_end]).await?;
                    let sql = "INSERT INTO signing_key (number, salt, made_us, signs_us, ends_us)
                        VALUES ($1, $2, $3, $4, $5)";
                    tx.execute(sql, args![next.number, next.salt, next.made, next.signs, next.ends]).await?;
                    outbox::append(tx, &event).await?;
                    all(tx).await
                })
            })
            .await
    }
}

async fn all(tx: &mut Tx) -> Result<Vec<Record>, Error> {
    tx.query(SELECT, args![]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Record, Error> {
    Ok(Record {
        number: row.i64(0)?,
        salt: row.bytes(1)?,
        made: Micros(row.i64(2)?),
        signs: Micros(row.i64(3)?),
        ends: Micros(row.i64(4)?),
    })
}
