//! What a call through the door costs in CPU time, from the request as the
//! listener hands it over to the last byte of the answer: REST, token, role,
//! transcoding, the platform's own token, client and server layers of a service
//! in the same process. Ignored by default, because a figure only means
//! something in a release build:
//! `cargo test --release -p probity-gateway --test it -- --ignored --nocapture speed`.

use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use probity_gateway::Gateway;
use probity_proto::BoxGrpcService;
use probity_proto::orchestrator::{Execution, ExecutionStatus, StartExecutionRequest};
use probity_runtime::testing::{Fake, Harness};
use probity_runtime::{RemoteAddr, Service, ServiceConfig, Setup};
use probity_telemetry::TelemetryConfig;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt as _;

/// Most microseconds of CPU time for one call.
const LIMIT_US: f64 = 60.0;
const ROUNDS: u32 = 20_000;

/// Answers executions at once.
struct Instant;

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl ServiceConfig for Nothing {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Service for Instant {
    const NAME: &'static str = "orchestrator";
    const PACKAGES: &'static [&'static str] = &["probity.orchestrator.v1"];
    type Config = Nothing;

    async fn build(_: Self::Config, _: &mut Setup) -> anyhow::Result<Self> {
        Ok(Self)
    }

    fn routes(self) -> Routes {
        let path = "/probity.orchestrator.v1.ExecutionService/StartExecution";
        let start = |request: StartExecutionRequest, _: &http::HeaderMap| {
            Ok(Execution {
                name: "executions/exe_0198f0c2a8d47c3f9b1e6d5a4c3b2a10".into(),
                definition: request.definition,
                definition_version: "0123456789abcdef".into(),
                status: ExecutionStatus::Completed.into(),
                output: request.input.clone(),
                input: request.input,
                owner: "users/olga".into(),
                create_time: Some(probity_proto::time::timestamp(1_700_000_000_123_456)),
                end_time: Some(probity_proto::time::timestamp(1_700_000_000_234_567)),
                ..Execution::default()
            })
        };
        Fake::new().on(path, start).routes()
    }
}

/// CPU time of this thread so far, in nanoseconds (Linux).
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

async fn call(door: &BoxGrpcService, token: &str) -> Response<Body> {
    let body = format!(
        r#"{{"definition":"definitions/bench","input":{{"pad":"{}"}},"wait":"30s"}}"#,
        "x".repeat(140)
    );
    let mut request = Request::post("/v1/executions")
        .header(header::AUTHORIZATION, token)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::HOST, "127.0.0.1:8080")
        .header(header::CONTENT_LENGTH, body.len())
        .header("idempotency-key", "key-0123456789")
        .body(Body::new(http_body_util::Full::from(body)))
        .unwrap();
    request.extensions_mut().insert(RemoteAddr(([127, 0, 0, 1], 40_000).into()));
    let Ok(response) = door.clone().oneshot(request).await;
    response
}

#[tokio::test]
#[ignore = "prints a figure that only means something in a release build"]
async fn a_small_authenticated_call() {
    let _telemetry = probity_telemetry::init(&TelemetryConfig::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    let builder = Harness::builder()
        .dir(dir.path())
        .set("gateway", "admin_token_file", token_file.display().to_string())
        .beside::<Instant>();
    let harness = builder.start::<Gateway>().await;
    let token = format!("Bearer {}", std::fs::read_to_string(&token_file).unwrap().trim());
    let door = harness.client_without_token();
    let first = call(&door, &token).await;
    assert_eq!(first.status(), 200);
    let text = first.into_body().collect().await.unwrap().to_bytes();
    assert!(text.starts_with(br#"{"name":"executions/"#), "{text:?}");
    let mut bytes = 0;
    for round in 0..3 {
        let begun = cpu_ns();
        for _ in 0..ROUNDS {
            bytes += call(&door, &token).await.into_body().collect().await.unwrap().to_bytes().len();
        }
        let each = (cpu_ns() - begun) as f64 / 1e3 / f64::from(ROUNDS);
        println!("round {round}: {each:.1} µs of CPU time a call ({bytes} bytes in all)");
        assert!(
            cfg!(debug_assertions) || round == 0 || each <= LIMIT_US,
            "{each:.1} µs is over {LIMIT_US} µs"
        );
    }
}
