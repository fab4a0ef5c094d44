//! What is shown of executions, kept in memory by the replica that owns them.
//!
//! **Architecture invariant:** nobody who asks after a change was told to anybody gets
//! what was before it, whichever replica they ask. So
//!
//! - a view is kept only of an execution whose shard is ours: nobody else writes it;
//! - while a commit is under way its executions are read from the store, and its views
//!   are put in before anybody is answered ([`Views::writing`]);
//! - after a commit whose outcome is unknown nothing is kept until a new log has begun,
//!   when the old one is sealed and nothing of it can land any more;
//! - before a view is answered the store has confirmed, *after the question came*, that
//!   our log is not sealed, so that no other replica had our shards at that moment. One
//!   confirmation serves all who wait for it. A SQLite file has one process; its lock is
//!   the confirmation.
//!
//! No clock has a part in it: a replica that stood still for an hour asks first.

use crate::domain::ownership::shard_of;
use crate::error::Error;
use crate::store::{ExecutionRow, Store, View};
use parking_lot::RwLock;
use probity_proto::orchestrator::Case;
use probity_resilience::cache::{Cache, Fresh, Write};
use probity_storage::Backend;
use probity_types::id::{CaseId, ExecutionId};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// A row as it is shown: of a case when `kind` is positive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) kind: i64,
    pub(crate) body: Vec<u8>,
}

/// Rows that are being written.
pub(crate) type Writing = Write<Shown, probity_storage::Error>;

/// What was read before.
pub(crate) struct Known {
    pub(crate) shown: Cache<Shown, probity_storage::Error>,
    pub(crate) unsealed: Fresh<(), probity_storage::Error>,
}

/// Reads what is shown of executions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Views(Arc<Inner>);

struct Inner {
    store: Store,
    known: Known,
    own: RwLock<Own>,
}

/// The log of this replica and its shards; no shards while the lane is not running.
#[derive(Default)]
struct Own {
    log: i64,
    shards: Vec<u8>,
}

impl Own {
    fn has(&self, id: ExecutionId) -> bool {
        self.shards.binary_search(&shard_of(id)).is_ok()
    }
}

impl Views {
    pub(crate) fn new(store: Store, known: Known) -> Self {
        Self(Arc::new(Inner { store, known, own: RwLock::default() }))
    }

    /// An execution as it was last committed, without its steps.
    pub(crate) async fn view(&self, tenant: &str, id: ExecutionId) -> Result<View, Error> {
        if !self.is_ours(id).await? {
            return self.0.store.view(tenant, id).await;
        }
        let (store, whose) = (self.0.store.clone(), tenant.to_owned());
        let load = || async move { store.shown(&whose, id).await };
        let shown = self.0.known.shown.get(&key(tenant, id), load).await;
        let shown = shown.map_err(|error| Error::Store((*error).clone()))?;
        let shown = shown.ok_or_else(|| Error::NoExecution(id.to_string()))?;
        View::decode(shown.kind, &shown.body)
    }

    /// A case as it was last committed.
    pub(crate) async fn case(&self, tenant: &str, id: CaseId) -> Result<Case, Error> {
        match self.view(tenant, ExecutionId(id.0)).await {
            Ok(View::Case(case)) => Ok(*case),
            Ok(View::Plain(_)) | Err(Error::NoExecution(_)) => Err(Error::NoCase(id.to_string())),
            Err(other) => Err(other),
        }
    }

    /// Whether the execution was ours alone at some moment after this question.
    async fn is_ours(&self, id: ExecutionId) -> Result<bool, Error> {
        let log = {
            let own = self.0.own.read();
            if !own.has(id) {
                return Ok(false);
            }
            own.log
        };
        if self.0.store.db.backend() == Backend::Sqlite {
            return Ok(true);
        }
        let store = self.0.store.clone();
        let unsealed = || async move { Ok(store.is_open(log).await?.then_some(())) };
        let unsealed = self.0.known.unsealed.get(&log.to_string(), unsealed).await;
        let unsealed = unsealed.map_err(|error| Error::Store((*error).clone()))?.is_some();
        // It may have been released, or a new log begun, meanwhile.
        let own = self.0.own.read();
        Ok(unsealed && own.log == log && own.has(id))
    }

    /// The lane commits these rows; until it is done they are read from the store.
    pub(crate) fn writing(&self, rows: &[ExecutionRow]) -> Writing {
        self.0.known.shown.write(rows.iter().map(|row| key(&row.tenant, row.id)).collect())
    }

    /// These shards, in order, are ours now, in this log. What was read of others may
    /// be old by the time they are ours.
    pub(crate) fn own(&self, log: i64, shards: &[u8]) {
        let mut own = self.0.own.write();
        if own.log != log || own.shards != shards {
            *own = Own { log, shards: shards.to_vec() };
            self.0.known.shown.clear();
        }
    }

    /// Shards were let go, or nobody knows what is stored: nothing is kept any more.
    pub(crate) fn disown(&self) {
        self.own(0, &[]);
    }
}

/// A commit is done: puts in what its rows show now, those that were left out excepted.
pub(crate) fn written(writing: Writing, rows: &[ExecutionRow], left_out: &HashSet<ExecutionId>) {
    writing.done(|wanted| {
        let (_, id) = wanted.rsplit_once('/')?;
        let id: ExecutionId = id.parse().ok()?;
        let row = rows.iter().find(|row| row.id == id)?;
        let stored = !left_out.contains(&row.id);
        stored.then(|| Shown { kind: row.kind.into(), body: row.body.clone() })
    });
}

fn key(tenant: &str, id: ExecutionId) -> String {
    format!("{tenant}/{id}")
}
