//! gRPC through the door: the same peers, the same gates, the same reasons.

use crate::world::{Answer, World, bearing};
use futures::StreamExt as _;
use probity_proto::gateway::gateway_service_client::GatewayServiceClient;
use probity_proto::intake::intake_service_client::IntakeServiceClient;
use probity_proto::orchestrator::case_service_client::CaseServiceClient;
use probity_proto::{gateway, intake, orchestrator};
use probity_runtime::fault_of;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn get(name: &str) -> orchestrator::GetCaseRequest {
    orchestrator::GetCaseRequest { name: name.to_owned() }
}

#[tokio::test]
async fn calls_and_streams_pass_through() {
    let world = World::new().await;
    let channel = world.channel().await;
    let mut cases = CaseServiceClient::new(channel.clone());
    let case = cases.get_case(bearing(&world.admin, get("cases/c1"))).await.unwrap();
    assert!(case.metadata().get("x-request-id").is_some());
    assert_eq!(case.into_inner().owner, "users/admin");

    let watch = orchestrator::WatchCaseRequest { name: "cases/c1".into(), after_sequence: 0 };
    let events: Vec<_> =
        cases.watch_case(bearing(&world.admin, watch)).await.unwrap().into_inner().collect().await;
    assert_eq!(events.len(), 2);

    let mut documents = IntakeServiceClient::new(channel);
    let piece = |n: usize| intake::UploadDocumentRequest { data: vec![7; n].into(), ..Default::default() };
    let pieces = tokio_stream::iter([piece(1_000), piece(100_000), piece(5)]);
    let document = documents.upload_document(bearing(&world.admin, pieces)).await.unwrap().into_inner();
    assert_eq!(document.size_bytes, 101_005);
}

#[tokio::test]
async fn compressed_messages_pass_through() {
    use tonic::codec::CompressionEncoding::Gzip;
    let world = World::new().await;
    let mut cases =
        CaseServiceClient::new(world.channel().await).send_compressed(Gzip).accept_compressed(Gzip);
    let status =
        cases.get_case(bearing(&world.admin, get("cases/c1"))).await.expect_err("the peer takes no gzip");
    assert_eq!(status.code(), Code::Unimplemented, "the peer's own answer: {status:?}");
}

#[tokio::test]
async fn forged_metadata_stays_outside() {
    let world = World::new().await;
    let token = world.token("users/olga", &["officer"]).await;
    let mut request = bearing(&token, get("cases/c1"));
    for (name, value) in
        [("x-probity-caller", "forged"), ("x-custom", "1"), ("idempotency-key", "k1"), ("x-request-id", "r1")]
    {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    CaseServiceClient::new(world.channel().await).get_case(request).await.unwrap();
    let seen = world.peers.last();
    assert_eq!(seen.ctx.actor, "users/olga");
    assert_eq!(seen.headers.get("idempotency-key").unwrap(), "k1");
    assert_eq!(seen.headers.get("x-request-id").unwrap(), "r1");
    assert!(seen.headers.get("x-custom").is_none() && seen.headers.get("authorization").is_none());
}

/// Anybody may say that a call can wait; that it must get through, only who operates.
#[tokio::test]
async fn how_important_a_call_is_goes_inside() {
    let world = World::new().await;
    let officer = world.token("users/olga", &["officer"]).await;
    let operator = world.token("users/otto", &["officer", "operator"]).await;
    let check = async |token: &str, said: &str, expect: Option<&str>| {
        let mut request = bearing(token, get("cases/c1"));
        request.metadata_mut().insert("x-criticality", said.parse().unwrap());
        CaseServiceClient::new(world.channel().await).get_case(request).await.unwrap();
        let seen = world.peers.last();
        let seen = seen.headers.get("x-criticality").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(seen.as_deref(), expect, "{said}");
    };
    check(&officer, "sheddable", Some("sheddable")).await;
    check(&officer, "sheddable_plus", Some("sheddable_plus")).await;
    check(&officer, "critical_plus", None).await;
    check(&operator, "critical_plus", Some("critical_plus")).await;
    check(&operator, "very", None).await;
}

#[tokio::test]
async fn unknown_methods_are_unimplemented() {
    let world = World::new().await;
    let check = async |path: &'static str| {
        let mut client = tonic::client::Grpc::new(world.channel().await);
        client.ready().await.unwrap();
        let codec = tonic_prost_codec();
        let path = http::uri::PathAndQuery::from_static(path);
        let status = client.unary(bearing(&world.admin, get("x")), path, codec).await.expect_err("unknown");
        assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
        assert_eq!(fault_of(&status).code, "GTW-0001");
    };
    check("/probity.orchestrator.v1.CaseService/Nothing").await;
    check("/probity.nothing.v1.Service/Method").await;
    check("/v1/cases").await;
    check("/").await;
}

fn tonic_prost_codec() -> tonic_prost::ProstCodec<orchestrator::GetCaseRequest, orchestrator::Case> {
    tonic_prost::ProstCodec::default()
}

#[tokio::test]
async fn a_callers_patience_is_kept() {
    let world = World::new().await;
    let mut request = bearing(&world.admin, get("cases/slow"));
    request.set_timeout(Duration::from_millis(50));
    let status = CaseServiceClient::new(world.channel().await).get_case(request).await.expect_err("slow");
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
}

/// What a client can tell of a failure, whichever door it came through.
fn told_by_rest(answer: &Answer) -> (String, String, String, Vec<String>) {
    let json = answer.json();
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let errors = json["errors"].as_array().cloned().unwrap_or_default();
    let fields = errors.iter().map(|e| e["field"].as_str().unwrap_or_default().to_owned()).collect();
    (text("code"), text("reason"), text("detail"), fields)
}

fn told_by_grpc(status: &Status) -> (String, String, String, Vec<String>) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("{status:?}"));
    let request = status.get_details_bad_request();
    let fields = request.map(|r| r.field_violations.iter().map(|v| v.field.clone()).collect());
    (info.reason, info.metadata["kind"].clone(), status.message().to_owned(), fields.unwrap_or_default())
}

#[tokio::test]
async fn the_same_mistake_has_the_same_answer_on_both_doors() {
    let world = World::new().await;
    let officer = world.token("users/olga", &["officer"]).await;
    let auditor = world.token("users/aud", &["auditor"]).await;
    let mut cases = CaseServiceClient::new(world.channel().await);
    for (token, name) in [
        (&officer, "missing"),
        (&officer, "waits"),
        (&officer, "busy"),
        (&officer, "secret"),
        (&officer, "reused"),
        (&String::new(), "c1"),
        (&"nonsense".to_owned(), "c1"),
    ] {
        let rest = world.call_as(token, &format!("GET /v1/cases/{name}"), "").await;
        let mut request = tonic::Request::new(get(&format!("cases/{name}")));
        if !token.is_empty() {
            request = bearing(token, get(&format!("cases/{name}")));
        }
        let grpc = cases.get_case(request).await.expect_err(name);
        assert_eq!(told_by_rest(&rest), told_by_grpc(&grpc), "{name}");
    }
    let rest = world.call_as(&officer, "POST /v1/cases", "{}").await;
    let grpc = cases
        .open_case(bearing(&officer, orchestrator::OpenCaseRequest::default()))
        .await
        .expect_err("empty");
    assert_eq!(told_by_rest(&rest), told_by_grpc(&grpc));
    let rest = world.call_as(&auditor, "POST /v1/cases", "{}").await;
    let grpc =
        cases.open_case(bearing(&auditor, orchestrator::OpenCaseRequest::default())).await.expect_err("role");
    assert_eq!((rest.status.as_u16(), told_by_rest(&rest)), (403, told_by_grpc(&grpc)));

    let mut own = GatewayServiceClient::new(world.channel().await);
    let rest = world.call("POST /v1/tokens", r#"{"actor":"root"}"#).await;
    let wrong = gateway::IssueTokenRequest { actor: "root".into(), ..Default::default() };
    let grpc = own.issue_token(bearing(&world.admin, wrong)).await.expect_err("actor");
    assert_eq!(told_by_rest(&rest), told_by_grpc(&grpc));
    assert_eq!(told_by_rest(&rest).3, ["actor"]);
}
