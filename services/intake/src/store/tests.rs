//! The rows of documents, on SQLite and on a real PostgreSQL.

use super::*;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::objects::folder::Folder;
use crate::sweep::Sweeper;
use probity_storage::DbConfig;
use probity_testkit::Postgres;
use probity_types::{Role, SystemClock};
use std::sync::Arc;
use std::time::Duration;

fn ctx(tenant: &str) -> Ctx {
    let roles = probity_types::Roles::new([Role::Submitter]);
    Ctx {
        tenant: tenant.into(),
        actor: "users/a".into(),
        roles,
        request_id: "r".into(),
        trace_id: String::new(),
    }
}

fn document(n: u8, created: i64) -> Document {
    Document {
        hash: Hash([n; 32]),
        media_type: "text/plain".into(),
        filename: format!("{n} é.txt"),
        size: 3,
        created: Micros(created),
        expires: None,
    }
}

/// Runs a case on both databases.
async fn on_both(case: impl AsyncFn(Db)) {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = DbConfig::sqlite(dir.path().join("a.db"));
    let postgres = DbConfig { url: Postgres::database(), ..DbConfig::default() };
    for config in [sqlite, postgres] {
        case(Db::open(&config, "intake", MIGRATIONS).await.unwrap()).await;
    }
}

#[tokio::test]
async fn the_first_one_stays_and_is_told_to_the_log() {
    on_both(async |db| {
        let store = Store::new(db.clone());
        let first = document(1, 10);
        let stored = store.insert(ctx("a"), first.clone(), Some(b"abc".to_vec())).await.unwrap();
        assert_eq!(stored, (first.clone(), true));
        let again = Document { filename: "other".into(), ..document(1, 20) };
        assert_eq!(store.insert(ctx("a"), again, None).await.unwrap(), (first.clone(), false));
        assert_eq!(store.get("a", first.hash).await.unwrap(), Some(first.clone()));
        let (there, body) = store.get_with_body("a", first.hash).await.unwrap().unwrap();
        assert_eq!((there, body.as_deref()), (first, Some(&b"abc"[..])));
        let events = outbox::pending(&db, 0, 10).await.unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].1.action.as_str(), events[0].1.tenant.as_str()), ("document.stored", "a"));
        assert!(events[0].1.detail.contains("size_bytes\":3"), "{}", events[0].1.detail);
    })
    .await;
}

#[tokio::test]
async fn a_foreign_document_answers_like_none() {
    on_both(async |db| {
        let store = Store::new(db);
        let one = document(1, 10);
        store.insert(ctx("a"), one.clone(), Some(b"abc".to_vec())).await.unwrap();
        assert_eq!(store.get("b", one.hash).await.unwrap(), None);
        assert_eq!(store.get_with_body("b", one.hash).await.unwrap(), None);
        assert!(store.list("b", Cursor::START, 10).await.unwrap().is_empty());
        assert!(store.insert(ctx("b"), document(1, 20), Some(b"abc".to_vec())).await.unwrap().1);
    })
    .await;
}

#[tokio::test]
async fn lists_newest_first() {
    on_both(async |db| {
        let store = Store::new(db);
        // Several at the same time, so that the hash decides.
        for n in 1..=20 {
            store.insert(ctx("a"), document(n, i64::from(n / 4)), None).await.unwrap();
        }
        let (mut cursor, mut seen) = (Cursor::START, Vec::new());
        loop {
            let page = store.list("a", cursor, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            cursor = Cursor { created: last.created, hash: last.hash };
            seen.extend(page.iter().map(|document| (document.created, document.hash)));
        }
        let mut expected: Vec<_> = (1..=20).map(|n| (Micros(i64::from(n / 4)), Hash([n; 32]))).collect();
        expected.sort_by(|one, two| two.cmp(one));
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_stored_its_bytes_and_not_its_row_is_swept() {
    on_both(async |db| {
        let dir = tempfile::tempdir().unwrap();
        let objects: Arc<dyn Objects> = Arc::new(Folder::open(dir.path()).unwrap());
        let store = Store::new(db);
        for n in 0..150 {
            let mut incoming = objects.create().await.unwrap();
            incoming.write(b"abc").await.unwrap();
            incoming.publish(Hash([n; 32])).await.unwrap();
            if n % 2 == 0 {
                store.insert(ctx("a"), document(n, 1), None).await.unwrap();
            }
        }
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let sweeper = Sweeper { objects: Arc::clone(&objects), store, clock: Arc::new(SystemClock), metrics };
        assert_eq!(sweeper.sweep(Duration::from_secs(60)).await.unwrap(), 0);
        assert_eq!(sweeper.sweep(Duration::ZERO).await.unwrap(), 75);
        for n in 0..150 {
            assert_eq!(objects.open(Hash([n; 32]), 0).await.is_ok(), n % 2 == 0, "{n}");
        }
    })
    .await;
}

fn temporary(n: u8, expires: i64) -> Document {
    Document { expires: Some(Micros(expires)), ..document(n, 1) }
}

#[tokio::test]
async fn what_nobody_names_goes_and_what_is_named_stays() {
    on_both(async |db| {
        let store = Store::new(db.clone());
        for n in 1..=5 {
            store.insert(ctx("a"), temporary(n, 100), Some(b"abc".to_vec())).await.unwrap();
        }
        store.insert(ctx("b"), temporary(2, 100), Some(b"abc".to_vec())).await.unwrap();
        let hashes = |range: std::ops::RangeInclusive<u8>| range.map(|n| Hash([n; 32])).collect::<Vec<_>>();
        // Of another tenant, and of none, nothing is held.
        assert_eq!(store.hold("b", &hashes(3..=9), None).await.unwrap(), []);
        let longer = store.hold("a", &hashes(1..=1), Some(Micros(200))).await.unwrap();
        assert_eq!(longer[0].expires, Some(Micros(200)));
        assert_eq!(store.hold("a", &hashes(1..=1), Some(Micros(150))).await.unwrap(), longer);
        let good = store.hold("a", &hashes(2..=2), None).await.unwrap();
        assert_eq!(good[0].expires, None);
        assert_eq!(store.hold("a", &hashes(2..=2), Some(Micros(150))).await.unwrap(), good);
        // The same bytes again: kept as long as the longest wish.
        assert_eq!(store.insert(ctx("a"), document(3, 9), None).await.unwrap().0.expires, None);
        let again = store.insert(ctx("a"), temporary(4, 150), None).await.unwrap();
        assert_eq!((again.0.expires, again.1), (Some(Micros(150)), false));

        assert_eq!(store.expire(Micros(99)).await.unwrap(), 0);
        assert_eq!(store.expire(Micros(100)).await.unwrap(), 2, "5, and that of the other tenant");
        assert_eq!(store.expire(Micros(1_000)).await.unwrap(), 2, "1 and 4");
        for n in 1..=5 {
            let there = store.get("a", Hash([n; 32])).await.unwrap().is_some();
            assert_eq!(there, [2, 3].contains(&n), "{n}");
        }
        assert_eq!(store.get("b", Hash([2; 32])).await.unwrap(), None);
        let events = outbox::pending(&db, 0, 100).await.unwrap();
        let expired = events.iter().filter(|(_, event)| event.action == "document.expired").count();
        assert_eq!(expired, 4);
        // What has gone can come back.
        assert!(store.insert(ctx("a"), temporary(5, 2_000), Some(b"abc".to_vec())).await.unwrap().1);
    })
    .await;
}

#[tokio::test]
async fn many_expire_in_pieces() {
    on_both(async |db| {
        let store = Store::new(db);
        for n in 0..=255 {
            for tenant in ["a", "b", "c", "d"] {
                store.insert(ctx(tenant), temporary(n, 100), None).await.unwrap();
            }
        }
        assert_eq!(store.expire(Micros(100)).await.unwrap(), 1_024);
    })
    .await;
}
