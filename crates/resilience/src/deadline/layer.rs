//! The layer that sets, tells and enforces deadlines.

use super::body::DeadlineBody;
use super::{Deadline, earliest, wire};
use crate::methods::is_unary;
use futures::future::BoxFuture;
use http::{Request, Response};
use probity_proto::BoxError;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// The longest a call may take when its caller allows more, or says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For one message in, one message out.
    pub unary: Duration,
    /// For streams; `None` leaves it to the caller, as an upload over a slow line
    /// or a watch takes as long as it takes.
    pub stream: Option<Duration>,
}

/// Gives every call a deadline: the earliest of the own limit, the caller's
/// `grpc-timeout` and the deadline of the call being answered.
///
/// It is the same on both sides. A client tells its peer what is left in
/// `grpc-timeout`; both end the call with DEADLINE_EXCEEDED when it is over, so
/// a peer in the same process, which no connection bounds, is bounded too. The
/// deadline is current for the work inside and rides as a request extension.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer {
    limits: Limits,
    side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl DeadlineLayer {
    /// For calls this process makes.
    #[must_use]
    pub const fn client(limits: Limits) -> Self {
        Self { limits, side: Side::Client }
    }

    /// For calls this process answers.
    #[must_use]
    pub const fn server(limits: Limits) -> Self {
        Self { limits, side: Side::Server }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> DeadlineService<S> {
        DeadlineService { inner, layer: *self }
    }
}

/// See [`DeadlineLayer`].
#[derive(Debug, Clone)]
pub struct DeadlineService<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S> Service<Request<Body>> for DeadlineService<S>
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.layer.prepare(&mut request) {
            Err(status) => answer(&status),
            Ok(None) => {
                let answer = self.inner.call(request);
                Box::pin(async move { answer.await.map_err(Into::into) })
            }
            Ok(Some(deadline)) if deadline.is_over() => answer(&exceeded()),
            Ok(Some(deadline)) => {
                let answer = deadline.enter(|| self.inner.call(request));
                Box::pin(deadline.scope(async move {
                    match tokio::time::timeout_at(deadline.at(), answer).await {
                        Ok(Ok(response)) => Ok(response.map(|body| DeadlineBody::wrap(body, deadline))),
                        Ok(Err(error)) => Err(error.into()),
                        Err(_) => Ok(exceeded().into_http()),
                    }
                }))
            }
        }
    }
}

impl DeadlineLayer {
    /// Finds the deadline of a call and writes it on the request.
    fn prepare(self, request: &mut Request<Body>) -> Result<Option<Deadline>, Status> {
        let told = match wire::read(request.headers()) {
            wire::Told::Nothing => None,
            wire::Told::Within(timeout) => Some(Deadline::within(timeout)),
            wire::Told::Malformed => return Err(malformed()),
        };
        let unary = is_unary(request.uri().path());
        let own = if unary { Some(self.limits.unary) } else { self.limits.stream };
        // A server inherits from its caller by the header alone: one in the same
        // process is called from a task that answers another call.
        let outer = if self.side == Side::Client { Deadline::current() } else { None };
        let Some(deadline) = earliest([own.map(Deadline::within), told, outer]) else { return Ok(None) };
        if self.side == Side::Client {
            wire::write(request.headers_mut(), deadline.remaining());
        }
        request.extensions_mut().insert(deadline);
        Ok(Some(deadline))
    }
}

fn answer(status: &Status) -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
    let response = status.clone().into_http();
    Box::pin(async move { Ok(response) })
}

/// The status of a call that ran out of time.
pub(super) fn exceeded() -> Status {
    Status::deadline_exceeded("the time allowed for this call is over; allow more, or ask for less")
}

fn malformed() -> Status {
    Status::invalid_argument(
        "grpc-timeout is malformed; write at most eight digits and a unit, such as 250m or 30S",
    )
}

#[cfg(test)]
mod tests;
