//! Rows: the journal, the cases as they are read, definitions, actions and the
//! lease of the lane.

mod actions;
mod blobs;
mod commit;
mod dead_letters;
mod lines;
mod list;
mod listing;
mod outbox;
mod ownership;
mod queues;
mod row;
mod schedules;
mod tasks;

pub(crate) use actions::Change;
pub(crate) use blobs::Named;
pub(crate) use commit::{Batch, Opened, Opening, Place};
pub(crate) use dead_letters::{Letter, LetterId, Open as OpenLetters, Review, schema as letter_schema};
pub(crate) use lines::LineRow;
pub(crate) use list::GroupBy;
pub(crate) use listing::{Asked, Listing, predicate};
pub(crate) use outbox::{JournalOutbox, Recent};
pub(crate) use ownership::Lease;
pub(crate) use queues::QueueSettings;
pub(crate) use row::{ExecutionRow, View};
pub(crate) use schedules::{
    Commit as ScheduleCommit, Outcome, Place as RunPlace, RunRow, run_schema, schema as schedule_schema,
};
pub(crate) use tasks::{StoredTask, schema as task_schema};

use crate::domain::audit::{StoredTurn, chain};
use crate::error::Error;
use crate::views::Shown;
use probity_engine::Fact;
use probity_proto::orchestrator::Case;
use probity_storage::{Db, Migration, Row, args};
use probity_types::Micros;
use probity_types::id::{CaseId, ExecutionId};
use std::sync::Arc;

/// The tables.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "init", sql: include_str!("../migrations/0001_init.sql") },
    Migration { version: 2, name: "dead_letters", sql: include_str!("../migrations/0002_dead_letters.sql") },
    Migration { version: 3, name: "tasks", sql: include_str!("../migrations/0003_tasks.sql") },
    Migration { version: 4, name: "schedules", sql: include_str!("../migrations/0004_schedules.sql") },
    Migration { version: 5, name: "blobs", sql: include_str!("../migrations/0005_blobs.sql") },
    Migration { version: 6, name: "lines", sql: include_str!("../migrations/0006_lines.sql") },
];

const JOURNAL: &str = "execution, tenant, first_fact, time_us, actor, request_id, trace_id, facts";

/// The store of the orchestrator.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) db: Db,
}

/// Which cases to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct CaseFilter {
    pub(crate) kind: i32,
    pub(crate) state: i32,
    pub(crate) waiting: bool,
    /// Only cases older than this one.
    pub(crate) before: Option<CaseId>,
    pub(crate) limit: i64,
}

/// How many definitions there are, and a sum over when each became the newest.
pub(crate) type DefinitionsMark = (i64, i64);

/// A registered definition.
#[derive(Debug, Clone)]
pub(crate) struct StoredDefinition {
    pub(crate) tenant: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) created: Micros,
}

impl Store {
    pub(crate) const fn new(db: Db) -> Self {
        Self { db }
    }

    /// An execution as it was last committed, without its steps.
    pub(crate) async fn view(&self, tenant: &str, id: ExecutionId) -> Result<View, Error> {
        let sql = "SELECT kind, body FROM executions WHERE tenant = $1 AND id = $2";
        let row = self.db.query_opt(sql, args![tenant, id.0]).await?;
        row.map_or_else(|| Err(Error::NoExecution(id.to_string())), |row| View::read(&row, 0))
    }

    /// What is shown of an execution, as it was last committed.
    pub(crate) async fn shown(
        &self,
        tenant: &str,
        id: ExecutionId,
    ) -> Result<Option<Shown>, probity_storage::Error> {
        let sql = "SELECT kind, body FROM executions WHERE tenant = $1 AND id = $2";
        let row = self.db.query_opt(sql, args![tenant, id.0]).await?;
        row.map(|row| Ok(Shown { kind: row.i64(0)?, body: row.bytes(1)? })).transpose()
    }

    /// Whether there is such an execution.
    pub(crate) async fn exists(&self, tenant: &str, id: ExecutionId) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM executions WHERE tenant = $1 AND id = $2";
        Ok(self.db.query_opt(sql, args![tenant, id.0]).await?.is_some())
    }

    /// A case as it was last committed.
    pub(crate) async fn case(&self, tenant: &str, id: CaseId) -> Result<Case, Error> {
        match self.view(tenant, ExecutionId(id.0)).await {
            Ok(View::Case(case)) => Ok(*case),
            Ok(View::Plain(_)) | Err(Error::NoExecution(_)) => Err(Error::NoCase(id.to_string())),
            Err(other) => Err(other),
        }
    }

    /// Cases, newest first: an id made later is greater.
    pub(crate) async fn cases(&self, tenant: &str, filter: &CaseFilter) -> Result<Vec<Case>, Error> {
        let before = filter.before.map_or_else(|| vec![0xff; 16], CaseId::to_bytes);
        let waiting = if filter.waiting { "AND waiting > 0" } else { "" };
        let sql = format!(
            "SELECT kind, body FROM executions WHERE tenant = $1 AND id < $2 AND kind > 0 {waiting}
             AND (kind = $3 OR $3 = 0) AND (state = $4 OR $4 = 0) ORDER BY id DESC LIMIT $5"
        );
        let args = args![tenant, before, i64::from(filter.kind), i64::from(filter.state), filter.limit];
        let rows = self.db.query(&sql, args).await?;
        let views = rows.iter().map(|row| View::read(row, 0));
        views.filter_map(|view| view.map(View::into_case).transpose()).collect()
    }

    /// The turns of an execution that end after a sequence number, oldest first.
    pub(crate) async fn turns(
        &self,
        id: ExecutionId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StoredTurn>, Error> {
        let sql = format!(
            "SELECT {JOURNAL} FROM journal WHERE execution = $1 AND last_fact > $2 ORDER BY last_fact LIMIT $3"
        );
        self.db.query(&sql, args![id.0, after, limit]).await?.iter().map(read_turn).collect()
    }

    /// Executions of these shards with something under way: what their owner must go
    /// on with.
    pub(crate) async fn active(&self, shards: &[u8]) -> Result<Vec<ExecutionId>, Error> {
        let list = shards.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let sql =
            format!("SELECT id FROM executions WHERE active = 1 AND shard IN ({list}) ORDER BY shard, id");
        self.db.query(&sql, args![]).await?.iter().map(|row| id(&row.bytes(0)?)).collect()
    }

    /// A log after a position, with positions.
    pub(crate) async fn journal(
        &self,
        log: i64,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Arc<StoredTurn>)>, Error> {
        let sql = format!(
            "SELECT {JOURNAL}, seq, (SELECT kind FROM executions e WHERE e.tenant = j.tenant AND e.id = j.execution)
             FROM journal j WHERE log = $1 AND seq > $2 ORDER BY seq LIMIT $3"
        );
        let rows = self.db.query(&sql, args![log, after, limit]).await?;
        let mut turns = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut turn = read_turn(row)?;
            if row.opt_i64(9)?.is_some_and(|kind| kind > 0) {
                turn.case = format!("cases/{}", CaseId(turn.execution.0));
            }
            if turn.facts.iter().any(|fact| matches!(fact, Fact::Ended { .. })) {
                turn.chain = self.chain_at(turn.execution, turn.last()).await?;
            }
            turns.push((row.i64(8)?, Arc::new(turn)));
        }
        Ok(turns)
    }

    /// The running hash of a history at one of its turns.
    async fn chain_at(&self, id: ExecutionId, last: i64) -> Result<[u8; 32], Error> {
        let sql = "SELECT facts FROM journal WHERE execution = $1 AND last_fact <= $2 ORDER BY last_fact";
        let rows = self.db.query(sql, args![id.0, last]).await?;
        rows.iter().try_fold([0; 32], |before, row| Ok(chain(&before, &row.text(0)?)))
    }

    /// What tells whether anything was registered, or became the newest again.
    pub(crate) async fn definitions_mark(&self) -> Result<DefinitionsMark, Error> {
        // Clocks differ between replicas, so that the greatest time may stay the same.
        let sql = "SELECT CAST(COUNT(*) AS BIGINT), CAST(COALESCE(SUM(created_us % 1000000007), 0) AS BIGINT) FROM definitions";
        let row = self.db.query_opt(sql, args![]).await?;
        row.map_or(Ok((0, 0)), |row| Ok((row.i64(0)?, row.i64(1)?)))
    }

    /// All registered versions, oldest first.
    pub(crate) async fn definitions(&self) -> Result<Vec<StoredDefinition>, Error> {
        let sql = "SELECT tenant, name, version, kind, source, created_us FROM definitions ORDER BY created_us, version";
        self.db.query(sql, args![]).await?.iter().map(read_definition).collect()
    }

    /// One version: the tenant's own or a shipped one.
    pub(crate) async fn definition(
        &self,
        tenant: &str,
        name: &str,
        version: &str,
    ) -> Result<StoredDefinition, Error> {
        let sql = "SELECT tenant, name, version, kind, source, created_us FROM definitions
             WHERE tenant IN ($1, '') AND name = $2 AND version = $3 ORDER BY tenant DESC";
        let row = self.db.query_opt(sql, args![tenant, name, version]).await?;
        row.map_or_else(
            || Err(Error::NoDefinition(format!("definitions/{name} in version {version}"))),
            |row| read_definition(&row),
        )
    }

    /// Keeps a version; the same content again changes nothing.
    pub(crate) async fn add_definition(
        &self,
        definition: StoredDefinition,
        event: Option<probity_types::AuditEvent>,
    ) -> Result<(), Error> {
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let d = definition;
                    let sql = "INSERT INTO definitions (tenant, name, version, kind, source, created_us)
                         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
                    let row = args![&d.tenant, &d.name, &d.version, &d.kind, &d.source, d.created.0];
                    let added = tx.execute(sql, row).await?;
                    if added == 0 {
                        // Registered before: it is the newest again.
                        let sql = "UPDATE definitions SET created_us = $1 WHERE tenant = $2 AND name = $3 AND version = $4";
                        tx.execute(sql, args![d.created.0, d.tenant, d.name, d.version]).await?;
                    }
                    if let Some(event) = event.filter(|_| added > 0) {
                        probity_storage::outbox::append(tx, &event).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// An id as stores keep it.
pub(crate) fn id(bytes: &[u8]) -> Result<ExecutionId, Error> {
    ExecutionId::from_bytes(bytes)
        .map_err(|e| Error::Journal { case: "an execution".to_owned(), why: e.to_string() })
}

fn read_turn(row: &Row) -> Result<StoredTurn, Error> {
    let execution = id(&row.bytes(0)?)?;
    let json = row.text(7)?;
    let facts: Vec<Fact> = serde_json::from_str(&json)
        .map_err(|e| Error::Journal { case: execution.to_string(), why: e.to_string() })?;
    Ok(StoredTurn {
        execution,
        case: String::new(),
        tenant: row.text(1)?,
        first: row.i64(2)?,
        time: Micros(row.i64(3)?),
        actor: row.text(4)?,
        request_id: row.text(5)?,
        trace_id: row.text(6)?,
        facts,
        json,
        chain: [0; 32],
        letters: Vec::new(),
        task: None,
    })
}

fn read_definition(row: &Row) -> Result<StoredDefinition, Error> {
    Ok(StoredDefinition {
        tenant: row.text(0)?,
        name: row.text(1)?,
        version: row.text(2)?,
        kind: row.text(3)?,
        source: row.text(4)?,
        created: Micros(row.i64(5)?),
    })
}
