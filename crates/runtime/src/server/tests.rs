//! The adaptive limit on the way in.

use super::*;
use probity_resilience::limit::CRITICALITY_HEADER;
use probity_resilience::{Criticality, Observed, Refusal, limit, performance};
use probity_types::SystemClock;
use prometheus::Registry;
use tokio::sync::Semaphore;

#[tokio::test]
async fn what_is_more_than_sensible_is_refused_before_it_is_work() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let config = limit::Config { initial: 10, min: 10, max: 10, window_ms: 100 };
    let limiter = Limiter::new("intake", config, Observed::default()).unwrap();
    let inbound = Inbound::new(
        "intake",
        Some(Verifier::new(dir.path(), Vec::new(), Arc::new(SystemClock))),
        RpcMetrics::server(&registry, std::iter::empty()).unwrap(),
        &ServerConfig::default(),
        Shutdown::default(),
        (Performance::new(performance::Config::default(), Observed::default()).unwrap(), Some(limiter)),
    );
    let (entered, open) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (inside, door) = (entered.clone(), open.clone());
    let work = axum::Router::new().fallback(async move || {
        inside.add_permits(1);
        let _ = door.acquire().await;
        "done"
    });
    let service = inbound.wrap(Routes::from(work), None);
    let call = || {
        // A path that needs no caller.
        let request = http::Request::builder().uri("/grpc.health.v1.Health/Check").body(Body::empty());
        tokio::spawn(service.clone().oneshot(request.unwrap()))
    };
    let as_important = |level: Criticality| {
        let request = http::Request::builder().uri("/grpc.health.v1.Health/Check");
        let request = request.header(CRITICALITY_HEADER, level.name()).body(Body::empty());
        tokio::spawn(service.clone().oneshot(request.unwrap()))
    };
    let shed = async |level: Criticality| {
        let answer = as_important(level).await.unwrap().unwrap();
        matches!(Refusal::of(&answer), Some(Refusal::Shed { .. }))
    };
    let mut busy: Vec<_> = (0..6).map(|_| call()).collect();
    let _ = entered.acquire_many(6).await.unwrap();
    assert!(shed(Criticality::Sheddable).await, "6 of 10, and what can wait has no more");
    busy.push(as_important(Criticality::SheddablePlus));
    let _ = entered.acquire().await.unwrap();
    assert!(shed(Criticality::SheddablePlus).await, "7 of 10, and steps have no more");
    busy.extend([call(), call()]);
    let _ = entered.acquire_many(2).await.unwrap();
    let refused = call().await.unwrap().unwrap();
    assert!(matches!(Refusal::of(&refused), Some(Refusal::Shed { .. })), "{:?}", Refusal::of(&refused));
    open.add_permits(100);
    for answer in busy {
        assert!(Refusal::of(&answer.await.unwrap().unwrap()).is_none());
    }
    assert!(Refusal::of(&call().await.unwrap().unwrap()).is_none(), "the seats are given back");
}

#[tokio::test]
async fn a_refusal_before_the_handler_is_like_any_other_on_both_doors() {
    let registry = Registry::new();
    let server = ServerConfig { max_in_flight: 0, ..ServerConfig::default() };
    let performance = Performance::new(performance::Config::default(), Observed::default()).unwrap();
    let metrics = RpcMetrics::server(&registry, std::iter::empty()).unwrap();
    let inbound = Inbound::new("gateway", None, metrics, &server, Shutdown::default(), (performance, None));
    let door = inbound.wrap(Routes::from(axum::Router::new()), None);
    let call = async |kind: &str, id: &str| {
        let request =
            http::Request::builder().uri("/v1/cases").header("content-type", kind).header(REQUEST_ID, id);
        let response = door.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        (parts, body)
    };
    let (parts, body) = call("application/json", "req-1").await;
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((parts.status.as_u16(), &parts.headers["retry-after"]), (429, &http::HeaderValue::from(1)));
    let fields = ["code", "reason", "request_id", "type"].map(|name| problem[name].as_str().unwrap());
    assert_eq!(fields, ["RUN-0012", "OVERLOADED", "req-1", "urn:probity:error:RUN-0012"]);
    let (parts, _) = call("application/grpc", "not an id").await;
    assert_eq!(parts.headers["grpc-status"], "8");
    assert!(parts.headers.contains_key("grpc-status-details-bin"));
    assert!(is_id(parts.headers[REQUEST_ID].to_str().unwrap()), "{parts:?}");
}
