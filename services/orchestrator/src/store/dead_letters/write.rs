//! What turns change among the dead letters, in the transaction of the turns.

use super::LetterId;
use crate::domain::audit::StoredTurn;
use crate::domain::dead_letters::{Change, Failure, Slot, State};
use crate::error::Error;
use probity_storage::{Tx, Value, args, row};
use probity_types::id::ExecutionId;
use std::collections::HashSet;

const COLUMNS: usize = 22;
const UPSERT: &str = "INSERT INTO dead_letters
    (tenant, id, execution, of_case, definition, step, item, state, code, error, template, peer, operation,
     attempts, failures, payload, payload_bytes, created_us, opened_us, updated_us, reviewer, note)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
    ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state, code = excluded.code, error = excluded.error,
        template = excluded.template, peer = excluded.peer, operation = excluded.operation,
        attempts = excluded.attempts, failures = dead_letters.failures + 1, payload = excluded.payload,
        payload_bytes = excluded.payload_bytes, opened_us = excluded.opened_us, updated_us = excluded.updated_us";
/// Largest message kept with a letter, in bytes of JSON. A larger one is read back
/// from the journal when somebody asks for it.
const MAX_PAYLOAD: usize = 64 << 10;

/// Writes what these turns change, in their order.
///
/// # Errors
/// When the store fails.
pub(crate) async fn write(tx: &mut Tx, turns: &[&StoredTurn]) -> Result<(), Error> {
    let mut opened = Opened::default();
    for turn in turns {
        for change in &turn.letters {
            match change {
                Change::Opened(failure) => {
                    if opened.has(turn.execution, &failure.slot) {
                        opened.flush(tx).await?;
                    }
                    opened.add(turn, failure);
                }
                Change::Left { slot, to, note } => {
                    opened.flush(tx).await?;
                    leave(tx, turn, slot, *to, note).await?;
                }
            }
        }
    }
    opened.flush(tx).await
}

/// Letters that are written together, each once.
#[derive(Default)]
struct Opened {
    ids: HashSet<Vec<u8>>,
    rows: Vec<[Value; COLUMNS]>,
}

impl Opened {
    fn has(&self, execution: ExecutionId, slot: &Slot) -> bool {
        self.ids.contains(&LetterId { execution, slot: slot.clone() }.to_bytes())
    }

    fn add(&mut self, turn: &StoredTurn, failure: &Failure) {
        let id = LetterId { execution: turn.execution, slot: failure.slot.clone() }.to_bytes();
        let payload = failure.payload.to_string();
        let size = i64::try_from(payload.len()).unwrap_or(i64::MAX);
        let kept = if payload.len() > MAX_PAYLOAD { String::new() } else { payload };
        let now = turn.time.0;
        self.rows.push(row![
            turn.tenant.as_str(),
            id.clone(),
            format!("executions/{}", turn.execution),
            turn.case.as_str(),
            failure.definition.as_str(),
            failure.slot.step.as_str(),
            failure.slot.item.map(i64::from),
            State::Failed as i64,
            failure.code.as_str(),
            failure.error.as_str(),
            failure.template.as_str(),
            failure.peer.as_str(),
            failure.operation.as_str(),
            i64::from(failure.attempts),
            1_i64,
            kept,
            size,
            now,
            now,
            now,
            "",
            ""
        ]);
        self.ids.insert(id);
    }

    async fn flush(&mut self, tx: &mut Tx) -> Result<(), Error> {
        self.ids.clear();
        tx.execute_many(UPSERT, std::mem::take(&mut self.rows)).await?;
        Ok(())
    }
}

async fn leave(tx: &mut Tx, turn: &StoredTurn, slot: &Slot, to: State, note: &str) -> Result<(), Error> {
    let id = LetterId { execution: turn.execution, slot: slot.clone() }.to_bytes();
    let sql = "UPDATE dead_letters SET state = $1, reviewer = $2, updated_us = $3,
            note = CASE WHEN $4 = '' THEN note ELSE $4 END
        WHERE tenant = $5 AND id = $6 AND state < 3";
    let row = args![to as i64, turn.actor.as_str(), turn.time.0, note, turn.tenant.as_str(), id];
    tx.execute(sql, row).await?;
    Ok(())
}
