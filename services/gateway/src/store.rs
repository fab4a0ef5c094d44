//! The store of the gateway: accounts, sessions, the salts of keys, and the outbox,
//! where what must be provable waits for the audit log.
//!
//! What changes something appends its audit event in the same transaction. No
//! password and no token is in here: of passwords there are hashes, of refresh
//! tokens only which generation is the newest.

mod accounts;
mod keys;
mod sessions;

pub(crate) use accounts::{Account, Change};
pub(crate) use sessions::{Advanced, Refreshing, Session};

use probity_storage::{Db, Error, Migration, outbox};
use probity_types::AuditEvent;

/// The tables.
pub(crate) const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "identity", sql: include_str!("../migrations/0001_identity.sql") }];

/// The store. Cheap to clone.
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

#[cfg(test)]
mod tests;
