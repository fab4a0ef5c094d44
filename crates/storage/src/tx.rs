//! The transaction an operation writes in.
//!
//! One `Tx` serves a whole group: [`Tx::begin`], an operation after the other
//! (each in a savepoint when there are several), [`Tx::commit`]. Operations see
//! only `execute` and `query`: they cannot commit.

use crate::config::Backend;
use crate::conn::{Conn, Control, Wanted};
use crate::{Error, Row, Value, outbox};
use std::sync::Arc;
use std::time::Duration;

/// A transaction in progress, as an operation of [`Db::write`](crate::Db::write) sees it.
pub struct Tx {
    conn: Conn,
    /// How long transaction control may take.
    limit: Duration,
    /// Audit events of the operations that did not fail, in order.
    events: Vec<String>,
    /// How many of them were there before the running operation.
    events_before: usize,
    /// The first statement of the running operation that failed.
    failed: Option<Error>,
    /// The connection must not be used again.
    broken: bool,
    /// It is one statement, which the server begins and ends by itself.
    single: bool,
    keys: Keys,
}

/// Requests with an idempotency key that came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Keys {
    /// All of them.
    pub(crate) asked: u64,
    /// Those that got an answer of an earlier one.
    pub(crate) repeated: u64,
}

impl Tx {
    pub(crate) const fn new(conn: Conn, limit: Duration) -> Self {
        Self {
            conn,
            limit,
            events: Vec::new(),
            events_before: 0,
            failed: None,
            broken: false,
            single: false,
            keys: Keys { asked: 0, repeated: 0 },
        }
    }

    /// Which database this is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.conn.backend()
    }

    /// Runs a statement; answers how many rows it changed.
    ///
    /// # Errors
    /// When the database refuses it or cannot be reached. After an error the
    /// operation must end with an error: it cannot be stored any more.
    pub async fn execute(&mut self, sql: &str, args: Vec<Value>) -> Result<u64, Error> {
        let done = self.conn.execute(sql, &args).await;
        probity_failpoint::hit("storage.statement");
        self.note(done)
    }

    /// Runs a statement; answers all its rows.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn query(&mut self, sql: &str, args: Vec<Value>) -> Result<Vec<Row>, Error> {
        let done = self.conn.query(sql, &args, Wanted::All).await;
        self.note(done)
    }

    /// Runs a statement; answers its first row, if there is one.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn query_opt(&mut self, sql: &str, args: Vec<Value>) -> Result<Option<Row>, Error> {
        let done = self.conn.query(sql, &args, Wanted::First).await;
        Ok(self.note(done)?.into_iter().next())
    }

    /// Runs a statement for every row; answers how many rows it changed.
    ///
    /// The statement is written for one row, with `VALUES ($1, $2, …)` in it and no
    /// placeholder elsewhere; the place of the row may be an `INSERT`, with
    /// `ON CONFLICT` or without, `… IN (VALUES ($1))`, or
    /// `FROM (VALUES ($1, $2)) AS r`, whose columns are `column1`, `column2`. All
    /// rows have the types of the first one. A statement that updates may meet a
    /// row only once. On SQLite this steps one prepared statement; on PostgreSQL it
    /// is one trip for a thousand rows, with a column an array. No rows, no trip.
    ///
    /// ```
    /// # async fn example(tx: &mut probity_storage::Tx) -> Result<(), probity_storage::Error> {
    /// use probity_storage::row;
    /// let sql = "INSERT INTO note (tenant, id, text) VALUES ($1, $2, $3)";
    /// tx.execute_many(sql, (0..100).map(|id| row!["acme", id, "hello"])).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Rows`] when the statement or the rows do not fit; else as
    /// [`Self::execute`].
    pub async fn execute_many<const N: usize, R>(&mut self, sql: &str, rows: R) -> Result<u64, Error>
    where
        R: IntoIterator<Item = [Value; N]>,
        R::IntoIter: Send,
    {
        let done = self.conn.execute_many(sql, rows.into_iter()).await;
        self.note(done)
    }

    /// A statement that commits may have committed when it is not answered.
    pub(crate) fn told(&self, error: Error) -> Error {
        if self.single { error.of_commit() } else { error }
    }

    fn note<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        let done = done.map_err(|error| self.told(error));
        if let Err(error) = &done {
            self.broken |= error.is_lost() || self.conn.has_lost_transaction();
            self.failed.get_or_insert_with(|| error.clone());
        }
        done
    }

    pub(crate) const fn database(&self) -> &Arc<str> {
        self.conn.database()
    }

    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// The connection is in a state nobody knows, such as after a time-out.
    pub(crate) const fn give_up(&mut self) {
        self.broken = true;
    }

    /// The time limit of an operation begins.
    pub(crate) fn start_clock(&self) {
        self.conn.start_clock();
    }

    /// Requests with a key, for the metrics.
    pub(crate) const fn count_keys(&mut self, asked: u64, repeated: u64) {
        self.keys.asked += asked;
        self.keys.repeated += repeated;
    }

    /// What was counted since it was asked last.
    pub(crate) fn take_keys(&mut self) -> Keys {
        std::mem::take(&mut self.keys)
    }

    pub(crate) fn remember(&mut self, event: String) {
        self.events.push(event);
    }

    pub(crate) async fn script(&mut self, sql: &str) -> Result<(), Error> {
        let done = self.conn.script(sql).await;
        self.note(done)
    }

    pub(crate) async fn close(self) {
        self.conn.close().await;
    }

    /// The failure an operation must not have ignored.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failed.take()
    }

    /// For a lone operation of one statement: neither BEGIN nor COMMIT, which are a trip
    /// each to a server.
    pub(crate) fn begin_single(&mut self) {
        (self.single, self.failed) = (true, None);
        self.events.clear();
        probity_failpoint::hit("storage.begun");
        probity_failpoint::hit("storage.before_commit");
    }

    pub(crate) async fn begin(&mut self, with_savepoint: bool) -> Result<(), Error> {
        self.single = false;
        self.events.clear();
        self.events_before = 0;
        self.control(if with_savepoint { Control::BeginWithSavepoint } else { Control::Begin }).await?;
        probity_failpoint::hit("storage.begun");
        Ok(())
    }

    /// Keeps what the operation did and opens the savepoint of the next one.
    pub(crate) async fn keep(&mut self) -> Result<(), Error> {
        self.events_before = self.events.len();
        self.control(Control::Keep).await
    }

    /// Undoes what the operation did; its savepoint serves the next one.
    pub(crate) async fn undo(&mut self) -> Result<(), Error> {
        self.events.truncate(self.events_before);
        self.control(Control::Undo).await
    }

    /// Stores the events and commits; answers how many events there were.
    pub(crate) async fn commit(&mut self) -> Result<usize, Error> {
        if self.single {
            probity_failpoint::hit("storage.after_commit");
            return Ok(0);
        }
        let events = std::mem::take(&mut self.events);
        let (limit, count) = (self.limit, events.len());
        self.start_clock();
        match tokio::time::timeout(limit, outbox::store(self, events)).await {
            Ok(stored) => stored?,
            Err(_) => return Err(self.took_too_long()),
        }
        probity_failpoint::hit("storage.before_commit");
        self.control(Control::Commit).await?;
        probity_failpoint::hit("storage.after_commit");
        Ok(count)
    }

    pub(crate) async fn roll_back(&mut self) -> Result<(), Error> {
        self.events.clear();
        if self.single {
            return Ok(());
        }
        self.control(Control::RollBack).await
    }

    /// PostgreSQL may be frozen or cut off without a word. A file cannot, and a
    /// commit to it that was given up would be one nobody knows the outcome of.
    async fn control(&mut self, control: Control) -> Result<(), Error> {
        self.failed = None;
        let done = match self.backend() {
            Backend::Sqlite => self.conn.control(control).await,
            Backend::Postgres => match tokio::time::timeout(self.limit, self.conn.control(control)).await {
                Ok(done) => done,
                Err(_) => Err(self.took_too_long()),
            },
        };
        self.broken |= done.is_err();
        done
    }

    fn took_too_long(&mut self) -> Error {
        self.broken = true;
        Error::Timeout { database: Arc::clone(self.database()), limit: self.limit }
    }
}
