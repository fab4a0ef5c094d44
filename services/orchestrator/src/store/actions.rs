//! Actions taken for cases: each once per idempotency key, in one transaction
//! with its audit event.

use super::Store;
use crate::error::Error;
use probity_proto::orchestrator::Action;
use probity_proto::time::timestamp;
use probity_storage::idempotency::{self, Scope};
use probity_storage::{Row, Tx, args, outbox};
use probity_types::id::{ActionId, CaseId};
use probity_types::{AuditEvent, Micros};
use prost::Message as _;

/// What to do about a case, or to take back.
pub(crate) struct Change {
    pub(crate) tenant: String,
    pub(crate) case: CaseId,
    pub(crate) kind: i32,
    pub(crate) reason: String,
    pub(crate) scope: Option<Scope>,
    pub(crate) event: AuditEvent,
    pub(crate) now: Micros,
}

const COLUMNS: &str = "id, type, reason, active, created_us";

impl Store {
    pub(crate) async fn take_action(&self, change: Change) -> Result<Action, Error> {
        self.db.write(move |tx| Box::pin(async move { once(tx, &change, take(&change)).await })).await
    }

    pub(crate) async fn revert_action(&self, change: Change) -> Result<Action, Error> {
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let active = find(tx, &change).await?;
                    once(tx, &change, active).await
                })
            })
            .await
    }

    /// Actions of a case, oldest first, after one of them.
    pub(crate) async fn actions(
        &self,
        tenant: &str,
        case: CaseId,
        after: &[u8],
        limit: i64,
    ) -> Result<Vec<Action>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM actions WHERE tenant = $1 AND case_id = $2 AND id > $3 ORDER BY id LIMIT $4"
        );
        let rows = self.db.query(&sql, args![tenant, case.to_bytes(), after, limit]).await?;
        rows.iter().map(|row| read(case, row)).collect()
    }
}

/// A new action that stands.
fn take(change: &Change) -> Action {
    Action {
        name: format!("cases/{}/actions/{}", change.case, ActionId::new()),
        r#type: change.kind,
        reason: change.reason.clone(),
        active: true,
        create_time: Some(timestamp(change.now.0)),
    }
}

/// The action to take back, no longer standing; an unnamed one when there is none.
async fn find(tx: &mut Tx, change: &Change) -> Result<Action, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM actions WHERE tenant = $1 AND case_id = $2 AND type = $3 AND active = 1 ORDER BY id DESC LIMIT 1"
    );
    let row =
        tx.query_opt(&sql, args![&change.tenant, change.case.to_bytes(), i64::from(change.kind)]).await?;
    let none = Action { r#type: change.kind, ..Action::default() };
    Ok(Action { active: false, ..row.map_or(Ok(none), |row| read(change.case, &row))? })
}

/// Stores the action and the answer, unless the key was used before.
async fn once(tx: &mut Tx, change: &Change, action: Action) -> Result<Action, Error> {
    if let Some(scope) = &change.scope {
        if let Some(stored) = idempotency::lookup(tx, scope).await? {
            return Action::decode(stored.as_slice())
                .map_err(|e| Error::Journal { case: change.case.to_string(), why: e.to_string() });
        }
        idempotency::record(tx, scope, &action.encode_to_vec(), change.now).await?;
    }
    let Some(id) = action.name.rsplit('/').next().and_then(|id| id.parse::<ActionId>().ok()) else {
        return Ok(action); // nothing stood, nothing to store
    };
    let sql = "INSERT INTO actions (tenant, case_id, id, type, reason, active, created_us)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (tenant, case_id, id) DO UPDATE SET active = excluded.active";
    let row = args![
        &change.tenant,
        change.case.to_bytes(),
        id.to_bytes(),
        i64::from(action.r#type),
        action.reason.as_str(),
        i64::from(action.active),
        change.now.0
    ];
    tx.execute(sql, row).await?;
    outbox::append(tx, &change.event).await?;
    Ok(action)
}

fn read(case: CaseId, row: &Row) -> Result<Action, Error> {
    let id = ActionId::from_bytes(&row.bytes(0)?)
        .map_err(|e| Error::Journal { case: case.to_string(), why: e.to_string() })?;
    Ok(Action {
        name: format!("cases/{case}/actions/{id}"),
        r#type: i32::try_from(row.i64(1)?).unwrap_or(0),
        reason: row.text(2)?,
        active: row.bool(3)?,
        create_time: Some(timestamp(row.i64(4)?)),
    })
}
