//! REST: route, admit, read, transcode, call, print.

use super::admission::Admitted;
use super::arrival::Arrival;
use super::body::{Pieces, check_encoding, check_json};
use super::refusal::Refusal;
use super::{Door, cache, index, stream, upload};
use crate::error::Error;
use crate::transcode::{Binding, BodyRule, Found, Method, Parts, Reply};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::Body as _;
use probity_proto::BoxGrpcService;
use probity_proto::RawCodec as Raw;
use probity_types::Fault;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;

/// Longest time for the whole of a JSON body, however patient the call itself is.
const WHOLE_BODY: Duration = Duration::from_secs(30);
/// Largest unexpected body that is read to find out whether it is empty.
const NOTHING: u64 = 1_024;

/// Answers one REST request.
pub(super) async fn serve(door: &Door, request: Request, arrival: &mut Arrival) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let head = parts.method == http::Method::HEAD;
    let http = if head { http::Method::GET } else { parts.method };
    let path = parts.uri.path();
    if path == "/" && http == http::Method::GET {
        return Ok(index::page(&parts.headers));
    }
    if let Some(answer) = door.site.answer(&http, path, &parts.headers) {
        return answer
            .map(|response| if head { without_body(response) } else { response })
            .map_err(Refusal::from);
    }
    let found = door.transcoder.find(&http, path).map_err(Error::from)?;
    let method = found.rule.method.clone();
    method.path.as_str().clone_into(&mut arrival.route);
    let admitted = door.admit(method.path.as_str(), &parts.headers, arrival)?;
    let query = parts.uri.query().unwrap_or_default();
    let call = Call {
        door,
        arrival,
        admitted,
        found,
        query,
        headers: &parts.headers,
        reads: http == http::Method::GET,
    };
    let response = call.run(body).await?;
    Ok(if head { without_body(response) } else { response })
}

/// The answer to HEAD: what GET would say, its length included where it is known.
fn without_body(response: Response) -> Response {
    let length = response.body().size_hint().exact();
    let mut response = response.map(|_| Body::empty());
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// One admitted call.
pub(super) struct Call<'c> {
    pub(super) door: &'c Door,
    pub(super) arrival: &'c Arrival,
    pub(super) admitted: Admitted,
    pub(super) found: Found<'c, Binding>,
    pub(super) query: &'c str,
    pub(super) headers: &'c HeaderMap,
    /// It was asked by GET, so the answer may be kept.
    reads: bool,
}

impl Call<'_> {
    async fn run(self, body: Body) -> Result<Response, Refusal> {
        check_encoding(self.headers)?;
        let method = self.method();
        if method.client_streaming {
            let reply = upload::run(&self, body).await?;
            return self.json(reply);
        }
        let message = self.message(body).await?;
        let mut client = self.client().await?;
        let request = self.request(message)?;
        if method.server_streaming {
            let messages = client.server_streaming(request, method.path.clone(), Raw).await?;
            return stream::answer(&self, messages.into_inner()).await;
        }
        let reply = client.unary(request, method.path.clone(), Raw).await?;
        self.json(reply.into_inner())
    }

    pub(super) fn method(&self) -> &Method {
        &self.found.rule.method
    }

    /// The request message, with the body read as its rule says.
    async fn message(&self, body: Body) -> Result<Bytes, Error> {
        let config = &self.door.config;
        let json = u64::try_from(config.max_json_bytes).unwrap_or(u64::MAX);
        let limit = match self.found.rule.body_rule() {
            BodyRule::Nothing => NOTHING,
            BodyRule::Json | BodyRule::Bytes => json,
        };
        let read = Pieces::new(body, limit, Duration::from_millis(config.body_idle_timeout_ms));
        let body = match read {
            Ok(pieces) => pieces.collect(self.timeout().min(WHOLE_BODY)).await,
            Err(error) => Err(error),
        };
        let body = body.map_err(|error| match (self.found.rule.body_rule(), error) {
            (BodyRule::Nothing, Error::BodyTooLarge(_)) => Error::UnexpectedBody,
            (_, error) => error,
        })?;
        if self.found.rule.body_rule() == BodyRule::Json && !body.is_empty() {
            check_json(self.headers)?;
        }
        self.transcode(body)
    }

    /// The request message from path, query and this much of the body.
    pub(super) fn transcode(&self, body: Bytes) -> Result<Bytes, Error> {
        let parts = Parts { query: self.query, body };
        self.door.transcoder.request(&self.found, &parts).map_err(Error::from)
    }

    fn timeout(&self) -> Duration {
        let method = self.method();
        self.door.timeout(self.arrival, method.client_streaming || method.server_streaming)
    }

    /// A client of the service that answers, ready to be called.
    pub(super) async fn client(&self) -> Result<Grpc<BoxGrpcService>, Error> {
        let backend = self.door.backends.of(&self.method().package).ok_or(Error::NoRoute)?;
        let mut client = Grpc::new(backend).max_decoding_message_size(self.door.config.max_reply_bytes);
        let Ok(()) = client.ready().await;
        Ok(client)
    }

    /// The call with everything a service needs to know of its caller.
    pub(super) fn request<T>(&self, message: T) -> Result<tonic::Request<T>, Fault> {
        let headers = self.door.outgoing(&self.admitted, self.arrival, self.timeout())?;
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        let mut extensions = http::Extensions::new();
        self.admitted.mark(&mut extensions);
        *request.extensions_mut() = extensions;
        Ok(request)
    }

    fn json(&self, reply: Bytes) -> Result<Response, Refusal> {
        let mut out = Vec::with_capacity(reply.len() * 2);
        self.print(reply, &mut out)?;
        if self.reads {
            return Ok(cache::tagged(self.headers, "application/json", out.into(), cache::OWN));
        }
        let mut response = Response::new(Body::from(out));
        plain_headers(response.headers_mut(), "application/json");
        Ok(response)
    }

    /// Appends the JSON of a reply message.
    pub(super) fn print(&self, reply: Bytes, out: &mut Vec<u8>) -> Result<(), Error> {
        let method = self.method();
        let printed = Reply::new(method, reply).write_json(out);
        printed.map_err(|why| Error::PeerAnswer { service: method.path.to_string(), why })
    }
}

/// What every answer with data carries: its type, that nobody may guess another
/// one, and that it is nobody else's.
pub(super) fn plain_headers(headers: &mut HeaderMap, kind: &'static str) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
