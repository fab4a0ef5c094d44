//! What every call of a client passes: token, ids, deadline, and another try
//! where the contract allows one. Generated clients take [`Transport`] as their
//! channel, so that a call by hand is treated like one of this crate's own.
//!
//! What may be repeated is read from the contract (`idempotency_level`), never
//! guessed: a method without side effects, or an idempotent one under an
//! idempotency key. A call that is idempotent and has no key gets one here, the
//! same for every attempt. Streams are passed on once.

use crate::error::again;
use crate::settings::{ClientBuilder, Token};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use probity_proto::{BoxError, access, legible, pool};
use probity_types::retry::RetryPolicy;
use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Service, ServiceExt as _};

pub(crate) const REQUEST_ID: &str = "x-request-id";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
/// Largest request that is kept for another attempt; the platform takes none
/// that is larger in one message.
const LARGEST_KEPT: usize = 16 << 20;
/// How much earlier than here a deadline may be over there: what is left of it is
/// told in whole milliseconds.
const CLOCKS: Duration = Duration::from_millis(5);
/// Most time a `grpc-timeout` is given for, so that it has eight digits.
const LONGEST: Duration = Duration::from_secs(99_999);

static UNARY: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let methods = pool().services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let unary = methods.filter(|m| !m.is_client_streaming() && !m.is_server_streaming());
    unary.map(|method| access::path(&method)).collect()
});

/// A connection to the platform with everything a call needs. Clones share it.
#[derive(Debug, Clone)]
pub struct Transport {
    channel: Channel,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    token: Token,
    timeout: Duration,
    retry: RetryPolicy,
}

impl Transport {
    pub(crate) fn new(channel: Channel, settings: &ClientBuilder) -> Self {
        let shared =
            Shared { token: settings.bearer().clone(), timeout: settings.timeout, retry: settings.retry };
        Self { channel, shared: Arc::new(shared) }
    }

    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        self.shared.retry
    }

    async fn once(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        Ok(legible(self.channel.clone().oneshot(request).await?))
    }

    async fn run(self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let path = request.uri().path().to_owned();
        let may_repeat = self.prepare(&path, request.headers_mut());
        if !UNARY.contains(&path) {
            return self.once(request).await;
        }
        let limit = timeout_of(request.headers()).unwrap_or(self.shared.timeout);
        let deadline = Instant::now() + limit.min(LONGEST);
        let answer = async {
            if may_repeat {
                self.repeat(request, deadline).await
            } else {
                tell(request.headers_mut(), deadline);
                self.once(request).await
            }
        };
        match timeout_at(deadline, answer).await {
            Ok(answer) if !ran_out(&answer, deadline) => answer,
            _ => Ok(over().into_http()),
        }
    }

    /// Adds what the caller left out; true when the call may be repeated.
    fn prepare(&self, path: &str, headers: &mut HeaderMap) -> bool {
        if let Some(bearer) = self.shared.token.header()
            && let Ok(mut value) = HeaderValue::from_bytes(bearer.as_bytes())
        {
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let fresh = || HeaderValue::from_str(&uuid::Uuid::now_v7().as_simple().to_string()).ok();
        let mut add = |name: HeaderName| {
            if let Some(value) = fresh().filter(|_| !headers.contains_key(&name)) {
                headers.insert(name, value);
            }
        };
        add(HeaderName::from_static(REQUEST_ID));
        let Some(method) = access::method(path) else { return false };
        if method.repeatable && !method.read_only && !method.client_streaming {
            add(IDEMPOTENCY_KEY);
        }
        method.read_only || (method.repeatable && headers.contains_key(IDEMPOTENCY_KEY))
    }

    async fn repeat(&self, request: Request<Body>, deadline: Instant) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, LARGEST_KEPT).collect().await?.to_bytes();
        let mut attempt = 1;
        loop {
            let mut request = Request::from_parts(parts.clone(), full(&body));
            tell(request.headers_mut(), deadline);
            if attempt > 1 {
                request.headers_mut().insert(PREVIOUS_ATTEMPTS, HeaderValue::from(attempt - 1));
            }
            let answer = self.once(request).await;
            let Some(wait) = self.wait_after(&answer, attempt) else { return answer };
            if Instant::now() + wait >= deadline {
                return answer;
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// How long to wait after an answer before the next attempt; `None` when there
    /// is none.
    fn wait_after(&self, answer: &Result<Response<Body>, BoxError>, attempt: u32) -> Option<Duration> {
        let least = match answer {
            Ok(response) => again(&Status::from_header_map(response.headers())?)?,
            Err(_) => Duration::ZERO, // nobody answered
        };
        self.shared.retry.delay(attempt, fastrand::f64()).map(|wait| wait.max(least))
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    /// The channel is waited for within the call, so that its deadline counts.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().run(request))
    }
}

fn full(body: &Bytes) -> Body {
    Body::new(Full::new(body.clone()))
}

fn over() -> Status {
    Status::deadline_exceeded("the time allowed for this call is over; allow more, or ask for less")
}

/// Whether a call ended because of its deadline, which a transport or a server
/// that watches it, too, tells as a cancellation.
fn ran_out(answer: &Result<Response<Body>, BoxError>, deadline: Instant) -> bool {
    let cancelled = match answer {
        Err(_) => true,
        Ok(response) => {
            let status = Status::from_header_map(response.headers());
            status.is_some_and(|status| status.code() == tonic::Code::Cancelled)
        }
    };
    cancelled && Instant::now() + CLOCKS >= deadline
}

/// Writes what is left of the time on a request, in milliseconds.
fn tell(headers: &mut HeaderMap, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
    if let Ok(value) = HeaderValue::from_str(&format!("{left}m")) {
        headers.insert(GRPC_TIMEOUT, value);
    }
}

/// What the caller allows: digits and a unit.
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.saturating_mul(3_600))),
        "M" => Some(Duration::from_secs(number.saturating_mul(60))),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_in_every_unit() {
        let check = |text: &'static str, expect: Option<Duration>| {
            let headers = HeaderMap::from_iter([(GRPC_TIMEOUT, HeaderValue::from_static(text))]);
            assert_eq!(timeout_of(&headers), expect, "{text}");
        };
        check("2H", Some(Duration::from_secs(7_200)));
        check("3M", Some(Duration::from_secs(180)));
        check("30S", Some(Duration::from_secs(30)));
        check("250m", Some(Duration::from_millis(250)));
        check("5u", Some(Duration::from_micros(5)));
        check("5n", Some(Duration::from_nanos(5)));
        check("", None);
        check("5", None);
        check("S", None);
        check("5 S", None);
    }
}
