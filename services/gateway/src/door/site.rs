//! The documentation site: the OpenAPI document and two viewers of it, all out
//! of this binary. Public, as the contracts are; nothing is fetched from
//! elsewhere, which the content security policy holds the pages to.

use super::cache;
use crate::error::Error;
use crate::openapi;
use crate::transcode::Transcoder;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method, header};
use std::io::{self, Read as _, Write as _};
use std::sync::OnceLock;

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

/// How much of a packed file is unpacked at a time, as fast as its reader takes it.
const PIECE: usize = 32 << 10;

/// A file of the site.
struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// It is stored compressed.
    packed: bool,
    /// Made when it is first asked for: whoever asks a thousand times costs no hash each.
    tag: OnceLock<String>,
}

const fn plain(path: &'static str, kind: &'static str, bytes: &'static [u8]) -> File {
    File { path, kind, bytes, packed: false, tag: OnceLock::new() }
}

const fn packed(path: &'static str, kind: &'static str, bytes: &'static [u8]) -> File {
    File { path, kind, bytes, packed: true, tag: OnceLock::new() }
}

static FILES: [File; 8] = [
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
    tag: String,
    /// The document as most readers take it; packed once, when the first of them asks.
    packed: OnceLock<Option<Bytes>>,
}

impl Site {
    /// # Errors
    /// When an example in the contracts is no request of its method.
    pub(super) fn new(transcoder: &Transcoder) -> Result<Self, String> {
        let document = openapi::document(probity_proto::pool(), transcoder, env!("CARGO_PKG_VERSION"))?;
        let text = serde_json::to_vec(&document).map_err(|e| e.to_string())?;
        Ok(Self { tag: cache::tag(&text), document: text.into(), packed: OnceLock::new() })
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
            Some(file) => Ok(file.answer(headers)),
            None => Ok(self.described(headers)),
        })
    }

    fn described(&self, headers: &HeaderMap) -> Response {
        let pack = || pack(&self.document).ok();
        let packed = if takes_gzip(headers) { self.packed.get_or_init(pack).as_ref() } else { None };
        let body = || packed.unwrap_or(&self.document).clone().into();
        let answer = cache::unless_known(headers, "application/json", &self.tag, KEPT, body);
        if packed.is_some() { as_packed(answer) } else { answer }
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
    fn answer(&self, headers: &HeaderMap) -> Response {
        let as_stored = self.packed && takes_gzip(headers);
        let body = || {
            if self.packed && !as_stored {
                return Body::from_stream(futures::stream::iter(self.pieces()));
            }
            Bytes::from_static(self.bytes).into()
        };
        let tag = self.tag.get_or_init(|| cache::tag(self.bytes));
        let mut response = cache::unless_known(headers, self.kind, tag, KEPT, body);
        let out = response.headers_mut();
        out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        out.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if as_stored {
            return as_packed(response);
        }
        if self.packed && response.status() == http::StatusCode::OK {
            response.headers_mut().insert(header::CONTENT_LENGTH, self.unpacked().into());
        }
        response
    }

    /// How long a packed file is unpacked, as its last four bytes say (RFC 1952, 2.3.1).
    fn unpacked(&self) -> u32 {
        self.bytes.last_chunk().map_or(0, |length| u32::from_le_bytes(*length))
    }

    /// A packed file unpacked, piece by piece, for the few that do not take gzip.
    fn pieces(&self) -> impl Iterator<Item = io::Result<Bytes>> + Send + 'static {
        let mut reader = GzDecoder::new(self.bytes);
        std::iter::from_fn(move || {
            let mut piece = Vec::with_capacity(PIECE);
            match reader.by_ref().take(PIECE as u64).read_to_end(&mut piece) {
                Ok(0) => None,
                read => Some(read.map(|_| piece.into())),
            }
        })
    }
}

fn pack(text: &[u8]) -> io::Result<Bytes> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text)?;
    packed.finish().map(Bytes::from)
}

fn as_packed(mut response: Response) -> Response {
    if response.status() == http::StatusCode::OK {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
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
            let pieces: io::Result<Vec<Bytes>> = file.pieces().collect();
            let text = pieces.expect(file.path).concat();
            assert_eq!(text.len(), file.unpacked() as usize, "{}", file.path);
            assert!(text.len() > file.bytes.len(), "{}", file.path);
            let mut unpacked = Vec::new();
            GzDecoder::new(&pack(&text).expect("memory")[..])
                .read_to_end(&mut unpacked)
                .expect("what was packed");
            assert!(unpacked == text, "{}", file.path);
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
