//! Reading request bodies, within their size and their time.

use crate::error::Error;
use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, header};
use http_body::Body as _;
use std::time::Duration;
use tokio::time::timeout;

/// A body that is read piece by piece: never more than `limit` bytes, never
/// waiting longer than `idle` for the next piece.
pub(super) struct Pieces {
    data: BodyDataStream,
    left: u64,
    limit: u64,
    idle: Duration,
}

impl Pieces {
    /// # Errors
    /// When the body says beforehand that it is too large.
    pub(super) fn new(body: Body, limit: u64, idle: Duration) -> Result<Self, Error> {
        if body.size_hint().lower() > limit {
            return Err(Error::BodyTooLarge(limit));
        }
        Ok(Self { data: body.into_data_stream(), left: limit, limit, idle })
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let next = timeout(self.idle, self.data.next()).await.map_err(|_| Error::BodyTooSlow)?;
        let Some(piece) = next.transpose().map_err(|_| Error::BodyBroken)? else { return Ok(None) };
        let size = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(size).ok_or(Error::BodyTooLarge(self.limit))?;
        Ok(Some(piece))
    }

    /// Everything, within `whole` in all.
    pub(super) async fn collect(mut self, whole: Duration) -> Result<Bytes, Error> {
        timeout(whole, self.all()).await.map_err(|_| Error::BodyTooSlow)?
    }

    async fn all(&mut self) -> Result<Bytes, Error> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return Ok(first) };
        let mut all = BytesMut::from(first);
        all.extend_from_slice(&second);
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

/// Refuses a body in a content coding: what is not unpacked cannot be a bomb.
///
/// # Errors
/// When there is a `content-encoding` other than `identity`.
pub(super) fn check_encoding(headers: &HeaderMap) -> Result<(), Error> {
    let identity = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(identity) {
        return Ok(());
    }
    Err(Error::MediaType("the body must be sent as it is, without a content-encoding"))
}

/// Refuses a body that says it is something else than JSON.
///
/// # Errors
/// When the content type is given and is not JSON in UTF-8.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Error> {
    const WRONG: Error =
        Error::MediaType("the body must be JSON in UTF-8: send content-type: application/json");
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(kind) = kinds.next() else { return Ok(()) };
    let text = kind.to_str().map_err(|_| WRONG)?.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    let utf8 =
        parts.all(|p| !p.starts_with("charset=") || matches!(p, "charset=utf-8" | "charset=\"utf-8\""));
    if json && utf8 && kinds.next().is_none() { Ok(()) } else { Err(WRONG) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_as_it_is_passes() {
        let check = |name: header::HeaderName, value: &str, expect: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("value"));
            let ok = check_json(&headers).is_ok() && check_encoding(&headers).is_ok();
            assert_eq!(ok, expect, "{value}");
        };
        check(header::CONTENT_TYPE, "application/json", true);
        check(header::CONTENT_TYPE, "Application/JSON; Charset=UTF-8", true);
        check(header::CONTENT_TYPE, "application/merge-patch+json", true);
        check(header::CONTENT_TYPE, "application/json; charset=utf-16", false);
        check(header::CONTENT_TYPE, "text/json", false);
        check(header::CONTENT_TYPE, "application/x-www-form-urlencoded", false);
        check(header::CONTENT_TYPE, "multipart/form-data; boundary=x", false);
        check(header::CONTENT_TYPE, "", false);
        check(header::CONTENT_ENCODING, "gzip", false);
        check(header::CONTENT_ENCODING, "identity", true);
        check(header::CONTENT_ENCODING, "gzip, identity", false);
        assert!(check_json(&HeaderMap::new()).is_ok());
    }

    async fn read(body: Body, limit: u64) -> Result<Bytes, Error> {
        let pieces = Pieces::new(body, limit, Duration::from_secs(1))?;
        pieces.collect(Duration::from_secs(5)).await
    }

    fn chunks(parts: &[&'static str]) -> Body {
        let parts: Vec<_> = parts.iter().map(|p| Ok::<_, std::io::Error>(Bytes::from(*p))).collect();
        Body::from_stream(futures::stream::iter(parts))
    }

    #[tokio::test]
    async fn bodies_are_read_within_their_limit() {
        assert_eq!(read(chunks(&["ab", "", "cd", "e"]), 5).await.expect("read"), "abcde");
        assert_eq!(read(Body::empty(), 5).await.expect("read"), "");
        assert!(matches!(read(chunks(&["ab", "cdef"]), 5).await, Err(Error::BodyTooLarge(5))));
        assert!(matches!(read(Body::from("abcdef"), 5).await, Err(Error::BodyTooLarge(5))));
        let broken = futures::stream::iter([Ok(Bytes::from("a")), Err(std::io::Error::other("gone"))]);
        assert!(matches!(read(Body::from_stream(broken), 5).await, Err(Error::BodyBroken)));
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_are_read_within_their_time() {
        let stalled = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert!(matches!(read(stalled, 5).await, Err(Error::BodyTooSlow)));
        let drip = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from("a")), ()))
        });
        assert!(matches!(read(Body::from_stream(drip), 1_000).await, Err(Error::BodyTooSlow)));
    }
}
