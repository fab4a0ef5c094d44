//! Rows of tasks of their own, in the transaction of their turns, and as they are
//! listed.

use super::{Listing, Store, View, id};
use crate::domain::audit::StoredTurn;
use crate::domain::standalone::{Change, Standalone};
use crate::error::Error;
use probity_filter::{Field, Schema};
use probity_storage::{Row, Tx, args, row};
use probity_types::id::ExecutionId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

const INSERT: &str = "INSERT INTO tasks (tenant, id, type, queue, unique_key, concurrency_key, not_before_us)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const COLUMNS: &str =
    "t.id, t.type, t.queue, t.unique_key, t.concurrency_key, t.not_before_us, e.kind, e.body";
const COUNT: usize = 8;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let status = [
        ("RUNNING", 1),
        ("WAITING", 2),
        ("INCIDENT", 3),
        ("COMPENSATING", 4),
        ("COMPLETED", 5),
        ("FAILED", 6),
        ("CANCELLED", 7),
    ];
    let priority = [("LOW", 1), ("NORMAL", 2), ("HIGH", 3), ("CRITICAL", 4)];
    Schema::new("tasks")
        .with(Field::ranks("status", "e.status", &status))
        .with(Field::text("type", "t.type"))
        .with(Field::text("queue", "t.queue"))
        .with(Field::ranks("priority", "e.priority", &priority))
        .with(Field::text("owner", "e.owner"))
        .with(Field::text("unique_key", "t.unique_key"))
        .with(Field::text("concurrency_key", "t.concurrency_key"))
        .with(Field::time("not_before", "t.not_before_us"))
        .with(Field::time("create_time", "e.created_us"))
        .with(Field::time("update_time", "e.updated_us"))
});

/// What tasks can be filtered and ordered by.
pub(crate) fn schema() -> &'static Schema {
    &SCHEMA
}

/// A task as it is stored: what was asked, without its payload, and its execution.
pub(crate) struct StoredTask {
    pub(crate) id: ExecutionId,
    pub(crate) asked: Standalone,
    pub(crate) view: View,
}

impl Store {
    /// A page of tasks and the token of the next one.
    pub(crate) async fn tasks(
        &self,
        tenant: &str,
        listing: &Listing<'_>,
    ) -> Result<(Vec<StoredTask>, String), Error> {
        let clause = listing.clause(2, "t.id");
        let keys = listing.columns();
        let sql = format!(
            "SELECT {COLUMNS}{keys} FROM tasks t JOIN executions e ON e.tenant = t.tenant AND e.id = t.id
             WHERE t.tenant = $1 AND {}",
            clause.text
        );
        let mut args = args![tenant];
        args.extend(clause.args);
        let rows = self.db.query(&sql, args).await?;
        let (rows, token) = listing.page(rows, 0, COUNT)?;
        Ok((rows.iter().map(read).collect::<Result<_, _>>()?, token))
    }

    /// A task of its own.
    pub(crate) async fn task(&self, tenant: &str, id: ExecutionId) -> Result<StoredTask, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tasks t JOIN executions e ON e.tenant = t.tenant AND e.id = t.id
             WHERE t.tenant = $1 AND t.id = $2"
        );
        let row = self.db.query_opt(&sql, args![tenant, id.0]).await?;
        row.map_or_else(|| Err(Error::NoTask(format!("tasks/task_{}", id.0.as_simple()))), |row| read(&row))
    }
}

fn read(row: &Row) -> Result<StoredTask, Error> {
    let asked = Standalone {
        kind: row.text(1)?,
        queue: row.text(2)?,
        unique: row.text(3)?,
        key: row.text(4)?,
        not_before_us: row.i64(5)?,
        timeout_ms: 0,
        payload: serde_json::Value::Null,
    };
    Ok(StoredTask { id: id(&row.bytes(0)?)?, asked, view: View::read(row, 6)? })
}

/// Claims the unique keys of tasks that are about to be opened, in their order.
/// Answers, for those whose key another open task has, whose it is.
pub(super) async fn claim(
    tx: &mut Tx,
    turns: &[Arc<StoredTurn>],
) -> Result<HashMap<ExecutionId, ExecutionId>, Error> {
    let mut wanted: Vec<(&str, &str, &str, ExecutionId)> = turns
        .iter()
        .filter_map(|turn| match &turn.task {
            Some(Change::Opened(task)) if !task.unique.is_empty() => {
                Some((turn.tenant.as_str(), task.queue.as_str(), task.unique.as_str(), turn.execution))
            }
            _ => None,
        })
        .collect();
    wanted.sort_unstable();
    let mut taken = HashMap::new();
    for (tenant, queue, unique, execution) in wanted {
        let sql = "INSERT INTO task_uniques (tenant, queue, unique_key, execution) VALUES ($1, $2, $3, $4)
            ON CONFLICT (tenant, queue, unique_key) DO NOTHING";
        if tx.execute(sql, args![tenant, queue, unique, execution.0]).await? > 0 {
            continue;
        }
        let sql = "SELECT execution FROM task_uniques WHERE tenant = $1 AND queue = $2 AND unique_key = $3";
        if let Some(row) = tx.query_opt(sql, args![tenant, queue, unique]).await? {
            taken.insert(execution, id(&row.bytes(0)?)?);
        }
    }
    Ok(taken)
}

/// Writes what these turns change.
pub(super) async fn write(tx: &mut Tx, turns: &[&StoredTurn]) -> Result<(), Error> {
    let mut rows = Vec::new();
    let mut freed = HashSet::new();
    for turn in turns {
        match &turn.task {
            Some(Change::Opened(task)) => rows.push(row![
                turn.tenant.as_str(),
                turn.execution.0,
                task.kind.as_str(),
                task.queue.as_str(),
                task.unique.as_str(),
                task.key.as_str(),
                task.not_before_us
            ]),
            Some(Change::Freed) => {
                freed.insert((turn.tenant.as_str(), turn.execution));
            }
            None => {}
        }
    }
    tx.execute_many(INSERT, rows).await?;
    for (tenant, execution) in freed {
        unclaim(tx, tenant, execution).await?;
    }
    Ok(())
}

/// Lets the unique key of a task go.
pub(super) async fn unclaim(tx: &mut Tx, tenant: &str, execution: ExecutionId) -> Result<(), Error> {
    let sql = "DELETE FROM task_uniques WHERE tenant = $1 AND execution = $2";
    tx.execute(sql, args![tenant, execution.0]).await?;
    Ok(())
}
