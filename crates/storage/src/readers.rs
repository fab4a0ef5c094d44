//! The read-only connections of a store.
//!
//! A SQLite file is read on threads for blocking work, one query at a time on
//! each; the writer is never in their way. A connection whose query was cut off
//! is thrown away, because nobody knows what it still has to say. A query that
//! fails because an idle connection had died is tried once more on a fresh one:
//! reading twice does no harm.

use crate::conn::{Conn, Connector, Role, Wanted};
use crate::{Backend, Error, Row, Value};
use futures::FutureExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) struct Readers {
    pool: Arc<Pool>,
    acquire_timeout: Duration,
}

struct Pool {
    connector: Connector,
    slots: Arc<Semaphore>,
    most: usize,
    idle: Mutex<Vec<Conn>>,
    limit: Duration,
}

impl Readers {
    pub(crate) fn new(connector: Connector, most: u32, acquire_timeout: Duration, limit: Duration) -> Self {
        let most = most as usize;
        let slots = Arc::new(Semaphore::new(most));
        Self {
            pool: Arc::new(Pool { connector, slots, most, idle: Mutex::default(), limit }),
            acquire_timeout,
        }
    }

    pub(crate) async fn query(&self, sql: &str, args: Vec<Value>, wanted: Wanted) -> Result<Vec<Row>, Error> {
        let slot = self.slot().await?;
        match self.pool.connector.backend() {
            Backend::Postgres => self.pool.query(sql, &args, wanted).await,
            Backend::Sqlite => self.apart(slot, sql, args, wanted).await,
        }
    }

    /// Connections that are allowed.
    pub(crate) fn most(&self) -> usize {
        self.pool.most
    }

    /// Connections whose queries run now.
    pub(crate) fn busy(&self) -> usize {
        self.pool.most.saturating_sub(self.pool.slots.available_permits())
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        let slot = Arc::clone(&self.pool.slots).acquire_owned();
        match tokio::time::timeout(self.acquire_timeout, slot).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) => Err(Error::Closed { database: self.pool.database() }),
            Err(_) => Err(Error::Overloaded { database: self.pool.database() }),
        }
    }

    /// On a thread that may wait for the disk. The slot is taken along: when the
    /// caller goes away, its query still counts until it ends.
    async fn apart(
        &self,
        slot: OwnedSemaphorePermit,
        sql: &str,
        args: Vec<Value>,
        wanted: Wanted,
    ) -> Result<Vec<Row>, Error> {
        let (pool, sql) = (Arc::clone(&self.pool), sql.to_owned());
        let reading = tokio::task::spawn_blocking(move || {
            // A file's connection is ready at once, always: see `Conn`.
            let answer = pool.query(&sql, &args, wanted).now_or_never();
            drop(slot);
            answer
        });
        match reading.await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(Error::Panicked { message: "a read of a file was not ready at once".into() }),
            Err(error) if error.is_panic() => Err(Error::Panicked { message: error.to_string() }),
            Err(_) => Err(Error::Closed { database: self.pool.database() }),
        }
    }

    /// Takes no more queries and closes every connection.
    pub(crate) async fn close(&self) {
        self.pool.slots.close();
        let idle = std::mem::take(&mut *self.pool.idle());
        for conn in idle {
            conn.close().await;
        }
    }
}

impl Pool {
    async fn query(&self, sql: &str, args: &[Value], wanted: Wanted) -> Result<Vec<Row>, Error> {
        let idle = self.idle().pop();
        if let Some(conn) = idle {
            match self.run(conn, sql, args, wanted).await {
                Err(Error::Unavailable { .. }) => self.idle().clear(),
                answer => return answer,
            }
        }
        let conn = self.connector.connect(Role::Reader).await?;
        self.run(conn, sql, args, wanted).await
    }

    async fn run(
        &self,
        mut conn: Conn,
        sql: &str,
        args: &[Value],
        wanted: Wanted,
    ) -> Result<Vec<Row>, Error> {
        conn.start_clock();
        let answer = match tokio::time::timeout(self.limit, conn.query(sql, args, wanted)).await {
            Ok(answer) => answer,
            Err(_) => return Err(Error::Timeout { database: self.database(), limit: self.limit }),
        };
        if !matches!(&answer, Err(error) if error.is_lost()) && !self.slots.is_closed() {
            self.idle().push(conn);
        }
        answer
    }

    fn database(&self) -> Arc<str> {
        Arc::clone(self.connector.database())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
