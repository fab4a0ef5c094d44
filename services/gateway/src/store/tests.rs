//! The store on both databases.

use super::*;
use crate::domain::keyring::rotate;
use crate::error::Error;
use probity_storage::DbConfig;
use probity_testkit::Postgres;
use probity_types::{Ctx, Micros, Role, Roles};
use std::time::Duration;
use uuid::Uuid;

const NOW: Micros = Micros(1_700_000_000_000_000);
const IDLE: Duration = Duration::from_secs(600);
const GRACE: Duration = Duration::from_secs(10);

async fn stores() -> Vec<(Store, Option<tempfile::TempDir>)> {
    let dir = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", dir.path().join("gateway.db").display());
    let open = async |url: String| {
        let config = DbConfig { url, ..DbConfig::default() };
        Store::new(Db::open(&config, "gateway", MIGRATIONS).await.unwrap())
    };
    vec![(open(file).await, Some(dir)), (open(Postgres::database()).await, None)]
}

fn event(action: &str) -> AuditEvent {
    AuditEvent::new(&Ctx::service("gateway", "t1", "r"), NOW, action, "s")
}

fn account(tenant: &str, actor: &str) -> Account {
    Account {
        tenant: tenant.into(),
        actor: actor.into(),
        roles: Roles::new([Role::Officer, Role::Auditor]),
        password: "$hash".into(),
        disabled: false,
        made: NOW,
        changed: NOW,
        password_set: NOW,
    }
}

fn at(seconds: u64) -> Micros {
    NOW.plus(Duration::from_secs(seconds))
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_those_of_their_tenant() {
    for (store, _dir) in stores().await {
        for (tenant, actor) in [("t1", "users/b"), ("t1", "users/a"), ("t2", "users/a")] {
            store.create(account(tenant, actor), event("account.created")).await.unwrap();
        }
        let again = store.create(account("t1", "users/a"), event("account.created")).await;
        assert!(matches!(again, Err(Error::AccountExists(name)) if name == "users/a"));
        let list = store.accounts("t1", "", 10).await.unwrap();
        assert_eq!(list, [account("t1", "users/a"), account("t1", "users/b")]);
        assert_eq!(store.accounts("t1", "users/a", 10).await.unwrap(), [account("t1", "users/b")]);
        let off = Change { disabled: Some(true), ..Change::default() };
        let changed =
            store.change(("t2".into(), "users/a".into()), off.clone(), event("account.changed")).await;
        assert!(changed.unwrap().disabled);
        assert_eq!(store.disabled().await.unwrap(), [("t2".to_owned(), "users/a".to_owned())]);
        assert!(!store.account("t1", "users/a").await.unwrap().unwrap().disabled);
        let missing = store.change(("t3".into(), "users/a".into()), off, event("account.changed")).await;
        assert!(matches!(missing, Err(Error::NoAccount(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_configuration_is_carried_out_once() {
    for (store, _dir) in stores().await {
        let apply = async |line: &str| {
            store.apply(account("t1", "users/a"), line.to_owned(), event("account.configured")).await.unwrap()
        };
        assert!(apply("one").await);
        let name = || ("t1".to_owned(), "users/a".to_owned());
        let own = Change { password: Some("$own".into()), ..Change::default() };
        store.change(name(), own, event("account.password_set")).await.unwrap();
        assert!(!apply("one").await, "nothing new");
        assert_eq!(store.account("t1", "users/a").await.unwrap().unwrap().password, "$own");
        assert!(apply("two").await, "the line was changed");
        assert_eq!(store.account("t1", "users/a").await.unwrap().unwrap().password, "$hash");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_serves_once() {
    for (store, _dir) in stores().await {
        store.create(account("t1", "users/a"), event("account.created")).await.unwrap();
        let id = Uuid::now_v7();
        let begun = Session {
            tenant: "t1".into(),
            id,
            actor: "users/a".into(),
            generation: 0,
            expires: at(600),
            limit: at(1_000),
        };
        store.begin(begun.clone(), None, event("auth.login")).await.unwrap();
        let advance = async |tenant: &str, generation: i64, seconds: u64| {
            let how = Refreshing { now: at(seconds), idle: IDLE, grace: GRACE };
            store
                .advance((tenant.into(), id, generation), how, |_| event("auth.session_reused"))
                .await
                .unwrap()
        };
        let next = |generation: i64, expires: Micros| {
            Advanced::Next(
                Session { generation, expires, ..begun.clone() },
                Box::new(account("t1", "users/a")),
            )
        };
        assert_eq!(advance("t2", 0, 1).await, Advanced::Over, "a session of another tenant");
        assert_eq!(advance("t1", 0, 1).await, next(1, at(601)));
        assert_eq!(advance("t1", 0, 5).await, next(1, at(601)), "its answer may have been lost");
        assert_eq!(advance("t1", 1, 500).await, next(2, at(1_000)), "never beyond its limit");
        assert_eq!(advance("t1", 1, 511).await, Advanced::Reused);
        assert_eq!(advance("t1", 2, 512).await, Advanced::Over, "the whole family is over");
        assert_eq!(store.ended_since(at(500)).await.unwrap(), [id]);
        assert!(store.ended_since(at(511)).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_with_their_account() {
    for (store, _dir) in stores().await {
        store.create(account("t1", "users/a"), event("account.created")).await.unwrap();
        let session = |id: Uuid| Session {
            tenant: "t1".into(),
            id,
            actor: "users/a".into(),
            generation: 0,
            expires: at(600),
            limit: at(600),
        };
        let name = || ("t1".to_owned(), "users/a".to_owned());
        for change in [
            Change { password: Some("$new".into()), ..Change::default() },
            Change { disabled: Some(true), ..Change::default() },
        ] {
            let id = Uuid::now_v7();
            store.begin(session(id), None, event("auth.login")).await.unwrap();
            store.change(name(), change, event("account.changed")).await.unwrap();
            let how = Refreshing { now: at(1), idle: IDLE, grace: GRACE };
            let over = store.advance(("t1".into(), id, 0), how, |_| event("x")).await.unwrap();
            assert_eq!(over, Advanced::Over);
            assert!(store.ended_since(Micros(NOW.0 - 1)).await.unwrap().contains(&id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_noted_once_and_rotated_in_order() {
    for (store, _dir) in stores().await {
        let first = store.keys(NOW).await.unwrap();
        assert_eq!((first.len(), first[0].number), (1, 0));
        assert_eq!(store.keys(at(9)).await.unwrap(), first, "only at the first start");
        let announce = Some(Duration::from_secs(60));
        let rotated =
            store.rotate(move |known| rotate(known, [1; 32], at(10), announce), event("x")).await.unwrap();
        assert_eq!(rotated.len(), 2);
        assert!(rotated[0].ends > at(70) && rotated[1].ends == Micros(0));
        let again =
            store.rotate(move |known| rotate(known, [2; 32], at(11), announce), event("x")).await.unwrap();
        assert_eq!(again, rotated, "one waits to sign");
        let now = store.rotate(move |known| rotate(known, [3; 32], at(12), None), event("x")).await.unwrap();
        let ends: Vec<_> = now.iter().map(|record| record.ends).collect();
        assert_eq!(ends, [at(12), at(12), Micros(0)]);
    }
}
