//! One type for every gRPC service a client can talk to.

use http::{Request, Response};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

/// Any error of a transport or a layer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A gRPC service behind a pointer: a service in this process, a whole router or a
/// TCP channel. Generated clients take it as their transport. It never fails but
/// by a status, so that a caller meets one kind of failure.
///
/// A clone is the same service and costs a count: a call passes several of these on
/// its way, each of which is cloned for it.
#[derive(Clone)]
pub struct BoxGrpcService(Arc<dyn Answer>);

impl BoxGrpcService {
    /// The service behind a pointer. It is cloned for every call.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        Self(Arc::new(Cloned { name: "", service }))
    }

    /// What a function answers.
    pub fn from_fn<F, A>(answer: F) -> Self
    where
        F: Fn(Request<Body>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        Self(Arc::new(Function(answer)))
    }
}

impl fmt::Debug for BoxGrpcService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxGrpcService")
    }
}

impl Service<Request<Body>> for BoxGrpcService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.answer(request)
    }
}

/// Boxes a service; what fails below gRPC becomes the status UNAVAILABLE, which
/// says what `name` cannot be reached for.
pub fn boxed<S>(name: &'static str, service: S) -> BoxGrpcService
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    BoxGrpcService(Arc::new(Cloned { name, service }))
}

/// An answer to come.
type Answered = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Something that answers any number of calls at once.
trait Answer: Send + Sync {
    fn answer(&self, request: Request<Body>) -> Answered;
}

/// A service, of which each call has a clone.
struct Cloned<S> {
    name: &'static str,
    service: S,
}

impl<S> Answer for Cloned<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn answer(&self, request: Request<Body>) -> Answered {
        let (name, answer) = (self.name, self.service.clone().oneshot(request));
        Box::pin(async move { Ok(answer.await.unwrap_or_else(|error| unavailable(name, error.into()))) })
    }
}

/// A function.
struct Function<F>(F);

impl<F, A> Answer for Function<F>
where
    F: Fn(Request<Body>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    fn answer(&self, request: Request<Body>) -> Answered {
        let answer = self.0(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

fn unavailable(name: &str, error: BoxError) -> Response<Body> {
    let mut status = Status::unavailable(format!("{name} cannot be reached: {error}"));
    status.set_source(error.into());
    status.into_http()
}
