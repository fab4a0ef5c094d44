//! The conformance suite and what only PostgreSQL does, on a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use futures::future::join_all;
use probity_storage::{Db, DbConfig, Error, Migration, args, conformance, outbox, row};
use probity_testkit::{Postgres, eventually};
use probity_types::{AuditEvent, Ctx, FaultKind, Micros};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const TABLE: Migration =
    Migration { version: 1, name: "t", sql: "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY)" };
const SOON: Duration = Duration::from_secs(20);

fn config(url: String) -> DbConfig {
    DbConfig { url, ..DbConfig::default() }
}

async fn open(url: &str) -> Db {
    Db::open(&config(url.to_owned()), "x", &[TABLE]).await.unwrap()
}

async fn insert(db: &Db, id: i64) -> Result<(), Error> {
    db.write(move |tx| {
        Box::pin(async move {
            tx.execute("INSERT INTO t (id) VALUES ($1)", args![id]).await?;
            let ctx = Ctx::service("x", "acme", "r");
            outbox::append(tx, &AuditEvent::new(&ctx, Micros(id), "t.stored", id.to_string())).await
        })
    })
    .await
}

async fn ids(db: &Db) -> Result<Vec<i64>, Error> {
    let rows = db.query("SELECT id FROM t ORDER BY id", args![]).await?;
    rows.iter().map(|row| row.i64(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    conformance::run(&config(Postgres::database())).await.unwrap();
}

#[tokio::test]
async fn schemas_are_apart_and_may_be_opened_together() {
    let url = Postgres::database();
    let (config, list) = (config(url), [TABLE]);
    let names = ["one", "two", "one", "one", "two"];
    let open = join_all(names.map(|schema| Db::open(&config, schema, &list))).await;
    let open: Vec<_> = open.into_iter().map(Result::unwrap).collect();
    for (id, db) in (0..).zip(&open) {
        insert(db, id).await.unwrap();
    }
    assert_eq!(ids(&open[0]).await.unwrap(), [0, 2, 3]);
    assert_eq!(ids(&open[1]).await.unwrap(), [1, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_the_database() {
    let server = Postgres::start();
    let config = DbConfig { start_timeout_ms: 600_000, ..config(server.create()) };
    server.stop();
    let impatient = DbConfig { start_timeout_ms: 0, ..config.clone() };
    let refused = Db::open_at_start(&impatient, "x", &[TABLE]).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })));
    let patient = tokio::spawn(async move { Db::open_at_start(&config, "x", &[TABLE]).await });
    server.resume();
    insert(&patient.await.unwrap().unwrap(), 1).await.unwrap();
}

/// Says which error a call answered, after checking that it came soon enough.
async fn refused<T: std::fmt::Debug>(call: impl Future<Output = Result<T, Error>>) -> Error {
    let started = Instant::now();
    let error = call.await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?} {error}", started.elapsed());
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn goes_on_when_the_server_is_back() {
    let server = Postgres::start();
    let db = open(&server.create()).await;
    insert(&db, 1).await.unwrap();
    assert_eq!(ids(&db).await.unwrap(), [1]);

    server.stop();
    let error = refused(insert(&db, 2)).await;
    assert_eq!(error.kind(), FaultKind::Unavailable, "{error}");
    let error = refused(ids(&db)).await;
    assert_eq!(error.kind(), FaultKind::Unavailable, "{error}");
    let many = refused(async {
        join_all((10..500).map(|id| insert(&db, id))).await.into_iter().collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(many.await.kind(), FaultKind::Unavailable);

    server.resume();
    eventually(SOON, async || insert(&db, 3).await).await;
    assert_eq!(ids(&db).await.unwrap(), [1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_restart_between_two_calls() {
    let server = Postgres::start();
    let db = open(&server.create()).await;
    assert!(ids(&db).await.unwrap().is_empty());
    server.stop();
    server.resume();
    assert!(ids(&db).await.unwrap().is_empty());
}

/// What was acknowledged is there after SIGKILL, however often.
#[tokio::test(flavor = "multi_thread")]
async fn loses_nothing_acknowledged_when_killed() {
    let server = Postgres::start();
    let db = open(&server.create()).await;
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let start = round * 1_000;
        let writes = join_all((start..start + 300).map(|id| {
            let db = db.clone();
            async move { insert(&db, id).await.map(|()| id) }
        }));
        let kill = async {
            eventually(SOON, async || if db.stats().operations > 40 { Ok(()) } else { Err(()) }).await;
            server.kill();
        };
        let (answers, ()) = futures::join!(writes, kill);
        acknowledged.extend(answers.into_iter().flatten());
        eventually(SOON, async || if ids(&db).await.is_err() { Ok(()) } else { Err("it still answers") })
            .await;
        server.resume();
        eventually(SOON, async || ids(&db).await).await;
    }
    let stored = ids(&db).await.unwrap();
    assert!(acknowledged.iter().all(|id| stored.contains(id)), "{} of {}", stored.len(), acknowledged.len());
    let events = outbox::pending(&db, 0, 5_000).await.unwrap();
    let mut subjects: Vec<i64> = events.iter().map(|(_, event)| event.subject.parse().unwrap()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, stored, "every row has its event and every event its row");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_holds_nobody_for_long() {
    let server = Postgres::start();
    let config = DbConfig { statement_timeout_ms: 500, ..config(server.create()) };
    let db = Db::open(&config, "x", &[TABLE]).await.unwrap();
    assert!(ids(&db).await.unwrap().is_empty());
    server.freeze();
    let started = Instant::now();
    let (write, read) = futures::join!(insert(&db, 1), ids(&db));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(write.unwrap_err().kind().is_transient());
    assert!(read.unwrap_err().kind().is_transient());
    server.thaw();
    eventually(SOON, async || insert(&db, 2).await).await;
}

/// One statement commits by itself: without an answer nobody knows whether it did.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_not_answered_may_be_stored() {
    const INSERT: &str = "INSERT INTO t (id) VALUES ($1) ON CONFLICT DO NOTHING";
    let server = Postgres::start();
    let config = DbConfig { statement_timeout_ms: 500, ..config(server.create()) };
    let db = Db::open(&config, "x", &[TABLE]).await.unwrap();
    assert_eq!(db.write_rows(INSERT, vec![row![1], row![2]]).await.unwrap(), 2);
    server.freeze();
    let answer = db.write_rows(INSERT, vec![row![3]]).await;
    assert!(matches!(answer, Err(Error::OutcomeUnknown { .. })), "{answer:?}");
    server.thaw();
    eventually(SOON, async || db.write_rows(INSERT, vec![row![4]]).await).await;
    server.kill();
    let answer = db.write_rows(INSERT, vec![row![5]]).await;
    assert!(matches!(answer, Err(Error::OutcomeUnknown { .. } | Error::Unavailable { .. })), "{answer:?}");
    server.resume();
    eventually(SOON, async || db.write_rows(INSERT, vec![row![6]]).await).await;
    let mut stored = ids(&db).await.unwrap();
    stored.retain(|id| ![3, 5].contains(id));
    assert_eq!(stored, [1, 2, 4, 6]);
}

/// Two processes share a schema. One holds a transaction with events open while
/// the other commits: a relay must never see a later number before an earlier one.
#[tokio::test(flavor = "multi_thread")]
async fn order_of_events_is_order_of_commits_across_processes() {
    let url = Postgres::database();
    let (one, two) = (open(&url).await, open(&url).await);
    let (started, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (running, until) = (Arc::clone(&started), Arc::clone(&go_on));
    let older = tokio::spawn({
        let one = one.clone();
        async move {
            one.write(move |tx| {
                Box::pin(async move {
                    let ctx = Ctx::service("x", "acme", "r");
                    outbox::append(tx, &AuditEvent::new(&ctx, Micros(0), "t.stored", "older")).await?;
                    tx.execute("INSERT INTO t (id) VALUES (1)", args![]).await?;
                    running.notify_one();
                    until.notified().await;
                    Ok::<_, Error>(())
                })
            })
            .await
        }
    });
    started.notified().await;
    insert(&two, 2).await.unwrap();
    let seen = outbox::pending(&two, 0, 10).await.unwrap();
    assert_eq!(seen.len(), 1, "the younger one committed first, so it has the first number");
    go_on.notify_one();
    older.await.unwrap().unwrap();
    let later = outbox::pending(&two, seen[0].0, 10).await.unwrap();
    assert_eq!(later.iter().map(|(_, event)| event.subject.as_str()).collect::<Vec<_>>(), ["older"]);

    let watch = async {
        let mut seen = later[0].0;
        while seen < 402 {
            for (seq, _) in outbox::pending(&two, seen, 1_000).await.unwrap() {
                assert_eq!(seq, seen + 1, "a number became visible before the one below it");
                seen = seq;
            }
        }
    };
    let write = join_all((100..500).map(|id| insert(if id % 2 == 0 { &one } else { &two }, id)));
    let (answers, ()) = futures::join!(write, watch);
    answers.into_iter().collect::<Result<(), _>>().unwrap();
}

/// A backup reads an outbox table for hours: writes go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_reader_does_not_stop_the_outbox() {
    let url = Postgres::database();
    let (db, backup) = (open(&url).await, open(&url).await);
    let (started, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (running, until) = (Arc::clone(&started), Arc::clone(&go_on));
    let reader = tokio::spawn(async move {
        backup
            .write(move |tx| {
                Box::pin(async move {
                    tx.query("SELECT COUNT(*) FROM probity_outbox_0", args![]).await?;
                    running.notify_one();
                    until.notified().await;
                    Ok::<_, Error>(())
                })
            })
            .await
    });
    started.notified().await;
    let burst = async |from: i64| {
        db.write(move |tx| {
            Box::pin(async move {
                let ctx = Ctx::service("x", "acme", "r");
                for n in from..from + 10_100 {
                    outbox::append(tx, &AuditEvent::new(&ctx, Micros(n), "t.stored", n.to_string())).await?;
                }
                Ok::<_, Error>(())
            })
        })
        .await
        .unwrap();
        let mut last = 0;
        while let Some((seq, _)) = outbox::pending(&db, last, 5_000).await.unwrap().pop() {
            last = seq;
        }
        outbox::acknowledge(&db, last).await.unwrap();
    };
    burst(0).await;
    insert(&db, 1).await.unwrap();
    burst(20_000).await;
    insert(&db, 2).await.unwrap();
    go_on.notify_one();
    reader.await.unwrap().unwrap();
    burst(40_000).await;
    assert_eq!(outbox::backlog(&db).await.unwrap(), 0);
}
