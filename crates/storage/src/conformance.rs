//! What every store must do, whichever database it is in.
//!
//! [`run`] takes the settings of an empty database and answers the first thing
//! that is not as it must be. It is public so that the suite also runs against
//! a database somebody else operates.

mod bulk;
mod outbox;
mod values;
mod writes;

use crate::{Db, DbConfig, Error, Migration};
use std::future::Future;

/// Fails the case with a sentence when a condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($sentence:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Failure(format!($($sentence)+)));
        }
    };
}
pub(crate) use ensure;

/// What is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        Self(text)
    }
}

/// The answer of a case.
pub(crate) type Outcome = Result<(), Failure>;

const TABLES: Migration = Migration {
    version: 1,
    name: "conformance",
    sql: "CREATE TABLE item (
              tenant TEXT NOT NULL, id BIGINT NOT NULL,
              n BIGINT, x DOUBLE PRECISION, t TEXT, b BYTEA,
              PRIMARY KEY (tenant, id)
          );
          --sqlite:CREATE TABLE backend (name TEXT);
          --postgres:CREATE TABLE backend (name TEXT NOT NULL);
          INSERT INTO backend (name) VALUES ('it''s one; of two');",
};

/// Runs the whole suite.
///
/// # Errors
/// The first case that failed, and how.
pub async fn run(config: &DbConfig) -> Result<(), Failure> {
    case("migrations are checked", migrations(config)).await?;
    case("time limits hold", writes::time_limit(config)).await?;
    let db = Db::open(config, "conformance", &[TABLES]).await?;
    case("values come back as they were", values::round_trip(&db)).await?;
    case("NULL has a type", values::nulls(&db)).await?;
    case("statements answer alike", values::statements(&db)).await?;
    case("mistakes are noticed", values::mistakes(&db)).await?;
    case("many rows are stored at once", bulk::rows(&db)).await?;
    case("rows that do not fit are noticed", bulk::mistakes(&db)).await?;
    case("rows that come together are stored one by one", bulk::together(&db)).await?;
    case("readers cannot write", values::read_only(&db)).await?;
    case("operations are stored one by one", writes::isolation(&db)).await?;
    case("a failure cannot be ignored", writes::ignored_failure(&db)).await?;
    case("an abandoned operation is stored", writes::abandoned(&db)).await?;
    case("answers are kept with their effect", writes::idempotency(&db)).await?;
    case("events leave in order", outbox::order(&db)).await?;
    case("events of failed operations do not leave", outbox::failed(&db)).await?;
    case("outbox tables take turns", outbox::rotation(&db)).await?;
    db.close().await;
    case("what was stored is there after opening again", reopened(config)).await
}

async fn case(name: &str, work: impl Future<Output = Outcome>) -> Outcome {
    Box::pin(work).await.map_err(|Failure(text)| Failure(format!("{name}: {text}")))
}

async fn migrations(config: &DbConfig) -> Outcome {
    let open = async |list: &[Migration]| -> Result<(), Error> {
        Db::open(config, "conformance", list).await?.close().await;
        Ok(())
    };
    let refused = async |list: &[Migration], part: &str| -> Outcome {
        match open(list).await {
            Err(error) if error.to_string().contains(part) => Ok(()),
            other => Err(Failure(format!("{part:?} expected, got {other:?}"))),
        }
    };
    let broken = Migration { version: 2, name: "broken", sql: "CREATE TABLE half (a TEXT); CREATE TABEL x" };
    refused(&[TABLES, broken], "migration 2 (broken)").await?;
    // Nothing of the failed attempt is there, so the same tables can be made now.
    let second = Migration { version: 2, name: "second", sql: "CREATE TABLE half (a TEXT)" };
    open(&[TABLES]).await?;
    open(&[TABLES, second]).await?;
    open(&[TABLES]).await?;
    refused(&[Migration { sql: "SELECT 1", ..TABLES }, second], "was changed").await
}

async fn reopened(config: &DbConfig) -> Outcome {
    let db = Db::open(config, "conformance", &[TABLES]).await?;
    let row = db.query_opt("SELECT COUNT(*) FROM item", vec![]).await?;
    let count = row.map_or(Ok(0), |row| row.i64(0))?;
    ensure!(count > 100, "only {count} rows are left");
    db.close().await;
    Ok(())
}
