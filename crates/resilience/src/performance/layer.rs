//! The layer that measures calls.

use super::Performance;
use crate::methods::named;
use crate::time::now;
use crate::watched::{of_head, watch};
use http::{Request, Response};
use pin_project_lite::pin_project;
use probity_proto::BoxError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};

/// What is not in the contracts is counted together: a path is a caller's choice.
const UNKNOWN: &str = "unknown";

/// Measures calls to a provider by method: one message in and out to its last
/// byte, a stream to the head of its answer.
#[derive(Debug, Clone)]
pub struct MeasureLayer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    performance: Performance,
    provider: Arc<str>,
}

impl MeasureLayer {
    /// A layer that records calls to `provider`.
    #[must_use]
    pub fn new(performance: Performance, provider: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(Inner { performance, provider: provider.into() }))
    }
}

/// A call under way. One that is given up, as a deadline does, counts as failed.
struct Measured {
    layer: MeasureLayer,
    operation: &'static str,
    unary: bool,
    began: Instant,
    code: Code,
}

impl Measured {
    fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let (now, Inner { performance, provider }) = (now(), &*self.layer.0);
        let took = now.saturating_duration_since(self.began);
        performance.record_at(now, self.operation, provider, took, self.code == Code::Ok);
    }
}

impl<S> Layer<S> for MeasureLayer {
    type Service = MeasureService<S>;

    fn layer(&self, inner: S) -> MeasureService<S> {
        MeasureService { inner, layer: self.clone() }
    }
}

/// See [`MeasureLayer`].
#[derive(Debug, Clone)]
pub struct MeasureService<S> {
    inner: S,
    layer: MeasureLayer,
}

impl<S> Service<Request<Body>> for MeasureService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = MeasureFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let known = named(request.uri().path());
        let (operation, unary) = known.map_or((UNKNOWN, false), |(path, method)| (path, method.unary));
        let layer = self.layer.clone();
        let measured = Some(Measured { layer, operation, unary, began: now(), code: Code::Cancelled });
        MeasureFuture { answer: self.inner.call(request), measured }
    }
}

pin_project! {
    /// The answer to a call that a [`MeasureService`] measures.
    pub struct MeasureFuture<F> {
        #[pin]
        answer: F,
        measured: Option<Measured>,
    }
}

impl<F, E> Future for MeasureFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<Body>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(cx)).map_err(Into::into);
        Poll::Ready(match (answer, this.measured.take()) {
            (Ok(response), Some(measured)) => Ok(measured.head(response)),
            (Err(error), Some(measured)) => {
                measured.end(Code::Unavailable);
                Err(error)
            }
            (answer, None) => answer,
        })
    }
}

impl Measured {
    fn head(self, response: Response<Body>) -> Response<Body> {
        match of_head(&response) {
            Some(end) => self.end(end.code()),
            None if self.unary => return watch(response, move |end| self.end(end.code())),
            None => self.end(Code::Ok),
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Observed;
    use crate::performance::Config;
    use std::time::Duration;
    use tonic::Status;
    use tower::{ServiceExt as _, service_fn};

    #[tokio::test(start_paused = true)]
    async fn calls_are_recorded_by_method() {
        let performance = Performance::new(Config::default(), Observed::default()).unwrap();
        let layer = MeasureLayer::new(performance.clone(), "spam-detection");
        let call = async |path: &str, code: Code, millis| {
            let peer = service_fn(move |_request: Request<Body>| async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                match code {
                    Code::Ok => Ok(Response::new(Body::empty())),
                    Code::Unavailable => Err(BoxError::from("refused")),
                    code => Ok(Status::new(code, "no").into_http()),
                }
            });
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let _ = layer.layer(peer).oneshot(request).await;
        };
        let method = "/probity.spam.v1.SpamService/Classify";
        call(method, Code::Ok, 20).await;
        call(method, Code::Internal, 20).await;
        call(method, Code::Unavailable, 20).await;
        let given_up = tokio::time::timeout(Duration::from_millis(20), call(method, Code::Ok, 900)).await;
        assert!(given_up.is_err());
        call("/made.up/By-a-caller", Code::Ok, 1).await;
        let all = performance.summaries();
        let got: Vec<_> = all.iter().map(|s| (s.operation.as_str(), s.total, s.failed_total)).collect();
        assert_eq!(got, [(method, 4, 3), (UNKNOWN, 1, 0)]);
        assert!(all[0].p50.abs_diff(Duration::from_millis(20)) < Duration::from_millis(1));
    }
}
