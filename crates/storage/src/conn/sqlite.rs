//! A connection to a SQLite file: WAL, every commit synced, foreign keys on.
//!
//! Nothing here waits for anything but the disk. Statements are prepared once a
//! connection, and planned once: SQLite's query planner stability guarantee is on,
//! or each `LIMIT $1` would be parsed and planned anew for each value. A statement
//! that takes too long is stopped from inside: SQLite asks every few thousand steps
//! whether its time is over.

use super::{Control, Failed, Role, STATEMENTS, Wanted};
use crate::row::Set;
use crate::rows::Guard;
use crate::value::View;
use crate::{Null, Value};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Error, ErrorCode, OpenFlags, ToSql, ffi};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Steps of SQLite's machine between two looks at the clock: some 100 µs.
const STEPS: i32 = 10_000;

/// Pages of 4 KiB, a checkpoint every 1,000 of them, and a log that is cut back
/// to 64 MiB after one. The page size only matters while the file is empty.
const SETTINGS: &str = "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864;
    PRAGMA temp_store = MEMORY";

/// The connection.
pub(super) struct Link {
    connection: Connection,
    clock: Arc<Clock>,
    /// The statement with SQLite's placeholders; kept for its memory.
    text: String,
}

impl Link {
    /// Opens a file that is there.
    pub(super) fn open(path: &Path, role: Role, busy_timeout: Duration) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(SETTINGS)?;
        if role == Role::Reader {
            connection.execute_batch("PRAGMA query_only = ON")?;
        }
        let clock = Arc::new(Clock::new());
        let watched = Arc::clone(&clock);
        connection.progress_handler(STEPS, Some(move || watched.is_over()))?;
        Ok(Self { connection, clock, text: String::new() })
    }

    /// Statements are stopped from then on; never for `None`.
    pub(super) fn stop_at(&self, end: Option<Instant>) {
        self.clock.set(end);
    }

    pub(super) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    pub(super) fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, Error> {
        let mut statement = self.prepare(sql)?;
        bind(&mut statement, args)?;
        finish(&mut statement)?;
        let writes = !statement.readonly();
        drop(statement);
        Ok(if writes { self.connection.changes() } else { 0 })
    }

    pub(super) fn query(&mut self, sql: &str, args: &[Value], wanted: Wanted) -> Result<Set, Error> {
        let mut statement = self.prepare(sql)?;
        bind(&mut statement, args)?;
        let mut set = Set::of(&statement);
        // What writes has to run to its end, whatever of its answer is of use.
        let enough = wanted == Wanted::First && statement.readonly();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            set.push(row)?;
            if enough {
                break;
            }
        }
        drop(rows);
        Ok(set)
    }

    /// One step a row: nothing is parsed or planned between two rows.
    pub(super) fn execute_many<const N: usize>(
        &mut self,
        sql: &str,
        rows: impl Iterator<Item = [Value; N]>,
        guard: &mut Guard<'_, N>,
    ) -> Result<u64, Failed> {
        number_placeholders(sql, &mut self.text);
        let mut statement = self.connection.prepare_cached(&self.text).map_err(Failed::Sqlite)?;
        let mut changed = 0;
        for row in rows {
            guard.check(&row).map_err(Failed::Here)?;
            self.clock.check().map_err(Failed::Sqlite)?;
            bind(&mut statement, &row).map_err(Failed::Sqlite)?;
            finish(&mut statement).map_err(Failed::Sqlite)?;
            changed += self.connection.changes();
        }
        Ok(changed)
    }

    pub(super) fn control(&mut self, control: Control) -> Result<(), Error> {
        self.stop_at(None);
        let statements: &[&str] = match control {
            Control::Begin => &["BEGIN IMMEDIATE"],
            Control::BeginWithSavepoint => &["BEGIN IMMEDIATE", "SAVEPOINT op"],
            Control::Keep => &["RELEASE SAVEPOINT op", "SAVEPOINT op"],
            Control::Undo => &["ROLLBACK TO SAVEPOINT op"],
            Control::Commit => &["COMMIT"],
            Control::RollBack => &["ROLLBACK"],
        };
        statements.iter().try_for_each(|sql| finish(&mut self.connection.prepare_cached(sql)?))
    }

    pub(super) fn script(&self, sql: &str) -> Result<(), Error> {
        self.connection.execute_batch(sql)
    }

    pub(super) fn close(self) -> Result<(), Error> {
        self.connection.close().map_err(|(_, error)| error)
    }

    fn prepare(&mut self, sql: &str) -> Result<CachedStatement<'_>, Error> {
        self.clock.check()?;
        number_placeholders(sql, &mut self.text);
        self.connection.prepare_cached(&self.text)
    }
}

/// True when a statement was stopped because its time was over.
pub(super) fn is_interrupt(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

fn finish(statement: &mut CachedStatement<'_>) -> Result<(), Error> {
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

fn bind(statement: &mut CachedStatement<'_>, args: &[Value]) -> Result<(), Error> {
    (1..).zip(args).try_for_each(|(place, value)| statement.raw_bind_parameter(place, value))
}

impl ToSql for Value {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, Error> {
        Ok(ToSqlOutput::Borrowed(match self.view() {
            View::Int(value) => ValueRef::Integer(value),
            View::Float(value) => ValueRef::Real(value),
            View::Text(value) => ValueRef::Text(value.as_bytes()),
            View::Bytes(value) => ValueRef::Blob(value),
            View::Null(Null::Int | Null::Float | Null::Text | Null::Bytes) => ValueRef::Null,
        }))
    }
}

/// `$n` is a name to SQLite, counted in the order of appearance; `?n` is the
/// number it looks like. Quoted text stays as it is.
fn number_placeholders(sql: &str, numbered: &mut String) {
    numbered.clear();
    for (place, part) in sql.split('\'').enumerate() {
        if place > 0 {
            numbered.push('\'');
        }
        if place % 2 == 1 {
            numbered.push_str(part);
            continue;
        }
        for (place, part) in part.split('$').enumerate() {
            if place > 0 {
                numbered.push('?');
            }
            numbered.push_str(part);
        }
    }
}

/// When statements have to stop, shared with SQLite's look at it.
#[derive(Debug)]
struct Clock {
    base: Instant,
    /// Microseconds after `base`.
    end: AtomicU64,
}

impl Clock {
    const NEVER: u64 = u64::MAX;

    fn new() -> Self {
        Self { base: Instant::now(), end: AtomicU64::new(Self::NEVER) }
    }

    fn set(&self, end: Option<Instant>) {
        let end = end.map(|end| end.saturating_duration_since(self.base).as_micros());
        let end = end.and_then(|end| u64::try_from(end).ok()).unwrap_or(Self::NEVER);
        self.end.store(end, Ordering::Relaxed);
    }

    /// An error as of a statement that was stopped.
    fn check(&self) -> Result<(), Error> {
        match self.is_over() {
            true => Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None)),
            false => Ok(()),
        }
    }

    fn is_over(&self) -> bool {
        let end = self.end.load(Ordering::Relaxed);
        end != Self::NEVER && self.base.elapsed().as_micros() >= u128::from(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn open(dir: &tempfile::TempDir) -> Link {
        let path = dir.path().join("a.db");
        std::fs::File::create(&path).unwrap();
        Link::open(&path, Role::Writer, Duration::from_millis(1)).unwrap()
    }

    #[test]
    fn placeholders_are_numbers() {
        let check = |sql: &str, expect: &str| {
            let mut numbered = "left over".to_owned();
            number_placeholders(sql, &mut numbered);
            assert_eq!(numbered, expect);
        };
        check("SELECT 1", "SELECT 1");
        check("SELECT $2, $1, $2", "SELECT ?2, ?1, ?2");
        check("SELECT '$1', $10 || 'it''s $2'", "SELECT '$1', ?10 || 'it''s $2'");
        check("", "");
    }

    #[test]
    fn settings_are_as_they_must_be() {
        let dir = tempfile::tempdir().unwrap();
        let link = open(&dir);
        let check = |setting: &str, expect: &str| {
            let value: rusqlite::types::Value =
                link.connection.pragma_query_value(None, setting, |row| row.get(0)).unwrap();
            assert_eq!(format!("{value:?}"), expect, "{setting}");
        };
        check("journal_mode", "Text(\"wal\")");
        check("synchronous", "Integer(2)");
        check("foreign_keys", "Integer(1)");
        check("page_size", "Integer(4096)");
        check("wal_autocheckpoint", "Integer(1000)");
        // Compiled as `.cargo/config.toml` says.
        let mut options = link.connection.prepare("PRAGMA compile_options").unwrap();
        let options = options.query_map([], |row| row.get::<_, String>(0)).unwrap();
        assert!(options.map(Result::unwrap).any(|option| option == "DEFAULT_MEMSTATUS=0"));
    }

    /// `LIMIT $1` is where SQLite would look at the value to plan by it.
    #[test]
    fn a_statement_is_planned_once_whatever_its_values() {
        let dir = tempfile::tempdir().unwrap();
        let mut link = open(&dir);
        link.script("CREATE TABLE t (a BIGINT, b BIGINT); CREATE INDEX few ON t (a) WHERE b > 0").unwrap();
        let select = "SELECT a FROM t WHERE b > 0 AND a > $1 AND b = $2 ORDER BY a LIMIT $3";
        for value in 0..5_i64 {
            link.query(select, &args![value, value, value + 1], Wanted::All).unwrap();
        }
        let statement = link.prepare(select).unwrap();
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }

    #[test]
    fn a_statement_is_stopped_when_its_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut link = open(&dir);
        let endless =
            "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(*) FROM c";
        link.stop_at(Some(Instant::now() + Duration::from_millis(20)));
        let error = link.query(endless, &[], Wanted::All).unwrap_err();
        assert!(is_interrupt(&error), "{error}");
        let error = link.execute("CREATE TABLE t (a TEXT)", &[]).unwrap_err();
        assert!(is_interrupt(&error), "what follows has no time left: {error}");
        link.stop_at(None);
        link.execute("CREATE TABLE t (a TEXT)", &[]).unwrap();
    }

    /// SQLite may end a transaction by itself: nothing must go on as if it had not.
    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let dir = tempfile::tempdir().unwrap();
        let mut link = open(&dir);
        link.script("CREATE TABLE t (a BYTEA); PRAGMA max_page_count = 8").unwrap();
        link.control(Control::Begin).unwrap();
        assert!(link.in_transaction());
        let insert = "INSERT INTO t (a) VALUES ($1)";
        let error = link.execute(insert, &args![vec![1_u8; 100_000]]).unwrap_err();
        let error = crate::Error::from_sqlite(&"a.db".into(), error);
        assert!(matches!(error, crate::Error::Full { .. }), "{error:?}");
        if link.in_transaction() {
            link.control(Control::RollBack).unwrap();
        }
        link.execute(insert, &args![vec![1_u8; 10]]).unwrap();
    }

    #[test]
    fn a_busy_file_is_a_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, path) = (open(&dir), dir.path().join("a.db"));
        let mut two = Link::open(&path, Role::Writer, Duration::from_millis(1)).unwrap();
        one.control(Control::Begin).unwrap();
        let error = crate::Error::from_sqlite(&"a.db".into(), two.control(Control::Begin).unwrap_err());
        assert!(matches!(error, crate::Error::Conflict { .. }), "{error:?}");
        one.control(Control::Commit).unwrap();
        two.control(Control::Begin).unwrap();
    }
}
