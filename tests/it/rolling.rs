//! Every instance of the gateway and of the orchestrator is stopped in order and started
//! again, one after the other, while callers who try nothing twice go on calling.
//!
//! **What must hold:** a process that ends in order costs no caller a failed call. The
//! balancers in front hear of it a second late, and never try a second instance.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use probity_testkit::Postgres;
use probity_tests::balancer::{Balancer, By};
use probity_tests::cluster::{Cluster, Gateway, Start};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Longer than the balancers need to hear of it.
const LEAD_MS: &str = "2000";
/// The longest an orderly end may take.
const DRAIN: Duration = Duration::from_secs(25);
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two calls.
const PAUSE: Duration = Duration::from_millis(40);
/// A workflow that waits for a signal, wherever it is.
const WAITING: &str = "name: waiting\nsteps:\n  - {id: go, wait: {signal: go}}\n";

/// A caller who makes a connection for each call and tries nothing twice.
#[derive(Clone)]
struct Caller {
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
    token: String,
    /// Executions that wait.
    waiting: Arc<Mutex<VecDeque<String>>>,
}

impl Caller {
    fn new(port: u16, token: &str) -> Self {
        let http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        let (url, waiting) = (format!("http://127.0.0.1:{port}"), Arc::default());
        Self { http, url, token: token.to_owned(), waiting }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let request = request.header("content-type", "application/json");
        let request = request.header("idempotency-key", format!("{:032x}", fastrand::u128(..)));
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::from(body)).expect("a request");
        let answer = async {
            let response = self.http.request(request).await.map_err(|error| format!("{error:?}"))?;
            let status = response.status();
            let bytes =
                response.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if status.is_success() { Ok(text) } else { Err(format!("{status} {text}")) }
        };
        let answered =
            tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err("no answer".into()));
        let text = answered.map_err(|why| format!("{method} {path}: {why}"))?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// One call of the load: of ten, six read, two start something and two go on with it.
    async fn call(self, number: u64) -> Result<(), String> {
        match number % 10 {
            0 | 5 => {
                let start = json!({"definition": "definitions/waiting"});
                let started = self.ask("POST", "/v1/executions", Some(start)).await?;
                let name = started["name"].as_str().ok_or("no name")?.to_owned();
                self.waiting.lock().await.push_back(name);
            }
            3 | 8 => {
                let Some(name) = self.waiting.lock().await.pop_front() else { return Ok(()) };
                self.ask("POST", &format!("/v1/{name}:signal"), Some(json!({"signal": "go"}))).await?;
            }
            1 | 6 => drop(self.ask("GET", "/v1/executions?pageSize=1", None).await?),
            _ => drop(self.ask("GET", "/v1/cases?pageSize=1", None).await?),
        }
        Ok(())
    }
}

/// Calls at a fixed rate until it is told to stop; how many, and what failed.
async fn load(caller: Caller, stop: Arc<AtomicBool>) -> (u64, Vec<String>) {
    let (mut calls, mut sent, mut failed) = (JoinSet::new(), 0, Vec::new());
    let (mut due, begun) = (tokio::time::interval(PAUSE), Instant::now());
    while !stop.load(Ordering::Relaxed) {
        due.tick().await;
        let (caller, number) = (caller.clone(), sent);
        calls.spawn(async move { caller.call(number).await.map_err(|why| (begun.elapsed(), why)) });
        sent += 1;
    }
    while let Some(call) = calls.join_next().await {
        if let Err((at, why)) = call.expect("a call does not panic") {
            failed.push(format!("after {at:.1?}: {why}"));
        }
    }
    (sent, failed)
}

/// Stops each orchestrator and each gateway in order and starts it again; the longest end.
async fn roll(
    cluster: &mut Cluster,
    gateways: &mut [Gateway],
    (behind, front): (&Balancer, &Balancer),
) -> Duration {
    let mut longest = Duration::ZERO;
    for number in (0..cluster.replicas()).rev() {
        let begun = Instant::now();
        let exit = cluster.take(number).terminate(DRAIN).await;
        longest = longest.max(begun.elapsed());
        assert!(exit.status.success(), "{}", exit.output.join("\n"));
        cluster.start_replica(number, &start()).await;
        behind.add(cluster.port(number), cluster.admin(number)).await;
    }
    for gateway in gateways {
        longest = longest.max(gateway.restart(DRAIN).await);
        front.add(gateway.port, &gateway.admin).await;
    }
    longest
}

/// Besides the lead, patience: what a busy machine does to leases and queries is not what
/// this is about.
fn start() -> Start {
    let env = [
        ("PROBITY_HOST__DRAIN_LEAD_MS", LEAD_MS),
        ("PROBITY_ORCHESTRATOR__LEASE_TTL_MS", "6000"),
        ("PROBITY_ORCHESTRATOR__DATABASE__ACQUIRE_TIMEOUT_MS", "10000"),
        ("PROBITY_GATEWAY__DATABASE__ACQUIRE_TIMEOUT_MS", "10000"),
    ];
    Start { env: env.map(|(key, value)| (key, value.to_owned())).to_vec(), ..Start::default() }
}

async fn nobody_is_failed(by: By) {
    let (dir, url) = (tempfile::tempdir().unwrap(), Postgres::database());
    let mut cluster = Cluster::start(dir.path(), Some(url.clone())).await;
    let (behind, front) = (Balancer::start(by).await, Balancer::start(By::Connection).await);
    for _ in 0..2 {
        let number = cluster.join(&start()).await;
        behind.add(cluster.port(number), cluster.admin(number)).await;
    }
    let (mut gateways, database) = (Vec::new(), Postgres::database());
    for _ in 0..2 {
        let gateway = cluster.gateway(behind.port, &database, &start().env).await;
        front.add(gateway.port, &gateway.admin).await;
        gateways.push(gateway);
    }
    let token = std::fs::read_to_string(dir.path().join("token")).expect("the token");
    let caller = Caller::new(front.port, token.trim());
    caller.ask("POST", "/v1/definitions", Some(json!({"source": WAITING}))).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let calling = tokio::spawn(load(caller, stop.clone()));
    let rounds = std::env::var("PROBITY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut longest = Duration::ZERO;
    for _ in 0..rounds {
        longest = longest.max(roll(&mut cluster, &mut gateways, (&behind, &front)).await);
    }
    stop.store(true, Ordering::Relaxed);
    let (sent, failed) = calling.await.unwrap();
    println!("by {by:?}: {sent} calls, {} failed; the longest end took {longest:.1?}", failed.len());
    assert_eq!(failed, Vec::<String>::new());
    assert!(sent > 100, "{sent} calls are no load");
    drop(gateways);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_fails_no_call_where_connections_are_balanced() {
    nobody_is_failed(By::Connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_fails_no_call_where_calls_are_balanced() {
    nobody_is_failed(By::Call).await;
}
