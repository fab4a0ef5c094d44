//! How a call ended, once its answer has been read.
//!
//! A gRPC answer carries its status in the head when it failed at once, and in
//! the trailers otherwise, after the last byte. Layers that judge an answer hand
//! it to [`watch`] with what to do at the end.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::{Code, Status};

/// How a call ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With a message and without an error.
    Fine,
    /// With a status that is not OK.
    Failed(Status),
    /// The reader went away before the end.
    Dropped,
}

impl End {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Fine => Code::Ok,
            Self::Failed(status) => status.code(),
            Self::Dropped => Code::Cancelled,
        }
    }
}

/// What the head of an answer says already.
pub(crate) fn of_head(response: &Response<Body>) -> Option<End> {
    if let Some(end) = of_headers(response.headers()) {
        return Some(end);
    }
    response.body().is_end_stream().then(|| of_http(response))
}

fn of_http(response: &Response<Body>) -> End {
    let code = match response.status().as_u16() {
        200..400 => return End::Fine,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        400 => Code::Internal,
        _ => Code::Unknown,
    };
    End::Failed(Status::new(code, format!("the answer is HTTP {}", response.status())))
}

fn of_headers(headers: &HeaderMap) -> Option<End> {
    if !headers.contains_key(Status::GRPC_STATUS) {
        return None;
    }
    Some(match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => End::Failed(status),
        _ => End::Fine,
    })
}

/// Calls `done` once, with how the answer ended: at once when the head says so,
/// at its last byte otherwise.
pub(crate) fn watch<D>(response: Response<Body>, done: D) -> Response<Body>
where
    D: FnOnce(End) + Send + Unpin + 'static,
{
    match of_head(&response) {
        Some(end) => {
            done(end);
            response
        }
        None => response.map(|inner| Body::new(Watched { inner, done: Some(done) })),
    }
}

struct Watched<D: FnOnce(End)> {
    inner: Body,
    done: Option<D>,
}

impl<D: FnOnce(End)> Watched<D> {
    fn finish(&mut self, end: End) {
        if let Some(done) = self.done.take() {
            done(end);
        }
    }
}

impl<D: FnOnce(End) + Unpin> HttpBody for Watched<D> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let polled = std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &polled {
            None => this.finish(End::Fine),
            Some(Err(status)) => this.finish(End::Failed(status.clone())),
            Some(Ok(frame)) => {
                if let Some(end) = frame.trailers_ref().and_then(of_headers) {
                    this.finish(end);
                }
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<D: FnOnce(End)> Drop for Watched<D> {
    fn drop(&mut self) {
        let end = if self.inner.is_end_stream() { End::Fine } else { End::Dropped };
        self.finish(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use parking_lot::Mutex;
    use std::sync::Arc;

    type Seen = Arc<Mutex<Vec<Code>>>;

    fn watched(response: Response<Body>) -> (Response<Body>, Seen) {
        let seen = Seen::default();
        let log = Arc::clone(&seen);
        (watch(response, move |end| log.lock().push(end.code())), seen)
    }

    fn frames(trailer: Option<&'static str>, broken: bool) -> Body {
        let mut frames = vec![Ok(Frame::data(Bytes::from("x")))];
        if broken {
            frames.push(Err(Status::unavailable("connection reset")));
        }
        if let Some(code) = trailer {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            frames.push(Ok(Frame::trailers(trailers)));
        }
        Body::new(StreamBody::new(futures::stream::iter(frames)))
    }

    #[tokio::test]
    async fn the_end_is_told_once_wherever_it_is() {
        let check = async |response: Response<Body>, at_head: &[Code], at_end: &[Code]| {
            let (response, seen) = watched(response);
            assert_eq!(*seen.lock(), at_head);
            let _ = response.into_body().collect().await;
            assert_eq!(*seen.lock(), at_end);
        };
        let head = |code: Code| Status::new(code, "no").into_http::<Body>();
        check(head(Code::NotFound), &[Code::NotFound], &[Code::NotFound]).await;
        check(Response::new(Body::empty()), &[Code::Ok], &[Code::Ok]).await;
        check(Response::new(frames(Some("0"), false)), &[], &[Code::Ok]).await;
        check(Response::new(frames(Some("14"), false)), &[], &[Code::Unavailable]).await;
        check(Response::new(frames(None, true)), &[], &[Code::Unavailable]).await;
        check(Response::new(frames(None, false)), &[], &[Code::Ok]).await;
        check(Response::new(Body::new(Full::new(Bytes::from("x")))), &[], &[Code::Ok]).await;
        for (http, code) in [
            (503, Code::Unavailable),
            (429, Code::Unavailable),
            (500, Code::Unknown),
            (404, Code::Unimplemented),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (400, Code::Internal),
        ] {
            let response = Response::builder().status(http).body(Body::empty()).unwrap();
            check(response, &[code], &[code]).await;
        }
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_is_told_too() {
        let (response, seen) = watched(Response::new(frames(Some("0"), false)));
        drop(response);
        assert_eq!(*seen.lock(), [Code::Cancelled]);
    }
}
