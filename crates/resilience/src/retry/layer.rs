//! The layer that repeats gRPC calls.

use super::buffer::{self, Buffered};
use super::classify::Verdict;
use super::{Attempts, Budget, Policy, ServiceConfig, has_stopped, of_status_with};
use crate::Deadline;
use crate::deadline::{TIMEOUT_HEADER, earliest, write_timeout};
use crate::methods::method;
use crate::observe::{Event, Observed};
use crate::refusal::Refusal;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, request};
use pin_project_lite::pin_project;
use probity_proto::BoxError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service, ServiceExt as _};

/// The largest request that is kept for another attempt; a larger one is sent
/// once.
pub const BODY_LIMIT: usize = 1 << 20;

/// Tells the callee how many attempts came before this one.
pub const ATTEMPTS_HEADER: &str = "grpc-previous-rpc-attempts";

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Repeats a unary call that failed for a while, when a second one does no harm:
/// the contract says the method has no side effects, or it says the method is
/// idempotent and the call carries an `idempotency-key`. Everything else passes
/// through once.
#[derive(Debug, Clone)]
pub struct RetryLayer {
    policy: Policy,
    attempt_timeout: Option<Duration>,
    budget: Option<Arc<Budget>>,
    config: Option<Arc<ServiceConfig>>,
    observed: Observed,
}

impl RetryLayer {
    /// A layer that follows `policy`.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let observed = Observed::default();
        Self { policy, attempt_timeout: None, budget: None, config: None, observed }
    }

    /// Stops trying again while a budget is used up. One budget for each peer.
    #[must_use]
    pub fn with_budget(mut self, budget: Arc<Budget>) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Follows a service config for the methods it names with a `retryPolicy`.
    #[must_use]
    pub fn with_service_config(mut self, config: Arc<ServiceConfig>) -> Self {
        self.config = Some(config);
        self
    }

    /// Tells an observer of each repetition and of each that the budget forbids.
    #[must_use]
    pub fn with_observer(mut self, observed: Observed) -> Self {
        self.observed = observed;
        self
    }

    /// Ends an attempt after `timeout`, so that one lost answer does not use up
    /// the time of the whole call. Only for calls that may be repeated.
    #[must_use]
    pub const fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = RetryService<S>;

    fn layer(&self, inner: S) -> RetryService<S> {
        RetryService { inner, layer: Arc::new(self.clone()) }
    }
}

/// See [`RetryLayer`].
#[derive(Debug, Clone)]
pub struct RetryService<S> {
    inner: S,
    layer: Arc<RetryLayer>,
}

impl<S> Service<Request<Body>> for RetryService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = RetryFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let policy = self.layer.policy_of(request.uri().path());
        let keyed = || request.headers().contains_key(&IDEMPOTENCY_KEY);
        if policy.max_attempts < 2 || !may_repeat(request.uri().path(), keyed) {
            return RetryFuture { state: State::Once { answer: self.inner.call(request) } };
        }
        // The service that was polled ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        let answer: BoxFuture<'static, Result<Response<Body>, BoxError>> = Box::pin(async move {
            let (parts, body) = request.into_parts();
            match buffer::read(body, BODY_LIMIT).await? {
                Buffered::Once(body) => {
                    inner.call(Request::from_parts(parts, body)).await.map_err(Into::into)
                }
                Buffered::Whole(bytes) => layer.repeat(policy, inner, &parts, &bytes).await,
            }
        });
        RetryFuture { state: State::Repeated { answer } }
    }
}

pin_project! {
    /// The answer to a call that a [`RetryService`] repeats where it may.
    pub struct RetryFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F> {
        Once {
            #[pin]
            answer: F,
        },
        // The one box of a stack: what is inside is as large as all layers below.
        Repeated { answer: BoxFuture<'static, Result<Response<Body>, BoxError>> },
    }
}

impl<F, E> Future for RetryFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<Body>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Once { answer } => answer.poll(cx).map_err(Into::into),
            Projected::Repeated { answer } => answer.as_mut().poll(cx),
        }
    }
}

/// Whether a call may be sent again although nobody knows what became of it: its
/// contract says so, for one that changes something only with an idempotency key.
#[must_use]
pub fn may_repeat(path: &str, keyed: impl FnOnce() -> bool) -> bool {
    let Some(method) = method(path) else { return false };
    method.unary && (method.read_only || (method.repeatable && keyed()))
}

impl RetryLayer {
    fn policy_of(&self, path: &str) -> Policy {
        let named = self.config.as_ref().and_then(|config| config.method(path)?.retry);
        named.unwrap_or(self.policy)
    }

    async fn repeat<S>(
        &self,
        policy: Policy,
        mut inner: S,
        parts: &request::Parts,
        body: &Bytes,
    ) -> Result<Response<Body>, BoxError>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Error: Into<BoxError>,
    {
        let deadline = parts.extensions.get::<Deadline>().copied().or_else(Deadline::current);
        let mut attempts = Attempts::new(policy, deadline);
        let operation = parts.uri.path();
        loop {
            let mut request = Request::from_parts(parts.clone(), buffer::body(body));
            self.mark(request.headers_mut(), attempts.number, deadline);
            if let Some(timeout) = self.attempt_timeout {
                let own = Some(Deadline::within(timeout));
                if let Some(earliest) = earliest([own, deadline]) {
                    request.extensions_mut().insert(earliest);
                }
            }
            let result = self.attempt(&mut inner, request).await;
            let attempt = attempts.number;
            let Some(wait) = self.after(&mut attempts, policy, &result, operation) else { return result };
            tracing::debug!(path = operation, attempt, ?wait, "trying again");
            self.observed.tell(&Event::Retrying { operation, attempt, wait });
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait for the next attempt. What a layer inside refused has not
    /// reached the peer and costs no token; nor does what an instance refused that has
    /// stopped, which is no trouble of the peer.
    fn after(
        &self,
        attempts: &mut Attempts,
        policy: Policy,
        result: &Result<Response<Body>, BoxError>,
        operation: &str,
    ) -> Option<Duration> {
        let refused =
            result.as_ref().is_ok_and(|response| Refusal::of(response).is_some() || stopped(response));
        let budget = self.budget.as_deref().filter(|_| !refused);
        let verdict = verdict(result, policy);
        let wait = attempts.after(verdict, budget);
        if wait.is_none() && verdict != Verdict::Final && budget.is_some_and(|budget| !budget.allows()) {
            self.observed.tell(&Event::BudgetExhausted { operation });
        }
        wait
    }

    /// Writes the attempt and what is left of the time on a request.
    fn mark(&self, headers: &mut HeaderMap, attempt: u32, deadline: Option<Deadline>) {
        if attempt > 1 {
            headers.insert(ATTEMPTS_HEADER, HeaderValue::from(attempt - 1));
        }
        if attempt == 1 && self.attempt_timeout.is_none() && headers.contains_key(&TIMEOUT_HEADER) {
            return; // the deadline layer has just written it
        }
        let left = deadline.map(Deadline::remaining);
        if let Some(timeout) = [left, self.attempt_timeout].into_iter().flatten().min() {
            write_timeout(headers, timeout);
        }
    }

    async fn attempt<S>(&self, inner: &mut S, request: Request<Body>) -> Result<Response<Body>, BoxError>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Error: Into<BoxError>,
    {
        let answer =
            async { inner.ready().await.map_err(Into::into)?.call(request).await.map_err(Into::into) };
        match self.attempt_timeout {
            None => answer.await,
            Some(timeout) => tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
                Ok(Status::unavailable("the peer did not answer this attempt in time; trying again may help")
                    .into_http())
            }),
        }
    }
}

fn stopped(response: &Response<Body>) -> bool {
    Status::from_header_map(response.headers()).is_some_and(|status| has_stopped(&status))
}

/// Whether to try again. A failure of the transport itself means the peer was
/// not reached or lost on the way.
fn verdict(result: &Result<Response<Body>, BoxError>, policy: Policy) -> Verdict {
    match result {
        Ok(response) => Status::from_header_map(response.headers())
            .map_or(Verdict::Final, |status| of_status_with(&status, policy.codes)),
        Err(error) => error
            .downcast_ref::<Status>()
            .map_or(Verdict::Retry, |status| of_status_with(status, policy.codes)),
    }
}

#[cfg(test)]
mod tests;
