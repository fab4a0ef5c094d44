//! The documentation site, and what browsers and caches ask for.

use crate::world::World;
use flate2::read::GzDecoder;
use http::header;
use http_body_util::Full;
use probity_proto::orchestrator::GetCaseRequest;
use prost::Message as _;
use std::io::Read as _;

/// A request with headers and without a body.
async fn ask(world: &World, call: &str, headers: &[(&str, &str)]) -> crate::world::Answer {
    let mut request = world.request(call).header(header::AUTHORIZATION, format!("Bearer {}", world.admin));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn the_documentation_is_for_everybody() {
    let world = World::new().await;
    for (path, kind, part) in [
        ("/api/openapi.json", "application/json", "\"openapi\":\"3.1.0\""),
        ("/api/docs", "text/html", "swagger-ui.js"),
        ("/api/redoc", "text/html", "redoc.standalone.js"),
        ("/api/docs/docs.js", "text/javascript", "SwaggerUIBundle"),
        ("/api/docs/swagger-ui.css", "text/css", ".swagger-ui"),
        ("/api/docs/redoc.standalone.js", "text/javascript", "Redoc"),
    ] {
        let answer = world.call_as("", &format!("GET {path}"), "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").starts_with(kind), "{path} {answer:?}");
        assert!(answer.text().contains(part), "{path}");
        let head = world.call_as("", &format!("HEAD {path}"), "").await;
        assert_eq!(head.header("content-length"), answer.body.len().to_string(), "{path}");
    }
    for (typed, meant) in [("/api", "/api/docs"), ("/api/docs/", "/api/docs"), ("/api/redoc/", "/api/redoc")]
    {
        let answer = world.call_as("", &format!("GET {typed}"), "").await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (308, meant), "{typed}");
    }
    let page = world.call_as("", "GET /api/docs", "").await;
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "{page:?}");
    assert_eq!(world.call_as("", "GET /api/docs/../../etc/passwd", "").await.status, 404);
    assert_eq!(world.call_as("", "GET /api/nothing", "").await.status, 404);
    assert_eq!(world.call_as("", "POST /api/docs", "").await.status, 405);
}

#[tokio::test]
async fn a_known_answer_costs_no_body() {
    let world = World::new().await;
    let first = ask(&world, "GET /v1/cases/c1", &[]).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{first:?}");
    assert_eq!(first.header("cache-control"), "private, no-cache");
    let again = ask(&world, "GET /v1/cases/c1", &[("if-none-match", &tag)]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{again:?}");
    assert_eq!((again.header("etag"), again.header("vary")), (&*tag, first.header("vary")));
    let other = ask(&world, "GET /v1/cases/c2", &[("if-none-match", &tag)]).await;
    assert_eq!(other.status, 200, "another case is another answer");
    let missing = ask(&world, "GET /v1/cases/missing", &[("if-none-match", "*")]).await;
    assert_eq!((missing.status.as_u16(), missing.header("cache-control")), (404, "no-store"));
}

#[tokio::test]
async fn large_answers_are_packed_for_those_who_can_read_them() {
    let world = World::new().await;
    let plain = ask(&world, "GET /api/openapi.json", &[]).await;
    assert_eq!(plain.header("content-encoding"), "");
    let packed = ask(&world, "GET /api/openapi.json", &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() * 4 < plain.body.len(), "{} of {}", packed.body.len(), plain.body.len());
    let mut text = Vec::new();
    GzDecoder::new(packed.body.as_ref()).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain.body);
    let brotli = ask(&world, "GET /api/openapi.json", &[("accept-encoding", "br")]).await;
    assert_eq!(brotli.header("content-encoding"), "br");
    let small = ask(&world, "GET /v1/cases/c1", &[("accept-encoding", "gzip")]).await;
    assert_eq!(small.header("content-encoding"), "", "small answers stay as they are");
}

#[tokio::test]
async fn pages_of_other_origins_are_kept_out_unless_configured() {
    let ask_from = async |world: &World, origin: &str| {
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,idempotency-key"),
        ];
        let before = ask(world, "OPTIONS /v1/cases", &preflight).await;
        let answer = ask(world, "GET /v1/cases/c1", &[("origin", origin)]).await;
        let allowed = |answer: &crate::world::Answer| answer.header("access-control-allow-origin").to_owned();
        (allowed(&before), allowed(&answer), before.header("access-control-allow-headers").to_owned())
    };
    let closed = World::new().await;
    assert_eq!(ask_from(&closed, "https://console.example.org").await.1, "");
    let open = World::with(&[("cors_origins", "[\"https://console.example.org\"]")]).await;
    let (before, after, headers) = ask_from(&open, "https://console.example.org").await;
    assert_eq!(
        (before.as_str(), after.as_str()),
        ("https://console.example.org", "https://console.example.org")
    );
    assert!(headers.contains("idempotency-key"), "{headers}");
    assert_eq!(ask_from(&open, "https://evil.example.org").await.1, "");
}

#[tokio::test]
async fn browsers_call_by_grpc_web() {
    let world = World::new().await;
    let call = async |name: &str, kind: &str| {
        let message = GetCaseRequest { name: name.to_owned() }.encode_to_vec();
        let mut body = vec![0];
        body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend_from_slice(&message);
        let request = world
            .request("POST /probity.orchestrator.v1.CaseService/GetCase")
            .header(header::AUTHORIZATION, format!("Bearer {}", world.admin))
            .header(header::CONTENT_TYPE, kind)
            .header("x-grpc-web", "1");
        world.send(request.body(Full::from(body)).unwrap()).await
    };
    let answer = call("cases/c1", "application/grpc-web+proto").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-type").starts_with("application/grpc-web"), "{answer:?}");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains("cases/c1") && text.contains("grpc-status:0"), "{text}");
    let missing = call("cases/missing", "application/grpc-web+proto").await;
    let text = String::from_utf8_lossy(&missing.body);
    let status = missing.header("grpc-status") == "5" || text.contains("grpc-status:5");
    assert!(status, "{missing:?}");
}
