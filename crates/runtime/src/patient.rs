//! A connection whose other side must read, and must say what it wants: bytes that
//! nobody takes for too long end it, so that a slow reader cannot hold memory for ever,
//! and so does the beginning of an HTTP/2 preface that is never finished. What comes
//! after the beginning has limits of its own, in the protocol.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// With what a client that speaks HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream that fails with [`io::ErrorKind::TimedOut`] when a write makes no
/// progress for the time given, or the beginning takes too long.
pub(crate) struct Patient<S> {
    inner: S,
    stall: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Runs until it is known which protocol is spoken.
    beginning: Option<Pin<Box<Sleep>>>,
    /// Bytes so far, while they may be those of the preface.
    begun: usize,
}

impl<S> Patient<S> {
    pub(crate) fn new(inner: S, stall: Duration, beginning: Duration) -> Self {
        Self { inner, stall, waiting: None, beginning: Some(Box::pin(sleep(beginning))), begun: 0 }
    }

    /// These bytes came: is it known now which protocol is spoken?
    fn look(&mut self, bytes: &[u8]) {
        let left = &PREFACE[self.begun..];
        self.begun += bytes.len();
        if !left.starts_with(bytes) || bytes.len() == left.len() {
            self.beginning = None;
        }
    }

    /// The outcome of a write, or the end of patience.
    fn judge<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let stall = self.stall;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(waiting.as_mut().poll(cx));
        waiting.as_mut().reset(Instant::now() + stall);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Some(beginning) = &mut self.beginning {
            match outcome {
                Poll::Ready(_) => self.look(&buf.filled()[before..]),
                Poll::Pending => {
                    ready!(beginning.as_mut().poll(cx));
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "it never begins")));
                }
            }
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.judge(outcome, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.judge(outcome, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_given_up() {
        let (near, _far) = duplex(16);
        let mut near = Patient::new(near, Duration::from_secs(30), Duration::from_secs(10));
        let begun = Instant::now();
        let error = near.write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_waited_for() {
        let (near, mut far) = duplex(16);
        let mut near = Patient::new(near, Duration::from_secs(30), Duration::from_secs(10));
        let reading = tokio::spawn(async move {
            let mut read = 0;
            while read < 64 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                read += far.read(&mut [0; 16]).await.expect("bytes");
            }
        });
        near.write_all(&[0; 64]).await.expect("it is read in the end");
        reading.await.expect("the reader");
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_says_what_it_speaks_is_given_up() {
        let check = async |beginning: &[u8], given_up: bool| {
            let (near, mut far) = duplex(64);
            let mut near = Patient::new(near, Duration::from_secs(30), Duration::from_secs(10));
            far.write_all(beginning).await.expect("sent");
            let mut read = Vec::new();
            let reading = tokio::time::timeout(Duration::from_secs(60), near.read_to_end(&mut read)).await;
            assert_eq!(reading.is_ok_and(|read| read.is_err()), given_up, "{beginning:?}");
            assert_eq!(read, beginning);
        };
        check(b"", true).await;
        check(b"PRI * HTTP", true).await;
        check(&PREFACE[..23], true).await;
        check(PREFACE, false).await;
        check(b"P", true).await;
        check(b"POST", false).await;
        check(b"GET / HTTP/1.1\r\n", false).await;
    }
}
