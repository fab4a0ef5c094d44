//! Replies that come as a stream: lines of JSON, server-sent events, or the bytes
//! of a file.
//!
//! Every line of NDJSON is `{"result": …}` or, as the last one, `{"error": …}`
//! with a problem document, so that a reader always knows which it has. A stream
//! without an error line ended well.

use super::arrival::Arrival;
use super::refusal::Refusal;
use super::rest::{Call, plain_headers};
use crate::error::Error;
use crate::transcode::{Method, Reply};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, header};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `application/x-ndjson`.
    Lines,
    /// `text/event-stream`.
    Events,
    /// What the messages hold, one after the other.
    Bytes,
}

/// The answer to a call whose replies are these messages.
pub(super) async fn answer(call: &Call<'_>, messages: Streaming<Bytes>) -> Result<Response, Refusal> {
    let method = call.found.rule.method.clone();
    let form = form(call.headers, method.bytes_reply.is_some());
    if form == Form::Bytes {
        return file(method, messages).await;
    }
    let kind = if form == Form::Events { "text/event-stream" } else { "application/x-ndjson" };
    let writer = Writer { method, form, arrival: call.arrival.clone(), stop: call.door.stop.clone() };
    let mut response = Response::new(Body::from_stream(writer.write(messages)));
    plain_headers(response.headers_mut(), kind);
    Ok(response)
}

/// A reply of nothing but bytes is a file, unless the caller asks for text.
fn form(headers: &HeaderMap, bytes: bool) -> Form {
    let asked = |kind: &str| {
        let texts = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
        texts
            .flat_map(|t| t.split(','))
            .any(|t| t.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(kind))
    };
    if asked("text/event-stream") {
        Form::Events
    } else if !bytes || asked("application/x-ndjson") || asked("application/json") {
        Form::Lines
    } else {
        Form::Bytes
    }
}

/// Waits for the first message, so that a failure before it has its own status;
/// a later one can only cut the answer short, which its length then shows.
async fn file(method: Arc<Method>, mut messages: Streaming<Bytes>) -> Result<Response, Refusal> {
    let first = messages.message().await?;
    let rest =
        messages.map(|message| message.map_err(|status| std::io::Error::other(status.message().to_owned())));
    let all = stream::iter(first.map(Ok)).chain(rest);
    let bytes = all.map(move |message| {
        message.and_then(|bytes| Reply::new(&method, bytes).into_bytes().map_err(std::io::Error::other))
    });
    let mut response = Response::new(Body::from_stream(bytes));
    plain_headers(response.headers_mut(), "application/octet-stream");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

struct Writer {
    method: Arc<Method>,
    form: Form,
    arrival: Arrival,
    stop: CancellationToken,
}

impl Writer {
    fn write(
        self,
        messages: Streaming<Bytes>,
    ) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
        stream::unfold((self, Some(messages)), |(writer, messages)| async move {
            let mut messages = messages?;
            let (line, more) = match writer.next(&mut messages).await? {
                Ok(line) => (line, Some(messages)),
                Err(refusal) => (writer.last(&refusal), None),
            };
            Some((Ok(line), (writer, more)))
        })
    }

    /// The next line; `None` when the stream ended well.
    async fn next(&self, messages: &mut Streaming<Bytes>) -> Option<Result<Bytes, Refusal>> {
        let next = tokio::select! {
            biased;
            next = messages.next() => next?,
            () = self.stop.cancelled() => return Some(Err(Error::Stopping.into())),
        };
        Some(next.map_err(Refusal::from).and_then(|message| Ok(self.line(message)?)))
    }

    fn line(&self, message: Bytes) -> Result<Bytes, Error> {
        let (before, after) = match self.form {
            Form::Events => (&b"data: "[..], &b"\n\n"[..]),
            Form::Lines | Form::Bytes => (&b"{\"result\":"[..], &b"}\n"[..]),
        };
        let mut out = before.to_vec();
        let printed = Reply::new(&self.method, message).write_json(&mut out);
        printed.map_err(|why| Error::PeerAnswer { service: self.method.path.to_string(), why })?;
        out.extend_from_slice(after);
        Ok(out.into())
    }

    fn last(&self, refusal: &Refusal) -> Bytes {
        let problem = serde_json::to_string(&refusal.problem(&self.arrival)).unwrap_or_default();
        match self.form {
            Form::Events => format!("event: error\ndata: {problem}\n\n").into(),
            Form::Lines | Form::Bytes => format!("{{\"error\":{problem}}}\n").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_chooses_the_form() {
        let check = |accept: &str, bytes: bool, expect: Form| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("value"));
            assert_eq!(form(&headers, bytes), expect, "{accept} {bytes}");
        };
        check("*/*", false, Form::Lines);
        check("*/*", true, Form::Bytes);
        check("application/json", true, Form::Lines);
        check("text/html, application/x-ndjson;q=0.9", true, Form::Lines);
        check("text/event-stream", false, Form::Events);
        check("Text/Event-Stream; charset=utf-8", true, Form::Events);
        check("image/png", true, Form::Bytes);
        assert_eq!(form(&HeaderMap::new(), false), Form::Lines);
    }
}
