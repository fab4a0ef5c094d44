//! A gateway on a free port, its fake peers, and clients for it.

use crate::fakes::{self, Peers};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use probity_gateway::Gateway;
use probity_runtime::testing::Harness;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) struct World {
    pub(crate) harness: Harness,
    pub(crate) peers: Peers,
    pub(crate) admin: String,
    token_file: PathBuf,
    client: Client<HttpConnector, Full<Bytes>>,
    _dir: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these settings of the gateway, values as TOML.
    pub(crate) async fn with(settings: &[(&'static str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token_file = dir.path().join("token");
        let peers = Peers::new(&dir.path().join("keys"));
        let mut builder = Harness::builder()
            .dir(dir.path())
            .set("gateway", "admin_token_file", token_file.display().to_string())
            .peer("orchestrator", fakes::orchestrator(&peers))
            .peer("intake", fakes::intake(&peers))
            .peer("audit-aggregator", fakes::audit(&peers));
        for (key, value) in settings {
            builder = builder.set("gateway", key, *value);
        }
        let harness = builder.start::<Gateway>().await;
        let admin = std::fs::read_to_string(&token_file).unwrap().trim().to_owned();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { harness, peers, admin, token_file, client, _dir: dir }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.harness.addr()
    }

    pub(crate) fn token_file(&self) -> &std::path::Path {
        &self.token_file
    }

    pub(crate) fn request(&self, call: &str) -> http::request::Builder {
        let (method, path) = call.split_once(' ').unwrap();
        Request::builder().method(method).uri(format!("http://{}{path}", self.addr()))
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response: Response<_> = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A call with a token and a JSON body, when there is one.
    pub(crate) async fn call_as(&self, token: &str, call: &str, body: &str) -> Answer {
        let mut request = self.request(call);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        self.send(request.body(Full::from(body.to_owned())).unwrap()).await
    }

    /// The same as the administrator.
    pub(crate) async fn call(&self, call: &str, body: &str) -> Answer {
        self.call_as(&self.admin, call, body).await
    }

    /// A new token.
    pub(crate) async fn token(&self, actor: &str, roles: &[&str]) -> String {
        let roles: Vec<_> = roles.iter().map(|r| format!("ROLE_{}", r.to_uppercase())).collect();
        let body = json!({"actor": actor, "roles": roles}).to_string();
        let answer = self.call("POST /v1/tokens", &body).await;
        answer.json()["token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    /// A gRPC channel to the gateway.
    pub(crate) async fn channel(&self) -> tonic::transport::Channel {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.addr())).unwrap();
        endpoint.connect().await.unwrap()
    }
}

/// A gRPC request with a bearer token.
pub(crate) fn bearing<T>(token: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}
