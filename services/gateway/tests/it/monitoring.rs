//! Monitoring of the platform through the door, and the switches of breakers.

use crate::world::{World, bearing};
use http_body_util::Full;
use probity_proto::monitoring::ListCircuitBreakersRequest;
use probity_proto::monitoring::monitoring_service_client::MonitoringServiceClient;
use probity_testkit::eventually;
use serde_json::{Value, json};
use std::time::Duration;

const BREAKERS: &str = "/monitoring/circuit-breakers";

async fn ready(world: &World) -> (u16, Value) {
    let answer = world.call_as("", "GET /health/ready", "").await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn an_operator_switches_breakers_and_the_log_knows() {
    let world = World::new().await;
    let operator = world.token("users/olga", &["operator"]).await;
    assert_eq!(world.call_as("", "GET /health/live", "").await.json(), json!({"live": true}));
    assert_eq!(ready(&world).await, (200, json!({"ready": true})));
    let switch = async |name: &str, verb: &str| {
        world.call_as(&operator, &format!("POST {BREAKERS}/{name}/{verb}"), "{}").await
    };
    let opened = switch("gateway.intake", "open").await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let breaker = opened.json()["circuitBreakers"][0].clone();
    assert_eq!(breaker["name"], "gateway.intake");
    assert_eq!((&breaker["state"], &breaker["forced"]), (&json!("CIRCUIT_BREAKER_STATE_OPEN"), &json!(true)));
    let (code, problem) = ready(&world).await;
    assert_eq!(code, 503, "{problem}");
    assert!(problem.to_string().contains("gateway.intake") && problem.to_string().contains("RUN-0031"));
    let held = world.call("GET /v1/documents/abc", "").await;
    assert!(held.text().contains("RES-0001"), "{held:?}");
    let reset = switch("gateway.intake", "reset").await;
    assert_eq!(reset.json()["circuitBreakers"][0]["state"], "CIRCUIT_BREAKER_STATE_CLOSED");
    assert_eq!(ready(&world).await.0, 200);
    for name in ["gateway.nobody", "nobody.intake", "gateway."] {
        let unknown = switch(name, "reset").await;
        assert_eq!((unknown.status.as_u16(), unknown.json()["code"].as_str()), (404, Some("RUN-0032")));
    }
    let entries = eventually(Duration::from_secs(20), async || {
        let entries =
            [world.peers.entries("circuit_breaker.opened"), world.peers.entries("circuit_breaker.reset")];
        if entries.iter().all(|e| e.len() == 1) { Ok(entries) } else { Err(entries) }
    })
    .await;
    let first = &entries[0][0];
    assert_eq!(
        (first.actor.as_str(), first.subject.as_str()),
        ("users/olga", "circuitBreakers/gateway.intake")
    );
}

#[tokio::test]
async fn others_look_at_most() {
    let world = World::new().await;
    let auditor = world.token("users/aud", &["auditor"]).await;
    let submitter = world.token("users/sub", &["submitter"]).await;
    let body = json!({"actor": "users/away", "roles": ["ROLE_OPERATOR"], "tenant": "other"}).to_string();
    let away = world.call("POST /v1/tokens", &body).await.json()["token"].as_str().unwrap().to_owned();
    let reset = format!("POST {BREAKERS}/gateway.intake/reset");
    let check = async |token: &str, call: &str, status: u16, code: &str| {
        let answer = world.call_as(token, call, if call.starts_with("POST") { "{}" } else { "" }).await;
        assert_eq!(answer.status.as_u16(), status, "{call} {answer:?}");
        assert!(answer.text().contains(code), "{call} {answer:?}");
    };
    check("", &reset, 401, "GTW-0014").await;
    check(&auditor, &reset, 403, "GTW-0016").await;
    check(&away, &reset, 403, "GTW-0040").await;
    check(&submitter, &format!("GET {BREAKERS}"), 403, "GTW-0016").await;
    check(&auditor, &format!("GET {BREAKERS}"), 200, "gateway.orchestrator").await;
    check(&auditor, "POST /monitoring/faults", 403, "GTW-0016").await;
    check(&away, "POST /monitoring/faults/clear", 403, "GTW-0040").await;
    check(&world.admin, "POST /monitoring/faults/clear", 403, "RUN-0033").await;
    check(&auditor, "GET /monitoring/dlq?recent=101", 400, "RUN-0030").await;
}

#[tokio::test]
async fn who_cannot_be_asked_is_named() {
    let world = World::new().await;
    let names = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|u| u["service"].as_str().unwrap().to_owned()).collect()
    };
    for path in ["metrics", "performance", "dlq", "circuit-breakers", "idempotency"] {
        let answer = world.call(&format!("GET /monitoring/{path}"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(names(&answer.json()["unreachable"]).contains(&"spam-detection".to_owned()), "{answer:?}");
    }
    let deep = world.call("GET /monitoring/health/deep", "").await.json();
    assert_eq!(deep["status"], "HEALTH_STATUS_UNHEALTHY");
    assert_eq!(names(&deep["services"]).len(), 7);
    let metrics = world.call("GET /monitoring/metrics?prefix=http_requests", "").await.json();
    let samples = metrics["samples"].as_array().unwrap();
    assert!(samples.iter().all(|s| s["name"].as_str().unwrap().starts_with("http_requests")), "{samples:?}");
    assert!(samples.iter().any(|s| s["labels"]["status"] == "200"), "{samples:?}");
    let mut client = MonitoringServiceClient::new(world.channel().await);
    let listed =
        client.list_circuit_breakers(bearing(&world.admin, ListCircuitBreakersRequest {})).await.unwrap();
    assert_eq!(listed.into_inner().circuit_breakers.len(), 6);
}

#[tokio::test]
async fn the_admin_port_shows_the_service_itself() {
    let world = World::new().await;
    world.call("GET /v1/cases/c1", "").await;
    let get = async |path: &str| {
        let url = format!("http://{}{path}", world.harness.admin_addr());
        world.send(http::Request::get(url).body(Full::default()).unwrap()).await
    };
    assert_eq!(get("/health/live").await.json(), json!({"live": true}));
    assert_eq!(get("/health/ready").await.json()["ready"], true);
    assert_eq!(get(BREAKERS).await.json()["circuitBreakers"].as_array().unwrap().len(), 6);
    let performance = get("/monitoring/performance").await.json();
    let called =
        &performance["operations"].as_array().unwrap().iter().find(|o| o["provider"] == "orchestrator");
    assert_eq!(called.unwrap()["operation"], "/probity.orchestrator.v1.CaseService/GetCase");
    assert_eq!(get("/monitoring/health/deep").await.json()["status"], "HEALTH_STATUS_HEALTHY");
    assert_eq!(get("/monitoring/idempotency").await.json()["services"][0]["service"], "gateway");
    assert!(get("/monitoring/metrics?prefix=circuit").await.status.is_success());
    assert!(get("/monitoring/dlq").await.status.is_success());
}
