//! Calls through the layer: what is kept, what passes, what is refused.

use super::*;
use crate::idempotency::{Config, MemoryStore};
use http_body_util::Full;
use parking_lot::Mutex;
use probity_types::ManualClock;
use std::sync::Arc;
use tower::service_fn;

const WRITE: &str = "/probity.orchestrator.v1.CaseService/OpenCase";
const READ: &str = "/probity.spam.v1.SpamService/Classify";

struct Server {
    layer: IdempotencyLayer<MemoryStore>,
    calls: Arc<Mutex<u8>>,
}

impl Server {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new(100));
        let guard = Guard::new(store, Arc::new(ManualClock::default()), Config::default()).unwrap();
        let tenant: ScopeOf = |parts| Some(parts.headers.get("tenant")?.to_str().ok()?.to_owned());
        Self { layer: IdempotencyLayer::new(guard, tenant), calls: Arc::default() }
    }

    /// Code and message of an answer. The handler numbers its calls and fails
    /// when the body says so.
    async fn call(&self, path: &str, tenant: &str, key: &str, body: &str) -> (Code, Vec<u8>) {
        let calls = self.calls.clone();
        let handler = service_fn(move |request: Request<Body>| {
            let calls = calls.clone();
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let number = {
                    let mut calls = calls.lock();
                    *calls += 1;
                    *calls
                };
                Ok::<_, BoxError>(match &body[..] {
                    b"fail" => Status::unavailable("no").into_http(),
                    b"large" => Response::new(buffer::body(&vec![7; BODY_LIMIT + 10].into())),
                    _ => answer(vec![number]),
                })
            }
        });
        let mut request = Request::builder().uri(path).header("tenant", tenant);
        if !key.is_empty() {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        let body = Body::new(Full::new(Bytes::from(body.to_owned())));
        let response = self.layer.layer(handler).oneshot(request.body(body).unwrap()).await.unwrap();
        let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
        let message = response.into_body().collect().await.unwrap();
        if code == Code::Ok && message.trailers().is_some() {
            assert_eq!(message.trailers().unwrap()[Status::GRPC_STATUS], "0");
        }
        (code, message.to_bytes().to_vec())
    }
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer() {
    let server = Server::new();
    let check = async |path, tenant, key, body, code, message: &[u8]| {
        let got = server.call(path, tenant, key, body).await;
        assert_eq!(got, (code, message.to_vec()), "{path} {tenant} {key} {body}");
    };
    check(WRITE, "acme", "k", "a", Code::Ok, &[1]).await;
    check(WRITE, "acme", "k", "a", Code::Ok, &[1]).await;
    check(WRITE, "acme", "k", "b", Code::InvalidArgument, &[]).await;
    check(WRITE, "other", "k", "a", Code::Ok, &[2]).await;
    check(WRITE, "acme", "", "a", Code::Ok, &[3]).await;
    check(READ, "acme", "k", "a", Code::Ok, &[4]).await;
    let long = "x".repeat(129);
    check(WRITE, "acme", &long, "a", Code::InvalidArgument, &[]).await;
    check(WRITE, "acme", "f", "fail", Code::Unavailable, &[]).await;
    check(WRITE, "acme", "f", "fail", Code::Unavailable, &[]).await;
    assert_eq!(*server.calls.lock(), 6);
}

#[tokio::test]
async fn large_answers_pass_whole_and_unkept() {
    let server = Server::new();
    for calls in 1..3 {
        let (code, message) = server.call(WRITE, "acme", "k", "large").await;
        assert_eq!((code, message.len(), *server.calls.lock()), (Code::Ok, BODY_LIMIT + 10, calls));
    }
}
