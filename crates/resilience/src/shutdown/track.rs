//! Counts calls until the last byte of their answer.

use super::{Shutdown, State};
use crate::refusal::Refusal;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use probity_proto::BoxError;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// A piece of work that must finish; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the count"]
pub struct InFlight(#[allow(dead_code)] TaskTrackerToken); // held for its Drop

impl InFlight {
    pub(super) const fn new(token: TaskTrackerToken) -> Self {
        Self(token)
    }
}

/// Counts every call a process answers as in flight, and refuses calls once it
/// has stopped. Outermost on the server side.
///
/// Calls are still answered while draining: whoever sends one has not heard yet that
/// this process ends, and a call in flight needs the services next to it. New
/// connections are kept away by the listener.
#[derive(Clone)]
pub struct TrackLayer {
    shutdown: Shutdown,
}

impl TrackLayer {
    /// A layer that counts for `shutdown`.
    #[must_use]
    pub const fn new(shutdown: Shutdown) -> Self {
        Self { shutdown }
    }
}

impl<S> Layer<S> for TrackLayer {
    type Service = TrackService<S>;

    fn layer(&self, inner: S) -> TrackService<S> {
        TrackService { inner, layer: self.clone() }
    }
}

/// See [`TrackLayer`].
#[derive(Clone)]
pub struct TrackService<S> {
    inner: S,
    layer: TrackLayer,
}

impl<S> Service<Request<Body>> for TrackService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shutdown = &self.layer.shutdown;
        if shutdown.state() == State::Stopped {
            return Box::pin(async move { Ok(Refusal::Stopping.into_response()) });
        }
        let guard = shutdown.track();
        let end = shutdown.0.end_streams.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await.map_err(Into::into)?;
            Ok(response.map(|body| Tracked::wrap(body, guard, end)))
        })
    }
}

/// A body that counts as in flight, and that ends when streams shall end.
struct Tracked {
    inner: Option<Body>,
    _guard: InFlight,
    end: CancellationToken,
    ending: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Tracked {
    fn wrap(inner: Body, guard: InFlight, end: CancellationToken) -> Body {
        if inner.is_end_stream() {
            return inner;
        }
        Body::new(Self { inner: Some(inner), _guard: guard, end, ending: None })
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        // Only a body that makes its reader wait is ended early: a download that
        // flows may finish.
        let end = &this.end;
        let ending = this.ending.get_or_insert_with(|| Box::pin(end.clone().cancelled_owned()));
        std::task::ready!(ending.as_mut().poll(cx));
        this.inner = None;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(
            Refusal::Stopping.status().add_header(&mut trailers).map(|()| Frame::trailers(trailers)),
        ))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
