//! What is repeated, how often, and what the callee sees of it.

use super::*;
use crate::deadline::GRPC_TIMEOUT;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::{Instant, sleep};
use tonic::Code;
use tower::service_fn;

const READ: &str = "/probity.spam.v1.SpamService/Classify";
const WRITE: &str = "/probity.orchestrator.v1.CaseService/OpenCase";
const UNDECLARED: &str = "/probity.gateway.v1.GatewayService/IssueToken";
const STREAM: &str = "/probity.orchestrator.v1.CaseService/WatchCase";

/// What a peer saw of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    previous: Option<String>,
    timeout: Option<String>,
    bytes: usize,
}

/// A peer that gives the answers in turn, the last one for ever, each after a
/// second.
#[derive(Clone)]
struct Peer {
    answers: Arc<Mutex<Vec<Result<Code, &'static str>>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Peer {
    fn new(answers: &[Result<Code, &'static str>]) -> Self {
        let answers = answers.iter().rev().copied().collect();
        Self { answers: Arc::new(Mutex::new(answers)), seen: Arc::default() }
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        use http_body_util::BodyExt as _;
        let (parts, body) = request.into_parts();
        let header = |name: &str| parts.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        let (previous, timeout) = (header(ATTEMPTS_HEADER), header(GRPC_TIMEOUT));
        let bytes = body.collect().await?.to_bytes().len();
        self.seen.lock().push(Seen { previous, timeout, bytes });
        sleep(Duration::from_secs(1)).await;
        let mut answers = self.answers.lock();
        let answer = if answers.len() > 1 { answers.pop().unwrap() } else { answers[0] };
        match answer {
            Ok(Code::Ok) => Ok(Response::new(Body::empty())),
            Ok(code) => Ok(Status::new(code, "no").into_http()),
            Err(text) => Err(text.into()),
        }
    }

    async fn call(&self, layer: RetryLayer, request: Request<Body>) -> Result<Code, String> {
        let peer = self.clone();
        let service = service_fn(move |request| peer.clone().answer(request));
        let response = layer.layer(service).oneshot(request).await.map_err(|e| e.to_string())?;
        Ok(Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()))
    }

    fn tries(&self) -> usize {
        self.seen.lock().len()
    }
}

fn request(path: &str, key: bool, bytes: usize) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    if key {
        request = request.header(&IDEMPOTENCY_KEY, "k1");
    }
    request.body(buffer::body(&Bytes::from(vec![7; bytes]))).unwrap()
}

const AWAY: Result<Code, &str> = Ok(Code::Unavailable);

#[tokio::test(start_paused = true)]
async fn only_what_does_no_harm_is_repeated() {
    let check = async |path, key, bytes, tries| {
        let peer = Peer::new(&[AWAY]);
        let code = peer.call(RetryLayer::new(Policy::STANDARD), request(path, key, bytes)).await;
        assert_eq!((code, peer.tries()), (Ok(Code::Unavailable), tries), "{path} {key} {bytes}");
        assert!(peer.seen.lock().iter().all(|seen| seen.bytes == bytes));
    };
    check(READ, false, 10, 5).await;
    check(READ, false, BODY_LIMIT, 5).await;
    check(READ, false, BODY_LIMIT + 1, 1).await;
    check(WRITE, true, 10, 5).await;
    check(WRITE, false, 10, 1).await;
    check(UNDECLARED, true, 10, 1).await;
    check(STREAM, true, 10, 1).await;
    check("/unknown.Service/Method", true, 10, 1).await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_first_final_answer() {
    let check = async |answers: &[Result<Code, &'static str>], expect: Result<Code, &str>, tries| {
        let peer = Peer::new(answers);
        let got = peer.call(RetryLayer::new(Policy::QUICK), request(READ, false, 1)).await;
        assert_eq!((got, peer.tries()), (expect.map_err(str::to_owned), tries), "{answers:?}");
    };
    check(&[Ok(Code::Ok)], Ok(Code::Ok), 1).await;
    check(&[AWAY, Err("connection reset"), Ok(Code::Ok)], Ok(Code::Ok), 3).await;
    check(&[AWAY, Ok(Code::InvalidArgument)], Ok(Code::InvalidArgument), 2).await;
    check(&[Err("connection refused")], Err("connection refused"), 3).await;
    check(&[Ok(Code::ResourceExhausted)], Ok(Code::ResourceExhausted), 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_peer_sees_the_attempt_and_the_time_left() {
    let peer = Peer::new(&[AWAY, Ok(Code::Ok)]);
    let mut request = request(READ, false, 1);
    request.extensions_mut().insert(Deadline::within(Duration::from_secs(60)));
    assert_eq!(peer.call(RetryLayer::new(Policy::QUICK), request).await, Ok(Code::Ok));
    let seen = peer.seen.lock();
    assert_eq!((seen[0].previous.as_deref(), seen[1].previous.as_deref()), (None, Some("1")));
    let micros = |seen: &Seen| seen.timeout.as_deref().unwrap().trim_end_matches('u').parse::<u64>().unwrap();
    assert_eq!(micros(&seen[0]), 60_000_000);
    assert!(micros(&seen[1]) <= 59_000_000);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_deadline() {
    for seconds in 1..30 {
        let peer = Peer::new(&[AWAY]);
        let mut request = request(READ, false, 1);
        let begun = Instant::now();
        request.extensions_mut().insert(Deadline::within(Duration::from_secs(seconds)));
        let result = peer.call(RetryLayer::new(Policy::AGGRESSIVE), request).await;
        assert_eq!(result, Ok(Code::Unavailable), "the last real answer, not a made-up one");
        assert!(begun.elapsed() <= Duration::from_secs(seconds + 1), "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_attempt_leaves_time_for_the_next() {
    let calls = Arc::new(Mutex::new(0));
    let count = Arc::clone(&calls);
    let service = service_fn(move |_request: Request<Body>| {
        let mut calls = count.lock();
        *calls += 1;
        let lost = *calls == 1;
        async move {
            if lost {
                futures::future::pending::<()>().await;
            }
            Ok::<_, BoxError>(Response::new(Body::empty()))
        }
    });
    let layer = RetryLayer::new(Policy::QUICK).with_attempt_timeout(Duration::from_secs(2));
    let response = layer.layer(service).oneshot(request(READ, false, 1)).await.unwrap();
    assert!(Status::from_header_map(response.headers()).is_none());
    assert_eq!(*calls.lock(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_the_peer_is_kept() {
    use crate::observe::tests::collecting;
    use crate::retry::{Budget, BudgetConfig};
    let budget = Arc::new(Budget::new(BudgetConfig { max_tokens: 6, token_ratio: 0.1 }).unwrap());
    let (observed, seen) = collecting();
    let layer = RetryLayer::new(Policy::STANDARD).with_budget(budget.clone()).with_observer(observed);
    for tries in [3, 1, 1] {
        let peer = Peer::new(&[AWAY]);
        assert_eq!(peer.call(layer.clone(), request(READ, false, 1)).await, Ok(Code::Unavailable));
        assert_eq!(peer.tries(), tries);
    }
    let count = |word: &str| seen.lock().iter().filter(|event| event.starts_with(word)).count();
    assert_eq!((count("Retrying"), count("BudgetExhausted")), (2, 3));
    assert_eq!(budget.tokens(), 1.0);
    let peer = Peer::new(&[Ok(Code::NotFound)]);
    peer.call(layer, request(READ, false, 1)).await.unwrap();
    assert!((budget.tokens() - 1.1).abs() < 1e-9, "an answer of the peer puts something back");
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_inside_refused_costs_nothing() {
    use crate::retry::{Budget, BudgetConfig};
    let budget = Arc::new(Budget::new(BudgetConfig::default()).unwrap());
    let layer = RetryLayer::new(Policy::STANDARD).with_budget(budget.clone());
    let open = service_fn(|_request: Request<Body>| async {
        let refusal = Refusal::BreakerOpen { name: "b".into(), retry_after: Duration::from_secs(2) };
        Ok::<_, BoxError>(refusal.into_response())
    });
    let begun = Instant::now();
    layer.layer(open).oneshot(request(READ, false, 1)).await.unwrap();
    assert_eq!(budget.tokens(), 10.0);
    assert!(begun.elapsed() >= Duration::from_secs(8), "each wait is as long as the breaker asks");
}

#[tokio::test(start_paused = true)]
async fn a_service_config_names_its_own_policy() {
    let json = r#"{"methodConfig": [{"name": [{"service": "probity.spam.v1.SpamService", "method": "Classify"}],
        "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s",
        "backoffMultiplier": 2, "retryableStatusCodes": ["ABORTED"]}}]}"#;
    let config = Arc::new(ServiceConfig::parse(json).unwrap());
    let check = async |path, key, code, tries| {
        let peer = Peer::new(&[Ok(code)]);
        let layer = RetryLayer::new(Policy::QUICK).with_service_config(config.clone());
        peer.call(layer, request(path, key, 1)).await.unwrap();
        assert_eq!(peer.tries(), tries, "{path} {code:?}");
    };
    check(READ, false, Code::Aborted, 4).await;
    check(READ, false, Code::Unavailable, 1).await;
    check(WRITE, true, Code::Unavailable, 3).await;
    check(WRITE, false, Code::Aborted, 1).await;
}
