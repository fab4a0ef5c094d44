//! What stands in front of several instances of a service, and hears late that one of
//! them is not ready any more: by connections as `kube-proxy` does, or by calls as the
//! proxies of a mesh do. It never tries a second instance: what reaches one that is gone
//! fails, and is the caller's to see.

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use probity_testkit::eventually;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;
use tonic::body::Body;

/// How often an instance is asked whether it is ready.
const ASK: Duration = Duration::from_millis(100);
/// How long after that it is known here.
const LAG: Duration = Duration::from_secs(1);

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// By what it chooses an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// One for each connection.
    Connection,
    /// One for each call over HTTP/2.
    Call,
}

/// An instance: where it is called, where its admin port is now, and whether it is ready
/// as far as it is known here.
#[derive(Debug, Clone)]
struct Instance {
    port: u16,
    admin: Option<String>,
    ready: bool,
}

/// A balancer; it ends with the test.
#[derive(Debug, Clone)]
pub struct Balancer {
    /// Where it listens.
    pub port: u16,
    instances: Arc<Mutex<Vec<Instance>>>,
    turn: Arc<AtomicUsize>,
}

impl Balancer {
    /// Listens, in front of nobody.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(by: By) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let balancer = Self { port, instances: Arc::default(), turn: Arc::default() };
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let serving = balancer.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (balancer, client) = (serving.clone(), client.clone());
                tokio::spawn(async move {
                    match by {
                        By::Connection => balancer.connect(stream).await,
                        By::Call => balancer.serve(stream, client).await,
                    }
                });
            }
        });
        balancer
    }

    /// Puts an instance behind it, or tells where the admin port of one is after a start;
    /// returns when it is known to be ready.
    pub async fn add(&self, port: u16, admin: &str) {
        let known = self.change(|instances| {
            let at = instances.iter_mut().find(|instance| instance.port == port);
            let known = at.is_some();
            match at {
                Some(instance) => instance.admin = Some(admin.to_owned()),
                None => instances.push(Instance { port, admin: Some(admin.to_owned()), ready: false }),
            }
            known
        });
        if !known {
            tokio::spawn(self.clone().follow(port));
        }
        eventually(Duration::from_secs(60), async || {
            let ready = self.change(|all| all.iter().any(|i| i.port == port && i.ready));
            if ready { Ok(()) } else { Err(format!("{port} is not ready")) }
        })
        .await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Instance>) -> T) -> T {
        change(&mut self.instances.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hears of an instance, late.
    async fn follow(self, port: u16) {
        loop {
            let admin = self.change(|all| all.iter().find(|i| i.port == port).and_then(|i| i.admin.clone()));
            let asked = match admin {
                Some(admin) => is_ready(&admin).await,
                None => Some(false),
            };
            // Whoever has no time to answer is not away.
            let Some(ready) = asked else { continue };
            let later = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(LAG).await;
                later.change(|all| all.iter_mut().filter(|i| i.port == port).for_each(|i| i.ready = ready));
            });
            tokio::time::sleep(ASK).await;
        }
    }

    fn choose(&self) -> Option<u16> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.change(|all| {
            let ready: Vec<u16> = all.iter().filter(|i| i.ready).map(|i| i.port).collect();
            ready.get(turn % ready.len().max(1)).copied()
        })
    }

    async fn connect(&self, mut from: TcpStream) {
        let Some(port) = self.choose() else { return };
        if let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await {
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
        }
    }

    async fn serve(&self, stream: TcpStream, client: Client<HttpConnector, Body>) {
        let answer = service_fn(|request: Request<Incoming>| {
            let (balancer, client) = (self.clone(), client.clone());
            async move { Ok::<_, Infallible>(balancer.pass(client, request).await) }
        });
        let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
    }

    async fn pass(&self, client: Client<HttpConnector, Body>, request: Request<Incoming>) -> Response<Body> {
        let Some(port) = self.choose() else { return Status::unavailable("no healthy upstream").into_http() };
        let mut request = request.map(Body::new);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let uri = format!("http://127.0.0.1:{port}{path}").parse::<Uri>();
        *request.uri_mut() = uri.unwrap_or_default();
        match client.request(request).await {
            Ok(response) => response.map(Body::new),
            Err(error) => Status::unavailable(format!("upstream connect error: {error}")).into_http(),
        }
    }
}

/// Whether an instance is ready; nothing when it does not answer in time.
async fn is_ready(admin: &str) -> Option<bool> {
    let asked = async {
        let mut stream = TcpStream::connect(admin).await.ok()?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        Some(text.split_whitespace().nth(1) == Some("200"))
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().map(Option::unwrap_or_default)
}
