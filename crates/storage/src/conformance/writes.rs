//! Operations: one by one, though they are committed together.

use super::{Failure, Outcome, TABLES, ensure};
use crate::idempotency::{self, Scope};
use crate::{Db, DbConfig, Error, Tx, args};
use futures::future::{BoxFuture, join_all};
use probity_types::Micros;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Notify;

/// What an operation of [`isolation`] does after it has stored its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    Refuses,
    BreaksAConstraint,
    Panics,
}

impl End {
    const fn of(id: i64) -> Self {
        match id {
            _ if id % 7 == 3 => Self::Refuses,
            _ if id % 11 == 5 => Self::BreaksAConstraint,
            _ if id % 29 == 9 => Self::Panics,
            _ => Self::Well,
        }
    }
}

/// Why an operation did not want to be stored.
#[derive(Debug)]
enum Refusal {
    Own,
    Store(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

async fn insert(tx: &mut Tx, tenant: &'static str, id: i64) -> Result<u64, Error> {
    tx.execute("INSERT INTO item (tenant, id) VALUES ($1, $2)", args![tenant, id]).await
}

fn operation(tx: &mut Tx, id: i64) -> BoxFuture<'_, Result<i64, Refusal>> {
    Box::pin(async move {
        insert(tx, "isolation", id).await?;
        match End::of(id) {
            End::Well => Ok(id),
            End::Refuses => Err(Refusal::Own),
            End::BreaksAConstraint => insert(tx, "isolation", id).await.map(|_| id).map_err(Refusal::Store),
            End::Panics => std::panic::resume_unwind(Box::new("on purpose")),
        }
    })
}

async fn ids(db: &Db, tenant: &str) -> Result<BTreeSet<i64>, Error> {
    let rows = db.query("SELECT id FROM item WHERE tenant = $1", args![tenant]).await?;
    rows.iter().map(|row| row.i64(0)).collect()
}

pub(super) async fn isolation(db: &Db) -> Outcome {
    const COUNT: i64 = 500;
    let before = db.stats();
    let answers = join_all((0..COUNT).map(|id| db.write(move |tx| operation(tx, id)))).await;
    for (id, answer) in (0..).zip(&answers) {
        let fits = match (End::of(id), answer) {
            (End::Well, Ok(answer)) => *answer == id,
            (End::Refuses, Err(Refusal::Own)) => true,
            (End::BreaksAConstraint, Err(Refusal::Store(error))) => error.is_unique_violation(),
            (End::Panics, Err(Refusal::Store(Error::Panicked { message }))) => message == "on purpose",
            _ => false,
        };
        ensure!(fits, "operation {id}, which ends {:?}, answered {answer:?}", End::of(id));
    }
    let expected: BTreeSet<_> = (0..COUNT).filter(|id| End::of(*id) == End::Well).collect();
    let stored = ids(db, "isolation").await?;
    ensure!(stored == expected, "stored and expected differ: {:?}", stored.symmetric_difference(&expected));
    let (operations, transactions) =
        (db.stats().operations - before.operations, db.stats().transactions - before.transactions);
    ensure!(operations == expected.len() as u64, "{operations} operations were counted");
    ensure!(transactions < operations / 4, "{operations} operations took {transactions} transactions");
    Ok(())
}

fn careless(tx: &mut Tx) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(async move {
        insert(tx, "careless", 1).await?;
        let _ = insert(tx, "careless", 1).await;
        Ok(())
    })
}

fn careful(tx: &mut Tx) -> BoxFuture<'_, Result<u64, Error>> {
    Box::pin(insert(tx, "careless", 2))
}

pub(super) async fn ignored_failure(db: &Db) -> Outcome {
    let alone = db.write(careless).await;
    ensure!(matches!(alone, Err(Error::Ignored { .. })), "alone, it answered {alone:?}");
    let (first, second, third) = futures::join!(db.write(careless), db.write(careful), db.write(careless));
    ensure!(matches!(first, Err(Error::Ignored { .. })), "in a group, it answered {first:?}");
    ensure!(matches!(third, Err(Error::Ignored { .. })), "in a group, it answered {third:?}");
    ensure!(second? == 1 && ids(db, "careless").await? == BTreeSet::from([2]), "something of it was stored");
    Ok(())
}

/// The caller goes away while its operation runs and another waits.
pub(super) async fn abandoned(db: &Db) -> Outcome {
    let (started, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (running, until) = (Arc::clone(&started), Arc::clone(&go_on));
    {
        let mut slow = Box::pin(db.write(move |tx| {
            Box::pin(async move {
                insert(tx, "abandoned", 1).await?;
                running.notify_one();
                until.notified().await;
                insert(tx, "abandoned", 2).await
            })
        }));
        tokio::select! {
            answer = &mut slow => return Err(Failure(format!("it did not wait: {answer:?}"))),
            () = started.notified() => {}
        }
        let mut waiting = Box::pin(db.write(|tx| Box::pin(insert(tx, "abandoned", 3))));
        ensure!(futures::poll!(&mut waiting).is_pending(), "two transactions at once");
    }
    go_on.notify_one();
    db.write(|tx| Box::pin(insert(tx, "abandoned", 4))).await?;
    let stored = ids(db, "abandoned").await?;
    ensure!(stored == BTreeSet::from([1, 2, 3, 4]), "stored were {stored:?}");
    Ok(())
}

/// An operation that never ends neither blocks the others nor is stored.
pub(super) async fn time_limit(config: &DbConfig) -> Outcome {
    let config = DbConfig { statement_timeout_ms: 200, ..config.clone() };
    let db = Db::open(&config, "conformance", &[TABLES]).await?;
    let stuck = db.write(|tx| {
        Box::pin(async move {
            insert(tx, "limit", 1).await?;
            futures::future::pending::<Result<(), Error>>().await
        })
    });
    let answer = stuck.await;
    ensure!(matches!(answer, Err(Error::Timeout { .. })), "it answered {answer:?}");
    db.write(|tx| Box::pin(insert(tx, "limit", 2))).await?;
    let stored = ids(&db, "limit").await?;
    ensure!(stored == BTreeSet::from([2]), "stored were {stored:?}");
    db.close().await;
    let answer = db.write(|tx| Box::pin(insert(tx, "limit", 3))).await;
    ensure!(matches!(answer, Err(Error::Closed { .. })), "a closed store answered {answer:?}");
    let answer = ids(&db, "limit").await;
    ensure!(matches!(answer, Err(Error::Closed { .. })), "a closed store answered {answer:?}");
    Ok(())
}

fn scope(tenant: &str, key: &str, body: u8) -> Scope {
    Scope { tenant: tenant.to_owned(), operation: "Open", key: key.to_owned(), body_sha256: [body; 32] }
}

/// An effect that answers what was answered the first time.
async fn once(db: &Db, scope: Scope, id: i64) -> Result<Vec<u8>, Error> {
    db.write(move |tx| {
        Box::pin(async move {
            if let Some(answer) = idempotency::lookup(tx, &scope).await? {
                return Ok(answer);
            }
            insert(tx, "once", id).await?;
            let answer = id.to_string().into_bytes();
            idempotency::record(tx, &scope, &answer, Micros(id)).await?;
            Ok(answer)
        })
    })
    .await
}

pub(super) async fn idempotency(db: &Db) -> Outcome {
    let same = join_all((1..=100).map(|id| once(db, scope("a", "key", 1), id))).await;
    let answers: BTreeSet<_> = same.into_iter().collect::<Result<_, _>>()?;
    ensure!(answers.len() == 1, "one key had {} answers", answers.len());
    ensure!(ids(db, "once").await?.len() == 1, "one key had several effects");
    let other = once(db, scope("a", "key", 2), 101).await;
    ensure!(matches!(other, Err(Error::KeyReused { .. })), "another body answered {other:?}");
    for (id, tenant, key) in [(102, "b", "key"), (103, "a", "KEY"), (104, "a", "")] {
        let answer = once(db, scope(tenant, key, 2), id).await?;
        ensure!(answer == id.to_string().into_bytes(), "{tenant} {key:?} is another request");
    }
    let purged = idempotency::purge(db, Micros(104)).await?;
    ensure!(purged == 3, "{purged} records were purged");
    let answer = once(db, scope("a", "", 2), 105).await?;
    ensure!(answer == b"104", "the newest record was purged");
    let again = once(db, scope("a", "key", 2), 106).await?;
    ensure!(again == b"106", "a purged record answered {again:?}");
    many_records(db).await
}

/// More records than one transaction of a purge deletes.
async fn many_records(db: &Db) -> Outcome {
    db.write(|tx| {
        Box::pin(async move {
            for id in 0..2_500 {
                idempotency::record(tx, &scope("many", &id.to_string(), 1), b"", Micros(200)).await?;
            }
            Ok::<_, Error>(())
        })
    })
    .await?;
    let purged = idempotency::purge(db, Micros(201)).await?;
    ensure!(purged >= 2_500, "{purged} records were purged");
    Ok(())
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self(format!("{refusal:?}"))
    }
}
