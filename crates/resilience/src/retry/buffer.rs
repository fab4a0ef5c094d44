//! A request body kept for another attempt, when it is small.

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;

/// A body that was read as far as the limit allows.
pub(crate) enum Buffered {
    /// All of it: it can be sent as often as needed.
    Whole(Bytes),
    /// More than the limit: what was read and the rest, to be sent once.
    Once(Body),
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Buffered, Status> {
    let mut held = Held::default();
    while held.len() <= limit {
        let frame = if body.is_end_stream() { None } else { body.frame().await.transpose()? };
        match frame.map(Frame::into_data) {
            None => return Ok(Buffered::Whole(held.into_bytes())),
            Some(Ok(data)) => held.add(data),
            // Clients of gRPC send no trailers; whoever does is sent once.
            Some(Err(frame)) => return Ok(Buffered::Once(resume(held, Some(frame), body))),
        }
    }
    Ok(Buffered::Once(resume(held, None, body)))
}

/// What was read: one frame as it came, which is the rule, or several put together.
#[derive(Default)]
struct Held {
    first: Bytes,
    joined: BytesMut,
}

impl Held {
    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn add(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        self.joined.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

/// A whole body again.
pub(crate) fn body(bytes: &Bytes) -> Body {
    Body::new(Full::new(bytes.clone()))
}

fn resume(held: Held, next: Option<Frame<Bytes>>, rest: Body) -> Body {
    let held = (held.len() > 0).then(|| Frame::data(held.into_bytes()));
    Body::new(Resumed { held, next, rest })
}

/// What was read, then the rest.
struct Resumed {
    held: Option<Frame<Bytes>>,
    next: Option<Frame<Bytes>>,
    rest: Body,
}

impl HttpBody for Resumed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let ready = self.held.take().or_else(|| self.next.take());
        match ready {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.next.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;
    use proptest::prelude::*;

    fn streamed(chunks: Vec<Vec<u8>>) -> Body {
        let frames = chunks.into_iter().map(|chunk| Ok::<_, Status>(Frame::data(Bytes::from(chunk))));
        Body::new(StreamBody::new(futures::stream::iter(frames)))
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_doubled(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8), limit in 0usize..120) {
            let all = chunks.concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (whole, got) = runtime.block_on(async {
                match read(streamed(chunks), limit).await.unwrap() {
                    Buffered::Whole(bytes) => (true, body(&bytes).collect().await.unwrap().to_bytes()),
                    Buffered::Once(body) => (false, body.collect().await.unwrap().to_bytes()),
                }
            });
            prop_assert_eq!(whole, all.len() <= limit);
            prop_assert_eq!(got, all);
        }
    }
}
