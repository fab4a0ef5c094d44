//! The layer that limits calls.

use super::{Admitted, Criticality, Limiter};
use crate::methods::is_unary;
use crate::watched::{End, watch};
use futures::future::BoxFuture;
use http::{Request, Response};
use probity_proto::BoxError;
use std::task::{Context, Poll};
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};

/// Lets as many calls in as the limiter finds sensible. For the server side, or
/// for a client of a peer that has no limit of its own. A stream gives its seat
/// back at the head of its answer and is not measured.
#[derive(Debug, Clone)]
pub struct LimitLayer(Limiter);

impl LimitLayer {
    /// A layer that asks `limiter`.
    #[must_use]
    pub const fn new(limiter: Limiter) -> Self {
        Self(limiter)
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> LimitService<S> {
        LimitService { inner, limiter: self.0.clone() }
    }
}

/// See [`LimitLayer`].
#[derive(Debug, Clone)]
pub struct LimitService<S> {
    inner: S,
    limiter: Limiter,
}

impl<S> Service<Request<Body>> for LimitService<S>
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
        let admitted = match self.limiter.admit(Criticality::of(request.headers())) {
            Ok(admitted) => admitted,
            Err(refusal) => return Box::pin(async move { Ok(refusal.into_response()) }),
        };
        let streams = !is_unary(request.uri().path());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await.map_err(Into::into)?;
            Ok(if streams { response } else { watch(response, move |end| finish(admitted, &end)) })
        })
    }
}

fn finish(admitted: Admitted, end: &End) {
    match end.code() {
        Code::Ok => admitted.done(false),
        Code::ResourceExhausted | Code::DeadlineExceeded | Code::Unavailable => admitted.done(true),
        // A quick refusal says nothing about how long work takes.
        _ => drop(admitted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{CRITICALITY_HEADER, Config};
    use crate::observe::Observed;
    use crate::refusal::Refusal;
    use tower::{ServiceExt as _, service_fn};

    const UNARY: &str = "/probity.spam.v1.SpamService/Classify";

    fn request(criticality: &str) -> Request<Body> {
        Request::builder().uri(UNARY).header(CRITICALITY_HEADER, criticality).body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn who_matters_gets_through_when_others_do_not() {
        let config = Config { initial: 4, min: 4, ..Config::default() };
        let limiter = Limiter::new("door", config, Observed::default()).unwrap();
        let busy: Vec<_> = (0..3).map(|_| limiter.admit(Criticality::CriticalPlus).unwrap()).collect();
        let peer =
            service_fn(|_request: Request<Body>| async { Ok::<_, BoxError>(Response::new(Body::empty())) });
        let service = LimitLayer::new(limiter.clone()).layer(peer);
        let check = async |level: &str, passes: bool| {
            let answer = service.clone().oneshot(request(level)).await.unwrap();
            assert_eq!(Refusal::of(&answer).is_none(), passes, "{level}");
        };
        check("sheddable", false).await;
        check("critical", false).await;
        check("critical_plus", true).await;
        assert_eq!(limiter.snapshot().in_flight, 3, "the seat is given back");
        drop(busy);
        check("sheddable", true).await;
    }
}
