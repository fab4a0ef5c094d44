//! The platform as a whole, seen through the door: health, reflection, metrics.

use crate::world::World;
use http_body_util::Full;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

#[tokio::test]
async fn the_platform_tells_who_answers() {
    let world = World::new().await;
    let answer = world.call_as("", "GET /v1/platform", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    let services = json["services"].as_array().unwrap();
    let serving = |name: &str| services.iter().find(|s| s["service"] == name).map(|s| s["serving"].as_bool());
    assert_eq!(serving("gateway"), Some(Some(true)));
    assert_eq!(serving("spam-detection"), Some(Some(false)), "nobody is there");
    assert_eq!(services.len(), 7);
}

#[tokio::test]
async fn health_and_reflection_are_for_everybody() {
    let world = World::new().await;
    let channel = world.channel().await;
    let health = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status, 1);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter([ask]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list")
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    for name in [
        "probity.gateway.v1.GatewayService",
        "probity.orchestrator.v1.CaseService",
        "probity.audit.v1.AuditService",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn requests_are_measured_by_method_and_never_by_path() {
    let world = World::new().await;
    world.call("GET /v1/cases/case_secret", "").await;
    world.call("GET /v1/nowhere/at/all", "").await;
    world.call_as("", "GET /v1/cases/c1", "").await;
    let url = format!("http://{}/metrics", world.harness.admin_addr());
    let text = world.send(http::Request::get(url).body(Full::default()).unwrap()).await;
    let text = text.text();
    for part in [
        "http_requests_total{status=\"200\",service=\"gateway\"} 1",
        "http_requests_total{status=\"404\",service=\"gateway\"} 1",
        "route=\"/probity.orchestrator.v1.CaseService/GetCase\"",
        "auth_denials_total{code=\"GTW-0014\",service=\"gateway\"} 1",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("case_secret") && !text.contains("nowhere"), "{text}");
}
