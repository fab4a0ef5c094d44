//! Which documents executions name. Written in the commit of what names them; what
//! is written is told to whoever keeps the documents.

use super::Store;
use crate::domain::audit::StoredTurn;
use crate::domain::blobs;
use crate::error::Error;
use probity_storage::{Tx, Value, args, row};
use probity_types::id::ExecutionId;
use serde_json::Value as Json;

/// Still to be kept for good.
const NAMED: i64 = 0;
const KEPT: i64 = 1;
/// It was not there any more.
const GONE: i64 = 2;

const INSERT: &str = "INSERT INTO blobs (tenant, sha256, execution, state) VALUES ($1, $2, $3, $4)
    ON CONFLICT (tenant, sha256, execution) DO NOTHING";

/// A document that executions name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) tenant: String,
    pub(crate) sha256: Vec<u8>,
}

/// False when a turn names no documents for certain.
pub(super) fn may_name_some(turn: &StoredTurn) -> bool {
    blobs::may_have_some(&turn.json)
}

/// Notes the documents that these turns name.
///
/// # Errors
/// When the store fails.
pub(super) async fn write(tx: &mut Tx, turns: &[&StoredTurn]) -> Result<(), Error> {
    let mut rows: Vec<[Value; 4]> = Vec::new();
    for turn in turns.iter().filter(|turn| may_name_some(turn)) {
        let facts: Json = serde_json::from_str(&turn.json)
            .map_err(|e| Error::Journal { case: turn.execution.to_string(), why: e.to_string() })?;
        for hash in blobs::hashes(&facts) {
            rows.push(row![turn.tenant.as_str(), hash.as_slice(), turn.execution.0, NAMED]);
        }
    }
    tx.execute_many(INSERT, rows).await?;
    Ok(())
}

impl Store {
    /// Documents that are still to be kept for good, each once.
    pub(crate) async fn named_blobs(&self, limit: usize) -> Result<Vec<Named>, Error> {
        let sql =
            "SELECT DISTINCT tenant, sha256 FROM blobs WHERE state = 0 ORDER BY tenant, sha256 LIMIT $1";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.db.query(sql, args![limit]).await?;
        rows.iter().map(|row| Ok(Named { tenant: row.text(0)?, sha256: row.bytes(1)? })).collect()
    }

    /// A document is kept for good, or was gone.
    pub(crate) async fn blob_is_kept(&self, named: &Named, kept: bool) -> Result<(), Error> {
        let (named, state) = (named.clone(), if kept { KEPT } else { GONE });
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "UPDATE blobs SET state = $1 WHERE tenant = $2 AND sha256 = $3 AND state = 0";
                    tx.execute(sql, args![state, named.tenant, named.sha256]).await.map(drop)
                })
            })
            .await
            .map_err(|e: probity_storage::Error| Error::Store(e))
    }

    /// The tenant of an execution, whoever asks.
    pub(crate) async fn tenant_of(&self, id: ExecutionId) -> Result<Option<String>, Error> {
        let sql = "SELECT tenant FROM journal WHERE execution = $1 ORDER BY last_fact LIMIT 1";
        self.db.query_opt(sql, args![id.0]).await?.map(|row| Ok(row.text(0)?)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MIGRATIONS;
    use probity_storage::{Db, DbConfig};
    use probity_testkit::Postgres;
    use probity_types::Micros;
    use serde_json::json;

    fn turn(execution: ExecutionId, facts: &Json) -> StoredTurn {
        StoredTurn {
            execution,
            case: String::new(),
            tenant: "t".to_owned(),
            time: Micros(1),
            actor: String::new(),
            request_id: String::new(),
            trace_id: String::new(),
            first: 1,
            facts: Vec::new(),
            json: facts.to_string(),
            chain: [0; 32],
            letters: Vec::new(),
            task: None,
        }
    }

    #[tokio::test]
    async fn what_is_named_is_told_once_on_both_stores() {
        let dir = tempfile::tempdir().unwrap();
        let sqlite = DbConfig::sqlite(dir.path().join("a.db"));
        let postgres = DbConfig { url: Postgres::database(), ..DbConfig::default() };
        for config in [sqlite, postgres] {
            let store = Store::new(Db::open(&config, "orchestrator", MIGRATIONS).await.unwrap());
            let one = json!({"$blob": format!("documents/{}", "a".repeat(64)), "size": 3});
            let id = ExecutionId::new();
            let turns = [
                turn(id, &json!([{"output": [one, one]}])),
                turn(ExecutionId::new(), &json!([{"input": one}])),
                turn(ExecutionId::new(), &json!([{"text": "\"$blob\""}])),
            ];
            let kept = turns.clone();
            let write = store
                .db
                .write(move |tx| Box::pin(async move { write(tx, &kept.iter().collect::<Vec<_>>()).await }));
            write.await.unwrap();
            let named = store.named_blobs(10).await.unwrap();
            assert_eq!(named, [Named { tenant: "t".to_owned(), sha256: vec![0xaa; 32] }]);
            store.blob_is_kept(&named[0], true).await.unwrap();
            assert!(store.named_blobs(10).await.unwrap().is_empty());
            assert_eq!(store.tenant_of(id).await.unwrap(), None);
        }
    }
}
