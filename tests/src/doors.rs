//! Calls of every RPC there is, known by their descriptors alone, through both doors
//! of a running platform.

use bytes::Bytes;
use futures::stream;
use http::uri::PathAndQuery;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use probity_proto::RawCodec;
use probity_proto::prost_reflect::prost::Message as _;
use probity_proto::prost_reflect::{DeserializeOptions, DynamicMessage, MethodDescriptor, SerializeOptions};
use serde_json::Value;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// How long a call may take; streams that go on are left after it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the first message of a stream is waited for.
const STREAM: Duration = Duration::from_secs(1);

/// All methods of the platform, by name.
#[must_use]
pub fn methods() -> Vec<MethodDescriptor> {
    let services = probity_proto::pool().services();
    let mut methods: Vec<_> = services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    methods.retain(|method| method.full_name().starts_with("probity."));
    methods.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    methods
}

/// Both doors of a platform.
#[derive(Clone)]
pub struct Doors {
    channel: Channel,
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
}

/// What REST answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; `null` when it is no JSON.
    pub body: Value,
}

impl Doors {
    /// The doors of the platform at an address.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn open(url: &str) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("an address");
        let channel = endpoint.connect().await.expect("the platform listens");
        Self { channel, http: Client::builder(TokioExecutor::new()).build_http(), url: url.to_owned() }
    }

    /// Calls an RPC with one message; of a stream of answers, the first is answered.
    ///
    /// # Errors
    /// The status, when it is not OK.
    pub async fn grpc(
        &self,
        token: &str,
        method: &MethodDescriptor,
        message: Bytes,
    ) -> Result<Bytes, Status> {
        let called = tokio::time::timeout(PATIENCE, self.call(token, method, message)).await;
        called.unwrap_or_else(|_| Err(Status::deadline_exceeded("the test waits no longer")))
    }

    async fn call(&self, token: &str, method: &MethodDescriptor, message: Bytes) -> Result<Bytes, Status> {
        let path = PathAndQuery::try_from(probity_proto::access::path(method)).expect("a path");
        let mut client = Grpc::new(self.channel.clone()).max_decoding_message_size(80 << 20);
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        if !method.is_client_streaming() && !method.is_server_streaming() {
            return client
                .unary(bearing(token, message), path, RawCodec)
                .await
                .map(tonic::Response::into_inner);
        }
        let one = stream::iter([message]);
        if !method.is_server_streaming() {
            let sent = client.client_streaming(bearing(token, one), path, RawCodec).await;
            return sent.map(tonic::Response::into_inner);
        }
        let answers = client.streaming(bearing(token, one), path, RawCodec).await?;
        match tokio::time::timeout(STREAM, answers.into_inner().message()).await {
            Ok(first) => Ok(first?.unwrap_or_default()),
            Err(_) => Ok(Bytes::new()),
        }
    }

    /// Sends `METHOD /path` with a body, when there is one.
    ///
    /// # Panics
    /// When nobody answers.
    pub async fn rest(&self, token: &str, call: &str, body: &str) -> Answer {
        let (method, path) = call.split_once(' ').expect("METHOD /path");
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::from(body.to_owned())).expect("a request");
        let response = self.http.request(request).await.expect("an answer");
        let status = response.status().as_u16();
        // Streams that go on are not read to their end.
        let body = tokio::time::timeout(STREAM, response.into_body().collect()).await;
        let bytes = body.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
        Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }
}

fn bearing<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a token"));
    }
    request.set_timeout(PATIENCE);
    request
}

/// A request message from its JSON.
///
/// # Panics
/// When it is none of that method.
#[must_use]
pub fn message(method: &MethodDescriptor, json: &Value) -> Bytes {
    let options = DeserializeOptions::new();
    let message = DynamicMessage::deserialize_with_options(method.input(), json, &options);
    let message = message.unwrap_or_else(|error| panic!("{}: {error}: {json}", method.full_name()));
    message.encode_to_vec().into()
}

/// The JSON of an answer, every field in it.
///
/// # Panics
/// When it is none of that method.
#[must_use]
pub fn answer(method: &MethodDescriptor, bytes: Bytes) -> Value {
    let message = DynamicMessage::decode(method.output(), bytes).expect("an answer of the method");
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).expect("JSON")
}

/// The outcome of a call as text that can be compared: the code, the stable code, the
/// fields and the words; or the answer.
#[must_use]
pub fn outcome(method: &MethodDescriptor, called: Result<Bytes, Status>) -> (Code, String) {
    match called {
        Ok(bytes) => (Code::Ok, answer(method, bytes).to_string()),
        Err(status) => {
            let fault = probity_runtime::fault_of(&status);
            let fields: Vec<_> =
                fault.violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
            (status.code(), format!("{} {} {fields:?}", fault.code, fault.message))
        }
    }
}
