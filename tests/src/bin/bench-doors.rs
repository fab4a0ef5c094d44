//! The port under callers who are many, idle or slow: how long reads and health
//! checks take beside 100 users who read, and what 1,000 connections that say
//! nothing, and 1,000 that say and take everything byte by byte, do to the calls of
//! others.
//!
//! Normal calls come at a fixed rate, and the time of each counts from when it
//! should have come, so that waiting behind others is not hidden. Prints one line a
//! figure, its goal beside it; fails when a goal is missed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a tool for the terminal

use bytes::Bytes;
use clap::Parser;
use hdrhistogram::Histogram;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use probity_cli::client::Client;
use probity_tests::load::Load;
use probity_tests::sandbox::Embedded;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Cases to read.
const CASES: u64 = 50;
/// Connections that normal calls of the second part are made on.
const NORMAL: u64 = 32;
/// A slow connection sends or takes a byte this often.
const BYTE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Parser)]
struct Args {
    /// Seconds of each part.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Users who read at once, a tenth of a second between two reads of one.
    #[arg(long, default_value_t = 100)]
    users: u64,
    /// Idle connections, and slow ones.
    #[arg(long, default_value_t = 1_000)]
    connections: u64,
    /// Normal calls a second beside them.
    #[arg(long, default_value_t = 400)]
    rate: u64,
}

/// Where calls go.
#[derive(Clone)]
struct Target {
    addr: SocketAddr,
    token: Arc<str>,
    /// Paths of cases.
    cases: Arc<[String]>,
}

impl Target {
    async fn line(&self) -> Line {
        let stream = TcpStream::connect(self.addr).await.expect("the platform listens");
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        Line { target: self.clone(), sender }
    }

    fn case(&self, number: u64) -> &str {
        &self.cases[usize::try_from(number).unwrap_or(0) % self.cases.len()]
    }
}

/// A connection that is kept, for one call at a time.
struct Line {
    target: Target,
    sender: SendRequest<Empty<Bytes>>,
}

impl Line {
    /// Reads a path to the end of its answer, which must be OK.
    async fn get(&mut self, path: &str) {
        let request = Request::get(path)
            .header("host", "127.0.0.1")
            .header("authorization", format!("Bearer {}", self.target.token))
            .body(Empty::new());
        self.sender.ready().await.expect("the connection is kept");
        let answer = self.sender.send_request(request.expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        answer.into_body().collect().await.expect("the whole answer");
    }
}

type Times = Histogram<u64>;

fn times() -> Times {
    Times::new_with_max(120_000_000, 3).expect("bounds of a histogram")
}

fn took(times: &mut Times, begun: Instant) {
    times.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
}

fn ms(times: &Times, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1_000.0
}

async fn all(mut set: JoinSet<Times>) -> Times {
    let mut sum = times();
    while let Some(one) = set.join_next().await {
        sum.add(one.expect("a caller")).expect("same bounds");
    }
    sum
}

/// Goals, and whether one was missed.
#[derive(Default)]
struct Goals(bool);

impl Goals {
    fn line(&mut self, what: &str, times: &Times, goal_ms: Option<f64>) {
        let p99 = ms(times, 0.99);
        let goal = goal_ms.map_or_else(String::new, |goal| {
            let met = p99 < goal;
            self.0 |= !met;
            format!("   (goal: p99 below {goal:.1} ms, {})", if met { "met" } else { "MISSED" })
        });
        println!(
            "{what:<34} {:>8} calls   p50 {:>7.2} ms   p99 {p99:>7.2} ms   max {:>7.2} ms{goal}",
            times.len(),
            ms(times, 0.5),
            ms(times, 1.0),
        );
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let dir = tempfile::tempdir().expect("a folder");
    let platform = Embedded::start(dir.path()).await;
    let target = fill(&platform).await;
    let length = Duration::from_secs(args.seconds);
    let mut goals = Goals::default();
    users(&args, &target, length, &mut goals).await;

    let alone = normal(&args, &target, length).await;
    goals.line("normal calls, nobody else", &alone, None);
    let twice = ms(&alone, 0.99).max(0.5) * 2.0;
    let idle = idle(&args, &target).await;
    goals.line("beside idle connections", &normal(&args, &target, length).await, Some(twice));
    drop(idle);
    let slow = slow(&args, &target);
    tokio::time::sleep(BYTE * 4).await; // all of them are there
    goals.line("beside slow connections", &normal(&args, &target, length).await, Some(twice));
    println!("slow connections                   {:>8} ended by the platform meanwhile", slow.ended());
    slow.stop().await;
    platform.stop().await;
    if goals.0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Cases to read, all of them settled.
async fn fill(platform: &Embedded) -> Target {
    let client: Client = platform.client();
    let load = Load::new(1);
    let mut names = Vec::new();
    for number in 0..CASES {
        names.push(load.open(&client, number, Duration::from_secs(60)).await.name);
    }
    probity_tests::load::settle(&client, &names, Duration::from_secs(120)).await;
    let token = std::fs::read_to_string(platform.dir.join("token")).expect("the token");
    let addr = platform.url.trim_start_matches("http://").parse().expect("an address");
    let cases = names.iter().map(|name| format!("/v1/{name}")).collect();
    Target { addr, token: token.trim().into(), cases }
}

/// Users who read, a tenth of a second between two reads; health checks fifty times a second beside
/// them.
async fn users(args: &Args, target: &Target, length: Duration, goals: &mut Goals) {
    let until = Instant::now() + length;
    let mut reads = JoinSet::new();
    for user in 0..args.users {
        let target = target.clone();
        reads.spawn(async move {
            let (mut line, mut times, mut number) = (target.line().await, times(), user);
            while Instant::now() < until {
                let begun = Instant::now();
                line.get(target.case(number)).await;
                took(&mut times, begun);
                number += 1;
                // A person looks at what was read, if only for a moment.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            times
        });
    }
    let mut checks = JoinSet::new();
    let checked = target.clone();
    checks.spawn(async move {
        let (mut line, mut times) = (checked.line().await, times());
        while Instant::now() < until {
            let begun = Instant::now();
            line.get("/health/live").await;
            took(&mut times, begun);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        times
    });
    let (reads, checks) = tokio::join!(all(reads), all(checks));
    goals.line(&format!("reads of {} users", args.users), &reads, Some(50.0));
    goals.line("health checks beside them", &checks, Some(10.0));
}

/// Reads at a fixed rate.
async fn normal(args: &Args, target: &Target, length: Duration) -> Times {
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..NORMAL {
        let (target, next, rate) = (target.clone(), next.clone(), args.rate.max(1));
        callers.spawn(async move {
            let (mut line, mut times) = (target.line().await, times());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let due = begun + Duration::from_micros(number * 1_000_000 / rate);
                if due > begun + length {
                    return times;
                }
                tokio::time::sleep_until(due.into()).await;
                line.get(target.case(number)).await;
                took(&mut times, due);
            }
        });
    }
    all(callers).await
}

/// Connections that made one call and now say nothing.
async fn idle(args: &Args, target: &Target) -> Vec<Line> {
    let mut lines = Vec::new();
    for number in 0..args.connections {
        let mut line = target.line().await;
        line.get(target.case(number)).await;
        lines.push(line);
    }
    lines
}

/// Connections that say and take everything byte by byte.
struct Slow {
    all: Vec<JoinHandle<()>>,
    ended: Arc<AtomicU64>,
}

impl Slow {
    fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    async fn stop(self) {
        for one in self.all {
            one.abort();
            let _ = one.await;
        }
    }
}

/// A third sends its head byte by byte, a third its body, and a third takes an answer
/// of megabytes byte by byte. Who is cut off comes again.
fn slow(args: &Args, target: &Target) -> Slow {
    let ended = Arc::new(AtomicU64::new(0));
    let all = (0..args.connections).map(|number| {
        let (target, ended) = (target.clone(), ended.clone());
        tokio::spawn(async move {
            loop {
                // What a slow one meets is no error of the platform.
                let _ = match number % 3 {
                    0 => slow_head(&target).await,
                    1 => slow_body(&target).await,
                    _ => slow_reader(&target).await,
                };
                ended.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(BYTE).await;
            }
        })
    });
    Slow { all: all.collect(), ended }
}

async fn byte_by_byte(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    for byte in text.as_bytes() {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(BYTE).await;
    }
    Ok(())
}

async fn slow_head(target: &Target) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(target.addr).await?;
    byte_by_byte(&mut stream, &format!("GET {} HTTP/1.1\r\nhost: slow\r\n\r\n", target.case(0))).await
}

async fn slow_body(target: &Target) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(target.addr).await?;
    let (body, token) = (r#"{"kind":"CASE_KIND_REPORT","subject":"slow"}"#, &target.token);
    let head = format!(
        "POST /v1/cases HTTP/1.1\r\nhost: slow\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    byte_by_byte(&mut stream, body).await
}

async fn slow_reader(target: &Target) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?; // so that little waits outside of the platform
    let mut stream = socket.connect(target.addr).await?;
    let head = "GET /api/openapi.json HTTP/1.1\r\nhost: slow\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut byte = [0];
    while stream.read(&mut byte).await? > 0 {
        tokio::time::sleep(BYTE).await;
    }
    Ok(())
}
