//! The conformance suite and what only SQLite does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_storage::{Db, DbConfig, Error, Migration, args, conformance};
use std::os::unix::fs::PermissionsExt;

const TABLE: Migration =
    Migration { version: 1, name: "t", sql: "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY)" };

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    let config = DbConfig::sqlite(dir.path().join("a.db"));
    conformance::run(&config).await.unwrap();
}

#[tokio::test]
async fn one_process_owns_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = DbConfig::sqlite(dir.path().join("a.db"));
    let db = Db::open(&config, "x", &[TABLE]).await.unwrap();
    let error = Db::open(&config, "x", &[TABLE]).await.unwrap_err();
    assert!(matches!(&error, Error::Locked { path } if path.ends_with("a.db")), "{error}");
    db.close().await;
    Db::open(&config, "x", &[TABLE]).await.unwrap();
}

#[tokio::test]
async fn every_file_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&DbConfig::sqlite(dir.path().join("a.db")), "x", &[TABLE]).await.unwrap();
    db.write(|tx| Box::pin(async move { tx.execute("INSERT INTO t (id) VALUES (1)", args![]).await }))
        .await
        .unwrap();
    let files: Vec<_> = dir.path().read_dir().unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    std::fs::write(&path, "this is no database, and long enough to be taken for one".repeat(100)).unwrap();
    let error = Db::open(&DbConfig::sqlite(&path), "x", &[TABLE]).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn dropping_every_handle_releases_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = DbConfig::sqlite(dir.path().join("a.db"));
    let db = Db::open(&config, "x", &[TABLE]).await.unwrap();
    drop(db.clone());
    drop(db);
    probity_testkit::eventually(std::time::Duration::from_secs(5), async || {
        Db::open(&config, "x", &[TABLE]).await.map(drop)
    })
    .await;
}

/// Never ends by itself.
const ENDLESS: &str =
    "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(*) FROM c";

#[tokio::test]
async fn a_statement_that_takes_too_long_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let config = DbConfig { statement_timeout_ms: 100, ..DbConfig::sqlite(dir.path().join("a.db")) };
    let db = Db::open(&config, "x", &[TABLE]).await.unwrap();
    let error = db.query(ENDLESS, args![]).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let error = db
        .write(|tx| {
            Box::pin(async move {
                tx.execute("INSERT INTO t (id) VALUES (1)", args![]).await?;
                tx.query(ENDLESS, args![]).await
            })
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let rows = db.query("SELECT id FROM t", args![]).await.unwrap();
    assert!(rows.is_empty(), "half of an operation was stored");
    db.write(|tx| Box::pin(async move { tx.execute("INSERT INTO t (id) VALUES (2)", args![]).await }))
        .await
        .unwrap();
}

#[tokio::test]
async fn readers_wait_in_bounds_and_leave_the_writer_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = DbConfig {
        max_readers: 1,
        acquire_timeout_ms: 200,
        statement_timeout_ms: 3_000,
        ..DbConfig::sqlite(dir.path().join("a.db"))
    };
    let db = Db::open(&config, "x", &[TABLE]).await.unwrap();
    let mut long = Box::pin(db.query(ENDLESS, args![]));
    assert!(futures::poll!(&mut long).is_pending());
    let error = db.query("SELECT 1", args![]).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    db.write(|tx| Box::pin(async move { tx.execute("INSERT INTO t (id) VALUES (1)", args![]).await }))
        .await
        .unwrap();
    let error = long.await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(db.query("SELECT id FROM t", args![]).await.unwrap().len(), 1);
}

/// This runtime has one thread: what was asked on it for longer than a glance would show.
#[tokio::test]
async fn a_long_read_keeps_nobody_else_waiting() {
    const LONG: &str = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000000) \
                        SELECT COUNT(*) AS n FROM c";
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&DbConfig::sqlite(dir.path().join("a.db")), "x", &[TABLE]).await.unwrap();
    db.query("SELECT id FROM t", args![]).await.unwrap(); // a connection is open from now on
    let mut turns = 0_u32;
    let others = async {
        loop {
            turns += 1;
            tokio::task::yield_now().await;
        }
    };
    let row = tokio::select! {
        row = db.query_opt(LONG, args![]) => row.unwrap().expect("a row"),
        () = others => unreachable!("it never ends"),
    };
    assert_eq!(row.i64(0).unwrap(), 1_000_000);
    assert!(turns > 1_000, "others had {turns} turns meanwhile");
}
