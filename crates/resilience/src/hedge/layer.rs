//! The layer that hedges reads.

use super::{Config, Pace};
use crate::invalid::Invalid;
use crate::methods::method;
use crate::observe::{Event, Observed};
use crate::retry::buffer::{self, Buffered};
use crate::retry::{ATTEMPTS_HEADER, BODY_LIMIT};
use crate::time::now;
use futures::future::{BoxFuture, Either, select};
use http::{HeaderValue, Request, Response};
use parking_lot::{Mutex, RwLock};
use probity_proto::BoxError;
use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service, ServiceExt as _};

type Answer = Result<Response<Body>, BoxError>;

/// Sends slow reads a second time. One for each peer.
#[derive(Debug, Clone)]
pub struct HedgeLayer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    observed: Observed,
    /// By path; only methods of the contracts get here, so it stays small.
    paces: RwLock<HashMap<String, Arc<Mutex<Pace>>>>,
}

impl HedgeLayer {
    /// A layer that knows no times yet.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(config: Config, observed: Observed) -> Result<Self, Invalid> {
        config.validate()?;
        Ok(Self(Arc::new(Inner { config, observed, paces: RwLock::default() })))
    }

    fn pace(&self, path: &str) -> Option<Arc<Mutex<Pace>>> {
        if let Some(known) = self.0.paces.read().get(path) {
            return Some(known.clone());
        }
        if !method(path).is_some_and(|method| method.read_only && method.unary) {
            return None;
        }
        let new = || Arc::new(Mutex::new(Pace::new(self.0.config, now())));
        Some(self.0.paces.write().entry(path.to_owned()).or_insert_with(new).clone())
    }
}

impl<S> Layer<S> for HedgeLayer {
    type Service = HedgeService<S>;

    fn layer(&self, inner: S) -> HedgeService<S> {
        HedgeService { inner, layer: self.clone() }
    }
}

/// See [`HedgeLayer`].
#[derive(Debug, Clone)]
pub struct HedgeService<S> {
    inner: S,
    layer: HedgeLayer,
}

impl<S> Service<Request<Body>> for HedgeService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Answer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let Some(pace) = self.layer.pace(request.uri().path()) else {
            return Box::pin(async move { inner.call(request).await.map_err(Into::into) });
        };
        let layer = self.layer.clone();
        let delay = pace.lock().on_call();
        Box::pin(async move {
            let began = now();
            let answer = match delay {
                Some(delay) => layer.hedge(inner, request, &pace, delay).await,
                None => inner.call(request).await.map_err(Into::into),
            };
            if is_good(&answer) {
                let at = now();
                pace.lock().on_answer(at, at.saturating_duration_since(began));
            }
            answer
        })
    }
}

impl HedgeLayer {
    async fn hedge<S>(
        &self,
        mut inner: S,
        request: Request<Body>,
        pace: &Mutex<Pace>,
        delay: Duration,
    ) -> Answer
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send,
        S::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let bytes = match buffer::read(body, BODY_LIMIT).await? {
            Buffered::Whole(bytes) => bytes,
            Buffered::Once(body) => {
                return inner.call(Request::from_parts(parts, body)).await.map_err(Into::into);
            }
        };
        let spare = inner.clone();
        let first = inner.call(Request::from_parts(parts.clone(), buffer::body(&bytes)));
        let first = Box::pin(async move { first.await.map_err(Into::into) });
        let first = match select(first, Box::pin(tokio::time::sleep(delay))).await {
            Either::Left((answer, _)) => return answer,
            Either::Right(((), first)) => first,
        };
        if !pace.lock().may_hedge() {
            return first.await;
        }
        self.0.observed.tell(&Event::Hedged { operation: parts.uri.path(), after: delay });
        let mut copy = Request::from_parts(parts, buffer::body(&bytes));
        copy.headers_mut().insert(ATTEMPTS_HEADER, HeaderValue::from_static("1"));
        let second = Box::pin(async move { spare.oneshot(copy).await.map_err(Into::into) });
        first_good(first, second).await
    }
}

/// The first good answer; when neither is good, the one that came last.
async fn first_good<A, B>(first: A, second: B) -> Answer
where
    A: Future<Output = Answer> + Unpin,
    B: Future<Output = Answer> + Unpin,
{
    match select(first, second).await {
        Either::Left((answer, other)) => {
            if is_good(&answer) {
                answer
            } else {
                other.await
            }
        }
        Either::Right((answer, other)) => {
            if is_good(&answer) {
                answer
            } else {
                other.await
            }
        }
    }
}

/// An answer that waiting for another one would not better.
fn is_good(answer: &Answer) -> bool {
    let Ok(response) = answer else { return false };
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    !matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tests::collecting;
    use tower::service_fn;

    const READ: &str = "/probity.spam.v1.SpamService/Classify";
    const WRITE: &str = "/probity.orchestrator.v1.CaseService/OpenCase";

    /// A peer whose n-th call takes and answers as told.
    #[derive(Clone)]
    struct Peer(Arc<Mutex<Vec<(u64, Code)>>>);

    impl Peer {
        async fn answer(self, request: Request<Body>) -> Answer {
            let (millis, code) = self.0.lock().remove(0);
            let copy = request.headers().contains_key(ATTEMPTS_HEADER);
            tokio::time::sleep(Duration::from_millis(millis)).await;
            let mut response = if code == Code::Ok {
                Response::new(Body::empty())
            } else {
                Status::new(code, "no").into_http()
            };
            response.headers_mut().insert("copy", HeaderValue::from(u16::from(copy)));
            Ok(response)
        }
    }

    /// A layer that has seen a hundred calls of 10 ms.
    async fn warm(observed: Observed) -> HedgeLayer {
        let layer = HedgeLayer::new(Config::default(), observed).unwrap();
        for _ in 0..100 {
            call(&layer, READ, &[(10, Code::Ok)]).await;
        }
        layer
    }

    /// Code, time in milliseconds, whether the copy answered, calls not made.
    async fn call(layer: &HedgeLayer, path: &str, script: &[(u64, Code)]) -> (Code, u128, bool, usize) {
        let peer = Peer(Arc::new(Mutex::new(script.to_vec())));
        let begun = tokio::time::Instant::now();
        let answering = peer.clone();
        let service = layer.layer(service_fn(move |request| answering.clone().answer(request)));
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = service.oneshot(request).await.unwrap();
        let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |s| s.code());
        let left = peer.0.lock().len();
        (code, begun.elapsed().as_millis(), response.headers()["copy"] == "1", left)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_read_is_sent_twice_and_the_first_good_answer_counts() {
        use Code::{NotFound, Ok, Unavailable};
        let (observed, seen) = collecting();
        let layer = warm(observed).await;
        let check = async |script: &[(u64, Code)], code, millis: u128, copy, left| {
            let got = call(&layer, READ, script).await;
            assert_eq!((got.0, got.2, got.3), (code, copy, left), "{script:?}");
            assert!(got.1.abs_diff(millis) <= 2, "{script:?}: {} ms", got.1);
        };
        check(&[(9, Ok), (1, Ok)], Ok, 9, false, 1).await;
        check(&[(900, Ok), (10, Ok)], Ok, 20, true, 0).await;
        check(&[(25, Ok), (900, Ok)], Ok, 25, false, 0).await;
        check(&[(900, Ok), (10, NotFound)], NotFound, 20, true, 0).await;
        check(&[(50, Ok), (10, Unavailable)], Ok, 50, false, 0).await;
        check(&[(30, Unavailable), (40, Ok)], Ok, 50, true, 0).await;
        check(&[(5, Unavailable), (1, Ok)], Unavailable, 5, false, 1).await;
        assert_eq!(seen.lock().len(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn only_reads_are_hedged_and_only_so_many() {
        let layer = warm(Observed::default()).await;
        let slow = [(900, Code::Ok), (10, Code::Ok)];
        assert_eq!(call(&layer, WRITE, &slow).await, (Code::Ok, 900, false, 1));
        let mut hedged = 0;
        for _ in 0..50 {
            hedged += u32::from(call(&layer, READ, &slow).await.2);
        }
        assert!((10..=15).contains(&hedged), "{hedged}: ten were saved up, then one in ten calls");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_hedged_before_times_are_known() {
        let layer = HedgeLayer::new(Config::default(), Observed::default()).unwrap();
        assert_eq!(call(&layer, READ, &[(900, Code::Ok), (10, Code::Ok)]).await, (Code::Ok, 900, false, 1));
    }
}
