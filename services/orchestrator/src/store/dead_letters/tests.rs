//! One suite over both databases.

use super::*;
use crate::domain::audit::StoredTurn;
use crate::domain::dead_letters::patterns::{Patterns, Totals};
use crate::domain::dead_letters::{Change, Failure};
use crate::store::OpenLetters;
use crate::store::{Asked, Listing, MIGRATIONS, predicate};
use probity_engine::pattern::template;
use probity_storage::{Db, DbConfig};
use probity_testkit::Postgres;
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

async fn on_both(suite: impl AsyncFn(Store)) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = DbConfig::sqlite(folder.path().join("o.db"));
    let postgres = DbConfig { url: Postgres::database(), ..DbConfig::default() };
    for config in [sqlite, postgres] {
        let db = Db::open(&config, "orchestrator", MIGRATIONS).await.unwrap();
        suite(Store::new(db.clone())).await;
        db.close().await;
    }
}

fn slot(step: &str) -> Slot {
    Slot { step: step.into(), item: None }
}

fn letter_id(execution: u128, step: &str) -> LetterId {
    LetterId { execution: ExecutionId(Uuid::from_u128(execution)), slot: slot(step) }
}

fn opened(step: &str, error: &str, payload: serde_json::Value) -> Change {
    Change::Opened(Box::new(Failure {
        slot: slot(step),
        definition: "definitions/d".into(),
        code: "BUSY".into(),
        error: error.into(),
        template: template(error),
        peer: if error.contains("intake") { "intake" } else { "queues/default" }.into(),
        operation: step.into(),
        attempts: 3,
        payload: Arc::new(payload),
    }))
}

fn left(step: &str, to: State, note: &str) -> Change {
    Change::Left { slot: slot(step), to, note: note.into() }
}

fn turn(execution: u128, time: i64, letters: Vec<Change>) -> StoredTurn {
    StoredTurn {
        execution: ExecutionId(Uuid::from_u128(execution)),
        case: String::new(),
        tenant: "t".into(),
        time: Micros(time),
        actor: "users/o".into(),
        request_id: String::new(),
        trace_id: String::new(),
        first: 1,
        facts: Vec::new(),
        json: String::new(),
        chain: [0; 32],
        letters,
        task: None,
    }
}

async fn commit(store: &Store, turns: Vec<StoredTurn>) {
    let written: Result<(), Error> = store
        .db
        .write(move |tx| Box::pin(async move { write(tx, &turns.iter().collect::<Vec<_>>()).await }))
        .await;
    written.unwrap();
}

/// Five open letters, of executions 1 to 5, that failed at 10, 20, … 50.
async fn five(store: &Store) {
    let turns = (1..=5_u128).map(|n| {
        let error = if n < 4 { format!("intake did not answer within {n} ms") } else { "no rule".into() };
        turn(n, i64::try_from(n).unwrap() * 10, vec![opened("s", &error, json!({"n": n}))])
    });
    commit(store, turns.collect()).await;
}

async fn names(store: &Store, asked: Asked<'_>) -> (Vec<u128>, String) {
    let listing = Listing::new(schema(), asked, "open_time desc").unwrap();
    let (found, token) = store.letters("t", &listing, false, "TRUE").await.unwrap();
    (found.iter().map(|letter| letter.id.execution.0.as_u128()).collect(), token)
}

#[tokio::test]
async fn a_letter_opens_leaves_and_opens_again() {
    on_both(async |store| {
        let id = letter_id(1, "s");
        // Opened and left in one commit, and opened again in the same.
        let changes = vec![opened("s", "one", json!({"a": 1})), left("s", State::Requeued, "")];
        commit(&store, vec![turn(1, 10, changes)]).await;
        let requeued = store.letter("t", &id).await.unwrap();
        assert_eq!((requeued.state, requeued.reviewer.as_str()), (3, "users/o"));
        let twice = vec![
            turn(1, 20, vec![opened("s", "two", json!({"a": 2}))]),
            turn(1, 30, vec![opened("s", "three", json!("x".repeat(70_000)))]),
        ];
        commit(&store, twice).await;
        let open = store.letter("t", &id).await.unwrap();
        assert_eq!((open.state, open.failures, open.error.as_str()), (1, 3, "three"));
        assert_eq!((open.created, open.opened), (Micros(10), Micros(30)));
        // Too large for the row; the journal has it.
        assert_eq!((open.payload.as_str(), open.payload_bytes), ("", 70_002));
        commit(&store, vec![turn(1, 40, vec![left("s", State::Discarded, "given up")])]).await;
        // What is over is not changed by what comes late.
        commit(&store, vec![turn(1, 50, vec![left("s", State::Requeued, "")])]).await;
        let over = store.letter("t", &id).await.unwrap();
        assert_eq!((over.state, over.note.as_str(), over.updated), (4, "given up", Micros(40)));
        for (tenant, id) in [("other", &id), ("t", &letter_id(1, "x"))] {
            assert!(matches!(store.letter(tenant, id).await, Err(Error::NoLetter(_))));
        }
    })
    .await;
}

#[tokio::test]
async fn pages_show_each_letter_once_whatever_the_order() {
    on_both(async |store| {
        five(&store).await;
        commit(&store, vec![turn(2, 60, vec![opened("s", "intake did not answer", json!(null))])]).await;
        let check = async |filter: &str, order_by: &str, expect: &[u128]| {
            let mut all = Vec::new();
            let mut page_token = String::new();
            loop {
                let asked = Asked { filter, order_by, page_token: &page_token, limit: 2 };
                let (page, next) = names(&store, asked).await;
                assert!(page.len() <= 2);
                all.extend(page);
                if next.is_empty() {
                    break;
                }
                page_token = next;
            }
            assert_eq!(all, expect, "{filter} by {order_by}");
        };
        check("", "", &[2, 5, 4, 3, 1]).await;
        check("", "open_time", &[1, 3, 4, 5, 2]).await;
        check("", "failures desc, create_time desc", &[2, 5, 4, 3, 1]).await;
        check("", "attempts", &[1, 2, 3, 4, 5]).await;
        check("peer = intake", "create_time", &[1, 2, 3]).await;
        check("state = FAILED AND NOT item:*", "create_time", &[1, 2, 3, 4, 5]).await;
        check("rule", "", &[5, 4]).await;
        check("failures > 1 AND code = BUSY", "", &[2]).await;
        check("state > REVIEWING", "", &[]).await;
    })
    .await;
}

#[tokio::test]
async fn counts_add_up_and_attention_is_named() {
    on_both(async |store| {
        five(&store).await;
        commit(
            &store,
            vec![
                turn(1, 60, vec![left("s", State::Discarded, "no")]),
                turn(5, 70, vec![opened("s", "no rule", json!(null))]),
            ],
        )
        .await;
        let all = predicate(schema(), "").unwrap();
        let (groups, totals) = store.letter_groups("t", &all, Micros(35)).await.unwrap();
        assert_eq!(totals, Totals { all: 5, open: 4, old: 2, repeated: 1, attention: 3 });
        let patterns = Patterns::of(&groups, totals, 1);
        assert_eq!(patterns.errors.largest[0].count, 3);
        assert_eq!((patterns.errors.others, patterns.peers.others), (2, 2));
        let first = store.attention("t", &all, Micros(35), 2).await.unwrap();
        let first: Vec<_> = first.iter().map(|l| l.id.execution.0.as_u128()).collect();
        assert_eq!(first, [2, 3]);
        let (none, totals) = store.letter_groups("other", &all, Micros(35)).await.unwrap();
        assert!(none.is_empty() && totals == Totals::default());
    })
    .await;
}

#[tokio::test]
async fn a_review_and_its_audit_event_are_one() {
    on_both(async |store| {
        five(&store).await;
        let event = || AuditEvent {
            event_id: Uuid::now_v7(),
            tenant: "t".into(),
            time: Micros(9),
            actor: "users/o".into(),
            action: "dead_letter.reviewed".into(),
            subject: "x".into(),
            case: String::new(),
            outcome: "ok".into(),
            detail: "{}".into(),
            request_id: String::new(),
            trace_id: String::new(),
        };
        let review = |id: LetterId, note: &str| Review {
            tenant: "t".into(),
            id,
            actor: "users/r".into(),
            note: note.into(),
            now: Micros(99),
            event: event(),
        };
        assert!(store.review_letter(review(letter_id(1, "s"), "mine")).await.unwrap());
        assert!(store.review_letter(review(letter_id(1, "s"), "")).await.unwrap());
        let letter = store.letter("t", &letter_id(1, "s")).await.unwrap();
        assert_eq!((letter.state, letter.note.as_str(), letter.reviewer.as_str()), (2, "mine", "users/r"));
        assert!(!store.review_letter(review(letter_id(9, "s"), "")).await.unwrap());
        assert_eq!(outbox::backlog(&store.db).await.unwrap(), 2);
        let of = |tenant| store.open_letters_of(tenant);
        assert_eq!(of("t").await.unwrap(), Some(OpenLetters { failed: 4, reviewing: 1, oldest: Micros(10) }));
        assert_eq!(of("other").await.unwrap(), None);
        let open = store.open_letters().await.unwrap();
        assert_eq!(open, [("t".to_owned(), OpenLetters { failed: 4, reviewing: 1, oldest: Micros(10) })]);
    })
    .await;
}

#[tokio::test]
async fn what_is_over_goes_and_what_is_open_stays() {
    on_both(async |store| {
        let turns = (0..1_200_u128).map(|n| {
            let to = if n % 2 == 0 { State::Discarded } else { State::Requeued };
            let mut changes = vec![opened("s", "no", json!(null))];
            changes.extend((n >= 100).then(|| left("s", to, "")));
            turn(n, i64::try_from(n).unwrap(), changes)
        });
        commit(&store, turns.collect()).await;
        assert_eq!(store.discarded_letters("t", Micros(200)).await.unwrap(), 50);
        let event = |count| AuditEvent {
            event_id: Uuid::now_v7(),
            tenant: "t".into(),
            time: Micros(9),
            actor: "users/o".into(),
            action: "dead_letters.cleared".into(),
            subject: "deadLetters".into(),
            case: String::new(),
            outcome: "ok".into(),
            detail: json!({ "count": count }).to_string(),
            request_id: String::new(),
            trace_id: String::new(),
        };
        assert_eq!(store.clear_letters("other", Micros(i64::MAX), event).await.unwrap(), 0);
        assert_eq!(store.clear_letters("t", Micros(i64::MAX), event).await.unwrap(), 550);
        // One entry for each transaction.
        assert_eq!(outbox::backlog(&store.db).await.unwrap(), 2);
        assert_eq!(store.purge_letters(Micros(600)).await.unwrap(), 250);
        assert_eq!(store.purge_letters(Micros(i64::MAX)).await.unwrap(), 300);
        let open = store.open_letters().await.unwrap();
        assert_eq!(open[0].1.failed, 100);
    })
    .await;
}
