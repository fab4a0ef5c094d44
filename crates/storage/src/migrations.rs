//! Migrations: numbered texts, each applied once, all or none.
//!
//! One text serves both databases. A line that begins with `--sqlite:` or
//! `--postgres:` applies to that one alone. A migration that was applied must
//! never change; the store remembers its hash and refuses to open if it did. A
//! store that is ahead of the program opens, so that a release can be taken back.

use crate::config::Backend;
use crate::{Error, Tx, args};
use probity_types::{Clock, SystemClock};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// One step of a schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its place in the order; begins with 1.
    pub version: i64,
    /// What it is for, in a word or two.
    pub name: &'static str,
    /// The statements: types `TEXT`, `BIGINT`, `BYTEA` and `DOUBLE PRECISION`.
    pub sql: &'static str,
}

/// The tables every store has.
const OWN: &[Migration] = &[
    Migration { version: 1, name: "outbox_and_idempotency", sql: include_str!("../migrations/0001_own.sql") },
    Migration { version: 2, name: "idempotency_runs", sql: include_str!("../migrations/0002_runs.sql") },
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS probity_migration (
    component TEXT NOT NULL, version BIGINT NOT NULL, name TEXT NOT NULL,
    sha256 TEXT NOT NULL, applied_us BIGINT NOT NULL, PRIMARY KEY (component, version))";

impl Migration {
    fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.sql.as_bytes()))
    }

    /// The text for one database.
    fn text(&self, backend: Backend) -> String {
        let (ours, theirs) = match backend {
            Backend::Sqlite => ("--sqlite:", "--postgres:"),
            Backend::Postgres => ("--postgres:", "--sqlite:"),
        };
        let lines = self.sql.lines().filter(|line| !line.trim_start().starts_with(theirs));
        lines.map(|line| line.trim_start().strip_prefix(ours).unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }

    fn wrong(&self, component: &str, reason: impl Into<String>) -> Error {
        Error::Migration {
            component: component.to_owned(),
            version: self.version,
            name: self.name.to_owned(),
            reason: reason.into(),
        }
    }
}

/// Brings a store up to date, in one transaction.
pub(crate) async fn apply(tx: &mut Tx, schema: &str, migrations: &[Migration]) -> Result<(), Error> {
    tx.begin(false).await?;
    prepare(tx, schema).await?;
    component(tx, "storage", OWN).await?;
    component(tx, "service", migrations).await?;
    tx.commit().await.map(drop)
}

/// Several processes may open one PostgreSQL schema at once: one goes first.
async fn prepare(tx: &mut Tx, schema: &str) -> Result<(), Error> {
    if tx.backend() == Backend::Postgres {
        tx.script("SET LOCAL statement_timeout = 0").await?;
        let lock = "SELECT 1 FROM pg_advisory_xact_lock(hashtextextended($1, 20210))";
        tx.query(lock, args![schema]).await?;
        tx.script(&format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"")).await?;
    }
    tx.script(TABLE).await
}

async fn component(tx: &mut Tx, component: &str, migrations: &[Migration]) -> Result<(), Error> {
    let applied = applied(tx, component).await?;
    for migration in plan(component, migrations, &applied)? {
        let text = migration.text(tx.backend());
        tx.script(&text).await.map_err(|error| match error {
            Error::Statement { source } => migration.wrong(component, source.to_string()),
            other => other,
        })?;
        let insert = "INSERT INTO probity_migration (component, version, name, sha256, applied_us)
            VALUES ($1, $2, $3, $4, $5)";
        let row = args![component, migration.version, migration.name, migration.sha256(), SystemClock.now()];
        tx.execute(insert, row).await?;
        tracing::info!(component, version = migration.version, name = migration.name, "migration applied");
    }
    Ok(())
}

/// Version and hash of what was applied.
async fn applied(tx: &mut Tx, component: &str) -> Result<BTreeMap<i64, String>, Error> {
    let rows = tx
        .query("SELECT version, sha256 FROM probity_migration WHERE component = $1", args![component])
        .await?;
    rows.iter().map(|row| Ok((row.i64(0)?, row.text(1)?))).collect()
}

/// What is left to apply, or why that cannot be.
fn plan<'m>(
    component: &str,
    migrations: &'m [Migration],
    applied: &BTreeMap<i64, String>,
) -> Result<Vec<&'m Migration>, Error> {
    let newest = applied.keys().next_back().copied().unwrap_or(0);
    let mut before = 0;
    let mut missing = Vec::new();
    for migration in migrations {
        if migration.version != before + 1 {
            return Err(migration.wrong(component, format!("must have the version {}", before + 1)));
        }
        before = migration.version;
        match applied.get(&migration.version) {
            Some(hash) if *hash == migration.sha256() => {}
            Some(_) => {
                let reason =
                    "was changed after it had been applied; restore its text and write a new migration";
                return Err(migration.wrong(component, reason));
            }
            None if migration.version < newest => {
                return Err(migration.wrong(component, "was never applied, but later ones were"));
            }
            None => missing.push(migration),
        }
    }
    if newest > before {
        tracing::warn!(component, newest, known = before, "the store is ahead of this program");
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Migration = Migration { version: 1, name: "one", sql: "a" };
    const TWO: Migration = Migration { version: 2, name: "two", sql: "b" };

    #[test]
    fn picks_the_lines_of_a_database() {
        let sql = "CREATE TABLE t (a TEXT)\n--sqlite: STRICT\n  --postgres: WITH (fillfactor = 90)\n;";
        let migration = Migration { version: 1, name: "t", sql };
        assert_eq!(migration.text(Backend::Sqlite), "CREATE TABLE t (a TEXT)\n STRICT\n;");
        assert_eq!(migration.text(Backend::Postgres), "CREATE TABLE t (a TEXT)\n WITH (fillfactor = 90)\n;");
    }

    #[test]
    fn plans_what_is_left() {
        let check = |list: &[Migration], applied: &[(i64, &Migration)], expect: Result<&[i64], &str>| {
            let applied = applied.iter().map(|(v, m)| (*v, m.sha256())).collect();
            let got = plan("test", list, &applied);
            match (got, expect) {
                (Ok(got), Ok(expect)) => {
                    assert_eq!(got.iter().map(|m| m.version).collect::<Vec<_>>(), expect);
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, expect) => panic!("{got:?} {expect:?}"),
            }
        };
        check(&[ONE, TWO], &[], Ok(&[1, 2]));
        check(&[ONE, TWO], &[(1, &ONE)], Ok(&[2]));
        check(&[ONE, TWO], &[(1, &ONE), (2, &TWO)], Ok(&[]));
        check(&[ONE], &[(1, &ONE), (2, &TWO)], Ok(&[]));
        check(&[ONE, TWO], &[(1, &TWO)], Err("was changed"));
        check(&[ONE, TWO], &[(2, &TWO)], Err("never applied"));
        check(&[TWO], &[], Err("must have the version 1"));
        check(&[ONE, ONE], &[], Err("must have the version 2"));
    }
}
