//! The store of the gateway: only its outbox, where what must be provable waits
//! for the audit log.

use probity_storage::{Db, Error, outbox};
use probity_types::AuditEvent;

/// Writes audit events durably.
#[derive(Clone)]
pub(crate) struct Store(Db);

impl Store {
    pub(crate) const fn new(db: Db) -> Self {
        Self(db)
    }

    /// Puts events into the outbox in one transaction; they are on disk when
    /// this answers.
    pub(crate) async fn record(&self, events: Vec<AuditEvent>) -> Result<(), Error> {
        self.0
            .write(move |tx| {
                Box::pin(async move {
                    for event in &events {
                        outbox::append(tx, event).await?;
                    }
                    Ok::<_, Error>(())
                })
            })
            .await
    }
}
