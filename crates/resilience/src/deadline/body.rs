//! A response body that ends when its deadline does.

use super::Deadline;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

/// Passes frames on until the deadline, then ends the call with trailers that
/// say so. The timer is armed only when the body makes its reader wait.
pub(super) struct DeadlineBody {
    inner: Option<Body>,
    deadline: Deadline,
    timer: Option<Pin<Box<Sleep>>>,
}

impl DeadlineBody {
    pub(super) fn wrap(inner: Body, deadline: Deadline) -> Body {
        if inner.is_end_stream() {
            return inner;
        }
        Body::new(Self { inner: Some(inner), deadline, timer: None })
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.deadline.at();
        self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at))).as_mut().poll(cx)
    }
}

impl HttpBody for DeadlineBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(this.poll_over(cx));
        this.inner = None; // the rest is dropped, which cancels the work behind it
        Poll::Ready(Some(trailers(&super::layer::exceeded()).map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

fn trailers(status: &Status) -> Result<HeaderMap, Status> {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers)?;
    Ok(headers)
}
