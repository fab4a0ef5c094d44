//! The law of deadlines: no call outlives the earliest of those it has.

use super::*;
use crate::deadline::GRPC_TIMEOUT;
use http_body_util::{BodyExt as _, StreamBody};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt as _, service_fn};

const UNARY: &str = "/probity.spam.v1.SpamService/Classify";
const STREAM: &str = "/probity.orchestrator.v1.CaseService/WatchCase";
const LIMITS: Limits = Limits { unary: Duration::from_secs(30), stream: None };

fn request(path: &str, timeout: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    if let Some(timeout) = timeout {
        request = request.header(GRPC_TIMEOUT, timeout);
    }
    request.body(Body::empty()).unwrap()
}

fn code(response: &Response<Body>) -> i32 {
    Status::from_header_map(response.headers()).map_or(0, |status| status.code() as i32)
}

/// Sends one call through a layer to a handler that takes `work`; returns the
/// code and how long it took.
async fn call(layer: DeadlineLayer, request: Request<Body>, work: Duration) -> (i32, Duration) {
    let handler = service_fn(move |_request: Request<Body>| async move {
        sleep(work).await;
        Ok::<_, BoxError>(Response::new(Body::empty()))
    });
    let begun = Instant::now();
    let response = layer.layer(handler).oneshot(request).await.unwrap();
    (code(&response), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_ends_the_call() {
    const SECS: fn(u64) -> Duration = Duration::from_secs;
    let check = async |path, told, work, expect: (i32, u64)| {
        for layer in [DeadlineLayer::client(LIMITS), DeadlineLayer::server(LIMITS)] {
            let got = call(layer, request(path, told), SECS(work)).await;
            assert_eq!((got.0, got.1.as_secs()), expect, "{path} {told:?} {work} {layer:?}");
        }
    };
    check(UNARY, None, 1, (0, 1)).await;
    check(UNARY, None, 31, (4, 30)).await;
    check(UNARY, Some("5S"), 31, (4, 5)).await;
    check(UNARY, Some("5M"), 31, (4, 30)).await;
    check(UNARY, Some("0S"), 1, (4, 0)).await;
    check(STREAM, None, 3600, (0, 3600)).await;
    check(STREAM, Some("5S"), 3600, (4, 5)).await;
    check(UNARY, Some("soon"), 1, (3, 0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_tells_its_peer_what_is_left() {
    let peer = service_fn(|request: Request<Body>| async move {
        let told = request.headers()[GRPC_TIMEOUT].to_str().unwrap().to_owned();
        Ok::<_, BoxError>(Response::builder().header("told", told).body(Body::empty()).unwrap())
    });
    let peer = BoxCloneSyncService::new(DeadlineLayer::client(LIMITS).layer(peer));
    let handler = service_fn(move |request: Request<Body>| {
        let peer = peer.clone();
        async move {
            let own = request.extensions().get::<Deadline>().copied();
            assert_eq!(own, Deadline::current());
            sleep(Duration::from_secs(2)).await;
            peer.oneshot(super::tests::request(UNARY, None)).await
        }
    });
    let layer = DeadlineLayer::server(LIMITS);
    let response = layer.layer(handler).oneshot(request(UNARY, Some("5S"))).await.unwrap();
    assert_eq!(response.headers()["told"], "3000000u");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stalls_ends_with_trailers() {
    let handler = service_fn(|_request: Request<Body>| async move {
        let first = futures::stream::iter([Ok::<_, Status>(http_body::Frame::data(bytes::Bytes::from("x")))]);
        let frames = futures::StreamExt::chain(first, futures::stream::pending());
        Ok::<_, BoxError>(Response::new(Body::new(StreamBody::new(frames))))
    });
    let begun = Instant::now();
    let layer = DeadlineLayer::client(LIMITS);
    let response = layer.layer(handler).oneshot(request(STREAM, Some("5S"))).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    let trailers = collected.trailers().unwrap();
    assert_eq!(Status::from_header_map(trailers).unwrap().code(), tonic::Code::DeadlineExceeded);
    assert_eq!(collected.to_bytes(), "x");
}

#[tokio::test(start_paused = true)]
async fn work_past_the_deadline_is_dropped() {
    struct Dropped(std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let dropped = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let guard = std::sync::Arc::clone(&dropped);
    let handler = service_fn(move |_request: Request<Body>| {
        let guard = Dropped(std::sync::Arc::clone(&guard));
        async move {
            let _guard = guard;
            futures::future::pending::<Result<Response<Body>, BoxError>>().await
        }
    });
    let response =
        DeadlineLayer::server(LIMITS).layer(handler).oneshot(request(UNARY, Some("1S"))).await.unwrap();
    assert_eq!(code(&response), 4);
    assert!(dropped.load(std::sync::atomic::Ordering::SeqCst));
}

proptest! {
    #[test]
    fn no_call_outlives_any_of_its_deadlines(told in 1u64..100_000, own in 1u64..100_000, work in 0u64..100_000) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (code, took) = runtime.block_on(async {
            let limits = Limits { unary: Duration::from_millis(own), stream: None };
            call(DeadlineLayer::server(limits), request(UNARY, Some(&format!("{told}m"))), Duration::from_millis(work)).await
        });
        let bound = told.min(own);
        prop_assert!(took <= Duration::from_millis(bound.min(work) + 1));
        if work + 1 < bound { prop_assert_eq!(code, 0); }
        if work > bound + 1 { prop_assert_eq!(code, 4); }
    }
}
