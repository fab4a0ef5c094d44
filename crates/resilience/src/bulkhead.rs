//! A bulkhead: so many calls to one peer at once, a few more that wait for a
//! short while, and the rest refused, so that one slow peer cannot take every
//! task and all memory of its callers (Nygard, *Release It!*, 2007).
//!
//! A call holds its seat until its answer has been read. A stream gives it back
//! at the head of its answer: people who watch a case must not keep others from
//! opening one, and streams are bounded by the connection.

use crate::Deadline;
use crate::invalid::{Invalid, within};
use crate::methods::is_unary;
use crate::observe::{Event, Observed};
use crate::refusal::Refusal;
use crate::watched::watch;
use futures::future::BoxFuture;
use http::{Request, Response};
use pin_project_lite::pin_project;
use probity_proto::BoxError;
use serde::{Deserialize, Serialize};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tower::{Layer, Service, ServiceExt as _};

/// How many calls may be under way and wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Calls at once; 1 to 100,000.
    pub max_concurrent: usize,
    /// Calls that may wait for a seat; 0 to 100,000.
    pub max_waiting: usize,
    /// How long one may wait, in milliseconds; 0 to 60,000.
    pub max_wait_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_concurrent: 256, max_waiting: 256, max_wait_ms: 500 }
    }
}

impl Config {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("max_concurrent", self.max_concurrent, 1..=100_000)?;
        within("max_waiting", self.max_waiting, 0..=100_000)?;
        within("max_wait_ms", self.max_wait_ms, 0..=60_000)
    }
}

/// A bulkhead; see the [module](self). Clones share the seats.
#[derive(Debug, Clone)]
pub struct Bulkhead(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    config: Config,
    seats: Arc<Semaphore>,
    waiting: AtomicUsize,
    refused: AtomicU64,
    observed: Observed,
}

/// A seat; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives the seat back"]
pub struct Seat(#[allow(dead_code)] OwnedSemaphorePermit); // held for its Drop

/// How a bulkhead stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Calls under way.
    pub in_flight: usize,
    /// Calls that wait.
    pub waiting: usize,
    /// Calls it refused.
    pub refused_total: u64,
}

impl Bulkhead {
    /// A bulkhead with all seats free.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub fn new(name: impl Into<Arc<str>>, config: Config, observed: Observed) -> Result<Self, Invalid> {
        config.validate()?;
        let seats = Arc::new(Semaphore::new(config.max_concurrent));
        let (waiting, refused) = (AtomicUsize::new(0), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { name: name.into(), config, seats, waiting, refused, observed })))
    }

    /// A seat, if one is free now.
    pub fn try_enter(&self) -> Option<Seat> {
        self.0.seats.clone().try_acquire_owned().ok().map(Seat)
    }

    /// Waits for a seat, first come, first served; never past the deadline of
    /// the current call.
    ///
    /// # Errors
    /// [`Refusal::BulkheadFull`] when too many wait already, or it took too long.
    pub async fn enter(&self) -> Result<Seat, Refusal> {
        if let Some(seat) = self.try_enter() {
            return Ok(seat);
        }
        let Some(_waiting) = Waiting::join(&self.0) else { return Err(self.refuse()) };
        let most = Duration::from_millis(self.0.config.max_wait_ms);
        let wait = Deadline::current().map_or(most, |deadline| deadline.remaining().min(most));
        match tokio::time::timeout(wait, self.0.seats.clone().acquire_owned()).await {
            Ok(Ok(seat)) => Ok(Seat(seat)),
            _ => Err(self.refuse()),
        }
    }

    /// How it stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            in_flight: self.0.config.max_concurrent.saturating_sub(self.0.seats.available_permits()),
            waiting: self.0.waiting.load(Ordering::Relaxed),
            refused_total: self.0.refused.load(Ordering::Relaxed),
        }
    }

    fn refuse(&self) -> Refusal {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        let refusal =
            Refusal::BulkheadFull { name: self.0.name.clone(), limit: self.0.config.max_concurrent };
        self.0.observed.tell(&Event::Refused { name: &self.0.name, code: refusal.code() });
        refusal
    }
}

/// A place in the queue, given back on drop.
struct Waiting<'a>(&'a Inner);

impl<'a> Waiting<'a> {
    fn join(inner: &'a Inner) -> Option<Self> {
        let room = |waiting| (waiting < inner.config.max_waiting).then_some(waiting + 1);
        inner.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok().map(|_| Self(inner))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets only so many calls through at once.
#[derive(Debug, Clone)]
pub struct BulkheadLayer(Bulkhead);

impl BulkheadLayer {
    /// A layer with the seats of `bulkhead`.
    #[must_use]
    pub const fn new(bulkhead: Bulkhead) -> Self {
        Self(bulkhead)
    }
}

impl<S> Layer<S> for BulkheadLayer {
    type Service = BulkheadService<S>;

    fn layer(&self, inner: S) -> BulkheadService<S> {
        BulkheadService { inner, bulkhead: self.0.clone() }
    }
}

/// See [`BulkheadLayer`].
#[derive(Debug, Clone)]
pub struct BulkheadService<S> {
    inner: S,
    bulkhead: Bulkhead,
}

impl<S> Service<Request<Body>> for BulkheadService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BulkheadFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let streams = !is_unary(request.uri().path());
        if let Some(seat) = self.bulkhead.try_enter() {
            let answer = self.inner.call(request);
            return BulkheadFuture { state: State::Seated { answer, seat: Some(seat), streams } };
        }
        let (inner, bulkhead) = (self.inner.clone(), self.bulkhead.clone());
        let answer: BoxFuture<'static, Result<Response<Body>, BoxError>> = Box::pin(async move {
            match bulkhead.enter().await {
                Ok(seat) => {
                    let response = inner.oneshot(request).await.map_err(Into::into)?;
                    Ok(seated(response, Some(seat), streams))
                }
                Err(refusal) => Ok(refusal.into_response()),
            }
        });
        BulkheadFuture { state: State::Waiting { answer } }
    }
}

pin_project! {
    /// The answer to a call that a [`BulkheadService`] gave a seat.
    pub struct BulkheadFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F> {
        Seated {
            #[pin]
            answer: F,
            seat: Option<Seat>,
            streams: bool,
        },
        Waiting { answer: BoxFuture<'static, Result<Response<Body>, BoxError>> },
    }
}

impl<F, E> Future for BulkheadFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<Body>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Waiting { answer } => answer.as_mut().poll(cx),
            Projected::Seated { answer, seat, streams } => {
                let answer = ready!(answer.poll(cx)).map_err(Into::into);
                let seat = seat.take();
                Poll::Ready(answer.map(|response| seated(response, seat, *streams)))
            }
        }
    }
}

fn seated(response: Response<Body>, seat: Option<Seat>, streams: bool) -> Response<Body> {
    if streams { response } else { watch(response, move |_end| drop(seat)) }
}

#[cfg(test)]
mod tests;
