//! A process that is killed while it writes: what it had acknowledged is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, clippy::print_stdout)]

use futures::future::join_all;
use probity_storage::{Db, DbConfig, Error, Migration, args, outbox};
use probity_testkit::Child;
use probity_types::{AuditEvent, Ctx, Micros};
use std::collections::BTreeSet;
use std::time::Duration;

const FOLDER: &str = "PROBITY_STORAGE_CRASH_FOLDER";
const TABLE: Migration =
    Migration { version: 1, name: "t", sql: "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY)" };

async fn open(folder: &std::path::Path) -> Db {
    Db::open(&DbConfig::sqlite(folder.join("a.db")), "x", &[TABLE]).await.unwrap()
}

async fn insert(db: &Db, id: i64) -> Result<(), Error> {
    db.write(move |tx| {
        Box::pin(async move {
            tx.execute("INSERT INTO t (id) VALUES ($1)", args![id]).await?;
            let event =
                AuditEvent::new(&Ctx::service("x", "acme", "r"), Micros(id), "t.stored", id.to_string());
            outbox::append(tx, &event).await
        })
    })
    .await
}

async fn ids(db: &Db) -> BTreeSet<i64> {
    let rows = db.query("SELECT id FROM t", args![]).await.unwrap();
    rows.iter().map(|row| row.i64(0).unwrap()).collect()
}

/// The process that will be killed; started by the test below.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test of this file"]
async fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let db = open(folder.as_ref()).await;
    let first = ids(&db).await.last().map_or(0, |id| id + 1);
    join_all((0..32).map(async |lane| {
        for id in (first + lane..).step_by(32) {
            insert(&db, id).await.unwrap();
            println!("ACK {id}");
        }
    }))
    .await;
}

fn start(folder: &std::path::Path) -> Child {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "writer", "--nocapture"]).env(FOLDER, folder);
    Child::spawn(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..8 {
        let mut child = start(dir.path());
        child.wait_for_line(Duration::from_secs(30), |line| line.starts_with("ACK")).await;
        // Another moment of the writer's work in every round.
        let lines = child.output().len() + 37 * round;
        probity_testkit::eventually(Duration::from_secs(30), async || {
            if child.output().len() > lines { Ok(()) } else { Err(child.output().len()) }
        })
        .await;
        let exit = child.kill().await;
        acknowledged
            .extend(exit.output.iter().filter_map(|line| line.strip_prefix("ACK ")?.parse::<i64>().ok()));
    }
    let db = open(dir.path()).await;
    let stored = ids(&db).await;
    assert!(acknowledged.len() > 300, "{}", acknowledged.len());
    assert!(acknowledged.is_subset(&stored), "lost: {:?}", acknowledged.difference(&stored));
    let mut seen = BTreeSet::new();
    let mut last = 0;
    loop {
        let page = outbox::pending(&db, last, 1_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        for (seq, event) in page {
            assert_eq!(seq, last + 1, "a number is missing or doubled");
            last = seq;
            assert!(seen.insert(event.subject.parse().unwrap()), "{} came twice", event.subject);
        }
    }
    assert_eq!(seen, stored, "every row has its event and every event its row");
}
