//! Appending: each event once, whoever sends it however often, and the tree in
//! memory is that of the store.

use super::{Place, entries, on_both, signer};
use crate::error::Error;
use futures::future::join_all;
use probity_merkle::{Frontier, leaf_hash};
use probity_storage::{DbConfig, args};
use probity_testkit::{Postgres, eventually};
use probity_types::Fault;
use std::collections::BTreeSet;
use std::time::Duration;

/// The log holds exactly these events, in this order, and is intact.
async fn holds(place: &Place, running: &super::Running, ids: &[u64]) {
    let rows = running.db.query("SELECT idx, leaf FROM entry ORDER BY idx", args![]).await.unwrap();
    let mut frontier = Frontier::new();
    for ((row, new), index) in rows.iter().zip(entries(ids.iter().copied())).zip(0..) {
        assert_eq!(row.i64(0).unwrap(), index);
        assert_eq!(row.bytes(1).unwrap(), new.leaf);
        frontier.append(leaf_hash(&new.leaf));
    }
    assert_eq!(rows.len(), ids.len());
    let head = running.log.head(None).await.unwrap().checkpoint;
    assert_eq!((head.size, head.root), (frontier.size(), frontier.root()));
    let report = place.check(running).await;
    assert!(report.intact, "{}", report.problem);
}

/// The log holds these events, in whatever order, and is intact.
async fn holds_all(place: &Place, running: &super::Running, count: u64) {
    assert_eq!(running.size().await, count);
    assert_eq!(running.append(0..count).await.unwrap().counts.duplicates, count);
    let report = place.check(running).await;
    assert!(report.intact, "{}", report.problem);
}

#[tokio::test]
async fn a_new_log_has_a_signed_head() {
    on_both(async |place| {
        let running = place.open().await;
        let appended = running.append([]).await.unwrap();
        assert_eq!((appended.tree_size, appended.counts.accepted), (0, 0));
        holds(place, &running, &[]).await;
    })
    .await;
}

#[tokio::test]
async fn duplicates_are_counted_and_not_added() {
    on_both(async |place| {
        let running = place.open().await;
        let check = async |ids: &[u64], size: u64, accepted: u64, duplicates: u64| {
            let appended = running.append(ids.iter().copied()).await.unwrap();
            let got = (appended.tree_size, appended.counts.accepted, appended.counts.duplicates);
            assert_eq!(got, (size, accepted, duplicates), "{ids:?}");
        };
        check(&[1, 2, 3], 3, 3, 0).await;
        check(&[1, 2, 3], 3, 0, 3).await;
        check(&[3, 4, 4, 1], 4, 1, 3).await;
        holds(place, &running, &[1, 2, 3, 4]).await;
    })
    .await;
}

#[tokio::test]
async fn a_log_goes_on_after_a_restart() {
    on_both(async |place| {
        for (from, to) in [(0, 3), (3, 260), (260, 261), (261, 700)] {
            let running = place.open().await;
            assert_eq!(running.append(from..to).await.unwrap().tree_size, to);
            running.close().await;
        }
        let running = place.open().await;
        assert_eq!(running.append(0..700).await.unwrap().counts.duplicates, 700);
        holds(place, &running, &(0..700).collect::<Vec<_>>()).await;
    })
    .await;
}

#[tokio::test]
async fn many_callers_at_once_leave_no_gap_and_no_double() {
    on_both(async |place| {
        let running = place.open().await;
        // Every event is sent by two callers, in requests of different sizes.
        let requests = (0..40_u64).map(|n| (n * 10..n * 10 + 20).map(|id| id % 400).collect::<Vec<_>>());
        let calls = requests.map(|ids| running.append(ids));
        let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().map(|a| a.counts.accepted).sum::<u64>(), 400);
        assert_eq!(answers.iter().map(|a| a.counts.duplicates).sum::<u64>(), 400);
        let sizes: BTreeSet<_> = answers.iter().map(|a| a.tree_size).collect();
        assert!(sizes.len() < 40, "requests that wait share a write: {sizes:?}");
        holds_all(place, &running, 400).await;
    })
    .await;
}

#[tokio::test]
async fn two_processes_on_one_log_do_not_disturb_each_other() {
    on_both(async |place| {
        let one = place.open().await;
        let two = place.beside(&one).await;
        for round in 0..6_u64 {
            let (a, b) = (round * 20..round * 20 + 12, round * 20 + 8..round * 20 + 20);
            let (a, b) = tokio::join!(one.append(a), two.append(b));
            let (a, b) = (a.unwrap(), b.unwrap());
            assert_eq!(a.counts.accepted + b.counts.accepted, 20);
            assert_eq!(a.counts.duplicates + b.counts.duplicates, 4);
        }
        holds_all(place, &one, 120).await;
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_harm_the_log() {
    on_both(async |place| {
        let running = place.open().await;
        for id in 0..20 {
            let mut call = Box::pin(running.append([id]));
            // Polled once: it is in the queue, and then dropped.
            let _ = futures::poll!(&mut call);
        }
        running.append([99]).await.unwrap();
        let size = running.size().await;
        assert!(place.check(&running).await.intact);
        assert_eq!(running.append(0..20).await.unwrap().counts.duplicates, size - 1);
    })
    .await;
}

#[tokio::test]
async fn a_write_that_fails_half_way_leaves_nothing() {
    on_both(async |place| {
        let running = place.with_batches(&[10]).await;
        running.execute("ALTER TABLE checkpoint RENAME TO away", args![]).await;
        assert!(matches!(running.append(10..20).await, Err(Error::Storage(_))));
        running.execute("ALTER TABLE away RENAME TO checkpoint", args![]).await;
        let appended = running.append(5..15).await.unwrap();
        assert_eq!((appended.tree_size, appended.counts.accepted), (15, 5));
        holds(place, &running, &(0..15).collect::<Vec<_>>()).await;
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_killed_loses_nothing_that_was_answered() {
    let server = Postgres::start();
    let config = DbConfig { url: server.create(), ..DbConfig::default() };
    let place = Place { config, signer: signer(1), _dir: tempfile::tempdir().unwrap() };
    let running = place.with_batches(&[300]).await;
    server.kill();
    assert!(running.append(300..310).await.is_err());
    server.resume();
    let again = async || running.append(300..310).await;
    let appended = eventually(Duration::from_secs(10), again).await;
    assert_eq!(appended.tree_size, 310);
    holds(&place, &running, &(0..310).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn nothing_is_signed_on_top_of_a_damaged_log() {
    on_both(async |place| {
        let mut place =
            Place { config: place.config.clone(), signer: signer(1), _dir: tempfile::tempdir().unwrap() };
        place.with_batches(&[300]).await.close().await;
        let refused = async |place: &Place, break_it: &str, mend: &str| {
            let running = place.open().await;
            if !break_it.is_empty() {
                running.execute(break_it, args![]).await;
            }
            let error = running.append([1000]).await.unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{break_it}: {error}");
            assert_eq!(Fault::from(error).code, "AUD-0008");
            if !mend.is_empty() {
                running.execute(mend, args![]).await;
            }
            running.close().await;
        };
        let (up, down) = ("UPDATE tile SET level = level + 7", "UPDATE tile SET level = level - 7");
        refused(&place, up, down).await;
        refused(&place, "UPDATE log_head SET size = 299", "UPDATE log_head SET size = 300").await;
        refused(
            &place,
            "UPDATE entry SET idx = 400 WHERE idx = 7",
            "UPDATE entry SET idx = 7 WHERE idx = 400",
        )
        .await;
        place.signer = signer(2);
        refused(&place, "", "").await;
        place.signer = signer(1);
        let running = place.open().await;
        assert_eq!(running.append([1000]).await.unwrap().tree_size, 301);
        running.close().await;
    })
    .await;
}
