//! SQLite and PostgreSQL behind one small SQL surface; [`redis`] for what may be
//! forgotten.
//!
//! A [`Db`] is one service's store: a SQLite file or a PostgreSQL schema. It has
//! one writer that owns one connection and commits in groups (a thread of its own
//! for a file, a task for a server), and a small pool of read-only connections. One SQL text runs on both databases:
//! placeholders are `$1`, `$2`…, booleans are `BIGINT` 0/1, points in time are
//! `BIGINT` microseconds, and `SUM` over `BIGINT` needs `CAST(… AS BIGINT)`.
//!
//! ```no_run
//! # async fn example() -> Result<(), probity_storage::Error> {
//! use probity_storage::{Db, DbConfig, Migration, args};
//!
//! const MIGRATIONS: &[Migration] = &[Migration {
//!     version: 1,
//!     name: "notes",
//!     sql: "CREATE TABLE note (tenant TEXT NOT NULL, id BIGINT NOT NULL, text TEXT, PRIMARY KEY (tenant, id))",
//! }];
//! let config = DbConfig { url: "sqlite:/var/lib/probity/notes.db".into(), ..DbConfig::default() };
//! let db = Db::open(&config, "notes", MIGRATIONS).await?;
//! db.write(|tx| {
//!     Box::pin(async move {
//!         tx.execute("INSERT INTO note (tenant, id, text) VALUES ($1, $2, $3)", args!["acme", 1, "hello"])
//!             .await
//!     })
//! })
//! .await?;
//! let row = db.query_opt("SELECT text FROM note WHERE tenant = $1 AND id = $2", args!["acme", 1]).await?;
//! assert_eq!(row.map(|row| row.text(0)).transpose()?.as_deref(), Some("hello"));
//! # Ok(())
//! # }
//! ```
//!
//! **Architecture invariants:** `sqlx` and `rusqlite` appear nowhere else in the workspace; nothing in
//! a Redis server is the truth, and losing it costs time alone;
//! there is no query builder and no object mapping here; nothing here knows what
//! a service keeps.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
pub mod conformance;
mod conn;
mod db;
mod error;
pub mod idempotency;
mod lock;
mod migrations;
pub mod outbox;
mod readers;
pub mod redis;
mod row;
mod rows;
mod tx;
mod value;
mod writer;

pub use config::{Backend, DbConfig};
pub use db::{Db, Stats};
pub use error::{Cause, Error};
pub use migrations::Migration;
pub use row::Row;
pub use tx::Tx;
pub use value::{Null, Typed, Value};
