//! REST calls: answers, errors, and what reaches the service.

use crate::world::World;
use http::header;
use http_body_util::Full;
use serde_json::json;

#[tokio::test]
async fn a_call_reaches_its_service_and_comes_back() {
    let world = World::new().await;
    let token = world.token("users/olga", &["officer"]).await;
    let body = r#"{"kind":"CASE_KIND_TENDER","documents":["documents/ab"],"subject":"é"}"#;
    let answer = world.call_as(&token, "POST /v1/cases", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let json = answer.json();
    assert_eq!(json["name"], "cases/case_1");
    assert_eq!(json["kind"], "CASE_KIND_TENDER");
    assert_eq!(json["subject"], "é");
    assert_eq!(json["owner"], "users/olga");
    assert_eq!(json["findingCount"], "9007199254740993", "64-bit integers are strings");
    assert_eq!(json["state"], "CASE_STATE_UNSPECIFIED", "defaults are printed");
    assert_eq!(json.get("verdict"), None, "absent messages are not");
    let answer = world.call_as(&token, "POST /v1/cases/case_7:close", r#"{"note":"ok"}"#).await;
    assert_eq!(answer.json()["name"], "cases/case_7");
    let answer = world.call_as(&token, "GET /v1/cases/case_7/entries", "").await;
    assert_eq!(answer.json()["nextPageToken"], "cases/case_7", "an additional binding");
}

#[tokio::test]
async fn the_service_learns_who_calls_and_nothing_else() {
    let world = World::new().await;
    let token = world.token("users/olga", &["officer"]).await;
    let request = world
        .request("GET /v1/cases/c1")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("x-request-id", "req-1")
        .header("x-correlation-id", "order-7")
        .header("idempotency-key", "key-1")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("x-probity-caller", "forged")
        .header("x-probity-actor", "users/root")
        .header("cookie", "a=b");
    let answer = world.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-request-id"), "req-1");
    assert_eq!(answer.header("x-correlation-id"), "order-7");
    let seen = world.peers.last();
    assert_eq!(seen.ctx.actor, "users/olga");
    let header =
        |name: &str| seen.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("x-request-id"), "req-1");
    assert_eq!(header("idempotency-key"), "key-1");
    assert!(header("traceparent").contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{}", header("traceparent"));
    assert!(!header("grpc-timeout").is_empty());
    for name in ["authorization", "x-probity-actor", "cookie", "x-correlation-id"] {
        assert_eq!(header(name), "", "{name} stays outside");
    }
}

#[tokio::test]
async fn failures_are_problem_documents() {
    let world = World::new().await;
    let check = async |call: &str, body: &str, status: u16, code: &str, reason: &str| {
        let answer = world.call(call, body).await;
        assert_eq!(answer.status, status, "{call} {body} {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let json = answer.json();
        assert_eq!((json["code"].as_str(), json["reason"].as_str()), (Some(code), Some(reason)), "{json}");
        assert_eq!(json["status"], status);
        assert_eq!(json["type"], format!("urn:probity:error:{code}"));
        assert_eq!(json["request_id"], answer.header("x-request-id"));
        assert!(!json["title"].as_str().unwrap().is_empty() && !json["detail"].as_str().unwrap().is_empty());
        json
    };
    check("GET /v1/nowhere", "", 404, "GTW-0001", "NOT_FOUND").await;
    check("PUT /v1/cases", "{}", 405, "GTW-0002", "INVALID").await;
    check("GET /v1/cases/%zz", "", 400, "GTW-0003", "INVALID").await;
    check("POST /v1/cases", "{", 400, "GTW-0008", "INVALID").await;
    let json = check("POST /v1/cases", r#"{"kind":"NONSENSE"}"#, 400, "GTW-0009", "INVALID").await;
    assert_eq!(json["errors"][0]["field"], "kind");
    let json = check("POST /v1/cases", r#"{"nope":1}"#, 400, "GTW-0009", "INVALID").await;
    assert_eq!(json["errors"][0]["field"], "nope");
    let json = check("GET /v1/cases?pageSiz=1", "", 400, "GTW-0010", "INVALID").await;
    assert_eq!(json["errors"][0]["field"], "pageSiz");
    check("GET /v1/cases/c1", "{}", 400, "GTW-0011", "INVALID").await;
    let json = check("POST /v1/cases", "{}", 400, "ORC-0002", "INVALID").await;
    assert_eq!(
        json["errors"],
        json!([{"field": "documents", "description": "must name 1 to 100 documents"}])
    );
    check("GET /v1/cases/missing", "", 404, "ORC-0001", "NOT_FOUND").await;
    check("GET /v1/cases/waits", "", 409, "ORC-0001", "WRONG_STATE").await;
    check("GET /v1/cases/reused", "", 422, "ORC-0001", "KEY_REUSED").await;
    let json = check("GET /v1/cases/secret", "", 500, "ORC-0001", "INTERNAL").await;
    assert!(!json.to_string().contains("hunter2"), "{json}");
    let json = check("GET /v1/cases/busy", "", 429, "ORC-0003", "OVERLOADED").await;
    assert_eq!(json["retry_after"], 3, "whole seconds, rounded up");
}

#[tokio::test]
async fn failures_carry_the_headers_that_help() {
    let world = World::new().await;
    let answer = world.call("PATCH /v1/cases/c1", "{}").await;
    assert_eq!(answer.header("allow"), "GET");
    let answer = world.call("GET /v1/cases/busy", "").await;
    assert_eq!(answer.header("retry-after"), "3");
    let answer = world.call_as("", "GET /v1/cases/c1", "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("www-authenticate")),
        (401, r#"Bearer realm="probity""#)
    );
    let answer = world.call_as("nonsense", "GET /v1/cases/c1", "").await;
    assert!(answer.header("www-authenticate").contains("invalid_token"), "{answer:?}");
}

#[tokio::test]
async fn a_bad_mark_of_the_caller_is_refused_by_name() {
    let world = World::new().await;
    let check = async |name: &str, value: &str| {
        let request = world
            .request("GET /v1/cases/c1")
            .header(header::AUTHORIZATION, format!("Bearer {}", world.admin))
            .header(name, value);
        let answer = world.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (400, Some("GTW-0019")),
            "{answer:?}"
        );
        assert!(answer.json()["detail"].as_str().unwrap().contains(name), "{answer:?}");
        assert!(!answer.header("x-request-id").is_empty());
    };
    check("x-request-id", "a b").await;
    check("x-request-id", &"x".repeat(129)).await;
    check("x-correlation-id", "<b>").await;
    check("idempotency-key", "a b").await;
}

#[tokio::test]
async fn rest_is_spoken_over_http2_too() {
    let world = World::new().await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<Full<bytes::Bytes>>();
    let request = world
        .request("POST /v1/cases")
        .header(header::AUTHORIZATION, format!("Bearer {}", world.admin))
        .body(Full::from(r#"{"documents":["documents/ab"]}"#))
        .unwrap();
    let response = client.request(request).await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (http::Version::HTTP_2, 200));
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let world = World::new().await;
    let answer = world.call("HEAD /v1/cases/c1", "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(world.call("HEAD /v1/cases/missing", "").await.status, 404);
}

#[tokio::test]
async fn a_callers_patience_is_kept() {
    let world = World::new().await;
    let request = world
        .request("GET /v1/cases/slow")
        .header(header::AUTHORIZATION, format!("Bearer {}", world.admin))
        .header("grpc-timeout", "50m");
    let answer = world.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["reason"].as_str()),
        (504, Some("TIMEOUT")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn the_front_page_helps_people_and_programs() {
    let world = World::new().await;
    let answer = world.call_as("", "GET /", "").await;
    assert_eq!(answer.json()["links"]["platform"], "/v1/platform");
    let request = world.request("GET /").header(header::ACCEPT, "text/html").body(Full::default()).unwrap();
    let answer = world.send(request).await;
    assert!(answer.text().contains("<h1>Probity</h1>"));
}
