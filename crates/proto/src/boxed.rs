//! One type for every gRPC service a client can talk to.

use http::{Request, Response};
use std::convert::Infallible;
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

/// Any error of a transport or a layer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A gRPC service behind a box: a service in this process, a whole router or a
/// TCP channel. Generated clients take it as their transport. It never fails but
/// by a status, so that a caller meets one kind of failure.
pub type BoxGrpcService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Boxes a service; what fails below gRPC becomes the status UNAVAILABLE, which
/// says what `name` cannot be reached for.
pub fn boxed<S>(name: &'static str, service: S) -> BoxGrpcService
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    BoxCloneSyncService::new(tower::service_fn(move |request| {
        let service = service.clone();
        async move { Ok(service.oneshot(request).await.unwrap_or_else(|error| unavailable(name, error.into()))) }
    }))
}

fn unavailable(name: &str, error: BoxError) -> Response<Body> {
    let mut status = Status::unavailable(format!("{name} cannot be reached: {error}"));
    status.set_source(error.into());
    status.into_http()
}
