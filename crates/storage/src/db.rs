//! The handle of a store.

use crate::config::Target;
use crate::conn::{Connector, Wanted};
use crate::readers::Readers;
use crate::rows::CHUNK;
use crate::writer::{Job, Request, Shared, Writer};
use crate::{Backend, DbConfig, Error, Migration, Row, Tx, Value, lock};
use futures::future::BoxFuture;
use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

/// How long to wait before a database is tried again at start.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// One service's store. Cheap to clone; when the last clone is gone the writer
/// finishes its queue and ends.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    backend: Backend,
    database: Arc<str>,
    queue: mpsc::Sender<Box<dyn Job>>,
    readers: Readers,
    acquire_timeout: Duration,
    shared: Arc<Shared>,
    done: watch::Receiver<bool>,
}

/// What a store has done so far, and how busy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Operations that were stored.
    pub operations: u64,
    /// Transactions they were stored in.
    pub transactions: u64,
    /// Operations waiting now.
    pub waiting: usize,
    /// Requests with an idempotency key.
    pub keyed: u64,
    /// Those of them that got the answer of an earlier one.
    pub repeated: u64,
    /// Operations that may wait; more are refused.
    pub waiting_most: usize,
    /// Read-only connections in use now.
    pub readers_busy: usize,
    /// Read-only connections that are allowed.
    pub readers_most: usize,
}

impl Db {
    /// Opens a store, makes it when there is none, and brings it up to date.
    ///
    /// `schema` is the PostgreSQL schema, usually the service's name; a SQLite
    /// file has none.
    ///
    /// # Errors
    /// When the settings are wrong, the database cannot be reached, another
    /// process owns the file, or the migrations do not fit what is there.
    pub async fn open(config: &DbConfig, schema: &str, migrations: &[Migration]) -> Result<Self, Error> {
        config.validate()?;
        let lock = match config.target()? {
            Target::Sqlite(path) => Some(lock::claim(&path)?),
            Target::Postgres(_) => None,
        };
        let connector = Connector::new(config, schema)?;
        let (queue, receiver) = mpsc::channel(config.queue_capacity);
        let (done, done_seen) = watch::channel(false);
        let shared = Arc::<Shared>::default();
        let (acquire_timeout, limit) = (config.acquire_timeout(), config.statement_timeout());
        let inner = Inner {
            backend: connector.backend(),
            database: Arc::clone(connector.database()),
            queue,
            readers: Readers::new(connector.clone(), config.max_readers, acquire_timeout, limit),
            acquire_timeout,
            shared: Arc::clone(&shared),
            done: done_seen,
        };
        let max_batch = config.max_batch;
        let writer = Writer {
            connector,
            queue: receiver,
            tx: None,
            max_batch,
            limit,
            shared,
            done,
            lock,
            last: Default::default(),
        };
        writer.start(migrations.to_vec()).await?;
        Ok(Self(Arc::new(inner)))
    }

    /// As [`Self::open`] for a process that starts: a PostgreSQL that does not answer
    /// yet is tried again for `start_timeout_ms`. What is installed together starts
    /// together, and a process that ends is started again later and later.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_at_start(
        config: &DbConfig,
        schema: &str,
        migrations: &[Migration],
    ) -> Result<Self, Error> {
        let until = Instant::now() + config.start_timeout();
        loop {
            let error = match Self::open(config, schema, migrations).await {
                Err(error @ Error::Unavailable { .. }) if !config.is_file() && Instant::now() < until => {
                    error
                }
                opened => return opened,
            };
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(%error, cause, "the store is not there yet and is tried again");
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Which database this is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.0.backend
    }

    /// Reads: all rows of a statement, on a read-only connection.
    ///
    /// # Errors
    /// When the statement is refused, takes too long, or the database is away.
    pub async fn query(&self, sql: &str, args: Vec<Value>) -> Result<Vec<Row>, Error> {
        self.0.readers.query(sql, args, Wanted::All).await
    }

    /// Reads: the first row of a statement, if there is one.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn query_opt(&self, sql: &str, args: Vec<Value>) -> Result<Option<Row>, Error> {
        Ok(self.0.readers.query(sql, args, Wanted::First).await?.into_iter().next())
    }

    /// Writes: runs `op` in a transaction and answers after its commit.
    ///
    /// Operations that come together are committed together; each is stored as a
    /// whole or not at all, on its own. Once taken, `op` runs even if the caller
    /// goes away. It must only use `tx`: whoever waits for something else in here
    /// holds up every other write.
    ///
    /// # Errors
    /// What `op` answers; or why it could not be stored.
    pub async fn write<T, E, F>(&self, op: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        self.operate(op, false).await
    }

    /// Writes: a statement for every row, as [`Tx::execute_many`], and nothing else;
    /// answers how many rows it changed. When no other operation is committed with it,
    /// a server takes up to a thousand rows in one trip instead of three.
    ///
    /// # Errors
    /// As [`Tx::execute_many`]; or why it could not be stored.
    pub async fn write_rows<const N: usize>(
        &self,
        sql: &'static str,
        rows: Vec<[Value; N]>,
    ) -> Result<u64, Error> {
        let single = rows.len() <= CHUNK;
        self.operate(move |tx| Box::pin(tx.execute_many(sql, rows)), single).await
    }

    async fn operate<T, E, F>(&self, op: F, single: bool) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Box::new(Request { op, single, answer })).await?;
        // The writer answers everything it takes; it falls silent only when the
        // runtime is torn down.
        answered.await.unwrap_or_else(|_| Err(self.closed().into()))
    }

    async fn enqueue(&self, job: Box<dyn Job>) -> Result<(), Error> {
        let job = match self.0.queue.try_send(job) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(self.closed()),
            Err(TrySendError::Full(job)) => job,
        };
        self.0.queue.send_timeout(job, self.0.acquire_timeout).await.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => Error::Overloaded { database: Arc::clone(&self.0.database) },
            SendTimeoutError::Closed(_) => self.closed(),
        })
    }

    fn closed(&self) -> Error {
        Error::Closed { database: Arc::clone(&self.0.database) }
    }

    /// Woken after each commit that appended to the [`outbox`](crate::outbox).
    /// A wake-up that nobody waits for is kept. Other processes on the same
    /// PostgreSQL schema do not wake this one: poll as well.
    #[must_use]
    pub fn outbox_notify(&self) -> Arc<Notify> {
        Arc::clone(&self.0.shared.appended)
    }

    /// What the store has done so far, and how busy it is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            operations: self.0.shared.operations.load(Ordering::Relaxed),
            transactions: self.0.shared.transactions.load(Ordering::Relaxed),
            waiting: self.0.queue.max_capacity() - self.0.queue.capacity(),
            keyed: self.0.shared.keyed.load(Ordering::Relaxed),
            repeated: self.0.shared.repeated.load(Ordering::Relaxed),
            waiting_most: self.0.queue.max_capacity(),
            readers_busy: self.0.readers.busy(),
            readers_most: self.0.readers.most(),
        }
    }

    /// Refuses new work, finishes what waits, closes every connection and
    /// releases the file.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.shared.closing.notify_one();
        // An error means the writer is gone already.
        let _ = self.0.done.clone().wait_for(|done| *done).await;
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("database", &self.0.database).finish_non_exhaustive()
    }
}
