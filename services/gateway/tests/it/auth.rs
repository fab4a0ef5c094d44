//! Tokens and roles, over the wire.

use crate::world::{World, bearing};
use probity_proto::orchestrator;
use probity_proto::orchestrator::remediation_service_client::RemediationServiceClient;
use serde_json::json;
use tonic::Code;

#[tokio::test]
async fn a_token_says_who_its_bearer_is() {
    let world = World::new().await;
    let me = world.call("GET /v1/whoami", "").await.json();
    assert_eq!((me["actor"].as_str(), me["tenant"].as_str()), (Some("users/admin"), Some("default")));
    assert_eq!(me["roles"], json!(["ROLE_ADMIN"]));
    let body = json!({"actor": "service-accounts/erp", "roles": ["ROLE_SUBMITTER", 3], "tenant": "t2", "ttlSeconds": "60"});
    let issued = world.call("POST /v1/tokens", &body.to_string()).await.json();
    let erp = issued["token"].as_str().unwrap();
    let me = world.call_as(erp, "GET /v1/whoami", "").await.json();
    assert_eq!((me["actor"].as_str(), me["tenant"].as_str()), (Some("service-accounts/erp"), Some("t2")));
    assert_eq!(me["roles"], json!(["ROLE_SUBMITTER", "ROLE_AUDITOR"]));
    assert_eq!(me["expireTime"], issued["expireTime"]);
    world.call_as(erp, "GET /v1/cases/c1", "").await;
    assert_eq!(world.peers.last().ctx.tenant, "t2");
}

#[tokio::test]
async fn only_administrators_issue_tokens_and_only_of_their_own_tenant() {
    let world = World::new().await;
    let body = r#"{"actor":"users/x","roles":["ROLE_ADMIN"]}"#;
    for role in ["submitter", "officer", "auditor", "operator"] {
        let token = world.token("users/x", &[role]).await;
        let answer = world.call_as(&token, "POST /v1/tokens", body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (403, Some("GTW-0016")),
            "{role}"
        );
    }
    let body = r#"{"actor":"users/boss","roles":["ROLE_ADMIN"],"tenant":"t2"}"#;
    let boss = world.call("POST /v1/tokens", body).await.json()["token"].as_str().unwrap().to_owned();
    let other = world
        .call_as(&boss, "POST /v1/tokens", r#"{"actor":"users/x","roles":["ROLE_ADMIN"],"tenant":"t3"}"#)
        .await;
    assert_eq!((other.status.as_u16(), other.json()["code"].as_str()), (403, Some("GTW-0018")));
    let own =
        world.call_as(&boss, "POST /v1/tokens", r#"{"actor":"users/x","roles":["ROLE_OFFICER"]}"#).await;
    assert_eq!(own.status, 200);
}

#[tokio::test]
async fn nobody_gets_the_role_of_a_service_or_a_wrong_token() {
    let world = World::new().await;
    let check = async |body: serde_json::Value, field: &str| {
        let answer = world.call("POST /v1/tokens", &body.to_string()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["errors"][0]["field"].as_str()),
            (400, Some(field)),
            "{body}"
        );
    };
    check(json!({"actor": "users/x", "roles": ["ROLE_SERVICE"]}), "roles").await;
    check(json!({"actor": "users/x", "roles": ["ROLE_UNSPECIFIED"]}), "roles").await;
    check(json!({"actor": "users/x", "roles": []}), "roles").await;
    check(json!({"actor": "services/intake", "roles": ["ROLE_ADMIN"]}), "actor").await;
    check(json!({"actor": "users/x", "roles": ["ROLE_ADMIN"], "tenant": "../x"}), "tenant").await;
    check(json!({"actor": "users/x", "roles": ["ROLE_ADMIN"], "ttlSeconds": 5}), "ttl_seconds").await;
}

#[tokio::test]
async fn methods_of_services_are_closed_even_to_an_administrator() {
    let world = World::new().await;
    let mut client = RemediationServiceClient::new(world.channel().await);
    let request = orchestrator::TakeActionRequest::default();
    let status = client.take_action(bearing(&world.admin, request.clone())).await.expect_err("closed");
    assert_eq!(
        (status.code(), probity_runtime::fault_of(&status).code),
        (Code::PermissionDenied, "GTW-0017")
    );
    let status = client.take_action(request).await.expect_err("closed");
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn public_methods_need_no_token_and_mind_none() {
    let world = World::new().await;
    for token in ["", "nonsense", &world.admin] {
        let answer = world.call_as(token, "GET /v1/log/checkpoint?treeSize=7", "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["treeSize"].as_str()),
            (200, Some("7")),
            "{answer:?}"
        );
    }
    world.call_as("", "GET /v1/log/checkpoint", "").await;
    let seen = world.peers.last();
    assert_eq!((seen.ctx.actor.as_str(), seen.ctx.roles.is_empty()), ("anonymous", true));
}

#[tokio::test]
async fn hostile_tokens_are_refused_before_the_service_is_asked() {
    let world = World::new().await;
    let good = world.admin.clone();
    let parts: Vec<_> = good.split('.').collect();
    let swapped = format!("{}.{}.{}", parts[0], parts[1], parts[2].chars().rev().collect::<String>());
    let internal = std::fs::read_dir(world.harness.dir().join("keys")).unwrap().count();
    assert!(internal >= 2, "the keys of the platform are there, and none of them signs tokens of users");
    for token in [
        "x",
        "..",
        "a.b.c",
        &format!("{good}x"),
        &format!("{}.{}.", parts[0], parts[1]),
        &swapped,
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2Vycy9yb290In0.",
        &"a".repeat(9_000),
        &good.to_uppercase(),
    ] {
        let answer = world.call_as(token, "GET /v1/cases/c1", "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (401, Some("GTW-0015")),
            "{token:.40}"
        );
        assert!(token.len() < 8 || !answer.text().contains(token), "an answer never repeats a token");
    }
    assert_eq!(world.peers.count(), 0);
}

#[tokio::test]
async fn the_administrators_file_is_private_and_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await;
    let mode = std::fs::metadata(world.token_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = std::fs::metadata(world.harness.dir().join("keys/users.key")).unwrap().permissions().mode();
    assert_eq!(key & 0o777, 0o600);
}
