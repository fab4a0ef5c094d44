//! Events on their way to the log.

use super::{Outcome, ensure};
use crate::{Db, Error, Tx, args, outbox};
use futures::FutureExt;
use futures::future::join_all;
use probity_types::{AuditEvent, Ctx, Micros};

fn event(subject: i64) -> AuditEvent {
    let ctx = Ctx::service("conformance", "acme", "request \u{1F600}\n\"");
    AuditEvent::new(&ctx, Micros(subject), "item.stored", subject.to_string())
}

async fn append(tx: &mut Tx, subjects: std::ops::Range<i64>) -> Result<(), Error> {
    for subject in subjects {
        outbox::append(tx, &event(subject)).await?;
    }
    Ok(())
}

async fn write(db: &Db, subjects: std::ops::Range<i64>) -> Result<(), Error> {
    db.write(move |tx| Box::pin(append(tx, subjects))).await
}

async fn subjects(db: &Db, after: i64, limit: u32) -> Result<Vec<i64>, Error> {
    let events = outbox::pending(db, after, limit).await?;
    Ok(events.iter().filter_map(|(_, event)| event.subject.parse().ok()).collect())
}

pub(super) async fn order(db: &Db) -> Outcome {
    let (woken, event) = (db.outbox_notify(), event(0));
    let stored = event.clone();
    db.write(move |tx| Box::pin(async move { outbox::append(tx, &stored).await })).await?;
    ensure!(woken.notified().now_or_never().is_some(), "nobody was woken");
    let pending = outbox::pending(db, 0, 10).await?;
    ensure!(pending.iter().map(|(_, event)| event).eq([&event]), "{pending:?} came back for {event:?}");
    join_all((1..300).map(|n| write(db, n..n + 1))).await.into_iter().collect::<Result<(), _>>()?;
    let expected: Vec<_> = (0..300).collect();
    let got = subjects(db, 0, 1_000).await?;
    ensure!(got == expected, "events came in the order {got:?}");
    let first = pending.first().map_or(0, |(seq, _)| *seq);
    ensure!(subjects(db, first + 9, 5).await? == [10, 11, 12, 13, 14], "a page is wrong");
    outbox::acknowledge(db, first + 99).await?;
    ensure!(subjects(db, 0, 2).await? == [100, 101], "acknowledged events came again");
    outbox::acknowledge(db, first + 9).await?;
    ensure!(outbox::acknowledged(db).await? == first + 99, "the mark moved back");
    ensure!(outbox::backlog(db).await? == 200, "the backlog is {}", outbox::backlog(db).await?);
    outbox::acknowledge(db, first + 1_000_000).await?;
    ensure!(outbox::backlog(db).await? == 200, "events that do not exist were acknowledged");
    outbox::acknowledge(db, first + 299).await?;
    ensure!(outbox::backlog(db).await? == 0, "something is left");
    Ok(())
}

pub(super) async fn failed(db: &Db) -> Outcome {
    let refused = db.write(|tx| {
        Box::pin(async move {
            append(tx, 1..4).await?;
            Err::<(), _>(Error::NulInText)
        })
    });
    let (before, refused, after) = futures::join!(write(db, 10..12), refused, write(db, 20..22));
    ensure!(before.is_ok() && refused.is_err() && after.is_ok(), "{before:?} {refused:?} {after:?}");
    let got = subjects(db, 0, 100).await?;
    ensure!(got == [10, 11, 20, 21], "{got:?} left");
    let mut large = event(1);
    large.detail = "x".repeat(outbox::MAX_DETAIL_BYTES + 1);
    let answer = db.write(move |tx| Box::pin(async move { outbox::append(tx, &large).await })).await;
    ensure!(matches!(answer, Err(Error::EventTooLarge { .. })), "a large event answered {answer:?}");
    let (last, _) = outbox::pending(db, 0, 100).await?.pop().unwrap_or((0, event(0)));
    outbox::acknowledge(db, last).await?;
    Ok(())
}

async fn rows(db: &Db, table: i64) -> Result<i64, Error> {
    let row = db.query_opt(&format!("SELECT COUNT(*) FROM probity_outbox_{table}"), args![]).await?;
    row.map_or(Ok(0), |row| row.i64(0))
}

/// Three rounds of more events than a table is kept for.
pub(super) async fn rotation(db: &Db) -> Outcome {
    const ROUND: i64 = 10_007;
    let mut largest = 0;
    for round in 0..3 {
        write(db, round * ROUND..(round + 1) * ROUND).await?;
        let mut expected = round * ROUND;
        loop {
            let page = outbox::pending(db, 0, 5_000).await?;
            let Some((last, _)) = page.last() else { break };
            for (_, event) in &page {
                ensure!(event.subject == expected.to_string(), "{} came for {expected}", event.subject);
                expected += 1;
            }
            outbox::acknowledge(db, *last).await?;
        }
        ensure!(expected == (round + 1) * ROUND, "round {round} ended at {expected}");
        write(db, 0..1).await?;
        let (last, _) = outbox::pending(db, 0, 5).await?.pop().unwrap_or((0, event(0)));
        outbox::acknowledge(db, last).await?;
        largest = largest.max(rows(db, 0).await? + rows(db, 1).await?);
    }
    ensure!(largest <= 10, "{largest} spent rows were kept");
    Ok(())
}
