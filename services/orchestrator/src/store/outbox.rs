//! The journal as an outbox: the same rows that are history feed the audit log.

use super::{LANE, Store};
use futures::future::BoxFuture;
use probity_runtime::Outbox;
use probity_storage::args;
use probity_types::{AuditEvent, Fault};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Notify;

/// Hands the audited facts of the journal to the relay.
pub(crate) struct JournalOutbox {
    store: Store,
    committed: Arc<Notify>,
    /// The stored mark, once it has been read; -1 before.
    acknowledged: AtomicI64,
    /// The last position read: everything up to it is in the batch handed out.
    read: AtomicI64,
}

impl JournalOutbox {
    pub(crate) fn new(store: Store, committed: Arc<Notify>) -> Self {
        Self { store, committed, acknowledged: AtomicI64::new(-1), read: AtomicI64::new(0) }
    }

    async fn mark(&self) -> Result<i64, Fault> {
        let known = self.acknowledged.load(Ordering::Acquire);
        if known >= 0 {
            return Ok(known);
        }
        let sql = "SELECT seq FROM relay WHERE lane = $1";
        let stored =
            self.store.db.query_opt(sql, args![LANE]).await?.map(|row| row.i64(0)).transpose()?.unwrap_or(0);
        self.acknowledged.store(stored, Ordering::Release);
        Ok(stored)
    }

    async fn read(&self, limit: u32) -> Result<Vec<(i64, AuditEvent)>, Fault> {
        let mut after = self.mark().await?;
        // A turn has about three audited facts; turns without any are passed over.
        loop {
            let turns = self.store.journal(after, i64::from(limit.div_ceil(4).max(1))).await?;
            let Some((last, _)) = turns.last() else { return Ok(Vec::new()) };
            after = *last;
            self.read.store(after, Ordering::Release);
            let events: Vec<_> = turns
                .iter()
                .flat_map(|(position, turn)| turn.events().map(|event| (*position, event)))
                .collect();
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    async fn store_mark(&self, position: i64) -> Result<(), Fault> {
        // The whole batch is acknowledged at once, with the turns at its end that
        // had nothing to tell.
        let position = position.max(self.read.load(Ordering::Acquire));
        self.store
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "INSERT INTO relay (lane, seq) VALUES ($1, $2)
                         ON CONFLICT (lane) DO UPDATE SET seq = excluded.seq WHERE relay.seq < excluded.seq";
                    tx.execute(sql, args![LANE, position]).await
                })
            })
            .await
            .map_err(|e: probity_storage::Error| Fault::from(e))?;
        self.acknowledged.store(position, Ordering::Release);
        Ok(())
    }
}

impl Outbox for JournalOutbox {
    fn pending(&self, limit: u32) -> BoxFuture<'_, Result<Vec<(i64, AuditEvent)>, Fault>> {
        Box::pin(self.read(limit))
    }

    fn acknowledge(&self, sequence: i64) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.store_mark(sequence))
    }

    fn notify(&self) -> Arc<Notify> {
        self.committed.clone()
    }
}
