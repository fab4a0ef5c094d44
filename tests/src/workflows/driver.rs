//! A closed loop over HTTP/1.1: each caller posts, waits for the answer, posts
//! again, on a connection of its own that is kept.

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Longest time of one call.
const LIMIT: Duration = Duration::from_secs(120);

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// `GET` or `POST`.
    pub method: http::Method,
    /// Path and query.
    pub path: String,
    /// The idempotency key, where the engine takes one in a header.
    pub key: Option<String>,
    /// JSON.
    pub body: String,
}

impl Call {
    /// A read.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self { method: http::Method::GET, path: path.to_owned(), key: None, body: String::new() }
    }
}

/// What a call asks of the steps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steps {
    /// How long each takes, in milliseconds.
    pub delay_ms: u64,
    /// Each attempt leaves a line in the file of effects.
    pub log: bool,
}

/// Where calls go, and how they look.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address.
    pub addr: SocketAddr,
    /// `authorization`, where the engine wants one.
    pub token: Option<String>,
    /// The call that runs the workflow under a key and answers with its result.
    pub run: fn(key: &str, steps: Steps) -> Call,
    /// The call that starts it and answers once that is durable.
    pub send: fn(key: &str, steps: Steps) -> Call,
    /// The call that answers with the result of a workflow that was started so.
    pub attach: fn(key: &str, steps: Steps) -> Call,
    /// Whether an answer is the result of a workflow that is done.
    pub is_done: fn(body: &[u8]) -> bool,
}

impl Target {
    /// A door that is only read from, without a token.
    #[must_use]
    pub fn reads(addr: SocketAddr) -> Self {
        let none = |_: &str, _: Steps| Call::get("/");
        Self { addr, token: None, run: none, send: none, attach: none, is_done: |_| false }
    }
}

/// What a round showed.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Calls that were answered well.
    pub ok: u64,
    /// Calls a second.
    pub per_s: f64,
    /// Half of the calls took at most this, in milliseconds.
    pub p50_ms: f64,
    /// All but one in a hundred took at most this, in milliseconds.
    pub p99_ms: f64,
    /// The slowest, in milliseconds.
    pub max_ms: f64,
    /// Calls that failed.
    pub errors: u64,
    /// What the first of them said.
    pub first_error: String,
}

/// Calls `calls` times with `callers` at once; keys begin with `prefix`. Needs a
/// `LocalSet` or a local runtime around it.
pub async fn closed_loop(target: &Target, callers: usize, calls: u64, prefix: &str) -> Round {
    let next = Rc::new(Cell::new(0));
    let begun = Instant::now();
    let all = (0..callers).map(|_| {
        let (target, next, prefix) = (target.clone(), next.clone(), prefix.to_owned());
        tokio::task::spawn_local(caller(target, next, calls, prefix))
    });
    let mut times = histogram();
    let mut round = Round::default();
    for one in futures::future::join_all(all).await {
        let (mine, errors, first) = one.expect("a caller");
        times.add(&mine).expect("same bounds");
        round.errors += errors;
        if round.first_error.is_empty() {
            round.first_error = first;
        }
    }
    let ms = |q: f64| times.value_at_quantile(q) as f64 / 1_000.0;
    round.ok = times.len();
    round.per_s = times.len() as f64 / begun.elapsed().as_secs_f64();
    (round.p50_ms, round.p99_ms, round.max_ms) = (ms(0.5), ms(0.99), ms(1.0));
    round
}

async fn caller(
    target: Target,
    next: Rc<Cell<u64>>,
    calls: u64,
    prefix: String,
) -> (Histogram<u64>, u64, String) {
    let (mut times, mut errors, mut first) = (histogram(), 0, String::new());
    let mut line = Line::new(&target);
    loop {
        let number = next.get();
        if number >= calls {
            return (times, errors, first);
        }
        next.set(number + 1);
        let call = (target.run)(&format!("{prefix}{number}"), Steps::default());
        let begun = Instant::now();
        match line.call(&call).await {
            Ok(body) if (target.is_done)(&body) => {
                times.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            Ok(body) => {
                errors += 1;
                first = format!("not done: {}", String::from_utf8_lossy(&body));
            }
            Err(why) => {
                errors += 1;
                first = why;
            }
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(200_000_000, 3).expect("bounds of a histogram")
}

/// A kept connection, made again when it broke.
pub struct Line<'t> {
    target: &'t Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl<'t> Line<'t> {
    /// A line that is not open yet.
    #[must_use]
    pub const fn new(target: &'t Target) -> Self {
        Self { target, sender: None }
    }

    /// Calls once.
    ///
    /// # Errors
    /// What broke, or what the answer said when it was no success.
    pub async fn call(&mut self, call: &Call) -> Result<Bytes, String> {
        let answer = tokio::time::timeout(LIMIT, self.attempt(call)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")));
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn attempt(&mut self, call: &Call) -> Result<Bytes, String> {
        let text = |error: hyper::Error| error.to_string();
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(self.target.addr).await.map_err(|e| e.to_string())?;
            stream.set_nodelay(true).map_err(|e| e.to_string())?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(text)?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        let Some(sender) = &mut self.sender else { return Err("no connection".to_owned()) };
        sender.ready().await.map_err(text)?;
        let response = sender.send_request(request(self.target, call)).await.map_err(text)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(text)?.to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            Err(format!("{status} {}", String::from_utf8_lossy(&body)))
        }
    }
}

fn request(target: &Target, call: &Call) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(&call.path)
        .header(header::HOST, target.addr.to_string());
    if let Some(token) = &target.token {
        request = request.header(header::AUTHORIZATION, token);
    }
    if let Some(key) = &call.key {
        request = request.header("idempotency-key", key);
    }
    if !call.body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request.body(Full::from(call.body.clone())).expect("a request")
}
