//! One connection to either database, and how it is made.
//!
//! SQLite: WAL, every commit synced, foreign keys on. PostgreSQL: the schema in
//! front of the search path, time limits set on the server as well, so that a
//! frozen client cannot keep its locks.

use crate::config::{Backend, DbConfig, Target, redacted};
use crate::{Error, Null, Row, Value};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Encode, Executor, Postgres, Sqlite, Type};
use std::sync::Arc;
use std::time::Duration;

/// Statements longer than this are reported in the log.
const SLOW: Duration = Duration::from_secs(1);
/// Prepared statements kept a connection.
const STATEMENTS: usize = 256;
/// SQLite cuts its log back to this size after a checkpoint.
const JOURNAL_BYTES: &str = "67108864";

/// Makes connections.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    options: Options,
    schema: Arc<str>,
    database: Arc<str>,
    statement_timeout_ms: u64,
    connect_timeout: Duration,
}

#[derive(Debug, Clone)]
enum Options {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Reader,
    Writer,
}

impl Connector {
    pub(crate) fn new(config: &DbConfig, schema: &str) -> Result<Self, Error> {
        let schema = schema_name(schema)?;
        let (options, database) = match config.target()? {
            Target::Sqlite(path) => {
                (Options::Sqlite(Box::new(sqlite_options(config, &path))), path.display().to_string())
            }
            Target::Postgres(url) => (
                Options::Postgres(Box::new(postgres_options(&url, &schema)?)),
                format!("{} schema {schema}", redacted(&url)),
            ),
        };
        Ok(Self {
            options,
            schema: schema.into(),
            database: database.into(),
            statement_timeout_ms: config.statement_timeout_ms,
            connect_timeout: config.acquire_timeout(),
        })
    }

    pub(crate) const fn backend(&self) -> Backend {
        match self.options {
            Options::Sqlite(_) => Backend::Sqlite,
            Options::Postgres(_) => Backend::Postgres,
        }
    }

    pub(crate) const fn database(&self) -> &Arc<str> {
        &self.database
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// A new connection, or an error within the connect timeout.
    pub(crate) async fn connect(&self, role: Role) -> Result<Conn, Error> {
        match tokio::time::timeout(self.connect_timeout, self.establish(role)).await {
            Ok(made) => made.map_err(|error| Error::from_sqlx(&self.database, error)),
            Err(_) => Err(Error::Unavailable {
                database: Arc::clone(&self.database),
                source: Arc::new(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
            }),
        }
    }

    async fn establish(&self, role: Role) -> Result<Conn, sqlx::Error> {
        let link = match &self.options {
            Options::Sqlite(options) if role == Role::Reader => {
                Link::Sqlite(options.as_ref().clone().pragma("query_only", "ON").connect().await?)
            }
            Options::Sqlite(options) => Link::Sqlite(options.connect().await?),
            Options::Postgres(options) => {
                let mut link = options.connect().await?;
                link.execute(sqlx::raw_sql(AssertSqlSafe(self.postgres_session(role)))).await?;
                Link::Postgres(Box::new(link))
            }
        };
        Ok(Conn { link, database: Arc::clone(&self.database) })
    }

    fn postgres_session(&self, role: Role) -> String {
        let (schema, limit) = (&self.schema, self.statement_timeout_ms);
        let read_only = if role == Role::Reader { "on" } else { "off" };
        format!(
            "SET search_path TO \"{schema}\"; SET statement_timeout = {limit}; \
             SET idle_in_transaction_session_timeout = {limit}; \
             SET default_transaction_read_only = {read_only}"
        )
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

fn sqlite_options(config: &DbConfig, path: &std::path::Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(config.busy_timeout_ms))
        .statement_cache_capacity(STATEMENTS)
        .pragma("journal_size_limit", JOURNAL_BYTES)
        .pragma("temp_store", "MEMORY")
        .log_statements(log::LevelFilter::Off)
        .log_slow_statements(log::LevelFilter::Warn, SLOW)
}

fn postgres_options(url: &str, schema: &str) -> Result<PgConnectOptions, Error> {
    let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| Error::Config {
        key: "url",
        reason: format!("cannot be read: {}", without_url(&error)),
    })?;
    Ok(options
        .application_name(&format!("probity-{schema}"))
        .statement_cache_capacity(STATEMENTS)
        .log_statements(log::LevelFilter::Off)
        .log_slow_statements(log::LevelFilter::Warn, SLOW))
}

/// sqlx may repeat the URL, which holds the password.
fn without_url(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(reason) => reason.to_string(),
        _ => "it has not the form postgres://user:password@host:port/database".to_owned(),
    }
}

/// One connection.
pub(crate) struct Conn {
    link: Link,
    database: Arc<str>,
}

enum Link {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
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

    /// Runs a statement that answers no rows; the number of rows it changed.
    pub(crate) async fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, Error> {
        check(sql, args)?;
        match &mut self.link {
            Link::Sqlite(link) => {
                let query = bind(sqlx::query::<Sqlite>(AssertSqlSafe(sql)), args);
                query.execute(link).await.map(|done| done.rows_affected())
            }
            Link::Postgres(link) => {
                let query = bind(sqlx::query::<Postgres>(AssertSqlSafe(sql)), args);
                query.execute(link.as_mut()).await.map(|done| done.rows_affected())
            }
        }
        .map_err(|error| Error::from_sqlx(&self.database, error))
    }

    /// Runs a statement and answers all its rows.
    pub(crate) async fn query(&mut self, sql: &str, args: &[Value]) -> Result<Vec<Row>, Error> {
        check(sql, args)?;
        match &mut self.link {
            Link::Sqlite(link) => {
                let query = bind(sqlx::query::<Sqlite>(AssertSqlSafe(sql)), args);
                query.fetch_all(link).await.map(rows)
            }
            Link::Postgres(link) => {
                let query = bind(sqlx::query::<Postgres>(AssertSqlSafe(sql)), args);
                query.fetch_all(link.as_mut()).await.map(rows)
            }
        }
        .map_err(|error| Error::from_sqlx(&self.database, error))
    }

    /// Runs transaction control: one trip, even for two statements.
    pub(crate) async fn control(&mut self, sql: &'static str) -> Result<(), Error> {
        match &mut self.link {
            Link::Sqlite(link) => sqlx::query::<Sqlite>(sql).execute(link).await.map(drop),
            Link::Postgres(link) => link.execute(sqlx::raw_sql(sql)).await.map(drop),
        }
        .map_err(|error| Error::from_sqlx(&self.database, error))
    }

    /// Runs a text of several statements without arguments, unprepared.
    pub(crate) async fn script(&mut self, sql: &str) -> Result<(), Error> {
        match &mut self.link {
            Link::Sqlite(link) => link.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop),
            Link::Postgres(link) => link.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop),
        }
        .map_err(|error| Error::from_sqlx(&self.database, error))
    }

    /// Closes it and waits until the other side knows.
    pub(crate) async fn close(self) {
        let closed = match self.link {
            Link::Sqlite(link) => link.close().await,
            Link::Postgres(link) => link.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(database = %self.database, %error, "a connection did not close cleanly");
        }
    }
}

fn rows<R: Into<Row>>(rows: Vec<R>) -> Vec<Row> {
    rows.into_iter().map(Into::into).collect()
}

fn bind<'q, DB>(
    mut query: sqlx::query::Query<'q, DB, DB::Arguments>,
    args: &[Value],
) -> sqlx::query::Query<'q, DB, DB::Arguments>
where
    DB: sqlx::Database,
    for<'t> &'t str: Encode<'t, DB> + Type<DB>,
    for<'t> &'t [u8]: Encode<'t, DB> + Type<DB>,
    for<'t> i64: Encode<'t, DB> + Type<DB>,
    for<'t> f64: Encode<'t, DB> + Type<DB>,
    for<'t> Option<i64>: Encode<'t, DB>,
    for<'t> Option<f64>: Encode<'t, DB>,
    for<'t> Option<&'t str>: Encode<'t, DB>,
    for<'t> Option<&'t [u8]>: Encode<'t, DB>,
{
    for value in args {
        query = match value {
            Value::Int(value) => query.bind(*value),
            Value::Float(value) => query.bind(*value),
            Value::Text(value) => query.bind(value.as_str()),
            Value::Bytes(value) => query.bind(value.as_slice()),
            Value::Null(Null::Int) => query.bind(None::<i64>),
            Value::Null(Null::Float) => query.bind(None::<f64>),
            Value::Null(Null::Text) => query.bind(None::<&str>),
            Value::Null(Null::Bytes) => query.bind(None::<&[u8]>),
        };
    }
    query
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
