//! Logs and shards: who writes what.
//!
//! **Architecture invariant (fencing).** Positions of a log are unique and have no
//! gaps. Sealing a log takes its next position, in the transaction that marks it
//! sealed. So whatever a stale owner still commits, however late, meets a position
//! that is taken, and fails as a whole.
//!
//! Who seals or claims renews its own log first, in the same transaction. That
//! locks the row: whoever seals *us* waits for our commit and then sees what we
//! took, or came first and we take nothing. So no shard and no inherited log is
//! ever left with a log that is sealed. `tests/ownership` explores all of this,
//! statement by statement.

use super::Store;
use crate::domain::ownership::{Log, Survey};
use crate::error::Error;
use crate::sabotage::{self, Damage};
use probity_storage::{Backend, Row, Tx, args};
use probity_types::Micros;

/// How long a sealer waits for a row that somebody else has.
const SEAL_PATIENCE_MS: u32 = 250;

/// A log of ours and until when it is to last without a further sign of life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) log: i64,
    pub(crate) until: Micros,
}

impl Store {
    /// Begins a new log.
    pub(crate) async fn begin_log(&self, owner: &str, address: &str, until: Micros) -> Result<i64, Error> {
        let (owner, address) = (owner.to_owned(), address.to_owned());
        let log = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    // Two replicas that start at once get the same number: one of them fails and tries again.
                    // A log that is relayed to its end has no row any more, but its seal is in the journal:
                    // no number is ever given twice.
                    let sql = "INSERT INTO logs (log, owner, address, until_us, sealed, heir, relayed)
                         SELECT COALESCE(MAX(log), 0) + 1, $1, $2, $3, 0, 0, 0
                         FROM (SELECT MAX(log) AS log FROM logs UNION ALL SELECT MAX(log) AS log FROM journal) AS used
                         RETURNING log";
                    let row = tx.query_opt(sql, args![owner, address, until.0]).await?;
                    row.map_or(Ok(0), |row| row.i64(0))
                })
            })
            .await
            .map_err(|e: probity_storage::Error| Error::Store(e))?;
        Ok(log)
    }

    /// A sign of life.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the log was sealed.
    pub(crate) async fn renew_log(&self, log: i64, until: Micros) -> Result<(), Error> {
        self.db.write(move |tx| Box::pin(async move { renew(tx, log, until).await })).await
    }

    /// Whether a log was not sealed at some moment after this question.
    pub(crate) async fn is_open(&self, log: i64) -> Result<bool, probity_storage::Error> {
        let sql = "SELECT sealed FROM logs WHERE log = $1";
        let row = self.db.query_opt(sql, args![log]).await?;
        row.map_or(Ok(false), |row| Ok(row.i64(0)? == 0))
    }

    pub(crate) async fn survey(&self) -> Result<Survey, Error> {
        let sql = "SELECT log, owner, address, until_us, sealed FROM logs ORDER BY log";
        let logs = self.db.query(sql, args![]).await?;
        let shards = self.db.query("SELECT shard, log FROM shards WHERE log > 0", args![]).await?;
        Ok(Survey {
            logs: logs.iter().map(read_log).collect::<Result<_, Error>>()?,
            shards: shards.iter().map(read_shard).collect::<Result<_, Error>>()?,
        })
    }

    /// Seals the log of an owner who is gone; `false` when it lives after all, when
    /// somebody else sealed it, or when it was written to in this very moment.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the log of `me` was sealed.
    pub(crate) async fn seal_log(&self, dead: i64, me: Lease, seen: Micros) -> Result<bool, Error> {
        let sealed = self.db.write(move |tx| Box::pin(async move { seal(tx, dead, me, seen).await })).await;
        match sealed {
            // In the way: the dead one stopped amid a transaction, or seals us just now.
            Err(Error::Store(
                probity_storage::Error::Unique { .. } | probity_storage::Error::Conflict { .. },
            )) => Ok(false),
            other => other,
        }
    }

    /// Takes free shards; answers which of them it got.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the log was sealed.
    pub(crate) async fn claim(&self, me: Lease, shards: &[u8]) -> Result<Vec<u8>, Error> {
        if shards.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "UPDATE shards SET log = $1 WHERE shard IN ({}) AND log = 0 RETURNING shard, log",
            list(shards)
        );
        let rows = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    renew(tx, me.log, me.until).await?;
                    Ok::<_, Error>(tx.query(&sql, args![me.log]).await?)
                })
            })
            .await?;
        rows.iter().map(|row| read_shard(row).map(|(shard, _)| shard)).collect()
    }

    /// Lets own shards go.
    pub(crate) async fn release(&self, log: i64, shards: &[u8]) -> Result<(), Error> {
        let list = list(shards);
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let sql = format!("UPDATE shards SET log = 0 WHERE shard IN ({list}) AND log = $1");
                    tx.execute(&sql, args![log]).await.map(drop)
                })
            })
            .await
            .map_err(|e: probity_storage::Error| Error::Store(e))
    }

    /// Makes the rows of the shards, once for ever.
    pub(crate) async fn lay_out_shards(&self) -> Result<(), Error> {
        let rows = (0..=u8::MAX).map(|s| format!("({s}, 0)")).collect::<Vec<_>>().join(", ");
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let sql = format!("INSERT INTO shards (shard, log) VALUES {rows} ON CONFLICT DO NOTHING");
                    tx.execute(&sql, args![]).await.map(drop)
                })
            })
            .await
            .map_err(|e: probity_storage::Error| Error::Store(e))
    }
}

async fn renew(tx: &mut Tx, log: i64, until: Micros) -> Result<(), Error> {
    let sql = "UPDATE logs SET until_us = $1 WHERE log = $2 AND sealed = 0";
    let renewed = tx.execute(sql, args![until.0, log]).await? == 1;
    if renewed || sabotage::does(Damage::SkipFencing) { Ok(()) } else { Err(Error::Fenced) }
}

async fn seal(tx: &mut Tx, dead: i64, me: Lease, seen: Micros) -> Result<bool, Error> {
    // Whoever stands still amid a transaction must not make us stand still as well.
    patience(tx, SEAL_PATIENCE_MS).await?;
    renew(tx, me.log, me.until).await?;
    let last = "SELECT COALESCE(MAX(seq), 0) FROM journal WHERE log = $1";
    let last = tx.query_opt(last, args![dead]).await?.map_or(Ok(0), |row| row.i64(0))?;
    // `seen`: the sign of life it was judged by. A later one saves it.
    let mark = "UPDATE logs SET sealed = $1, heir = $2 WHERE log = $3 AND sealed = 0 AND until_us = $4";
    if tx.execute(mark, args![last + 1, me.log, dead, seen.0]).await? == 0 {
        patience(tx, 0).await?;
        return Ok(false);
    }
    let row = "INSERT INTO journal (log, seq, execution, tenant, first_fact, last_fact, time_us, actor, request_id, trace_id, facts)
         VALUES ($1, $2, $3, '', 0, $4, 0, '', '', '', '[]')";
    tx.execute(row, args![dead, last + 1, uuid::Uuid::nil(), -dead]).await?;
    tx.execute("UPDATE logs SET heir = $1 WHERE heir = $2", args![me.log, dead]).await?;
    tx.execute("UPDATE shards SET log = 0 WHERE log = $1", args![dead]).await?;
    patience(tx, 0).await?;
    Ok(true)
}

/// How long the statements that follow wait for a row, in ms; 0 sets no limit. A
/// failure undoes it with everything else of the operation.
async fn patience(tx: &mut Tx, ms: u32) -> Result<(), Error> {
    if tx.backend() == Backend::Postgres {
        tx.execute(&format!("SET LOCAL lock_timeout = {ms}"), args![]).await?;
    }
    Ok(())
}

/// Numbers only: safe to stand in a statement.
fn list(shards: &[u8]) -> String {
    shards.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}

fn read_log(row: &Row) -> Result<Log, Error> {
    Ok(Log {
        log: row.i64(0)?,
        owner: row.text(1)?,
        address: row.text(2)?,
        until: Micros(row.i64(3)?),
        sealed: row.i64(4)? > 0,
    })
}

fn read_shard(row: &Row) -> Result<(u8, i64), Error> {
    Ok((u8::try_from(row.i64(0)?).unwrap_or(0), row.i64(1)?))
}
