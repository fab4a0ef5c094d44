//! The documentation site: the OpenAPI document and two viewers of it, all out
//! of this binary. Public, as the contracts are; nothing is fetched from
//! elsewhere, which the content security policy holds the pages to.

use super::cache;
use crate::error::Error;
use crate::openapi;
use crate::transcode::Transcoder;
use axum::response::Response;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, Method, header};
use std::io::Read as _;

/// What a page may load, and from where: only from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// How long a browser keeps a file without asking.
const KEPT: &str = "public, max-age=3600";
/// Where all of it is.
const ROOT: &str = "/api/";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// A file of the site.
struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// It is stored compressed.
    packed: bool,
}

const fn plain(path: &'static str, kind: &'static str, bytes: &'static [u8]) -> File {
    File { path, kind, bytes, packed: false }
}

const fn packed(path: &'static str, kind: &'static str, bytes: &'static [u8]) -> File {
    File { path, kind, bytes, packed: true }
}

const FILES: [File; 8] = [
    plain("docs", HTML, include_bytes!("../../assets/docs.html")),
    plain("redoc", HTML, include_bytes!("../../assets/redoc.html")),
    plain("docs/docs.js", SCRIPT, include_bytes!("../../assets/docs.js")),
    plain("docs/redoc.js", SCRIPT, include_bytes!("../../assets/redoc.js")),
    plain("docs/site.css", STYLE, include_bytes!("../../assets/site.css")),
    packed("docs/swagger-ui.js", SCRIPT, include_bytes!("../../assets/swagger-ui-bundle.js.gz")),
    packed("docs/swagger-ui.css", STYLE, include_bytes!("../../assets/swagger-ui.css.gz")),
    packed("docs/redoc.standalone.js", SCRIPT, include_bytes!("../../assets/redoc.standalone.js.gz")),
];

/// The site with the document of this platform.
pub(super) struct Site {
    document: Bytes,
}

impl Site {
    /// # Errors
    /// When an example in the contracts is no request of its method.
    pub(super) fn new(transcoder: &Transcoder) -> Result<Self, String> {
        let document = openapi::document(probity_proto::pool(), transcoder, env!("CARGO_PKG_VERSION"))?;
        let text = serde_json::to_vec(&document).map_err(|e| e.to_string())?;
        Ok(Self { document: text.into() })
    }

    /// The answer to a path of the site; `None` for every other path.
    pub(super) fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<Result<Response, Error>> {
        if let Some(page) = meant(path) {
            return Some(Ok(moved(page)));
        }
        let rest = path.strip_prefix(ROOT)?;
        let found = FILES.iter().find(|file| file.path == rest);
        if found.is_none() && rest != "openapi.json" {
            return None;
        }
        if method != Method::GET {
            return Some(Err(Error::MethodNotAllowed(vec![Method::GET, Method::HEAD])));
        }
        Some(match found {
            Some(file) => file.answer(headers),
            None => Ok(cache::tagged(headers, "application/json", self.document.clone(), KEPT)),
        })
    }
}

/// The page that somebody means who types its path a little differently.
fn meant(path: &str) -> Option<&'static str> {
    match path {
        "/api" | "/api/" | "/api/docs/" => Some("/api/docs"),
        "/api/redoc/" => Some("/api/redoc"),
        _ => None,
    }
}

fn moved(page: &'static str) -> Response {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = http::StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(page));
    response
}

impl File {
    fn answer(&self, headers: &HeaderMap) -> Result<Response, Error> {
        let as_stored = self.packed && takes_gzip(headers);
        let bytes = if self.packed && !as_stored { self.unpacked()? } else { Bytes::from_static(self.bytes) };
        let mut response = cache::tagged(headers, self.kind, bytes, KEPT);
        let out = response.headers_mut();
        out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        out.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if as_stored && response.status() == http::StatusCode::OK {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(response)
    }

    /// For the few that do not take gzip.
    fn unpacked(&self) -> Result<Bytes, Error> {
        let mut out = Vec::new();
        let read = GzDecoder::new(self.bytes).read_to_end(&mut out);
        read.map(|_| out.into()).map_err(|_| Error::Panicked(format!("{ROOT}{}", self.path)))
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|part| {
        let (coding, weight) = part.split_once(';').unwrap_or((part, ""));
        coding.trim().eq_ignore_ascii_case("gzip") && weight.replace(' ', "") != "q=0"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_follows_what_the_reader_takes() {
        let check = |accept: &str, expect: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accept.parse().expect("value"));
            assert_eq!(takes_gzip(&headers), expect, "{accept}");
        };
        check("gzip, deflate, br", true);
        check("br;q=1, GZIP;q=0.5", true);
        check("gzip;q=0, br", false);
        check("br", false);
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn every_file_can_be_read_both_ways() {
        for file in FILES.iter().filter(|file| file.packed) {
            let text = file.unpacked().expect(file.path);
            assert!(text.len() > file.bytes.len(), "{}", file.path);
        }
    }

    #[test]
    fn pages_load_nothing_from_elsewhere() {
        for file in FILES.iter().filter(|file| file.kind == HTML) {
            let text = std::str::from_utf8(file.bytes).expect("text");
            let elsewhere = text.split(['"', '\'']).find(|part| part.contains("//"));
            assert_eq!(elsewhere, None, "{}", file.path);
        }
    }
}
