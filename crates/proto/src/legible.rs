//! Answers of peers, mended where reading them would be a panic.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;

const DETAILS: &str = "grpc-status-details-bin";

/// The same answer without status details that are not base64, in its head and in its
/// trailers: [`Status::from_header_map`] panics on those, so nothing that came over a
/// network may reach it unseen. Code and message stay.
#[must_use]
pub fn legible(mut response: Response<Body>) -> Response<Body> {
    mend(response.headers_mut());
    if response.headers().contains_key(Status::GRPC_STATUS) || response.body().is_end_stream() {
        return response;
    }
    response.map(|inner| Body::new(Legible { inner }))
}

/// Drops what cannot be read; only an error carries any.
fn mend(headers: &mut HeaderMap) {
    let Some(details) = headers.get(DETAILS) else { return };
    let mut metadata = MetadataMap::with_capacity(1);
    metadata.as_mut().insert(DETAILS, details.clone());
    let readable = metadata.get_bin(DETAILS).is_some_and(|details| details.to_bytes().is_ok());
    if !readable {
        headers.remove(DETAILS);
    }
}

struct Legible {
    inner: Body,
}

impl HttpBody for Legible {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut polled = ready!(Pin::new(&mut self.get_mut().inner).poll_frame(cx));
        if let Some(Ok(frame)) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            mend(trailers);
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

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;

    #[tokio::test]
    async fn details_that_are_not_base64_are_dropped_and_the_rest_of_a_status_stays() {
        check("aGVsbG8=", b"hello").await;
        check("aGVsbG8", b"hello").await;
        check("", b"").await;
        for broken in ["!", "a", "aGVsbG8=x", "a G V s", "-_-_", "\t"] {
            check(broken, b"").await;
        }
    }

    async fn check(details: &'static str, expect: &[u8]) {
        let failed = || {
            let text = [("grpc-status", "5"), ("grpc-message", "gone"), (DETAILS, details)];
            HeaderMap::from_iter(text.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())))
        };
        let expect = |headers: &HeaderMap| {
            let status = Status::from_header_map(headers).unwrap();
            assert_eq!((status.code(), status.message()), (Code::NotFound, "gone"), "{details:?}");
            assert_eq!(status.details(), expect, "{details:?}");
        };

        let mut head = Response::new(Body::empty());
        head.headers_mut().extend(failed());
        expect(legible(head).headers());

        let frames =
            [Ok::<_, Status>(Frame::data(Bytes::from_static(b"12345"))), Ok(Frame::trailers(failed()))];
        let body = Body::new(StreamBody::new(tokio_stream::iter(frames)));
        let read = legible(Response::new(body)).into_body().collect().await.unwrap();
        expect(read.trailers().unwrap());
        assert_eq!(read.to_bytes(), "12345");
    }
}
