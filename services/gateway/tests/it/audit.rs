//! What the audit log hears from the door.

use crate::world::World;
use probity_testkit::eventually;
use serde_json::Value;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn tokens_issued_are_proved() {
    let world = World::new().await;
    world.token("users/olga", &["officer"]).await;
    let entries = eventually(SOON, async || {
        let entries = world.peers.entries("auth.token_issued");
        if entries.len() == 2 { Ok(entries) } else { Err(entries) }
    })
    .await;
    assert_eq!((entries[0].actor.as_str(), entries[0].subject.as_str()), ("services/gateway", "users/admin"));
    assert_eq!((entries[1].actor.as_str(), entries[1].subject.as_str()), ("users/admin", "users/olga"));
    let detail: Value = serde_json::from_str(&entries[1].detail).unwrap();
    assert_eq!(detail["roles"], serde_json::json!(["officer"]));
    assert!(!entries[1].detail.contains("eyJ"), "no token in the log");
}

#[tokio::test]
async fn denials_are_counted_together_and_none_is_missing() {
    let world = World::new().await;
    let auditor = world.token("users/aud", &["auditor"]).await;
    for _ in 0..10 {
        world.call_as("", "GET /v1/cases/c1", "").await;
        world.call_as(&auditor, "POST /v1/cases/c1:close", "{}").await;
    }
    let entries = eventually(SOON, async || {
        let entries = world.peers.entries("auth.denied");
        let count = |e: &probity_proto::audit::Entry| detail(e)["count"].as_u64().unwrap();
        if entries.iter().map(count).sum::<u64>() == 20 { Ok(entries) } else { Err(entries.len()) }
    })
    .await;
    assert!(entries.len() < 20, "equal ones are one entry: {}", entries.len());
    let known = entries.iter().find(|e| e.actor == "users/aud").unwrap();
    assert_eq!((known.outcome.as_str(), detail(known)["code"].as_str()), ("denied", Some("GTW-0016")));
    assert_eq!(known.subject, "probity.orchestrator.v1.CaseService/CloseCase");
    assert!(entries.iter().any(|e| e.actor == "anonymous" && detail(e)["address"] == "127.0.0.1"));
}

fn detail(entry: &probity_proto::audit::Entry) -> Value {
    serde_json::from_str(&entry.detail).unwrap()
}
