//! A peer made of closures: one for each method the test needs.

use axum::Router;
use axum::routing::post;
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use prost::Message;
use std::sync::Arc;
use tonic::service::Routes;
use tonic::{Code, Status};

/// A peer of a test.
#[derive(Default)]
pub struct Fake {
    router: Router,
}

impl Fake {
    /// A peer that knows no method.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers the unary method at `path` (`/package.Service/Method`). The closure
    /// sees the message and the headers.
    #[must_use]
    pub fn on<I, O>(
        mut self,
        path: &str,
        answer: impl Fn(I, &http::HeaderMap) -> Result<O, Status> + Send + Sync + 'static,
    ) -> Self
    where
        I: Message + Default + 'static,
        O: Message + 'static,
    {
        let answer = Arc::new(answer);
        let handler = move |request: http::Request<axum::body::Body>| {
            let answer = answer.clone();
            async move {
                let (head, body) = request.into_parts();
                let outcome = read(body).await.and_then(|bytes| {
                    let message = I::decode(bytes).map_err(|e| Status::internal(e.to_string()))?;
                    answer(message, &head.headers)
                });
                match outcome {
                    Ok(message) => frame(&message),
                    Err(status) => status.into_http::<axum::body::Body>(),
                }
            }
        };
        self.router = self.router.route(path, post(handler));
        self
    }

    /// The peer as routes.
    #[must_use]
    pub fn routes(self) -> Routes {
        Routes::from(self.router)
    }
}

async fn read(body: axum::body::Body) -> Result<Bytes, Status> {
    let mut bytes = body.collect().await.map_err(|e| Status::internal(e.to_string()))?.to_bytes();
    if bytes.len() < 5 {
        return Err(Status::internal("no gRPC frame"));
    }
    Ok(bytes.split_off(5))
}

/// One uncompressed message and trailers that say OK.
fn frame(message: &impl Message) -> http::Response<axum::body::Body> {
    let payload = message.encode_to_vec();
    let mut bytes = BytesMut::with_capacity(payload.len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&payload);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from(Code::Ok as i32));
    let frames = [
        Ok::<_, std::convert::Infallible>(http_body::Frame::data(bytes.freeze())),
        Ok(http_body::Frame::trailers(trailers)),
    ];
    let body = axum::body::Body::new(http_body_util::StreamBody::new(futures::stream::iter(frames)));
    let mut response = http::Response::new(body);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
    response
}
