//! The layer that repeats gRPC calls.

use super::buffer::{self, Buffered};
use super::classify::{Retryable as _, Verdict};
use super::{Attempts, Policy};
use crate::Deadline;
use crate::deadline::write_timeout;
use crate::methods::is_unary;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, request};
use probity_proto::{BoxError, access};
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

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Repeats a unary call that failed for a while, when a second one does no harm:
/// the contract says the method has no side effects, or it says the method is
/// idempotent and the call carries an `idempotency-key`. Everything else passes
/// through once.
#[derive(Debug, Clone, Copy)]
pub struct RetryLayer {
    policy: Policy,
    attempt_timeout: Option<Duration>,
}

impl RetryLayer {
    /// A layer that follows `policy`.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self { policy, attempt_timeout: None }
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
        RetryService { inner, layer: *self }
    }
}

/// See [`RetryLayer`].
#[derive(Debug, Clone)]
pub struct RetryService<S> {
    inner: S,
    layer: RetryLayer,
}

impl<S> Service<Request<Body>> for RetryService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The service that was polled ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer;
        if layer.policy.max_attempts < 2 || !may_repeat(&request) {
            return Box::pin(async move { inner.call(request).await.map_err(Into::into) });
        }
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            match buffer::read(body, BODY_LIMIT).await? {
                Buffered::Once(body) => {
                    inner.call(Request::from_parts(parts, body)).await.map_err(Into::into)
                }
                Buffered::Whole(bytes) => layer.repeat(inner, &parts, &bytes).await,
            }
        })
    }
}

fn may_repeat(request: &Request<Body>) -> bool {
    let path = request.uri().path();
    let harmless = access::method(path).is_some_and(|method| {
        method.read_only || (method.repeatable && request.headers().contains_key(IDEMPOTENCY_KEY))
    });
    harmless && is_unary(path)
}

impl RetryLayer {
    async fn repeat<S>(
        self,
        mut inner: S,
        parts: &request::Parts,
        body: &Bytes,
    ) -> Result<Response<Body>, BoxError>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Error: Into<BoxError>,
    {
        let deadline = parts.extensions.get::<Deadline>().copied().or_else(Deadline::current);
        let mut attempts = Attempts::new(self.policy, deadline);
        loop {
            let mut request = Request::from_parts(parts.clone(), buffer::body(body));
            self.mark(request.headers_mut(), attempts.number, deadline);
            let result = self.attempt(&mut inner, request).await;
            let Some(wait) = attempts.after(verdict(&result)) else { return result };
            tracing::debug!(path = parts.uri.path(), attempt = attempts.number, ?wait, "trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Writes the attempt and what is left of the time on a request.
    fn mark(self, headers: &mut HeaderMap, attempt: u32, deadline: Option<Deadline>) {
        if attempt > 1 {
            headers.insert(ATTEMPTS_HEADER, HeaderValue::from(attempt - 1));
        }
        let left = deadline.map(Deadline::remaining);
        if let Some(timeout) = [left, self.attempt_timeout].into_iter().flatten().min() {
            write_timeout(headers, timeout);
        }
    }

    async fn attempt<S>(self, inner: &mut S, request: Request<Body>) -> Result<Response<Body>, BoxError>
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

/// Whether to try again. A failure of the transport itself means the peer was
/// not reached or lost on the way.
fn verdict(result: &Result<Response<Body>, BoxError>) -> Verdict {
    match result {
        Ok(response) => {
            Status::from_header_map(response.headers()).map_or(Verdict::Final, |status| status.verdict())
        }
        Err(error) => error.downcast_ref::<Status>().map_or(Verdict::Retry, super::Retryable::verdict),
    }
}

#[cfg(test)]
mod tests;
