//! The layer that sets, tells and enforces deadlines.

use super::body::DeadlineBody;
use super::{Deadline, earliest, wire};
use crate::methods::is_unary;
use http::{Request, Response};
use pin_project_lite::pin_project;
use probity_proto::BoxError;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::{Instant, Sleep};
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
/// deadline is current for the work inside; on a server it rides as a request
/// extension too.
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
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let now = Instant::now();
        let state = match self.layer.prepare(&mut request, now) {
            Err(status) => State::Refused { status: Some(status) },
            Ok(None) => State::Free { answer: self.inner.call(request) },
            Ok(Some(deadline)) if deadline.left_at(now).is_zero() => {
                State::Refused { status: Some(exceeded()) }
            }
            Ok(Some(deadline)) => {
                let answer = deadline.enter(|| self.inner.call(request));
                State::Bounded { answer: Some(deadline.around(answer)), timer: None, deadline }
            }
        };
        DeadlineFuture { state }
    }
}

pin_project! {
    /// The answer to a call that a [`DeadlineService`] bounds.
    pub struct DeadlineFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F> {
        Refused { status: Option<Status> },
        Free {
            #[pin]
            answer: F,
        },
        Bounded {
            #[pin]
            answer: Option<TaskLocalFuture<Deadline, F>>,
            // Armed when the answer is not there at once.
            timer: Option<Pin<Box<Sleep>>>,
            deadline: Deadline,
        },
    }
}

impl<F, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<Body>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Refused { status } => {
                Poll::Ready(Ok(status.take().unwrap_or_else(exceeded).into_http()))
            }
            Projected::Free { answer } => answer.poll(cx).map_err(Into::into),
            Projected::Bounded { mut answer, timer, deadline } => {
                if let Some(answer) = answer.as_mut().as_pin_mut()
                    && let Poll::Ready(answer) = answer.poll(cx)
                {
                    let bounded = |body| DeadlineBody::wrap(body, *deadline);
                    return Poll::Ready(answer.map(|response| response.map(bounded)).map_err(Into::into));
                }
                let at = deadline.at();
                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
                // Work that uses up its share of the thread must not keep the timer from being seen.
                ready!(pin!(tokio::task::coop::unconstrained(timer.as_mut())).poll(cx));
                answer.set(None); // which cancels the work
                Poll::Ready(Ok(exceeded().into_http()))
            }
        }
    }
}

impl DeadlineLayer {
    /// Finds the deadline of a call that begins now and writes it on the request.
    fn prepare(self, request: &mut Request<Body>, now: Instant) -> Result<Option<Deadline>, Status> {
        let told = match wire::read(request.headers()) {
            wire::Told::Nothing => None,
            wire::Told::Within(timeout) => Some(Deadline::after(now, timeout)),
            wire::Told::Malformed => return Err(malformed()),
        };
        let unary = is_unary(request.uri().path());
        let own = if unary { Some(self.limits.unary) } else { self.limits.stream };
        let own = own.map(|limit| Deadline::after(now, limit));
        // A server inherits from its caller by the header alone: one in the same
        // process is called from a task that answers another call.
        let outer = if self.side == Side::Client { Deadline::current() } else { None };
        let Some(deadline) = earliest([own, told, outer]) else { return Ok(None) };
        if self.side == Side::Client {
            wire::write(request.headers_mut(), deadline.left_at(now));
        }
        // A request that is passed on may carry the one of its caller.
        if self.side == Side::Server || request.extensions().get::<Deadline>().is_some() {
            request.extensions_mut().insert(deadline);
        }
        Ok(Some(deadline))
    }
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
