//! The keys that sign tokens, rotated while they are used.

use crate::world::World;
use probity_testkit::eventually;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
/// A key is known everywhere within 50 ms and signs after 200 ms.
const QUICK: &str = "{memory_kib = 64, passes = 1, lanes = 1, refresh_ms = 50, key_announce_ms = 200}";

impl World {
    async fn states(&self) -> Vec<String> {
        let keys = self.call("GET /v1/signingKeys", "").await.json();
        let state = |key: &Value| key["state"].as_str().unwrap_or_default().replace("SIGNING_KEY_STATE_", "");
        keys["keys"].as_array().unwrap_or_else(|| panic!("{keys}")).iter().map(state).collect()
    }

    async fn published(&self) -> Vec<String> {
        let keys = self.call_as("", "GET /.well-known/jwks.json", "").await.json();
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_the_old_one_stays() {
    let world = World::with(&[("login", QUICK)]).await;
    let first = world.published().await;
    let old = world.token("users/olga", &["officer"]).await;
    world.call("POST /v1/signingKeys:rotate", "{}").await;
    assert_eq!(world.states().await, ["ANNOUNCED", "SIGNING"]);
    assert_eq!(world.published().await.len(), 2, "published at once");
    assert_eq!(
        world.call("POST /v1/signingKeys:rotate", "{}").await.json()["keys"].as_array().unwrap().len(),
        2
    );
    eventually(SOON, async || {
        let states = world.states().await;
        if states == ["SIGNING", "VERIFYING"] { Ok(()) } else { Err(states) }
    })
    .await;
    let new = world.token("users/olga", &["officer"]).await;
    assert_ne!(old.split('.').next(), new.split('.').next(), "another key");
    for token in [&old, &new, &world.admin] {
        assert_eq!(world.call_as(token, "GET /v1/whoami", "").await.status, 200);
    }
    assert!(first.iter().all(|key| !key.is_empty()));
}

#[tokio::test]
async fn at_once_refuses_everything_that_was_signed_and_renews_the_administrators_file() {
    let world = World::with(&[("login", QUICK)]).await;
    let old = world.token("users/olga", &["officer"]).await;
    assert_eq!(world.call("POST /v1/signingKeys:rotate", r#"{"atOnce": true}"#).await.status, 200);
    assert_eq!(world.call_as(&old, "GET /v1/whoami", "").await.status, 401);
    assert_eq!(world.published().await.len(), 1);
    eventually(SOON, async || {
        let token = std::fs::read_to_string(world.token_file()).unwrap();
        let answer = world.call_as(token.trim(), "GET /v1/whoami", "").await;
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
}

/// Callers go on with old tokens and new ones while the key is rotated four times;
/// none of their calls is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_under_load_without_a_failure() {
    let world = World::with(&[("login", QUICK)]).await;
    let (calls, failures, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let caller = async |n: usize| {
        let mut token = world.admin.clone();
        while !over.load(Ordering::Relaxed) {
            let answer = world.call_as(&token, "GET /v1/cases/c1", "").await;
            let issued = world.token(&format!("users/u{n}"), &["officer"]).await;
            let jwks = world.published().await;
            calls.fetch_add(3, Ordering::Relaxed);
            if answer.status != 200 || jwks.is_empty() {
                failures.fetch_add(1, Ordering::Relaxed);
            }
            token = issued;
        }
    };
    let rotation = async {
        for _ in 0..4 {
            assert_eq!(world.call("POST /v1/signingKeys:rotate", "{}").await.status, 200);
            eventually(SOON, async || {
                let states = world.states().await;
                if states[0] == "SIGNING" { Ok(()) } else { Err(states) }
            })
            .await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(rotation, caller(0), caller(1), caller(2), caller(3));
    let (calls, failures) = (calls.into_inner(), failures.into_inner());
    println!("4 rotations, {calls} calls, {failures} failures");
    assert_eq!((failures, world.states().await.len()), (0, 5));
    assert!(calls > 50, "{calls}");
}
