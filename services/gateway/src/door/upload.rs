//! Uploads: a request body that becomes a stream of messages, each with a piece
//! of it, the first one with the fields of path and query.

use super::body::Pieces;
use super::refusal::Refusal;
use super::rest::Call;
use crate::error::Error;
use crate::transcode::PieceMaker;
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use probity_proto::RawCodec as Raw;
use std::time::Duration;
use tokio::sync::oneshot;

/// Most bytes in one message.
const PIECE: usize = 256 << 10;

/// Sends the body on and answers with the reply.
///
/// A stream of messages can end but not fail, and an upload that ends too early
/// must not pass for a whole one. So a body that fails never ends its stream: it
/// says so beside it, and the call is dropped.
pub(super) async fn run(call: &Call<'_>, body: Body) -> Result<Bytes, Refusal> {
    let config = &call.door.config;
    let idle = Duration::from_millis(config.body_idle_timeout_ms);
    let maker = call.found.rule.pieces().ok_or(Error::UnexpectedBody)?;
    let mut pieces = Pieces::new(body, config.max_upload_bytes, idle)?;
    let mut rest = pieces.next().await?.unwrap_or_default();
    let first = call.transcode(rest.split_to(rest.len().min(PIECE)))?;
    let (failed, failure) = oneshot::channel();
    let source = Source { pieces, rest, maker, failed: Some(failed) };
    let messages = stream::iter([first]).chain(stream::unfold(source, Source::next));
    let mut client = call.client().await?;
    let request = call.request(messages)?;
    let path = call.method().path.clone();
    tokio::select! {
        biased;
        Ok(error) = failure => Err(error.into()),
        reply = client.client_streaming(request, path, Raw) => Ok(reply?.into_inner()),
    }
}

/// What is left of the body.
struct Source {
    pieces: Pieces,
    rest: Bytes,
    maker: PieceMaker,
    failed: Option<oneshot::Sender<Error>>,
}

impl Source {
    /// The next message; `None` at the end of a whole body, never after a failure.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.rest.is_empty() {
            self.rest = match self.pieces.next().await {
                Ok(piece) => piece?,
                Err(error) => {
                    let told = self.failed.take().map(|failed| failed.send(error));
                    drop(told);
                    std::future::pending().await
                }
            };
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Some((self.maker.message(piece), self))
    }
}
