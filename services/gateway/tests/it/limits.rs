//! What is too much, too deep, too slow or too strange.

use crate::world::{World, bearing};
use http::header;
use http_body_util::Full;
use probity_proto::orchestrator::GetCaseRequest;
use probity_proto::orchestrator::case_service_client::CaseServiceClient;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends raw bytes and gives the beginning of the answer.
async fn raw(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.addr()).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn too_large_is_413_414_431_or_415() {
    let world = World::new().await;
    let check = async |call: &str, headers: &[(&str, &str)], body: String, status: u16, code: &str| {
        let mut request =
            world.request(call).header(header::AUTHORIZATION, format!("Bearer {}", world.admin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = world.send(request.body(Full::from(body)).unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (status, Some(code)),
            "{call} {answer:?}"
        );
    };
    let json = [("content-type", "application/json")];
    let large = format!(r#"{{"subject":"{}"}}"#, "x".repeat(1 << 20));
    check("POST /v1/cases", &json, large, 413, "GTW-0006").await;
    check(&format!("GET /v1/cases?pageToken={}", "x".repeat(9_000)), &[], String::new(), 414, "GTW-0004")
        .await;
    check("GET /v1/cases", &[("x-large", &"x".repeat(25_000))], String::new(), 431, "GTW-0005").await;
    check("POST /v1/cases", &[("content-type", "text/plain")], "{}".into(), 415, "GTW-0007").await;
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    check("POST /v1/cases", &gzip, "\u{1f}".into(), 415, "GTW-0007").await;
}

#[tokio::test]
async fn an_upload_that_says_it_is_too_large_is_refused_before_it_begins() {
    let world = World::new().await;
    let request = format!(
        "POST /v1/documents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        world.admin,
        600_u64 << 20
    );
    let answer = raw(&world, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("GTW-0006"), "{answer}");
    assert_eq!(world.peers.count(), 0);
}

#[tokio::test]
async fn hostile_json_costs_little_and_is_refused() {
    let world = World::new().await;
    let keys: Vec<_> = (0..60_000).map(|i| format!("\"k{i}\":0")).collect();
    for body in [
        "[".repeat(1_000_000),
        r#"{"a":"#.repeat(100_000),
        format!("{{{}}}", keys.join(",")),
        format!(r#"{{"subject":{}}}"#, "9".repeat(100_000)),
        format!(r#"{{"kind":"{}"}}"#, "\\u0041".repeat(100_000)),
        r#"{"subject":"a","subject":"b"}"#.to_owned(),
        r#"{"documents":[null]}"#.to_owned(),
        r#"{"priority":1e999}"#.to_owned(),
        "\u{feff}{}".to_owned(),
        "null".to_owned(),
    ] {
        let started = Instant::now();
        let answer = world.call("POST /v1/cases", &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["reason"].as_str()),
            (400, Some("INVALID")),
            "{body:.60}"
        );
        assert!(answer.body.len() < 2_000, "{}", answer.body.len());
        assert!(started.elapsed() < Duration::from_secs(2), "{:?} for {body:.60}", started.elapsed());
    }
    assert_eq!(world.call("GET /v1/cases/c1", "").await.status, 200, "and the gateway lives");
}

#[tokio::test]
async fn strange_requests_get_an_answer_and_never_5xx() {
    let world = World::new().await;
    let auth = format!("authorization: Bearer {}\r\nconnection: close\r\n", world.admin);
    for request in [
        format!("GET /v1/cases/a%00b HTTP/1.1\r\nhost: x\r\n{auth}\r\n"),
        format!("GET /v1/cases/%ff HTTP/1.1\r\nhost: x\r\n{auth}\r\n"),
        format!("GET /v1/cases/%2e%2e%2ftokens HTTP/1.1\r\nhost: x\r\n{auth}\r\n"),
        format!("GET //v1//cases HTTP/1.1\r\nhost: x\r\n{auth}\r\n"),
        format!("GET http://evil/v1/cases HTTP/1.1\r\nhost: x\r\n{auth}\r\n"),
        format!("OPTIONS * HTTP/1.1\r\nhost: x\r\n{auth}\r\n"),
        format!("BREW /v1/cases HTTP/1.1\r\nhost: x\r\n{auth}\r\n"),
        format!("CONNECT x:1 HTTP/1.1\r\nhost: x\r\n{auth}\r\n"),
        format!("POST /v1/cases HTTP/1.1\r\nhost: x\r\n{auth}content-length: 5\r\n\r\n{{\"a"),
        format!("POST /v1/cases HTTP/1.1\r\nhost: x\r\n{auth}transfer-encoding: chunked\r\n\r\nzz\r\n"),
        format!(
            "POST /probity.orchestrator.v1.CaseService/GetCase HTTP/1.1\r\nhost: x\r\n{auth}content-type: application/grpc\r\ncontent-length: 3\r\n\r\nabc"
        ),
        format!("GET /v1/cases HTTP/1.1\r\nhost: x\r\n{auth}x-request-id: \u{7f}\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(world.addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 5"), "{request}\n{answer}");
    }
    let answer = raw(&world, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").await;
    assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
    assert_eq!(world.call("GET /v1/cases/c1", "").await.status, 200, "and the gateway lives");
}

#[tokio::test]
async fn a_service_that_panics_is_one_failed_call() {
    let world = World::new().await;
    let answer = world.call("GET /v1/cases/panics", "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["reason"].as_str()),
        (500, Some("INTERNAL")),
        "{answer:?}"
    );
    assert_eq!(world.call("GET /v1/cases/c1", "").await.status, 200);
}

#[tokio::test]
async fn services_that_are_away_are_unavailable() {
    let world = World::new().await;
    let answer = world.call("GET /v1/spam/model", "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["reason"].as_str()),
        (503, Some("UNAVAILABLE")),
        "{answer:?}"
    );
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let world = World::with(&[("rate_principal_per_s", "1"), ("rate_principal_burst", "3")]).await;
    let olga = world.token("users/olga", &["officer"]).await;
    let (mut passed, mut refused) = (0, None);
    for _ in 0..8 {
        let answer = world.call_as(&olga, "GET /v1/cases/c1", "").await;
        if answer.status == 200 {
            passed += 1;
            assert_eq!(answer.header("ratelimit-policy"), "\"principal\";q=3;w=3");
        } else {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("one of eight at once is one too many");
    assert!(passed >= 3, "{passed}");
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].as_str(), refused.json()["reason"].as_str()),
        (429, Some("GTW-0026"), Some("OVERLOADED"))
    );
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.header("ratelimit").starts_with("\"principal\";r=0;t="), "{refused:?}");
    let other = world.token("users/paul", &["officer"]).await;
    assert_eq!(world.call_as(&other, "GET /v1/cases/c1", "").await.status, 200, "others do not pay for it");
}

#[tokio::test]
async fn an_address_and_a_tenant_have_limits_on_both_doors() {
    for whose in ["address", "tenant"] {
        let (rate, burst) = (format!("rate_{whose}_per_s"), format!("rate_{whose}_burst"));
        let (rate, burst): (&'static str, &'static str) = (rate.leak(), burst.leak());
        let world = World::with(&[(rate, "1"), (burst, "2")]).await;
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(world.call("GET /v1/cases/c1", "").await);
        }
        let refused = answers.iter().find(|answer| answer.status == 429);
        let refused = refused.unwrap_or_else(|| panic!("{whose}: {answers:?}"));
        assert!(refused.header("ratelimit").starts_with(&format!("\"{whose}\"")), "{refused:?}");
        let mut client = CaseServiceClient::new(world.channel().await);
        let mut told = None;
        for _ in 0..6 {
            let request = bearing(&world.admin, GetCaseRequest { name: "cases/c1".into() });
            told = client.get_case(request).await.err().or(told);
        }
        let status = told.unwrap_or_else(|| panic!("{whose}: gRPC has the same limit"));
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status:?}");
    }
}
