//! One suite over both databases.

use super::*;
use crate::domain::policy::source_sha256;
use probity_storage::DbConfig;
use probity_testkit::Postgres;
use probity_types::{Role, Roles};

const QUOTA: Quota = Quota { policies: 2, total_bytes: 100 };

fn ctx(tenant: &str) -> Ctx {
    Ctx {
        tenant: tenant.into(),
        actor: "users/olga".into(),
        roles: Roles::new([Role::Operator]),
        request_id: "r".into(),
        trace_id: String::new(),
    }
}

fn draft(name: &str, source: &str) -> Draft {
    Draft {
        name: name.parse().unwrap(),
        source: source.into(),
        sha256: source_sha256(source),
        kinds: vec![CaseKind::Tender, CaseKind::Report],
        starter_version: 0,
    }
}

fn scope(key: &str, body: u8) -> Option<Scope> {
    Some(Scope { tenant: "a".into(), operation: "test", key: key.into(), body_sha256: [body; 32] })
}

fn record(case: CaseId, response: &[u8]) -> Record {
    Record {
        id: EvaluationId::new(),
        case,
        kind: CaseKind::Tender,
        decision: "allow",
        input_sha256: [7; 32],
        policies: vec!["p@1".into()],
        detail: json!({"decision": "allow"}),
        response: response.to_vec(),
    }
}

async fn open(config: &DbConfig) -> (Store, Db) {
    let db = Db::open(config, "compliance_validator", MIGRATIONS).await.unwrap();
    (Store::new(db.clone()), db)
}

async fn on_both(suite: impl AsyncFn(Store, Db)) {
    let folder = tempfile::tempdir().unwrap();
    let (store, db) = open(&DbConfig::sqlite(folder.path().join("c.db"))).await;
    suite(store, db.clone()).await;
    db.close().await;
    let (store, db) = open(&DbConfig { url: Postgres::database(), ..DbConfig::default() }).await;
    suite(store, db.clone()).await;
    db.close().await;
}

#[tokio::test]
async fn policies_are_added_and_found() {
    on_both(async |store, db| {
        let publish = async |tenant: &str, draft, scope| {
            store.publish(ctx(tenant), draft, scope, QUOTA, Micros(5)).await
        };
        assert_eq!(publish("a", draft("x", "one"), scope("k", 1)).await.unwrap(), 1);
        assert_eq!(publish("a", draft("x", "one"), None).await.unwrap(), 1, "nothing changed");
        assert_eq!(publish("a", draft("x", "two"), None).await.unwrap(), 2);
        assert_eq!(publish("a", draft("x", "one"), scope("k", 1)).await.unwrap(), 1, "the answer of the key");
        let reused = publish("a", draft("x", "three"), scope("k", 2)).await.unwrap_err();
        assert!(matches!(reused, Error::Store(probity_storage::Error::KeyReused { .. })), "{reused}");
        let starter = Draft { starter_version: 4, ..draft("y", "one") };
        assert_eq!(publish("a", starter, None).await.unwrap(), 5, "after the starter's versions");
        let third = publish("a", draft("z", "one"), None).await.unwrap_err();
        assert!(matches!(third, Error::TooManyPolicies { .. }), "{third}");
        let large = publish("a", draft("x", &"x".repeat(98)), None).await.unwrap_err();
        assert!(matches!(large, Error::TooManyPolicies { .. }), "{large}");
        assert_eq!(publish("b", draft("x", "one"), None).await.unwrap(), 1);

        let newest: Vec<_> =
            store.newest("a").await.unwrap().into_iter().map(|policy| policy.label()).collect();
        assert_eq!(newest, ["x@2", "y@5"]);
        let name: PolicyName = "x".parse().unwrap();
        assert_eq!(store.source("a", &name, 1).await.unwrap().as_deref(), Some("one"));
        assert_eq!(store.source("b", &name, 2).await.unwrap(), None);
        let found = store.policy("a", &name, None).await.unwrap().unwrap();
        assert_eq!((found.version, &*found.source, found.publish_time), (2, "two", Some(Micros(5))));
        assert_eq!(found.kinds, [CaseKind::Tender, CaseKind::Report]);
        assert_eq!(found.sha256, source_sha256("two"));
        assert_eq!(&*store.policy("a", &name, Some(1)).await.unwrap().unwrap().source, "one");
        assert_eq!(store.policy("a", &name, Some(3)).await.unwrap(), None);
        assert_eq!(store.policy("c", &name, None).await.unwrap(), None);
        assert_eq!(outbox::backlog(&db).await.unwrap(), 4);
    })
    .await;
}

#[tokio::test]
async fn evaluations_are_kept_once_and_paged() {
    on_both(async |store, db| {
        let case = CaseId::new();
        let keep = async |tenant: &str, record, scope| {
            store.keep(ctx(tenant), record, scope, Micros(9)).await.unwrap()
        };
        assert_eq!(keep("a", record(case, b"1"), scope("k", 1)).await, b"1");
        assert_eq!(keep("a", record(case, b"2"), scope("k", 1)).await, b"1", "the answer of the key");
        assert_eq!(keep("a", record(case, b"3"), None).await, b"3");
        assert_eq!(keep("a", record(CaseId::new(), b"4"), None).await, b"4");
        assert_eq!(keep("b", record(case, b"5"), None).await, b"5");

        let page = async |before| store.evaluations("a", case, before, 1).await.unwrap();
        let first = page(None).await;
        assert_eq!((first.len(), first[0].response.as_slice(), first[0].created), (1, &b"3"[..], Micros(9)));
        let second = page(Some(first[0].id)).await;
        assert_eq!(second[0].response, b"1");
        assert!(page(Some(second[0].id)).await.is_empty());
        assert_eq!(outbox::backlog(&db).await.unwrap(), 4);

        assert_eq!(probity_storage::idempotency::purge(&db, Micros(9)).await.unwrap(), 0);
        assert_eq!(probity_storage::idempotency::purge(&db, Micros(10)).await.unwrap(), 1);
        assert_eq!(keep("a", record(case, b"6"), scope("k", 1)).await, b"6");
    })
    .await;
}
