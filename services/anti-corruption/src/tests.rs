//! The store on both databases: what every test here does, it does on SQLite and
//! on PostgreSQL.

use crate::convert::{self, Dispose, Investigate};
use crate::domain::watchlist::{Entry, List};
use crate::domain::{Evidence, Finding, Kind, Outcome, Rejection, Severity};
use crate::error::Error;
use crate::store::{Imported, Investigated, MIGRATIONS, Request, Store};
use probity_proto::anticorruption as pb;
use probity_storage::{Db, DbConfig, outbox};
use probity_testkit::Postgres;
use probity_types::id::{CaseId, FindingId};
use probity_types::{Ctx, Micros};
use std::sync::Arc;

/// Refusals kept of a case in these tests.
const MOST: usize = 5;

/// Runs a test on SQLite and on PostgreSQL.
async fn on_both(test: impl AsyncFn(&Store, &Db)) {
    let dir = tempfile::tempdir().unwrap();
    let sqlite =
        DbConfig { url: format!("sqlite:{}", dir.path().join("store.db").display()), ..DbConfig::default() };
    let postgres = DbConfig { url: Postgres::database(), ..DbConfig::default() };
    for config in [sqlite, postgres] {
        let db = Db::open(&config, "anti_corruption", MIGRATIONS).await.unwrap();
        test(&Store::new(db.clone()), &db).await;
        db.close().await;
    }
}

fn ctx(tenant: &str) -> Ctx {
    Ctx::service("orchestrator", tenant, "request-1")
}

fn request(tenant: &str, key: Option<&str>, body: &str) -> Request {
    let message = pb::ScreenNameRequest { name: body.to_owned() };
    Request::new("Test", ctx(tenant), key.map(ToOwned::to_owned), &message)
}

fn finding(rule: &'static str, severity: Severity, value: &str) -> Finding {
    Finding {
        rule,
        severity,
        value: value.to_owned(),
        threshold: "t".to_owned(),
        peer_group: "p".to_owned(),
        evidence: vec![Evidence {
            document: "documents/d".into(),
            locator: "/a".to_owned(),
            text: "é\u{1F600}".to_owned(),
        }],
        explanation: "because".to_owned(),
    }
}

fn rejection(line: u64) -> Rejection {
    Rejection { document: "documents/d".into(), line, field: "f".to_owned(), reason: "r".to_owned() }
}

fn investigated(case: CaseId, document: &str, findings: Vec<Finding>, rejections: u64) -> Investigated {
    let outcome = Outcome {
        finding_count: findings.len() as u64 + 7,
        findings,
        items_read: 3,
        items_refused: rejections,
        rejections: (1..=rejections).map(rejection).collect(),
        ..Outcome::default()
    };
    let work = Investigate { case, kind: Kind::Tender, documents: vec![document.to_owned()] };
    let response = convert::response(Kind::Tender, &outcome);
    Investigated { work, outcome: Arc::new(outcome), response, now: Micros(1_000) }
}

fn three() -> Vec<Finding> {
    vec![
        finding("R028", Severity::High, "a"),
        finding("R018", Severity::Medium, "b"),
        finding("R018", Severity::Medium, "b"),
        finding("R058", Severity::Low, "c"),
    ]
}

async fn actions(db: &Db) -> Vec<String> {
    outbox::pending(db, 0, 100).await.unwrap().into_iter().map(|(_, event)| event.action).collect()
}

#[tokio::test]
async fn findings_are_stored_once_and_paged() {
    on_both(async |store, db| {
        let case = CaseId::new();
        for _ in 0..2 {
            let work = investigated(case, "documents/d", three(), 0);
            let answer = store.record(request("acme", None, ""), work, MOST).await.unwrap();
            assert_eq!(answer.finding_count, 11);
        }
        let first = store.findings("acme", case, "", 3).await.unwrap();
        assert_eq!(first.total, 11, "four are kept, seven were only counted");
        let rules: Vec<_> = first.items.iter().map(|f| (f.rule.as_str(), f.severity)).collect();
        assert_eq!(rules, [("R028", 3), ("R018", 2), ("R018", 2)]);
        let second = store.findings("acme", case, &first.next, 3).await.unwrap();
        assert_eq!(
            (second.items.len(), second.items[0].rule.as_str(), second.next.as_str()),
            (1, "R058", "")
        );
        assert_eq!(second.items[0].evidence, three()[3].evidence);
        assert!(matches!(store.findings("acme", case, "r.1", 3).await, Err(Error::PageToken)));
        for (tenant, case) in [("other", case), ("acme", CaseId::new())] {
            assert_eq!(store.findings(tenant, case, "", 3).await.unwrap().total, 0);
        }
        assert_eq!(actions(db).await, ["findings.recorded", "findings.recorded"]);
    })
    .await;
}

#[tokio::test]
async fn one_key_has_one_effect_and_one_answer() {
    on_both(async |store, db| {
        let case = CaseId::new();
        let key = || request("acme", Some("k"), "x");
        assert!(store.answered::<pb::InvestigateResponse>(&key()).await.unwrap().is_none());
        let first = store.record(key(), investigated(case, "documents/d", three(), 0), MOST).await.unwrap();
        let again =
            store.record(key(), investigated(case, "documents/e", Vec::new(), 2), MOST).await.unwrap();
        assert_eq!(first, again);
        assert_eq!(store.answered(&key()).await.unwrap(), Some(first));
        assert_eq!(store.rejections("acme", case, "", 9).await.unwrap().total, 0);
        assert_eq!(actions(db).await.len(), 1);
        let other_body = store.answered::<pb::InvestigateResponse>(&request("acme", Some("k"), "y")).await;
        assert!(matches!(other_body, Err(Error::Storage(probity_storage::Error::KeyReused { .. }))));
        let other_tenant = request("other", Some("k"), "y");
        assert!(store.answered::<pb::InvestigateResponse>(&other_tenant).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn refusals_are_replaced_by_input_and_bounded_by_case() {
    on_both(async |store, _| {
        let case = CaseId::new();
        let record = async |document: &str, count: u64| {
            let work = investigated(case, document, Vec::new(), count);
            store.record(request("acme", None, ""), work, MOST).await.unwrap();
            let page = store.rejections("acme", case, "", 100).await.unwrap();
            (page.total, page.items.iter().map(|r| r.line).collect::<Vec<_>>())
        };
        assert_eq!(record("documents/d", 3).await, (3, vec![1, 2, 3]));
        assert_eq!(record("documents/e", 9).await, (5, vec![1, 2, 3, 1, 2]));
        assert_eq!(record("documents/d", 1).await, (3, vec![1, 2, 1]));
        let first = store.rejections("acme", case, "", 2).await.unwrap();
        let second = store.rejections("acme", case, &first.next, 2).await.unwrap();
        assert_eq!((first.items.len(), second.items.len(), second.next.as_str()), (2, 1, ""));
        assert!(matches!(store.rejections("acme", case, "x", 2).await, Err(Error::PageToken)));
    })
    .await;
}

#[tokio::test]
async fn a_disposition_outlives_the_next_investigation() {
    on_both(async |store, db| {
        let case = CaseId::new();
        let record = async || {
            store
                .record(request("acme", None, ""), investigated(case, "documents/d", three(), 0), MOST)
                .await
                .unwrap()
        };
        record().await;
        let finding = store.findings("acme", case, "", 1).await.unwrap().items.remove(0).id;
        let dispose = |tenant: &str, finding: FindingId| {
            let work = Dispose { case, finding, disposition: 2, note: "a namesake".to_owned() };
            store.dispose(request(tenant, None, ""), work, Micros(2_000))
        };
        let disposed = dispose("acme", finding).await.unwrap();
        let disposed = disposed.finding;
        assert_eq!((disposed.disposition, disposed.disposed_by.as_str()), (2, "services/orchestrator"));
        assert!(matches!(dispose("other", finding).await, Err(Error::NotFound { .. })));
        assert!(matches!(dispose("acme", FindingId::new()).await, Err(Error::NotFound { .. })));
        record().await;
        let kept = store.findings("acme", case, "", 1).await.unwrap().items.remove(0);
        assert_eq!((kept.id, kept.disposition), (finding, 2));
        assert_eq!(actions(db).await, ["findings.recorded", "finding.disposed", "findings.recorded"]);
    })
    .await;
}

#[tokio::test]
async fn a_correction_keeps_what_was_said_before() {
    on_both(async |store, db| {
        let case = CaseId::new();
        for tenant in ["acme", "other"] {
            let work = investigated(case, "documents/d", three(), 0);
            store.record(request(tenant, None, ""), work, MOST).await.unwrap();
        }
        let findings = store.findings("acme", case, "", 9).await.unwrap().items;
        let dispose = async |number: usize, disposition: i32, note: &str, time: i64| {
            let finding = findings[number].id;
            let work = Dispose { case, finding, disposition, note: note.to_owned() };
            let done = store.dispose(request("acme", None, ""), work, Micros(time)).await;
            done.unwrap().changed.is_some()
        };
        assert!(dispose(0, 2, "a namesake", 10).await);
        assert!(!dispose(0, 2, "a namesake", 20).await, "the same again changes nothing");
        assert!(dispose(0, 1, "not a namesake after all", 30).await);
        assert!(dispose(1, 2, "", 40).await);
        assert!(dispose(2, 3, "", 50).await);

        let said = async |filter: &str| {
            let (records, next) = store.dispositions("acme", filter, "", 9).await.unwrap();
            assert_eq!(next, "");
            let short = |r: &pb::DispositionRecord| (r.disposition, r.previous, r.current);
            records.iter().map(short).collect::<Vec<_>>()
        };
        assert_eq!(said("").await, [(3, 0, true), (2, 0, true), (1, 2, true), (2, 0, false)]);
        assert_eq!(said("note : namesake AND current = false").await, [(2, 0, false)]);
        let of_one = format!("finding = \"{}\"", convert::finding_name(case, findings[0].id));
        assert_eq!(said(&of_one).await.len(), 2);
        assert_eq!(said("kind = TENDER AND severity >= HIGH").await.len(), 2);
        assert!(matches!(store.dispositions("acme", "colour = 1", "", 9).await, Err(Error::Request { .. })));

        // Pages go on, and only with a token of this list.
        let (first, next) = store.dispositions("acme", "", "", 3).await.unwrap();
        let (rest, end) = store.dispositions("acme", "", &next, 3).await.unwrap();
        assert_eq!((first.len(), rest.len(), end.as_str()), (3, 1, ""));
        assert!(matches!(store.dispositions("acme", "", "f.1", 3).await, Err(Error::PageToken)));

        let counts = async |tenant: &str, from: i64, until: i64| {
            let counts = store.disposition_counts(tenant, Micros(from), Micros(until)).await.unwrap();
            counts.iter().map(|c| (c.disposition, c.count)).collect::<Vec<_>>()
        };
        let mut all = counts("acme", 0, 99).await;
        all.sort_unstable();
        assert_eq!(all, [(1, 1), (2, 1), (3, 1)]);
        assert_eq!(counts("acme", 0, 30).await, [], "what was corrected does not count");
        assert_eq!(counts("acme", 30, 40).await, [(1, 1)]);
        assert_eq!(counts("other", 0, 99).await, []);
        assert_eq!(store.dispositions("other", "", "", 9).await.unwrap().0, []);
        let disposed = actions(db).await.iter().filter(|action| *action == "finding.disposed").count();
        assert_eq!(disposed, 4);
    })
    .await;
}

fn list(entries: usize) -> Imported {
    let entry = |n: usize| Entry {
        id: n.to_string(),
        name: format!("NAME {n}"),
        kind: "entity".to_owned(),
        programs: "P".to_owned(),
        aliases: vec![format!("ALIAS \"{n}\"")],
    };
    let list = List { entries: (0..entries).map(entry).collect(), rows_refused: 1 };
    Imported { name: "ofac".to_owned(), list, sha256: format!("{entries}"), now: Micros(3_000) }
}

#[tokio::test]
async fn a_list_is_replaced_as_a_whole_or_not_at_all() {
    on_both(async |store, db| {
        let import = |tenant: &str, entries: usize| store.import(request(tenant, None, ""), list(entries));
        assert_eq!(import("acme", 2_001).await.unwrap().entries, 2_001);
        assert!(matches!(import("acme", 999).await, Err(Error::Watchlist { .. })));
        let entries = store.entries("acme", "ofac").await.unwrap().entries;
        assert_eq!((entries.len(), &entries[7]), (2_001, &list(8).list.entries[7]));
        assert_eq!(import("acme", 1_000).await.unwrap().aliases, 1_000);
        let lists = store.watchlists("acme").await.unwrap();
        assert_eq!((lists.len(), lists[0].entries, lists[0].rows_refused), (1, 1_000, 1));
        assert_eq!(import("other", 3).await.unwrap().entries, 3);
        assert_eq!(import("other", 1).await.unwrap().entries, 1, "a short list may shrink");
        assert_eq!(store.tenants_with_lists().await.unwrap(), ["acme", "other"]);
        assert_eq!(store.entries("acme", "ofac").await.unwrap().entries.len(), 1_000);
        assert_eq!(actions(db).await, ["watchlist.imported"; 4]);
    })
    .await;
}
