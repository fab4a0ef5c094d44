//! Answers that a caller may keep, and ask about again for little.
//!
//! Only what GET answers with has a tag. It is made from the bytes, so it is right
//! whatever made them; it is a weak one, because the same answer may go out in
//! several codings.

use super::rest::plain_headers;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// Nobody but the caller keeps it, and the caller asks before using it again.
pub(super) const OWN: &str = "private, no-cache";

/// The answer with its tag, or 304 when the caller has it already.
pub(super) fn tagged(headers: &HeaderMap, kind: &'static str, body: Bytes, keep: &'static str) -> Response {
    unless_known(headers, kind, &tag(&body), keep, || Body::from(body))
}

/// The same for a body whose tag is known, which is not made for a caller who has it.
pub(super) fn unless_known(
    headers: &HeaderMap,
    kind: &'static str,
    tag: &str,
    keep: &'static str,
    body: impl FnOnce() -> Body,
) -> Response {
    let known = knows(headers, tag);
    let mut response = Response::new(if known { Body::empty() } else { body() });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let out = response.headers_mut();
    plain_headers(out, kind);
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    // Longer ones are packed for those who take it; a 304 says the same as the 200 it stands for.
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        out.insert(header::ETAG, tag);
    }
    if known {
        out.remove(header::CONTENT_TYPE);
    }
    response
}

/// The weak tag of these bytes.
pub(super) fn tag(body: &[u8]) -> String {
    format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(body)[..16]))
}

/// `If-None-Match` by the weak comparison of RFC 9110, 8.8.3.2.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let bare = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    let texts = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|one| one.trim() == "*" || bare(one) == bare(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_answer_is_not_sent_again() {
        let body = Bytes::from_static(b"{}");
        let fresh = tagged(&HeaderMap::new(), "application/json", body.clone(), OWN);
        let tag = fresh.headers()[header::ETAG].to_str().expect("text").to_owned();
        let check = |asked: &str, expect: StatusCode| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, asked.parse().expect("value"));
            let answer = tagged(&headers, "application/json", body.clone(), OWN);
            assert_eq!(answer.status(), expect, "{asked}");
            for same in [header::ETAG, header::CACHE_CONTROL, header::VARY] {
                assert_eq!(answer.headers()[&same], fresh.headers()[&same], "{same}");
            }
        };
        check(&tag, StatusCode::NOT_MODIFIED);
        check(tag.trim_start_matches("W/"), StatusCode::NOT_MODIFIED);
        check(&format!("\"other\", {tag}"), StatusCode::NOT_MODIFIED);
        check("*", StatusCode::NOT_MODIFIED);
        check("\"other\"", StatusCode::OK);
        check("", StatusCode::OK);
    }
}
