//! A peer that breaks and comes back, in both shapes.

use super::*;
use crate::status::fault_of;
use probity_resilience::{Refusal, hedge};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;
use tonic::Status;
use tonic::service::Routes;
use tonic_types::StatusExt as _;

const CLASSIFY: &str = "/probity.spam.v1.SpamService/Classify";
/// A method that is tried once only: it has a side effect, and no key is sent.
const OPEN: &str = "/probity.orchestrator.v1.CaseService/OpenCase";

/// A peer that can be broken, and counts its calls.
#[derive(Clone, Default)]
struct Peer {
    broken: Arc<AtomicBool>,
    calls: Arc<AtomicU32>,
}

impl Peer {
    /// With a health service, as every peer has one.
    async fn service(&self) -> BoxGrpcService {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
        let health = Routes::new(health).prepare();
        let peer = self.clone();
        BoxGrpcService::new(tower::service_fn(move |request: http::Request<Body>| {
            let (peer, health) = (peer.clone(), health.clone());
            async move {
                if peer.broken.load(Ordering::SeqCst) {
                    peer.calls.fetch_add(1, Ordering::SeqCst);
                    return Ok(Status::unavailable("connection refused").into_http());
                }
                if request.uri().path().starts_with("/grpc.health.") {
                    return health.oneshot(request).await.map(|response| response.map(Body::new));
                }
                Ok(http::Response::new(Body::empty()))
            }
        }))
    }
}

async fn call(client: &BoxGrpcService, path: &str) -> http::Response<Body> {
    let request = http::Request::builder().uri(path).body(Body::empty()).unwrap();
    client.clone().oneshot(request).await.unwrap()
}

fn status_of(response: &http::Response<Body>) -> Option<Status> {
    Status::from_header_map(response.headers()).filter(|status| status.code() != tonic::Code::Ok)
}

fn metrics(registry: &Registry) -> String {
    probity_telemetry::metrics::encode(registry)
}

#[tokio::test(start_paused = true)]
async fn a_broken_peer_is_left_alone_until_it_serves_again() {
    let peers = Peers::new(BTreeMap::new(), ResilienceConfig::default());
    let registry = Registry::new();
    peers.measure("gateway", &registry).unwrap();
    let peer = Peer::default();
    peers.add_local("orchestrator", peer.service().await);
    let client = peers.client("gateway", "orchestrator");
    assert!(status_of(&call(&client, OPEN).await).is_none());

    peer.broken.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        let response = call(&client, OPEN).await;
        assert!(Refusal::of(&response).is_none() && status_of(&response).is_some());
    }
    let asked = peer.calls.load(Ordering::SeqCst);
    let begun = Instant::now();
    let refused = call(&client, OPEN).await;
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
    let status = status_of(&refused).unwrap();
    assert_eq!((status.code(), fault_of(&status).code), (tonic::Code::Unavailable, "RES-0001"));
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay).unwrap();
    assert_eq!(after, Duration::from_secs(2), "the peer may be back long before the open time is over");
    assert_eq!(peer.calls.load(Ordering::SeqCst), asked, "the peer is not asked");
    let text = metrics(&registry);
    for line in [
        "circuit_breaker_state{peer=\"orchestrator\",state=\"open\"} 1",
        "circuit_breaker_state{peer=\"orchestrator\",state=\"closed\"} 0",
        "circuit_breaker_transitions_total{peer=\"orchestrator\",to=\"open\"} 1",
        "calls_refused_total{code=\"RES-0001\",peer=\"orchestrator\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }

    peer.broken.store(false, Ordering::SeqCst);
    let begun = tokio::time::Instant::now();
    while status_of(&call(&client, OPEN).await).is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "back after {:?}", begun.elapsed());
    call(&client, OPEN).await;
    assert!(metrics(&registry).contains("circuit_breaker_state{peer=\"orchestrator\",state=\"closed\"} 1"));
}

/// A read that takes longer than the others gets a second copy, whose answer counts;
/// what has an effect never gets one.
#[tokio::test(start_paused = true)]
async fn a_slow_read_is_sent_twice_and_a_write_is_not() {
    let config = ResilienceConfig { hedge: Some(hedge::Config::default()), ..ResilienceConfig::default() };
    let peers = Peers::new(BTreeMap::new(), config);
    let registry = Registry::new();
    peers.measure("gateway", &registry).unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    // Every hundredth call takes a minute, all others 20 ms.
    let peer = BoxGrpcService::new(tower::service_fn(move |_request: http::Request<Body>| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            let time = if number.is_multiple_of(101) { 60_000 } else { 20 };
            tokio::time::sleep(Duration::from_millis(time)).await;
            Ok(http::Response::new(Body::empty()))
        }
    }));
    peers.add_local("spam-detection", peer.clone());
    peers.add_local("orchestrator", peer);
    let client = peers.client("gateway", "spam-detection");
    for _ in 0..100 {
        call(&client, CLASSIFY).await;
    }
    let begun = tokio::time::Instant::now();
    call(&client, CLASSIFY).await;
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
    assert_eq!(calls.load(Ordering::SeqCst), 102, "one copy");
    assert!(metrics(&registry).contains("call_hedges_total 1"), "{}", metrics(&registry));
    calls.store(100, Ordering::SeqCst);
    let client = peers.client("gateway", "orchestrator");
    let begun = tokio::time::Instant::now();
    call(&client, OPEN).await;
    assert_eq!((calls.load(Ordering::SeqCst), begun.elapsed().as_secs()), (101, 60));
}

#[tokio::test(start_paused = true)]
async fn clients_of_a_pair_share_one_breaker_and_other_callers_do_not() {
    let peers = Peers::new(BTreeMap::new(), ResilienceConfig::default());
    let peer = Peer::default();
    peer.broken.store(true, Ordering::SeqCst);
    peers.add_local("intake", peer.service().await);
    let (one, two) = (peers.client("gateway", "intake"), peers.client("gateway", "intake"));
    for _ in 0..5 {
        call(&one, OPEN).await;
    }
    assert!(Refusal::of(&call(&two, OPEN).await).is_some());
    assert!(Refusal::of(&call(&peers.client("orchestrator", "intake"), OPEN).await).is_none());
}

#[tokio::test]
async fn behind_a_channel_it_is_the_same() {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = reserved.local_addr().unwrap();
    drop(reserved);
    let remote = BTreeMap::from([("spam-detection".to_owned(), format!("http://{addr}"))]);
    let peers = Peers::new(remote, ResilienceConfig::default());
    let client = peers.client("gateway", "spam-detection");
    let refused = async {
        loop {
            let response = call(&client, CLASSIFY).await;
            if Refusal::of(&response).is_some() {
                return response;
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    assert_eq!(status_of(&refused).unwrap().code(), tonic::Code::Unavailable);

    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let server = tonic::transport::Server::builder().add_service(health);
    tokio::spawn(server.serve_with_shutdown(addr, stop.clone().cancelled_owned()));
    // The server knows no Classify: UNIMPLEMENTED shows that the call reached it.
    let back = async {
        while status_of(&call(&client, CLASSIFY).await).is_none_or(|s| s.code() != tonic::Code::Unimplemented)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back)
        .await
        .expect("open time is 60 s; health ends it early");
    stop.cancel();
}

#[tokio::test]
async fn a_peer_of_several_endpoints_loses_one_without_a_failed_call() {
    let serve = async || {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(health);
        tokio::spawn(server.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned()));
        (addr, stop)
    };
    let ((one, stop_one), (two, stop_two)) = (serve().await, serve().await);
    let urls = format!("http://{one};weight=2, http://{two}");
    let remote = BTreeMap::from([("spam-detection".to_owned(), urls)]);
    let peers = Peers::new(remote, ResilienceConfig::default());
    let client = peers.client("gateway", "spam-detection");
    // No Classify there: UNIMPLEMENTED shows that a call reached an endpoint.
    let reached = async || {
        let code = status_of(&call(&client, CLASSIFY).await).unwrap().code();
        assert_eq!(code, tonic::Code::Unimplemented);
    };
    for _ in 0..20 {
        reached().await;
    }
    stop_one.cancel();
    for _ in 0..200 {
        reached().await;
    }
    stop_two.cancel();
}

#[test]
fn addresses_and_weights_are_read_or_refused() {
    let check = |address: &str, expect: Option<(&str, u32)>| {
        assert_eq!(weighted(address).ok(), expect, "{address}");
    };
    check("http://a:1", Some(("http://a:1", 1)));
    check("http://a:1;weight=3", Some(("http://a:1", 3)));
    check("http://a:1;weight=0", Some(("http://a:1", 0)));
    check("http://a:1;weight=", None);
    check("http://a:1;weight=1001", None);
    assert!(endpoint("https://a:1", false).is_err(), "TLS is asked for, and there is none");
    assert!(endpoint("https://a:1", true).is_ok());
    assert!(endpoint("nonsense with blanks", false).is_err());
}
