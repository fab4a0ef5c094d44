//! The layer that keeps a gRPC server from carrying a request out twice.

use super::key::MAX_KEY;
use super::{Error, Fingerprint, Guard, Key, Store};
use crate::methods::method;
use crate::retry::BODY_LIMIT;
use crate::retry::buffer::{self, Buffered};
use crate::watched::{End, of_head};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use probity_proto::BoxError;
use std::collections::HashMap;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service, ServiceExt as _};

/// The header of the key.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Whose request it is: the tenant of a call, from its verified caller.
pub type ScopeOf = fn(&request::Parts) -> Option<String>;

/// Answers a unary call with a key it has seen with the answer it gave then.
///
/// For methods whose contract says IDEMPOTENT and that do not keep their answer
/// in the transaction of their effect themselves. A call without a key, or
/// without a tenant, passes. Only answers that are OK are kept; a failure may be
/// tried again. Requests and answers over 1 MiB pass unkept.
pub struct IdempotencyLayer<S> {
    guard: Guard<S>,
    tenant: ScopeOf,
    only: Option<&'static [&'static str]>,
}

impl<S> Clone for IdempotencyLayer<S> {
    fn clone(&self) -> Self {
        Self { guard: self.guard.clone(), tenant: self.tenant, only: self.only }
    }
}

impl<S: Store> IdempotencyLayer<S> {
    /// A layer over a guard; `tenant` says whose a call is.
    #[must_use]
    pub const fn new(guard: Guard<S>, tenant: ScopeOf) -> Self {
        Self { guard, tenant, only: None }
    }

    /// Its guard.
    #[must_use]
    pub const fn guard(&self) -> &Guard<S> {
        &self.guard
    }

    /// Only calls of these methods, by their paths; others pass.
    #[must_use]
    pub const fn only(mut self, methods: &'static [&'static str]) -> Self {
        self.only = Some(methods);
        self
    }
}

impl<S: Store, I> Layer<I> for IdempotencyLayer<S> {
    type Service = IdempotencyService<S, I>;

    fn layer(&self, inner: I) -> IdempotencyService<S, I> {
        IdempotencyService { inner, layer: self.clone() }
    }
}

/// See [`IdempotencyLayer`].
pub struct IdempotencyService<S, I> {
    inner: I,
    layer: IdempotencyLayer<S>,
}

impl<S, I: Clone> Clone for IdempotencyService<S, I> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S, I> Service<Request<Body>> for IdempotencyService<S, I>
where
    S: Store,
    I: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    I::Error: Into<BoxError>,
    I::Future: Send,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let key = match layer.key(&parts) {
                Ok(Some(key)) => key,
                Ok(None) => return inner.call(Request::from_parts(parts, body)).await.map_err(Into::into),
                Err(status) => return Ok(status.into_http()),
            };
            match buffer::read(body, BODY_LIMIT).await? {
                Buffered::Whole(bytes) => layer.once(inner, parts, bytes, key).await,
                Buffered::Once(body) => {
                    inner.call(Request::from_parts(parts, body)).await.map_err(Into::into)
                }
            }
        })
    }
}

/// How a run ended that is not kept.
enum Unkept {
    Answer(Box<Response<Body>>),
    Broken(BoxError),
}

impl<S: Store> IdempotencyLayer<S> {
    fn key(&self, parts: &request::Parts) -> Result<Option<Key>, Status> {
        let path = parts.uri.path();
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        let wanted = self.only.is_none_or(|methods| methods.contains(&path));
        let kept = method(path).is_some_and(|method| method.unary && method.repeatable && !method.read_only);
        let kept = kept && wanted;
        let Some(tenant) = (self.tenant)(parts).filter(|_| kept) else { return Ok(None) };
        let key = value.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
        let key = key.ok_or_else(|| {
            Status::invalid_argument(format!(
                "{IDEMPOTENCY_KEY} must be 1 to {MAX_KEY} visible ASCII characters"
            ))
        })?;
        Ok(Some(Key { tenant, operation: path.to_owned(), key: key.to_owned() }))
    }

    async fn once<I>(
        &self,
        inner: I,
        parts: request::Parts,
        bytes: Bytes,
        key: Key,
    ) -> Result<Response<Body>, BoxError>
    where
        I: Service<Request<Body>, Response = Response<Body>> + Send,
        I::Error: Into<BoxError>,
    {
        let fingerprint = Fingerprint::of(&bytes);
        let request = Request::from_parts(parts, buffer::body(&bytes));
        let run = || async {
            let response = inner.oneshot(request).await.map_err(|e| Unkept::Broken(e.into()))?;
            message_of(response).await
        };
        match self.guard.run(key, fingerprint, run).await {
            Ok(message) => Ok(answer(message)),
            Err(Error::Operation(Unkept::Answer(response))) => Ok(*response),
            Err(Error::Operation(Unkept::Broken(error))) => Err(error),
            Err(Error::InProgress) => Ok(refused(Code::Aborted, "RES-0006", &Error::<Status>::InProgress)),
            Err(Error::OtherBody) => {
                Ok(refused(Code::InvalidArgument, "RES-0007", &Error::<Status>::OtherBody))
            }
            Err(Error::Store(error)) => {
                tracing::error!(%error, "idempotency keys cannot be kept");
                Ok(refused(Code::Unavailable, "RES-0008", &error))
            }
        }
    }
}

/// The message of an answer that is OK; anything else is not kept.
async fn message_of(response: Response<Body>) -> Result<Vec<u8>, Unkept> {
    if let Some(End::Failed(_)) = of_head(&response) {
        return Err(Unkept::Answer(Box::new(response)));
    }
    let (parts, mut body) = response.into_parts();
    let mut message = Vec::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|status| Unkept::Broken(status.into()))?;
        match frame.into_data() {
            Ok(data) => message.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
        if message.len() > BODY_LIMIT {
            let held = futures::stream::iter([Ok(Frame::data(Bytes::from(message)))]);
            let rest = futures::StreamExt::chain(held, http_body_util::BodyStream::new(body));
            let whole = Response::from_parts(parts, Body::new(StreamBody::new(rest)));
            return Err(Unkept::Answer(Box::new(whole)));
        }
    }
    match Status::from_header_map(&trailers) {
        Some(status) if status.code() != Code::Ok => {
            let frames = futures::stream::iter([
                Ok::<_, Status>(Frame::data(Bytes::from(message))),
                Ok(Frame::trailers(trailers)),
            ]);
            Err(Unkept::Answer(Box::new(Response::from_parts(parts, Body::new(StreamBody::new(frames))))))
        }
        _ => Ok(message),
    }
}

/// A message with OK behind it.
fn answer(message: Vec<u8>) -> Response<Body> {
    let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, http::HeaderValue::from_static("0"))]);
    let frames = [Ok::<_, Status>(Frame::data(Bytes::from(message))), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}

fn refused(code: Code, reason: &str, why: &dyn std::error::Error) -> Response<Body> {
    let mut details = ErrorDetails::with_error_info(reason, "probity", HashMap::new());
    if code == Code::Unavailable {
        details.set_retry_info(Some(std::time::Duration::from_secs(1)));
    }
    Status::with_error_details(code, why.to_string(), details).into_http()
}

#[cfg(test)]
mod tests;
