//! Rows of runs: decided, started, ended.

use super::broken;
use crate::domain::schedules::{NewRun, run_id};
use crate::error::Error;
use crate::store::{Listing, Store, id};
use probity_filter::{Field, Schema};
use probity_storage::{Row, Tx, args, outbox};
use probity_types::id::ExecutionId;
use probity_types::{AuditEvent, Micros};
use std::sync::LazyLock;
use uuid::Uuid;

const COLUMNS: &str =
    "r.id, r.tenant, r.schedule, r.run_key, r.at_us, r.triggered, r.state, r.execution, r.error,
    r.created_us, r.ended_us";
const COUNT: usize = 11;
/// Runs that have ended and are kept of each schedule.
const KEPT: i64 = 1_000;

const PENDING: i64 = 1;
const RUNNING: i64 = 2;
const COMPLETED: i64 = 3;
const FAILED: i64 = 4;
const CANCELLED: i64 = 5;
const MISSED: i64 = 6;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let states = [
        ("PENDING", PENDING),
        ("RUNNING", RUNNING),
        ("COMPLETED", COMPLETED),
        ("FAILED", FAILED),
        ("CANCELLED", CANCELLED),
        ("MISSED", MISSED),
    ];
    Schema::new("runs")
        .with(Field::ranks("state", "r.state", &states))
        .with(Field::bool("triggered", "r.triggered"))
        .with(Field::text("error", "r.error"))
        .with(Field::time("run_time", "r.at_us"))
        .with(Field::time("create_time", "r.created_us"))
});

/// What runs can be filtered and ordered by.
pub(crate) fn schema() -> &'static Schema {
    &SCHEMA
}

/// A run as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunRow {
    pub(crate) id: Vec<u8>,
    pub(crate) tenant: String,
    pub(crate) schedule: Uuid,
    pub(crate) key: String,
    pub(crate) at: Micros,
    pub(crate) triggered: bool,
    /// As in the contract.
    pub(crate) state: i32,
    pub(crate) execution: Option<ExecutionId>,
    pub(crate) error: String,
    pub(crate) created: Micros,
    /// 0: it has not ended.
    pub(crate) ended: Micros,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As its execution did: the status of that.
    Execution(i64),
    /// It could not be started.
    Refused(String),
}

impl Outcome {
    fn state(&self) -> i64 {
        match self {
            Self::Execution(5) => COMPLETED,
            Self::Execution(7) => CANCELLED,
            Self::Execution(_) | Self::Refused(_) => FAILED,
        }
    }
}

/// Which open runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Decided before a point in time and not started.
    Pending(Micros),
    /// To be cancelled.
    Unwanted,
}

impl Store {
    /// A run.
    pub(crate) async fn run(&self, tenant: &str, id: &[u8]) -> Result<Option<RunRow>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM schedule_runs r WHERE r.tenant = $1 AND r.id = $2");
        self.db.query_opt(&sql, args![tenant, id]).await?.as_ref().map(read).transpose()
    }

    /// A page of the runs of a schedule and the token of the next one.
    pub(crate) async fn runs(
        &self,
        tenant: &str,
        schedule: Uuid,
        listing: &Listing<'_>,
    ) -> Result<(Vec<RunRow>, String), Error> {
        let clause = listing.clause(3, "r.id");
        let keys = listing.columns();
        let sql = format!(
            "SELECT {COLUMNS}{keys} FROM schedule_runs r WHERE r.tenant = $1 AND r.schedule = $2 AND {}",
            clause.text
        );
        let mut args = args![tenant, schedule];
        args.extend(clause.args);
        let rows = self.db.query(&sql, args).await?;
        let (rows, token) = listing.page(rows, 0, COUNT)?;
        Ok((rows.iter().map(read).collect::<Result<_, _>>()?, token))
    }

    /// Open runs of all tenants, the oldest first.
    pub(crate) async fn open_runs(&self, place: Place, limit: i64) -> Result<Vec<RunRow>, Error> {
        let (which, before) = match place {
            Place::Pending(before) => ("r.state = 1 AND r.created_us <= $1", before),
            Place::Unwanted => ("r.state = 2 AND r.cancel = 1 AND r.created_us <= $1", Micros(i64::MAX)),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule_runs r WHERE {which} AND r.state < 3 ORDER BY r.created_us LIMIT $2"
        );
        self.db.query(&sql, args![before.0, limit]).await?.iter().map(read).collect()
    }

    /// Runs whose executions have ended, with the status of those.
    pub(crate) async fn ended_runs(&self, limit: i64) -> Result<Vec<(RunRow, i64)>, Error> {
        let sql = format!(
            "SELECT {COLUMNS}, e.status FROM schedule_runs r
             JOIN executions e ON e.tenant = r.tenant AND e.id = r.execution
             WHERE r.state = 2 AND r.state < 3 AND e.status >= 5 LIMIT $1"
        );
        let rows = self.db.query(&sql, args![limit]).await?;
        rows.iter().map(|row| Ok((read(row)?, row.i64(COUNT)?))).collect()
    }

    /// Adds a run that somebody asks for, unless it is there.
    pub(crate) async fn trigger_run(
        &self,
        tenant: &str,
        schedule: Uuid,
        run: NewRun,
        event: AuditEvent,
    ) -> Result<(), Error> {
        let tenant = tenant.to_owned();
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    if insert(tx, &tenant, schedule, &run, event.time).await? > 0 {
                        outbox::append(tx, &event).await?;
                    }
                    Ok::<_, Error>(())
                })
            })
            .await
    }

    /// A run has its execution; says so once.
    pub(crate) async fn run_started(&self, run: &RunRow, execution: ExecutionId) -> Result<bool, Error> {
        let (tenant, id) = (run.tenant.clone(), run.id.clone());
        let sql =
            "UPDATE schedule_runs SET state = 2, execution = $1 WHERE tenant = $2 AND id = $3 AND state = 1";
        let changed = self
            .db
            .write(move |tx| {
                Box::pin(
                    async move { Ok::<_, Error>(tx.execute(sql, args![execution.0, tenant, id]).await?) },
                )
            })
            .await?;
        Ok(changed > 0)
    }

    /// A run has ended that its schedule does not wait for.
    pub(crate) async fn run_ended(&self, run: &RunRow, outcome: Outcome, now: Micros) -> Result<(), Error> {
        let (tenant, schedule, run) = (run.tenant.clone(), run.schedule, run.id.clone());
        self.db
            .write(move |tx| Box::pin(async move { end(tx, &tenant, schedule, &run, &outcome, now).await }))
            .await
    }
}

async fn insert(tx: &mut Tx, tenant: &str, schedule: Uuid, run: &NewRun, now: Micros) -> Result<u64, Error> {
    let sql = "INSERT INTO schedule_runs (tenant, id, schedule, run_key, at_us, triggered, state, cancel, execution,
            error, created_us, ended_us) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11)
        ON CONFLICT (tenant, id) DO NOTHING";
    let (state, ended) = if run.missed.is_some() { (MISSED, now) } else { (PENDING, Micros(0)) };
    let nothing: &[u8] = &[];
    let row = args![
        tenant,
        run.id(),
        schedule,
        &run.key,
        run.at.0,
        run.triggered,
        state,
        nothing,
        run.missed.as_deref().unwrap_or_default(),
        now.0,
        ended.0
    ];
    Ok(tx.execute(sql, row).await?)
}

/// Adds the runs of a decision.
pub(super) async fn add(
    tx: &mut Tx,
    tenant: &str,
    schedule: Uuid,
    runs: &[NewRun],
    now: Micros,
) -> Result<(), Error> {
    for run in runs {
        insert(tx, tenant, schedule, run, now).await?;
    }
    Ok(())
}

/// Marks runs that are not wanted any more.
pub(super) async fn cancel(tx: &mut Tx, tenant: &str, keys: &[String]) -> Result<(), Error> {
    let sql = "UPDATE schedule_runs SET cancel = 1 WHERE tenant = $1 AND id = $2 AND state < 3";
    for key in keys {
        tx.execute(sql, args![tenant, run_id(key)]).await?;
    }
    Ok(())
}

/// A run has ended, and the oldest that nobody needs any more go.
pub(super) async fn end(
    tx: &mut Tx,
    tenant: &str,
    schedule: Uuid,
    run: &[u8],
    outcome: &Outcome,
    now: Micros,
) -> Result<(), Error> {
    let sql = "UPDATE schedule_runs SET state = $1, error = $2, ended_us = $3
        WHERE tenant = $4 AND id = $5 AND state < 3";
    let error = match outcome {
        Outcome::Refused(why) => why.as_str(),
        Outcome::Execution(_) => "",
    };
    tx.execute(sql, args![outcome.state(), error, now.0, tenant, run]).await?;
    let sql = "DELETE FROM schedule_runs WHERE tenant = $1 AND schedule = $2 AND state >= 3 AND at_us <
        (SELECT at_us FROM schedule_runs WHERE tenant = $1 AND schedule = $2 AND state >= 3
         ORDER BY at_us DESC LIMIT 1 OFFSET $3)";
    tx.execute(sql, args![tenant, schedule, KEPT - 1]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<RunRow, Error> {
    let execution = row.bytes(7)?;
    Ok(RunRow {
        id: row.bytes(0)?,
        tenant: row.text(1)?,
        schedule: Uuid::from_slice(&row.bytes(2)?).map_err(|e| broken(&e))?,
        key: row.text(3)?,
        at: Micros(row.i64(4)?),
        triggered: row.bool(5)?,
        state: i32::try_from(row.i64(6)?).unwrap_or_default(),
        execution: if execution.is_empty() { None } else { Some(id(&execution)?) },
        error: row.text(8)?,
        created: Micros(row.i64(9)?),
        ended: Micros(row.i64(10)?),
    })
}
