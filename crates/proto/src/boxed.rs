//! One type for every gRPC service a client can talk to.

use tonic::body::Body;
use tower::util::BoxCloneSyncService;

/// Any error of a transport or a layer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A gRPC service behind a box: a service in this process, a whole router or a
/// TCP channel. Generated clients take it as their transport.
pub type BoxGrpcService = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;
