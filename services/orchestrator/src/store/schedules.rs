//! Rows of schedules and their runs. What a schedule decides is stored with its runs
//! in one transaction, and only by who read it last.

mod runs;

pub(crate) use runs::{Outcome, Place, RunRow, schema as run_schema};

use super::{Listing, Store};
use crate::domain::schedules::{Decision, Kept};
use crate::error::Error;
use probity_filter::{Field, Schema};
use probity_storage::{Row, Tx, args, outbox};
use probity_types::{AuditEvent, Micros};
use std::sync::LazyLock;
use uuid::Uuid;

const COLUMNS: &str = "uid, tenant, id, spec, target, state, note, revision, next_us, created_us, updated_us";
const COUNT: usize = 11;
/// Most schedules of a tenant.
const MAX_SCHEDULES: i64 = 1_000;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::new("schedules")
        .with(Field::text("id", "id"))
        .with(Field::text("definition", "definition"))
        .with(Field::text("timing", "timing"))
        .with(Field::text("zone", "zone"))
        .with(Field::text("owner", "owner"))
        .with(Field::bool("paused", "paused"))
        .with(Field::text("note", "note"))
        .with(Field::time("next_run_time", "next_us"))
        .with(Field::time("create_time", "created_us"))
        .with(Field::time("update_time", "updated_us"))
});

/// What schedules can be filtered and ordered by.
pub(crate) fn schema() -> &'static Schema {
    &SCHEMA
}

/// A decision to store.
pub(crate) struct Commit {
    /// The revision the decision was made on.
    pub(crate) revision: i64,
    pub(crate) decision: Decision,
    /// The run whose end led to it.
    pub(crate) ended: Option<(Vec<u8>, Outcome)>,
    /// What a person did.
    pub(crate) event: Option<AuditEvent>,
    pub(crate) now: Micros,
}

impl Store {
    /// Keeps a new schedule.
    pub(crate) async fn add_schedule(&self, kept: Kept, event: AuditEvent) -> Result<(), Error> {
        self.db.write(move |tx| Box::pin(async move { add(tx, &kept, &event).await })).await
    }

    /// A schedule.
    pub(crate) async fn schedule(&self, tenant: &str, id: &str) -> Result<Kept, Error> {
        let sql = format!("SELECT {COLUMNS} FROM schedules WHERE tenant = $1 AND id = $2");
        let row = self.db.query_opt(&sql, args![tenant, id]).await?;
        row.map_or_else(|| Err(Error::NoSchedule(format!("schedules/{id}"))), |row| read(&row))
    }

    /// The schedule of a run, unless it was deleted.
    pub(crate) async fn schedule_of(&self, uid: Uuid) -> Result<Option<Kept>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM schedules WHERE uid = $1");
        self.db.query_opt(&sql, args![uid]).await?.as_ref().map(read).transpose()
    }

    /// A page of schedules and the token of the next one.
    pub(crate) async fn schedules(
        &self,
        tenant: &str,
        listing: &Listing<'_>,
    ) -> Result<(Vec<Kept>, String), Error> {
        let clause = listing.clause(2, "uid");
        let keys = listing.columns();
        let sql = format!("SELECT {COLUMNS}{keys} FROM schedules WHERE tenant = $1 AND {}", clause.text);
        let mut args = args![tenant];
        args.extend(clause.args);
        let rows = self.db.query(&sql, args).await?;
        let (rows, token) = listing.page(rows, 0, COUNT)?;
        Ok((rows.iter().map(read).collect::<Result<_, _>>()?, token))
    }

    /// Schedules of all tenants whose time has come, those that wait longest first.
    pub(crate) async fn due_schedules(&self, now: Micros, limit: i64) -> Result<Vec<Kept>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM schedules WHERE next_us <= $1 ORDER BY next_us LIMIT $2");
        self.db.query(&sql, args![now.0, limit]).await?.iter().map(read).collect()
    }

    /// When the next one is due.
    pub(crate) async fn next_schedule(&self) -> Result<Option<Micros>, Error> {
        let row = self.db.query_opt("SELECT MIN(next_us) FROM schedules", args![]).await?;
        Ok(row.map_or(Ok(None), |row| row.opt_i64(0))?.map(Micros))
    }

    /// Stores a decision with its runs; `false` when somebody else has decided since.
    pub(crate) async fn decide_schedule(&self, commit: Commit) -> Result<bool, Error> {
        self.db.write(move |tx| Box::pin(async move { decide(tx, commit).await })).await
    }

    /// Deletes a schedule and its runs; `false` when it is gone already.
    pub(crate) async fn delete_schedule(&self, kept: Kept, event: AuditEvent) -> Result<bool, Error> {
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "DELETE FROM schedules WHERE tenant = $1 AND id = $2 AND uid = $3";
                    let deleted = tx.execute(sql, args![&kept.tenant, kept.id, kept.uid]).await?;
                    if deleted == 0 {
                        return Ok::<_, Error>(false);
                    }
                    let sql = "DELETE FROM schedule_runs WHERE tenant = $1 AND schedule = $2";
                    tx.execute(sql, args![kept.tenant, kept.uid]).await?;
                    outbox::append(tx, &event).await?;
                    Ok(true)
                })
            })
            .await
    }
}

async fn add(tx: &mut Tx, kept: &Kept, event: &AuditEvent) -> Result<(), Error> {
    let count = "SELECT COUNT(*) FROM schedules WHERE tenant = $1";
    let count = tx.query_opt(count, args![&kept.tenant]).await?.map_or(Ok(0), |row| row.i64(0))?;
    if count >= MAX_SCHEDULES {
        return Err(Error::SchedulesFull(MAX_SCHEDULES));
    }
    let sql =
        "INSERT INTO schedules (tenant, id, uid, definition, timing, zone, owner, paused, note, spec, target,
            state, revision, next_us, created_us, updated_us)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        ON CONFLICT (tenant, id) DO NOTHING";
    let row = args![
        &kept.tenant,
        &kept.id,
        kept.uid,
        format!("definitions/{}", kept.target.definition),
        &kept.spec.timing,
        &kept.spec.zone,
        &kept.target.owner,
        kept.state.paused.is_some(),
        &kept.note,
        json(&kept.spec)?,
        json(&kept.target)?,
        json(&kept.state)?,
        kept.revision,
        kept.next.0,
        kept.created.0,
        kept.updated.0
    ];
    if tx.execute(sql, row).await? == 0 {
        return Err(Error::ScheduleExists(format!("schedules/{}", kept.id)));
    }
    Ok(outbox::append(tx, event).await?)
}

async fn decide(tx: &mut Tx, commit: Commit) -> Result<bool, Error> {
    let Decision { kept, runs, cancel } = &commit.decision;
    let changed = match &commit.event {
        None => remember(tx, kept, commit.revision).await?,
        Some(_) => rewrite(tx, kept, commit.revision).await?,
    };
    if changed == 0 {
        return Ok(false);
    }
    if let Some((run, outcome)) = &commit.ended {
        runs::end(tx, &kept.tenant, kept.uid, run, outcome, commit.now).await?;
    }
    runs::add(tx, &kept.tenant, kept.uid, runs, commit.now).await?;
    runs::cancel(tx, &kept.tenant, cancel).await?;
    if let Some(event) = &commit.event {
        outbox::append(tx, event).await?;
    }
    Ok(true)
}

/// What the clock decided: the rules are as they were.
async fn remember(tx: &mut Tx, kept: &Kept, revision: i64) -> Result<u64, Error> {
    let sql = "UPDATE schedules SET state = $1, next_us = $2, revision = revision + 1
        WHERE tenant = $3 AND id = $4 AND uid = $5 AND revision = $6";
    let row = args![json(&kept.state)?, kept.next.0, &kept.tenant, &kept.id, kept.uid, revision];
    Ok(tx.execute(sql, row).await?)
}

/// What a person decided.
async fn rewrite(tx: &mut Tx, kept: &Kept, revision: i64) -> Result<u64, Error> {
    let sql =
        "UPDATE schedules SET definition = $1, timing = $2, zone = $3, owner = $4, paused = $5, note = $6,
            spec = $7, target = $8, updated_us = $9, state = $10, next_us = $11, revision = revision + 1
        WHERE tenant = $12 AND id = $13 AND uid = $14 AND revision = $15";
    let row = args![
        format!("definitions/{}", kept.target.definition),
        &kept.spec.timing,
        &kept.spec.zone,
        &kept.target.owner,
        kept.state.paused.is_some(),
        &kept.note,
        json(&kept.spec)?,
        json(&kept.target)?,
        kept.updated.0,
        json(&kept.state)?,
        kept.next.0,
        &kept.tenant,
        &kept.id,
        kept.uid,
        revision
    ];
    Ok(tx.execute(sql, row).await?)
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| broken(&e))
}

fn broken(why: &dyn std::fmt::Display) -> Error {
    Error::Journal { case: "a schedule".to_owned(), why: why.to_string() }
}

fn read(row: &Row) -> Result<Kept, Error> {
    fn part<T: serde::de::DeserializeOwned>(row: &Row, at: usize) -> Result<T, Error> {
        serde_json::from_str(&row.text(at)?).map_err(|e| broken(&e))
    }
    Ok(Kept {
        uid: Uuid::from_slice(&row.bytes(0)?).map_err(|e| broken(&e))?,
        tenant: row.text(1)?,
        id: row.text(2)?,
        spec: part(row, 3)?,
        target: part(row, 4)?,
        state: part(row, 5)?,
        note: row.text(6)?,
        revision: row.i64(7)?,
        next: Micros(row.i64(8)?),
        created: Micros(row.i64(9)?),
        updated: Micros(row.i64(10)?),
    })
}

#[cfg(test)]
mod tests;
