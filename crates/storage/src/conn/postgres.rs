//! A connection to PostgreSQL: the schema in front of the search path, time
//! limits set on the server as well, so that a frozen client cannot keep its
//! locks. Statements are prepared once a connection and take one trip each.

use super::{Control, Role, SLOW, STATEMENTS};
use crate::value::View;
use crate::{Error, Null, Row, Value};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Postgres};
use std::time::Duration;

/// Where a server is and as whom to connect.
#[derive(Debug, Clone)]
pub(super) struct Options(Box<PgConnectOptions>);

impl Options {
    pub(super) fn new(url: &str, schema: &str) -> Result<Self, Error> {
        let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| Error::Config {
            key: "url",
            reason: format!("cannot be read: {}", without_url(&error)),
        })?;
        let options = options
            .application_name(&format!("probity-{schema}"))
            .statement_cache_capacity(STATEMENTS)
            .log_statements(log::LevelFilter::Off)
            .log_slow_statements(log::LevelFilter::Off, SLOW);
        Ok(Self(Box::new(options)))
    }

    pub(super) async fn connect(
        &self,
        role: Role,
        schema: &str,
        limit: Duration,
    ) -> Result<Link, sqlx::Error> {
        let mut link = self.0.connect().await?;
        link.execute(sqlx::raw_sql(AssertSqlSafe(session(role, schema, limit)))).await?;
        Ok(Link(link))
    }
}

fn session(role: Role, schema: &str, limit: Duration) -> String {
    let limit = limit.as_millis();
    let read_only = if role == Role::Reader { "on" } else { "off" };
    format!(
        "SET search_path TO \"{schema}\"; SET statement_timeout = {limit}; \
         SET idle_in_transaction_session_timeout = {limit}; \
         SET default_transaction_read_only = {read_only}"
    )
}

/// sqlx may repeat the URL, which holds the password.
fn without_url(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(reason) => reason.to_string(),
        _ => "it has not the form postgres://user:password@host:port/database".to_owned(),
    }
}

/// The connection.
pub(super) struct Link(PgConnection);

impl Link {
    pub(super) async fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, sqlx::Error> {
        let query = bind(sqlx::query::<Postgres>(AssertSqlSafe(sql)), args);
        query.execute(&mut self.0).await.map(|done| done.rows_affected())
    }

    pub(super) async fn query(&mut self, sql: &str, args: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        let query = bind(sqlx::query::<Postgres>(AssertSqlSafe(sql)), args);
        query.fetch_all(&mut self.0).await.map(|rows| rows.into_iter().map(Row::from).collect())
    }

    /// Runs a statement whose arguments are columns: one trip for all rows.
    pub(super) async fn execute_arrays<const N: usize>(
        &mut self,
        sql: &str,
        columns: &[Null; N],
        rows: &[[Value; N]],
    ) -> Result<u64, sqlx::Error> {
        let mut query = sqlx::query::<Postgres>(AssertSqlSafe(sql));
        for (place, column) in columns.iter().enumerate() {
            let values = rows.iter().map(|row| row[place].view());
            query = match column {
                Null::Int => query.bind(values.map(View::int).collect::<Vec<_>>()),
                Null::Float => query.bind(values.map(View::float).collect::<Vec<_>>()),
                Null::Text => query.bind(values.map(View::text).collect::<Vec<_>>()),
                Null::Bytes => query.bind(values.map(View::bytes).collect::<Vec<_>>()),
            };
        }
        query.execute(&mut self.0).await.map(|done| done.rows_affected())
    }

    /// The simple protocol takes several statements in one trip.
    pub(super) async fn control(&mut self, control: Control) -> Result<(), sqlx::Error> {
        let sql = match control {
            Control::Begin => "BEGIN",
            Control::BeginWithSavepoint => "BEGIN; SAVEPOINT op",
            Control::Keep => "RELEASE SAVEPOINT op; SAVEPOINT op",
            Control::Undo => "ROLLBACK TO SAVEPOINT op",
            Control::Commit => "COMMIT",
            Control::RollBack => "ROLLBACK",
        };
        self.0.execute(sqlx::raw_sql(sql)).await.map(drop)
    }

    pub(super) async fn script(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.0.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
    }

    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.0.close().await
    }
}

fn bind<'q>(mut query: Query<'q, Postgres, PgArguments>, args: &[Value]) -> Query<'q, Postgres, PgArguments> {
    for value in args {
        query = match value.view() {
            View::Int(value) => query.bind(value),
            View::Float(value) => query.bind(value),
            View::Text(value) => query.bind(value),
            View::Bytes(value) => query.bind(value),
            View::Null(Null::Int) => query.bind(None::<i64>),
            View::Null(Null::Float) => query.bind(None::<f64>),
            View::Null(Null::Text) => query.bind(None::<&str>),
            View::Null(Null::Bytes) => query.bind(None::<&[u8]>),
        };
    }
    query
}
