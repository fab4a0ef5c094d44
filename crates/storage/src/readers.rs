//! The read-only connections of a store.
//!
//! A connection whose query was cut off is thrown away, because nobody knows
//! what it still has to say. A query that fails because an idle connection had
//! died is tried once more on a fresh one: reading twice does no harm.

use crate::conn::{Conn, Connector, Role};
use crate::{Error, Row, Value};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

pub(crate) struct Readers {
    connector: Connector,
    slots: Semaphore,
    idle: Mutex<Vec<Conn>>,
    acquire_timeout: Duration,
    limit: Duration,
}

impl Readers {
    pub(crate) fn new(connector: Connector, most: u32, acquire_timeout: Duration, limit: Duration) -> Self {
        let slots = Semaphore::new(most as usize);
        Self { connector, slots, idle: Mutex::default(), acquire_timeout, limit }
    }

    pub(crate) async fn query(&self, sql: &str, args: &[Value]) -> Result<Vec<Row>, Error> {
        let _slot = match tokio::time::timeout(self.acquire_timeout, self.slots.acquire()).await {
            Ok(Ok(slot)) => slot,
            Ok(Err(_)) => return Err(Error::Closed { database: self.database() }),
            Err(_) => return Err(Error::Overloaded { database: self.database() }),
        };
        let idle = self.idle().pop();
        if let Some(conn) = idle {
            match self.run(conn, sql, args).await {
                Err(Error::Unavailable { .. }) => self.idle().clear(),
                answer => return answer,
            }
        }
        let conn = self.connector.connect(Role::Reader).await?;
        self.run(conn, sql, args).await
    }

    async fn run(&self, mut conn: Conn, sql: &str, args: &[Value]) -> Result<Vec<Row>, Error> {
        let answer = match tokio::time::timeout(self.limit, conn.query(sql, args)).await {
            Ok(answer) => answer,
            Err(_) => return Err(Error::Timeout { database: self.database(), limit: self.limit }),
        };
        if !matches!(&answer, Err(error) if error.is_lost()) && !self.slots.is_closed() {
            self.idle().push(conn);
        }
        answer
    }

    /// Takes no more queries and closes every connection.
    pub(crate) async fn close(&self) {
        self.slots.close();
        let idle = std::mem::take(&mut *self.idle());
        for conn in idle {
            conn.close().await;
        }
    }

    fn database(&self) -> Arc<str> {
        Arc::clone(self.connector.database())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
