//! One connection to either database, and how it is made.

mod postgres;
mod sqlite;

use crate::config::{Backend, DbConfig, Target, redacted};
use crate::rows::{CHUNK, Guard, Template};
use crate::{Error, Row, Value};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Statements longer than this are reported in the log.
const SLOW: Duration = Duration::from_secs(1);
/// Prepared statements kept a connection.
const STATEMENTS: usize = 256;

/// Makes connections.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    options: Options,
    schema: Arc<str>,
    database: Arc<str>,
    statement_timeout: Duration,
    connect_timeout: Duration,
}

#[derive(Debug, Clone)]
enum Options {
    Sqlite { path: PathBuf, busy_timeout: Duration },
    Postgres(postgres::Options),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Reader,
    Writer,
}

/// How many rows of an answer are of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    First,
}

/// What begins and ends transactions and their savepoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Begin,
    /// Begins, and opens the savepoint of the first operation.
    BeginWithSavepoint,
    /// Keeps what an operation did and opens the savepoint of the next one.
    Keep,
    /// Undoes what an operation did; its savepoint serves the next one.
    Undo,
    Commit,
    RollBack,
}

impl Connector {
    pub(crate) fn new(config: &DbConfig, schema: &str) -> Result<Self, Error> {
        let schema = schema_name(schema)?;
        let (options, database) = match config.target()? {
            Target::Sqlite(path) => {
                let busy_timeout = Duration::from_millis(config.busy_timeout_ms);
                let database = path.display().to_string();
                (Options::Sqlite { path, busy_timeout }, database)
            }
            Target::Postgres(url) => (
                Options::Postgres(postgres::Options::new(&url, &schema)?),
                format!("{} schema {schema}", redacted(&url)),
            ),
        };
        Ok(Self {
            options,
            schema: schema.into(),
            database: database.into(),
            statement_timeout: config.statement_timeout(),
            connect_timeout: config.acquire_timeout(),
        })
    }

    pub(crate) const fn backend(&self) -> Backend {
        match self.options {
            Options::Sqlite { .. } => Backend::Sqlite,
            Options::Postgres(_) => Backend::Postgres,
        }
    }

    pub(crate) const fn database(&self) -> &Arc<str> {
        &self.database
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// A new connection, or an error within the connect timeout. A SQLite file
    /// is opened before this returns: call it where waiting for a disk is allowed.
    pub(crate) async fn connect(&self, role: Role) -> Result<Conn, Error> {
        let link = match &self.options {
            Options::Sqlite { path, busy_timeout } => sqlite::Link::open(path, role, *busy_timeout)
                .map(Link::Sqlite)
                .map_err(|error| Error::from_sqlite(&self.database, error))?,
            Options::Postgres(options) => {
                let connect = options.connect(role, &self.schema, self.statement_timeout);
                match tokio::time::timeout(self.connect_timeout, connect).await {
                    Ok(Ok(link)) => Link::Postgres(Box::new(link)),
                    Ok(Err(error)) => return Err(Error::from_postgres(&self.database, error)),
                    Err(_) => return Err(Error::unavailable(&self.database, ErrorKind::TimedOut)),
                }
            }
        };
        Ok(Conn { link, database: Arc::clone(&self.database), limit: self.statement_timeout })
    }
}

/// A schema name needs no quoting: `anti-corruption` becomes `anti_corruption`.
fn schema_name(name: &str) -> Result<String, Error> {
    let schema = name.replace('-', "_");
    let fits = schema.len() <= 63
        && schema.starts_with(|c: char| c.is_ascii_lowercase())
        && schema.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if fits {
        return Ok(schema);
    }
    Err(Error::Config {
        key: "schema",
        reason: format!("{name:?} must be lower-case letters, digits and `-`"),
    })
}

/// One connection. Its SQLite side never waits: every future below is ready when
/// it is first polled.
pub(crate) struct Conn {
    link: Link,
    database: Arc<str>,
    /// How long the statements after a [`Self::start_clock`] may take.
    limit: Duration,
}

enum Link {
    Sqlite(sqlite::Link),
    Postgres(Box<postgres::Link>),
}

impl Conn {
    pub(crate) const fn backend(&self) -> Backend {
        match self.link {
            Link::Sqlite(_) => Backend::Sqlite,
            Link::Postgres(_) => Backend::Postgres,
        }
    }

    pub(crate) const fn database(&self) -> &Arc<str> {
        &self.database
    }

    /// From now on statements have the time limit together. PostgreSQL's callers
    /// give up by themselves; a file's thread has to be stopped from inside.
    pub(crate) fn start_clock(&self) {
        self.start_clock_of(self.limit);
    }

    /// The same with another limit.
    pub(crate) fn start_clock_of(&self, limit: Duration) {
        if let Link::Sqlite(link) = &self.link {
            link.stop_at(Instant::now().checked_add(limit));
        }
    }

    /// True when the database has ended the transaction by itself, as SQLite does
    /// when the disk is full.
    pub(crate) fn has_lost_transaction(&self) -> bool {
        matches!(&self.link, Link::Sqlite(link) if !link.in_transaction())
    }

    /// Runs a statement; the number of rows it changed.
    pub(crate) async fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, Error> {
        check(sql, args)?;
        let started = Instant::now();
        let done = match &mut self.link {
            Link::Sqlite(link) => link.execute(sql, args).map_err(Failed::Sqlite),
            Link::Postgres(link) => link.execute(sql, args).await.map_err(Failed::Postgres),
        };
        self.report(sql, started);
        done.map_err(|failed| self.error(failed))
    }

    /// Runs a statement and answers its rows.
    pub(crate) async fn query(
        &mut self,
        sql: &str,
        args: &[Value],
        wanted: Wanted,
    ) -> Result<Vec<Row>, Error> {
        check(sql, args)?;
        let started = Instant::now();
        let rows = match &mut self.link {
            Link::Sqlite(link) => link.query(sql, args, wanted).map(Row::all).map_err(Failed::Sqlite),
            Link::Postgres(link) => link.query(sql, args).await.map_err(Failed::Postgres),
        };
        self.report(sql, started);
        rows.map_err(|failed| self.error(failed))
    }

    /// Runs a statement for every row; the number of rows it changed.
    pub(crate) async fn execute_many<const N: usize>(
        &mut self,
        sql: &str,
        mut rows: impl Iterator<Item = [Value; N]> + Send,
    ) -> Result<u64, Error> {
        let template = Template::new(sql, N)?;
        let (mut guard, started) = (Guard::new(template), Instant::now());
        let changed = match &mut self.link {
            Link::Sqlite(link) => link.execute_many(sql, rows, &mut guard),
            Link::Postgres(link) => in_chunks(link, template, &mut rows, &mut guard).await,
        };
        self.report(sql, started);
        changed.map_err(|failed| self.error(failed))
    }

    /// Transaction control: one trip, even for two statements, and no time limit
    /// on a file, because a commit that was cut off is one nobody knows of.
    pub(crate) async fn control(&mut self, control: Control) -> Result<(), Error> {
        match &mut self.link {
            Link::Sqlite(link) => link.control(control).map_err(Failed::Sqlite),
            Link::Postgres(link) => link.control(control).await.map_err(Failed::Postgres),
        }
        .map_err(|failed| self.error(failed))
    }

    /// Runs a text of several statements without arguments, unprepared.
    pub(crate) async fn script(&mut self, sql: &str) -> Result<(), Error> {
        match &mut self.link {
            Link::Sqlite(link) => link.script(sql).map_err(Failed::Sqlite),
            Link::Postgres(link) => link.script(sql).await.map_err(Failed::Postgres),
        }
        .map_err(|failed| self.error(failed))
    }

    /// Closes it and waits until the other side knows.
    pub(crate) async fn close(self) {
        let closed = match self.link {
            Link::Sqlite(link) => link.close().map_err(Failed::Sqlite),
            Link::Postgres(link) => link.close().await.map_err(Failed::Postgres),
        };
        if let Err(error) = closed {
            tracing::debug!(database = %self.database, ?error, "a connection did not close cleanly");
        }
    }

    fn report(&self, sql: &str, started: Instant) {
        let took = started.elapsed();
        if took > SLOW {
            tracing::warn!(database = %self.database, sql, ?took, "a statement was slow");
        }
    }

    fn error(&self, failed: Failed) -> Error {
        match failed {
            Failed::Sqlite(error) if sqlite::is_interrupt(&error) => {
                Error::Timeout { database: Arc::clone(&self.database), limit: self.limit }
            }
            Failed::Sqlite(error) => Error::from_sqlite(&self.database, error),
            Failed::Postgres(error) => Error::from_postgres(&self.database, error),
            Failed::Here(error) => error,
        }
    }
}

/// Rows in as few trips as there are chunks of them.
async fn in_chunks<const N: usize>(
    link: &mut postgres::Link,
    template: Template<'_>,
    rows: &mut (impl Iterator<Item = [Value; N]> + Send),
    guard: &mut Guard<'_, N>,
) -> Result<u64, Failed> {
    let (mut changed, mut sql, mut chunk) = (0, String::new(), Vec::new());
    loop {
        chunk.clear();
        for row in rows.take(CHUNK) {
            guard.check(&row).map_err(Failed::Here)?;
            chunk.push(row);
        }
        let Some(columns) = guard.columns().filter(|_| !chunk.is_empty()) else { return Ok(changed) };
        if sql.is_empty() {
            sql = template.with_arrays(columns);
        }
        changed += link.execute_arrays(&sql, columns, &chunk).await.map_err(Failed::Postgres)?;
    }
}

/// Who reported a failure.
#[derive(Debug)]
enum Failed {
    Sqlite(rusqlite::Error),
    Postgres(sqlx::Error),
    /// Nobody was asked.
    Here(Error),
}

/// What one database would refuse and the other not: both refuse it here.
fn check(sql: &str, args: &[Value]) -> Result<(), Error> {
    if args.iter().any(|value| matches!(value, Value::Text(text) if text.contains('\0'))) {
        return Err(Error::NulInText);
    }
    // SQLite takes a missing argument for NULL. Tests find that, so that
    // production need not look.
    if cfg!(debug_assertions) {
        let wanted = placeholders(sql);
        if wanted != args.len() {
            return Err(Error::Arguments { sql: sql.to_owned(), wanted, given: args.len() });
        }
    }
    Ok(())
}

/// The highest `$n` outside of quotes.
fn placeholders(sql: &str) -> usize {
    let mut highest = 0;
    for (place, part) in sql.split('\'').enumerate() {
        if place % 2 == 1 {
            continue;
        }
        for rest in part.split('$').skip(1) {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            highest = highest.max(rest[..digits].parse().unwrap_or(0));
        }
    }
    highest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_placeholders() {
        let check = |sql: &str, expect: usize| assert_eq!(placeholders(sql), expect, "{sql}");
        check("SELECT 1", 0);
        check("SELECT $1, $2", 2);
        check("SELECT $2, $1, $2", 2);
        check("SELECT '$9', $1", 1);
        check("SELECT $10", 10);
    }

    #[test]
    fn schema_names_need_no_quoting() {
        let check = |name: &str, expect: Option<&str>| {
            assert_eq!(schema_name(name).ok().as_deref(), expect, "{name}");
        };
        check("anti-corruption", Some("anti_corruption"));
        check("intake2", Some("intake2"));
        for bad in ["", "Intake", "2x", "a\"b", "a b", "_x", &"x".repeat(64)] {
            check(bad, None);
        }
    }
}
