//! Executions that stand in a line for a place, or have one.

use super::Store;
use super::row::ExecutionRow;
use crate::domain::lines::{LineId, Member};
use crate::domain::ownership::shard_of;
use crate::error::Error;
use probity_engine::execution::Line;
use probity_storage::{Row, Tx, args, row};
use probity_types::Micros;
use probity_types::id::ExecutionId;

/// What is to be said of the place of an execution.
#[derive(Debug, Clone)]
pub(crate) struct LineRow {
    pub(crate) version: String,
    /// Its place; absent when it has none any more.
    pub(crate) line: Option<Line>,
}

/// One that stands in a line, and by whose rules.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) id: ExecutionId,
    pub(crate) tenant: String,
    pub(crate) definition: String,
    pub(crate) version: String,
    pub(crate) member: Member,
}

const UPSERT: &str = "INSERT INTO lines
    (execution, shard, tenant, definition, version, key, priority, admitted, since_us)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (execution) DO UPDATE SET admitted = excluded.admitted, since_us = excluded.since_us";

/// Writes what these rows say of lines.
///
/// # Errors
/// When the store fails.
pub(super) async fn write(tx: &mut Tx, rows: &[&ExecutionRow]) -> Result<(), Error> {
    let mut standing = Vec::new();
    for row in rows {
        match &row.line {
            Some(LineRow { version, line: Some(line) }) => standing.push(row![
                row.id.0,
                i64::from(shard_of(row.id)),
                row.tenant.as_str(),
                row.definition.as_str(),
                version.as_str(),
                line.key.as_str(),
                i64::from(row.priority),
                line.admitted,
                line.since
            ]),
            Some(LineRow { line: None, .. }) => {
                tx.execute("DELETE FROM lines WHERE execution = $1", args![row.id.0]).await?;
            }
            None => {}
        }
    }
    tx.execute_many(UPSERT, standing).await?;
    Ok(())
}

impl Store {
    /// Who stands in a line of these shards or has a place, the first who came first.
    pub(crate) async fn standing(&self, shards: &[u8]) -> Result<Vec<Standing>, Error> {
        let list = shards.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT execution, tenant, definition, version, key, priority, admitted, since_us
             FROM lines WHERE shard IN ({list}) ORDER BY since_us, execution"
        );
        self.db.query(&sql, args![]).await?.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<Standing, Error> {
    let (tenant, definition) = (row.text(1)?, row.text(2)?);
    let line = LineId::new(&tenant, &definition, &row.text(4)?);
    let priority = u8::try_from(row.i64(5)?).unwrap_or(2);
    let member = Member { line, priority, since: Micros(row.i64(7)?), inside: row.i64(6)? != 0 };
    Ok(Standing { id: super::id(&row.bytes(0)?)?, tenant, definition, version: row.text(3)?, member })
}
