//! The one transaction of the lane: everything a batch of turns changed, or
//! nothing of it. What fences a stale owner is written in [`super::ownership`].

use super::row::ExecutionRow;
use super::{Store, blobs, dead_letters, lines, tasks};
use crate::domain::audit::StoredTurn;
use crate::error::Error;
use crate::sabotage::{self, Damage};
use probity_storage::idempotency::{self, Scope};
use probity_storage::{Tx, Value, args, row};
use probity_types::Micros;
use probity_types::id::ExecutionId;
use std::collections::HashSet;
use std::sync::Arc;

/// What a batch of turns changed.
#[derive(Default)]
pub(crate) struct Batch {
    /// Requests to start an execution, each with its first turn in `turns`.
    pub(crate) opens: Vec<Opening>,
    /// The turns in order.
    pub(crate) turns: Vec<Arc<StoredTurn>>,
    /// The executions as they are shown now, where that changed.
    pub(crate) rows: Vec<ExecutionRow>,
}

impl Batch {
    /// Nothing to store.
    pub(crate) const fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.rows.is_empty() && self.opens.is_empty()
    }

    /// Only the journal grows: what a step in the middle of an execution does.
    fn is_journal_alone(&self) -> bool {
        let alone = |turn: &Arc<StoredTurn>| {
            turn.letters.is_empty() && turn.task.is_none() && !blobs::may_name_some(turn)
        };
        self.opens.is_empty() && self.rows.is_empty() && self.turns.iter().all(alone)
    }
}

/// A request to start an execution.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) execution: ExecutionId,
    /// Absent when the caller gave no key.
    pub(crate) scope: Option<Scope>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is new.
    New,
    /// The key was used before for the same request: the execution started then.
    Before(ExecutionId),
    /// The key was used before for another request.
    KeyReused(probity_storage::Error),
}

/// Where a batch goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The log of this run of this replica.
    pub(crate) log: i64,
    /// The position of the last turn before the batch.
    pub(crate) after: i64,
}

impl Store {
    /// Commits a batch. Answers what became of each opening; turns of openings that
    /// were there before are left out.
    ///
    /// # Errors
    /// [`Error::Fenced`] when somebody else has taken over.
    pub(crate) async fn commit(&self, batch: Arc<Batch>, place: Place) -> Result<Vec<Opened>, Error> {
        if batch.is_journal_alone() && !sabotage::does(Damage::SkipFencing) {
            let rows = journal_rows(batch.turns.iter().map(AsRef::as_ref), place);
            return appended(self.db.write_rows(INSERT_TURN, rows).await).map(|()| Vec::new());
        }
        self.db.write(move |tx| Box::pin(async move { write(tx, &batch, place).await })).await
    }
}

async fn write(tx: &mut Tx, batch: &Batch, place: Place) -> Result<Vec<Opened>, Error> {
    let opened = open_all(tx, batch).await?;
    let known = batch.opens.iter().zip(&opened).filter(|(_, outcome)| !matches!(outcome, Opened::New));
    let left_out: HashSet<ExecutionId> = known.map(|(opening, _)| opening.execution).collect();
    let turns: Vec<&StoredTurn> =
        batch.turns.iter().map(AsRef::as_ref).filter(|t| !left_out.contains(&t.execution)).collect();
    let place = if sabotage::does(Damage::SkipFencing) { unfenced(tx, place).await? } else { place };
    appended(tx.execute_many(INSERT_TURN, journal_rows(turns.iter().copied(), place)).await)?;
    let rows: Vec<_> = batch.rows.iter().filter(|row| !left_out.contains(&row.id)).collect();
    upsert_rows(tx, &rows).await?;
    lines::write(tx, &rows).await?;
    dead_letters::write(tx, &turns).await?;
    tasks::write(tx, &turns).await?;
    blobs::write(tx, &turns).await?;
    Ok(opened)
}

/// Claims what must be unique and records the keys: a batch whose requests are all
/// new takes one trip, however many they are.
async fn open_all(tx: &mut Tx, batch: &Batch) -> Result<Vec<Opened>, Error> {
    let claimed = tasks::claim(tx, &batch.turns).await?;
    let first = |opening: &Opening| claimed.get(&opening.execution).copied();
    let answer = |opening: &Opening| first(opening).map_or(Opened::New, Opened::Before);
    let mut opened: Vec<Opened> = batch.opens.iter().map(answer).collect();

    let mut keyed: Vec<(usize, &Scope, ExecutionId)> = (0..)
        .zip(&batch.opens)
        .filter_map(|(at, o)| Some((at, o.scope.as_ref()?, first(o).unwrap_or(o.execution))))
        .collect();
    // In the order of the keys, so that two replicas with the same keys in another
    // order wait for each other and not both.
    keyed.sort_by_key(|(_, scope, _)| (&scope.tenant, scope.operation, &scope.key));
    let now = batch.turns.first().map_or(Micros(0), |t| t.time);
    let records = keyed.iter().map(|(_, scope, execution)| (*scope, execution.0.as_bytes().as_slice()));
    if idempotency::try_record_all(tx, records, now).await? {
        return Ok(opened);
    }
    for (at, scope, execution) in keyed {
        match idempotency::answer_of(tx, scope).await {
            Ok(Some(id)) if id == execution.0.as_bytes() => {}
            known => {
                tasks::unclaim(tx, &scope.tenant, batch.opens[at].execution).await?;
                opened[at] = found(known)?;
            }
        }
    }
    Ok(opened)
}

fn found(answer: Result<Option<Vec<u8>>, probity_storage::Error>) -> Result<Opened, Error> {
    match answer {
        Ok(Some(id)) => Ok(Opened::Before(super::id(&id)?)),
        Ok(None) => Err(Error::Away("a key was taken and given back in this moment".to_owned())),
        Err(reused @ probity_storage::Error::KeyReused { .. }) => Ok(Opened::KeyReused(reused)),
        Err(other) => Err(other.into()),
    }
}

/// Damage done on purpose: wherever the log ends now, sealed or not.
async fn unfenced(tx: &mut Tx, place: Place) -> Result<Place, Error> {
    let last = "SELECT COALESCE(MAX(seq), 0) FROM journal WHERE log = $1";
    let after = tx.query_opt(last, args![place.log]).await?.map_or(Ok(0), |row| row.i64(0))?;
    Ok(Place { after, ..place })
}

const INSERT_TURN: &str = "INSERT INTO journal
    (log, seq, execution, tenant, first_fact, last_fact, time_us, actor, request_id, trace_id, facts)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

fn journal_rows<'t>(turns: impl Iterator<Item = &'t StoredTurn>, place: Place) -> Vec<[Value; 11]> {
    let row = |(turn, position): (&StoredTurn, i64)| {
        row![
            place.log,
            position,
            turn.execution.0,
            turn.tenant.as_str(),
            turn.first,
            turn.last(),
            turn.time,
            turn.actor.as_str(),
            turn.request_id.as_str(),
            turn.trace_id.as_str(),
            turn.json.as_str()
        ]
    };
    turns.zip(place.after + 1..).map(row).collect()
}

/// Somebody else has written where the log was to go on.
fn appended(stored: Result<u64, probity_storage::Error>) -> Result<(), Error> {
    match stored {
        Err(probity_storage::Error::Unique { .. }) => Err(Error::Fenced),
        other => Ok(other.map(drop)?),
    }
}

const UPSERT_ROW: &str = "INSERT INTO executions
    (tenant, id, shard, kind, state, status, definition, owner, priority, waiting, paused, active, created_us,
     updated_us, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state, status = excluded.status,
        waiting = excluded.waiting, paused = excluded.paused, active = excluded.active,
        updated_us = excluded.updated_us, body = excluded.body";

async fn upsert_rows(tx: &mut Tx, rows: &[&ExecutionRow]) -> Result<(), Error> {
    let rows: Vec<_> = rows.iter().map(|row| row.values()).collect();
    tx.execute_many(UPSERT_ROW, rows).await?;
    Ok(())
}
