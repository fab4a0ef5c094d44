//! The layer that puts a breaker in front of a gRPC client.

use super::{Breaker, Outcome, Pass, given_up, of_status};
use crate::Deadline;
use crate::methods::is_unary;
use crate::refusal::Refusal;
use crate::time::now;
use crate::watched::{End, of_head, watch};
use http::{Request, Response};
use pin_project_lite::pin_project;
use probity_proto::BoxError;
use probity_types::FaultKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// What a status says about a peer that took so long to give it.
pub type Classify = fn(&Status, Duration) -> Outcome;

/// Refuses calls while a breaker is open and tells it how the others ended: one
/// message in and out at its last byte, a stream at its head, because a watch
/// that ends after hours says nothing about now.
#[derive(Debug, Clone)]
pub struct BreakerLayer {
    breaker: Arc<Breaker>,
    classify: Classify,
}

impl BreakerLayer {
    /// A layer that asks `breaker`.
    #[must_use]
    pub fn new(breaker: Arc<Breaker>) -> Self {
        Self { breaker, classify: of_status }
    }

    /// Judges statuses otherwise than [`of_status`].
    #[must_use]
    pub const fn with_classifier(mut self, classify: Classify) -> Self {
        self.classify = classify;
        self
    }
}

impl<S> Layer<S> for BreakerLayer {
    type Service = BreakerService<S>;

    fn layer(&self, inner: S) -> BreakerService<S> {
        BreakerService { inner, layer: self.clone() }
    }
}

/// See [`BreakerLayer`].
#[derive(Debug, Clone)]
pub struct BreakerService<S> {
    inner: S,
    layer: BreakerLayer,
}

impl<S> Service<Request<Body>> for BreakerService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BreakerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let pass = match self.layer.breaker.ask() {
            Ok(pass) => pass,
            Err(refusal) => return BreakerFuture { state: State::Refused { refusal: Some(refusal) } },
        };
        let deadline = request.extensions().get().copied().or_else(Deadline::current);
        let under_way = Some(UnderWay::new(&self.layer, pass, deadline));
        let streams = !is_unary(request.uri().path());
        let answer = self.inner.call(request);
        BreakerFuture { state: State::Passed { answer, under_way, streams } }
    }
}

pin_project! {
    /// The answer to a call that a [`BreakerService`] judges.
    pub struct BreakerFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F> {
        Refused { refusal: Option<Refusal> },
        Passed {
            #[pin]
            answer: F,
            under_way: Option<UnderWay>,
            streams: bool,
        },
    }
}

impl<F, E> Future for BreakerFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<Body>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Refused { refusal } => match refusal.take() {
                Some(refusal) => Poll::Ready(Ok(refusal.into_response())),
                None => Poll::Pending, // polled again after its end
            },
            Projected::Passed { answer, under_way, streams } => {
                let answer = ready!(answer.poll(cx)).map_err(Into::into);
                Poll::Ready(match (answer, under_way.take()) {
                    (Ok(response), Some(under_way)) => Ok(under_way.judge(response, *streams)),
                    (Err(error), Some(under_way)) => {
                        under_way.end(Outcome::Failure);
                        Err(error)
                    }
                    (answer, None) => answer,
                })
            }
        }
    }
}

/// A call that passed. Dropped without an end, it gives its place back; when that
/// is because the peer used up a fair deadline, it has failed.
struct UnderWay {
    layer: BreakerLayer,
    pass: Option<Pass>,
    began: Instant,
    deadline: Option<Deadline>,
}

impl UnderWay {
    fn new(layer: &BreakerLayer, pass: Pass, deadline: Option<Deadline>) -> Self {
        Self { layer: layer.clone(), pass: Some(pass), began: now(), deadline }
    }

    fn judge(self, response: Response<Body>, streams: bool) -> Response<Body> {
        if Refusal::of(&response).is_some_and(|refusal| refusal.kind() == FaultKind::Overloaded) {
            self.end(Outcome::Unknown); // our own bulkhead says nothing about the peer
            return response;
        }
        if streams && of_head(&response).is_none() {
            self.end(Outcome::Success);
            return response;
        }
        watch(response, move |end| {
            let outcome = match &end {
                End::Fine => Outcome::Success,
                End::Failed(status) => {
                    (self.layer.classify)(status, now().saturating_duration_since(self.began))
                }
                End::Dropped => given_up(self.deadline, self.began),
            };
            self.end(outcome);
        })
    }

    fn end(mut self, outcome: Outcome) {
        if let Some(pass) = self.pass.take() {
            self.layer.breaker.record_since(pass, outcome, self.began);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(pass) = self.pass.take() else { return };
        match given_up(self.deadline, self.began) {
            Outcome::Failure => {
                self.layer.breaker.record_since(pass, Outcome::Failure, self.began);
            }
            _ => self.layer.breaker.abandon(pass),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::{Config, State};
    use parking_lot::Mutex;
    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    const UNARY: &str = "/probity.spam.v1.SpamService/Classify";
    const STREAM: &str = "/probity.orchestrator.v1.CaseService/WatchCase";

    fn breaker(config: Config) -> Arc<Breaker> {
        Arc::new(Breaker::new("peer", config).unwrap())
    }

    /// Sends one call to a peer that answers like this after a while.
    async fn call(
        layer: &BreakerLayer,
        path: &str,
        code: Option<Code>,
        after_ms: u64,
    ) -> Option<Response<Body>> {
        let peer = service_fn(move |_request: Request<Body>| async move {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            match code {
                Some(Code::Ok) => Ok(Response::new(Body::empty())),
                Some(code) => Ok(Status::new(code, "no").into_http()),
                None => Err(BoxError::from("connection refused")),
            }
        });
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        layer.layer(peer).oneshot(request).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_refuses_probes_and_closes() {
        let breaker = breaker(Config::default());
        let layer = BreakerLayer::new(breaker.clone());
        for _ in 0..4 {
            assert!(call(&layer, UNARY, Some(Code::Unavailable), 0).await.is_some());
        }
        assert!(call(&layer, UNARY, None, 0).await.is_none());
        assert_eq!(breaker.state(), State::Open);
        let refused = call(&layer, UNARY, Some(Code::Ok), 0).await.unwrap();
        assert!(matches!(Refusal::of(&refused), Some(Refusal::BreakerOpen { .. })));
        tokio::time::advance(Duration::from_secs(60)).await;
        for expect in [State::HalfOpen, State::Closed] {
            let answer = call(&layer, UNARY, Some(Code::NotFound), 0).await.unwrap();
            assert_eq!(Refusal::of(&answer), None);
            assert_eq!(breaker.state(), expect, "a refusal of the peer shows that it lives");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn impatient_callers_do_not_open_it() {
        let check = async |after_ms, expect| {
            let breaker = breaker(Config::default());
            let layer = BreakerLayer::new(breaker.clone());
            for _ in 0..5 {
                call(&layer, UNARY, Some(Code::DeadlineExceeded), after_ms).await;
            }
            assert_eq!(breaker.state(), expect, "{after_ms}");
        };
        check(999, State::Closed).await;
        check(1_001, State::Open).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_gives_its_probe_back() {
        let breaker = breaker(Config { max_probes: 1, ..Config::default() });
        let layer = BreakerLayer::new(breaker.clone());
        for _ in 0..5 {
            call(&layer, UNARY, None, 0).await;
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        for _ in 0..3 {
            let probe = call(&layer, UNARY, Some(Code::Ok), 5_000);
            assert!(tokio::time::timeout(Duration::from_secs(1), probe).await.is_err());
        }
        assert_eq!(breaker.state(), State::HalfOpen);
        call(&layer, UNARY, Some(Code::Ok), 0).await;
        call(&layer, UNARY, Some(Code::Ok), 0).await;
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_counts_at_its_end_and_a_stream_at_its_head() {
        let check = async |path: &str, calls_at_head, failures_at_end| {
            let breaker = breaker(Config::default());
            let peer = service_fn(|_request: Request<Body>| async {
                let lost = futures::stream::iter([Err::<http_body::Frame<bytes::Bytes>, _>(
                    Status::unavailable("reset"),
                )]);
                Ok::<_, BoxError>(Response::new(Body::new(http_body_util::StreamBody::new(lost))))
            });
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let answer = BreakerLayer::new(breaker.clone()).layer(peer).oneshot(request).await.unwrap();
            assert_eq!(breaker.snapshot().calls, calls_at_head, "{path}");
            let _ = http_body_util::BodyExt::collect(answer.into_body()).await;
            assert_eq!(breaker.snapshot().failures, failures_at_end, "{path}");
        };
        check(UNARY, 0, 1).await;
        check(STREAM, 1, 0).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_uses_up_fair_deadlines_has_failed() {
        let check = async |deadline_ms, expect| {
            let breaker = breaker(Config::default());
            let layer = BreakerLayer::new(breaker.clone());
            for _ in 0..5 {
                let deadline = Deadline::within(Duration::from_millis(deadline_ms));
                let silent = deadline.scope(async {
                    let call = call(&layer, UNARY, Some(Code::Ok), 90_000);
                    tokio::time::timeout_at(deadline.at(), call).await
                });
                assert!(silent.await.is_err());
            }
            assert_eq!(breaker.state(), expect, "{deadline_ms}");
        };
        check(2_000, State::Open).await;
        check(500, State::Closed).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_bulkhead_inside_is_no_probe_that_succeeded() {
        let breaker = breaker(Config { success_threshold: 1, ..Config::default() });
        let layer = BreakerLayer::new(breaker.clone());
        for _ in 0..5 {
            call(&layer, UNARY, None, 0).await;
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        let full = service_fn(|_request: Request<Body>| async {
            Ok::<_, BoxError>(Refusal::BulkheadFull { name: "peer".into(), limit: 1 }.into_response())
        });
        let request = || Request::builder().uri(UNARY).body(Body::empty()).unwrap();
        for _ in 0..3 {
            layer.layer(full).oneshot(request()).await.unwrap();
            assert_eq!(breaker.state(), State::HalfOpen);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_classifier_of_ones_own_decides() {
        static ASKED: Mutex<Vec<Code>> = Mutex::new(Vec::new());
        let breaker = breaker(Config { failure_threshold: 1, ..Config::default() });
        let layer = BreakerLayer::new(breaker.clone()).with_classifier(|status, _| {
            ASKED.lock().push(status.code());
            Outcome::Success
        });
        call(&layer, UNARY, Some(Code::Unavailable), 0).await;
        assert_eq!((breaker.state(), ASKED.lock().as_slice()), (State::Closed, &[Code::Unavailable][..]));
    }
}
