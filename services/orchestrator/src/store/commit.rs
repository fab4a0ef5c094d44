//! The one transaction of the lane: everything a batch of turns changed, or
//! nothing of it.
//!
//! **Architecture invariant (fencing).** The transaction extends the lease of its
//! epoch and fails when the epoch is not the newest; and the positions it inserts
//! are contiguous and part of the primary key. So a lane that lost its lease
//! cannot add a single row, however late its commit comes.

use super::{LANE, Store};
use crate::domain::audit::StoredTurn;
use crate::error::Error;
use probity_proto::orchestrator::{Case, CaseState, WaitKind};
use probity_storage::idempotency::{self, Scope};
use probity_storage::{Tx, Value, args};
use probity_types::Micros;
use probity_types::id::CaseId;
use prost::Message as _;
use std::collections::HashSet;

/// Rows an insert carries; SQLite binds at most 32,766 values.
const ROWS: usize = 64;

/// What a batch of turns changed.
#[derive(Default)]
pub(crate) struct Batch {
    /// Requests to open a case, each with its first turn in `turns`.
    pub(crate) opens: Vec<Opening>,
    /// The turns in order.
    pub(crate) turns: Vec<StoredTurn>,
    /// The cases as they are now, the last of each case; `true` when something is
    /// under way.
    pub(crate) cases: Vec<(CaseId, String, Case, bool)>,
}

/// A request to open a case.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) case: CaseId,
    /// Absent when the caller gave no key.
    pub(crate) scope: Option<Scope>,
}

/// What became of it.
pub(crate) enum Opened {
    /// It is new.
    New,
    /// The key was used before for the same request: the case opened then.
    Before(Box<Case>),
    /// The key was used before for another request.
    KeyReused(probity_storage::Error),
}

impl Store {
    /// Takes the lane: at once when it is free, was ours before (`owner`), or
    /// nobody else can have it (`alone`). Answers the new epoch.
    pub(crate) async fn acquire(
        &self,
        owner: &str,
        alone: bool,
        now: Micros,
        until: Micros,
    ) -> Result<i64, Error> {
        let owner = owner.to_owned();
        let held = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "INSERT INTO lanes (lane, owner, epoch, until_us) VALUES ($1, $2, 1, $3)
                         ON CONFLICT (lane) DO UPDATE SET owner = $2, epoch = lanes.epoch + 1, until_us = $3
                         WHERE lanes.owner = $2 OR lanes.until_us < $4 OR $5 = 1 RETURNING epoch";
                    let args = args![LANE, owner, until.0, now.0, i64::from(alone)];
                    let row = tx.query_opt(sql, args).await?;
                    row.map(|row| row.i64(0)).transpose()
                })
            })
            .await
            .map_err(|e: probity_storage::Error| Error::Store(e))?;
        held.ok_or_else(|| Error::Away("another replica owns the lane".to_owned()))
    }

    /// Commits a batch; `position` is that of the last turn before it. Answers
    /// what became of each opening. Turns of openings that were there before are
    /// left out.
    pub(crate) async fn commit(
        &self,
        batch: Batch,
        epoch: i64,
        position: i64,
        until: Micros,
    ) -> Result<Vec<Opened>, Error> {
        self.db
            .write(move |tx| Box::pin(async move { write(tx, &batch, epoch, position, until).await }))
            .await
    }
}

async fn write(
    tx: &mut Tx,
    batch: &Batch,
    epoch: i64,
    position: i64,
    until: Micros,
) -> Result<Vec<Opened>, Error> {
    let lease = "UPDATE lanes SET until_us = $1 WHERE lane = $2 AND epoch = $3";
    if tx.execute(lease, args![until.0, LANE, epoch]).await? != 1 {
        return Err(Error::Fenced);
    }
    let mut opened = Vec::with_capacity(batch.opens.len());
    let mut left_out = HashSet::new();
    for opening in &batch.opens {
        let outcome = open(tx, batch, opening).await?;
        if !matches!(outcome, Opened::New) {
            left_out.insert(opening.case);
        }
        opened.push(outcome);
    }
    let turns: Vec<&StoredTurn> =
        batch.turns.iter().filter(|t| !left_out.contains(&CaseId(t.case))).collect();
    insert_turns(tx, &turns, position).await?;
    let cases: Vec<_> = batch.cases.iter().filter(|(id, ..)| !left_out.contains(id)).collect();
    upsert_cases(tx, &cases).await?;
    Ok(opened)
}

async fn open(tx: &mut Tx, batch: &Batch, opening: &Opening) -> Result<Opened, Error> {
    let Some(scope) = &opening.scope else { return Ok(Opened::New) };
    match idempotency::lookup(tx, scope).await {
        Ok(None) => {
            let now = batch.turns.first().map_or(Micros(0), |t| t.time);
            idempotency::record(tx, scope, &opening.case.to_bytes(), now).await?;
            Ok(Opened::New)
        }
        Ok(Some(id)) => {
            let sql = "SELECT body FROM cases WHERE tenant = $1 AND id = $2";
            match tx.query_opt(sql, args![&scope.tenant, id.clone()]).await? {
                Some(row) => Ok(Opened::Before(Box::new(super::decode_case(&row, 0)?))),
                None => Ok(Opened::Before(Box::new(in_batch(batch, &id)?))),
            }
        }
        Err(reused @ probity_storage::Error::KeyReused { .. }) => Ok(Opened::KeyReused(reused)),
        Err(other) => Err(other.into()),
    }
}

/// Two requests with one key in one batch: the second gets the first's case.
fn in_batch(batch: &Batch, id: &[u8]) -> Result<Case, Error> {
    let found = batch.cases.iter().find(|(case, ..)| case.to_bytes() == id);
    found.map(|(_, _, case, _)| case.clone()).ok_or_else(|| Error::NoCase(hex::encode(id)))
}

async fn insert_turns(tx: &mut Tx, turns: &[&StoredTurn], mut position: i64) -> Result<(), Error> {
    for chunk in turns.chunks(ROWS) {
        let mut row = Vec::with_capacity(chunk.len() * 11);
        for turn in chunk {
            position += 1;
            let facts = serde_json::to_string(&turn.facts)
                .map_err(|e| Error::Journal { case: turn.case_name.clone(), why: e.to_string() })?;
            let last = turn.first + i64::try_from(turn.facts.len()).unwrap_or(0) - 1;
            row.extend(args![
                LANE,
                position,
                turn.case.as_bytes().as_slice(),
                turn.tenant.as_str(),
                turn.first,
                last,
                turn.time.0,
                turn.actor.as_str(),
                turn.request_id.as_str(),
                turn.trace_id.as_str(),
                facts
            ]);
        }
        let sql = insert(
            "journal (lane, seq, case_id, tenant, first_fact, last_fact, time_us, actor, request_id, trace_id, facts)",
            chunk.len(),
            11,
        );
        tx.execute(&sql, row).await?;
    }
    Ok(())
}

async fn upsert_cases(tx: &mut Tx, cases: &[&(CaseId, String, Case, bool)]) -> Result<(), Error> {
    for chunk in cases.chunks(ROWS) {
        let rows: Vec<Value> = chunk
            .iter()
            .flat_map(|(id, tenant, case, active)| case_row(*id, tenant, case, *active))
            .collect();
        let sql = insert("cases (tenant, id, owner, kind, state, waiting, active, body)", chunk.len(), 8)
            + " ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state, waiting = excluded.waiting,
                active = excluded.active, body = excluded.body";
        tx.execute(&sql, rows).await?;
    }
    Ok(())
}

fn case_row(id: CaseId, tenant: &str, case: &Case, active: bool) -> Vec<Value> {
    let waits = case.waiting.as_ref().is_some_and(|w| w.kind != WaitKind::Unspecified as i32);
    debug_assert!(case.state != CaseState::Unspecified as i32);
    args![
        tenant,
        id.to_bytes(),
        case.owner.as_str(),
        i64::from(case.kind),
        i64::from(case.state),
        i64::from(waits),
        i64::from(active),
        case.encode_to_vec()
    ]
}

fn insert(into: &str, rows: usize, columns: usize) -> String {
    let row = |r: usize| {
        let places: Vec<_> = (1..=columns).map(|c| format!("${}", r * columns + c)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    format!("INSERT INTO {into} VALUES {}", rows.join(", "))
}
