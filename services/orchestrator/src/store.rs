//! Rows: the journal, the cases as they are read, definitions, actions and the
//! lease of the lane.

mod actions;
mod commit;
mod outbox;

pub(crate) use actions::Change;
pub(crate) use commit::{Batch, Opened, Opening};
pub(crate) use outbox::JournalOutbox;

use crate::domain::audit::StoredTurn;
use crate::error::Error;
use probity_engine::Fact;
use probity_proto::orchestrator::Case;
use probity_storage::{Db, Migration, Row, args};
use probity_types::Micros;
use probity_types::id::CaseId;
use prost::Message as _;

/// The tables.
pub(crate) const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "init", sql: include_str!("../migrations/0001_init.sql") }];

/// There is one lane until replicas share the shards.
pub(crate) const LANE: i64 = 0;

const JOURNAL: &str = "case_id, tenant, first_fact, time_us, actor, request_id, trace_id, facts";

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

    /// A case as it was last committed, with its owner.
    pub(crate) async fn case(&self, tenant: &str, id: CaseId) -> Result<Case, Error> {
        let sql = "SELECT body FROM cases WHERE tenant = $1 AND id = $2";
        let row = self.db.query_opt(sql, args![tenant, id.to_bytes()]).await?;
        row.map_or_else(|| Err(Error::NoCase(id.to_string())), |row| decode_case(&row, 0))
    }

    /// Cases, newest first: an id made later is greater.
    pub(crate) async fn cases(&self, tenant: &str, filter: &CaseFilter) -> Result<Vec<Case>, Error> {
        let before = filter.before.map_or_else(|| vec![0xff; 16], CaseId::to_bytes);
        let waiting = if filter.waiting { "AND waiting = 1" } else { "" };
        let sql = format!(
            "SELECT body FROM cases WHERE tenant = $1 AND id < $2 {waiting}
             AND (kind = $3 OR $3 = 0) AND (state = $4 OR $4 = 0) ORDER BY id DESC LIMIT $5"
        );
        let args = args![tenant, before, i64::from(filter.kind), i64::from(filter.state), filter.limit];
        self.db.query(&sql, args).await?.iter().map(|row| decode_case(row, 0)).collect()
    }

    /// The turns of a case that end after a sequence number, oldest first.
    pub(crate) async fn turns(&self, id: CaseId, after: i64, limit: i64) -> Result<Vec<StoredTurn>, Error> {
        let sql = format!(
            "SELECT {JOURNAL} FROM journal WHERE case_id = $1 AND last_fact > $2 ORDER BY last_fact LIMIT $3"
        );
        self.db.query(&sql, args![id.to_bytes(), after, limit]).await?.iter().map(read_turn).collect()
    }

    /// Cases with something under way: what a lane that starts must go on with.
    pub(crate) async fn active_cases(&self) -> Result<Vec<CaseId>, Error> {
        let rows = self.db.query("SELECT id FROM cases WHERE active = 1 ORDER BY id", args![]).await?;
        rows.iter().map(|row| read_id(row, 0)).collect()
    }

    /// The journal after a position, in the order of the commits, with positions.
    pub(crate) async fn journal(&self, after: i64, limit: i64) -> Result<Vec<(i64, StoredTurn)>, Error> {
        let sql =
            format!("SELECT {JOURNAL}, seq FROM journal WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT $3");
        let rows = self.db.query(&sql, args![LANE, after, limit]).await?;
        rows.iter().map(|row| Ok((row.i64(8)?, read_turn(row)?))).collect()
    }

    /// The position of the newest turn.
    pub(crate) async fn last_position(&self) -> Result<i64, Error> {
        let sql = "SELECT seq FROM journal WHERE lane = $1 ORDER BY seq DESC LIMIT 1";
        Ok(self.db.query_opt(sql, args![LANE]).await?.map(|row| row.i64(0)).transpose()?.unwrap_or(0))
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

fn decode_case(row: &Row, column: usize) -> Result<Case, Error> {
    let bytes = row.bytes(column)?;
    Case::decode(bytes.as_slice())
        .map_err(|e| Error::Journal { case: "a case".to_owned(), why: e.to_string() })
}

fn read_id(row: &Row, column: usize) -> Result<CaseId, Error> {
    CaseId::from_bytes(&row.bytes(column)?)
        .map_err(|e| Error::Journal { case: "a case".to_owned(), why: e.to_string() })
}

fn read_turn(row: &Row) -> Result<StoredTurn, Error> {
    let case = read_id(row, 0)?;
    let text = row.text(7)?;
    let facts: Vec<Fact> = serde_json::from_str(&text)
        .map_err(|e| Error::Journal { case: case.to_string(), why: e.to_string() })?;
    Ok(StoredTurn {
        case: case.0,
        case_name: format!("cases/{case}"),
        tenant: row.text(1)?,
        first: row.i64(2)?,
        time: Micros(row.i64(3)?),
        actor: row.text(4)?,
        request_id: row.text(5)?,
        trace_id: row.text(6)?,
        facts,
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
