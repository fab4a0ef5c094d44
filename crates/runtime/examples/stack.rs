//! What a call costs beside its work: `cargo run --release -p probity-runtime --example stack`.
//!
//! The layers of a client around the check of the caller's token that every service
//! makes, without I/O; medians of nine rounds, in nanoseconds of processor time a call.

#![allow(clippy::print_stdout)] // its output is what it is for
#![allow(clippy::expect_used)] // a benchmark has nobody to hand an error to

use http::{Request, Response};
use probity_proto::BoxError;
use probity_resilience::breaker::{self, Breakers};
use probity_resilience::performance::{self, Performance};
use probity_resilience::stack::{Settings, Shared};
use probity_resilience::{Observed, Stack};
use probity_runtime::identity::Verifier;
use probity_runtime::{CALLER_HEADER, Minter};
use probity_types::{Ctx, Role, Roles, SystemClock};
use std::collections::BTreeMap;
use std::future::{Ready, poll_fn, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tonic::body::Body;
use tower::{Service, service_fn};

type Failure = Box<dyn std::error::Error>;
type Answer = Result<Response<Body>, BoxError>;

const CALLS: u32 = 50_000;
const ROUNDS: usize = 9;
const READ: &str = "/probity.spam.v1.SpamService/Classify";

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter(); // for timers
    let keys = tempfile::tempdir()?;
    let clock = Arc::new(SystemClock);
    let ctx = Ctx {
        tenant: "tenants/acme".to_owned(),
        actor: "users/olga".to_owned(),
        roles: Roles::new([Role::Officer]),
        ..Ctx::service("gateway", "platform", "")
    };
    let token = Minter::open(keys.path(), "gateway", clock.clone())?.mint(&ctx)?;
    let verifier = Arc::new(Verifier::new(keys.path(), vec!["gateway".to_owned()], clock));
    let checking = service_fn(move |request: Request<Body>| check(&verifier, request));
    let open = service_fn(|_request: Request<Body>| ready(Answer::Ok(Response::new(Body::empty()))));
    let stack = stack()?;
    println!("{:<66} {:>9}", "ns a call", "1 thread");
    row("no layer", open, &token);
    row("token check", checking.clone(), &token);
    row("deadline, measure, retry, breaker, bulkhead", stack.around(open), &token);
    row("deadline, measure, retry, breaker, bulkhead, token check", stack.around(checking), &token);
    Ok(())
}

/// What a service does with the token of a call: it is read and, as its signature was
/// checked at an earlier call, found again; the caller goes on with the request.
fn check(verifier: &Verifier, mut request: Request<Body>) -> Ready<Answer> {
    let token = request.headers().get(CALLER_HEADER).and_then(|value| value.to_str().ok());
    let verified =
        token.ok_or_else(|| BoxError::from("no token")).and_then(|token| Ok(verifier.verify(token)?));
    ready(verified.map(|ctx| {
        request.extensions_mut().insert(ctx);
        black_box(request);
        Response::new(Body::empty())
    }))
}

fn stack() -> Result<Stack, Failure> {
    let observed = Observed::default();
    let breakers = Breakers::new(breaker::Config::default(), BTreeMap::new(), observed.clone())?;
    let performance = Performance::new(performance::Config::default(), observed.clone())?;
    let settings = Settings { attempt_timeout_ms: 0, ..Settings::default() };
    Ok(Stack::new("peer", &settings, &Shared { breakers, performance, observed })?)
}

fn row<S>(name: &str, mut service: S, token: &str)
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let request = Request::builder().uri(READ).header(CALLER_HEADER, token).body(()).expect("a request");
    let (parts, ()) = request.into_parts();
    let mut call = || {
        assert!(finish(poll_fn(|cx| service.poll_ready(cx))).is_ok());
        let answer = finish(service.call(Request::from_parts(parts.clone(), Body::empty())));
        assert!(black_box(answer).is_ok());
    };
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let begun = processor_time();
            (0..CALLS).for_each(|_| call());
            (processor_time() - begun) * 1e9 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:<66} {:>9.0}", rounds[ROUNDS / 2]);
}

/// Polls until it is done: nothing here waits for anything.
fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Seconds this thread has been at work.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    #[allow(clippy::cast_precision_loss)] // seconds since the thread began
    let seconds = time.tv_sec as f64;
    #[allow(clippy::cast_precision_loss)] // below a thousand million
    let nanos = time.tv_nsec as f64;
    seconds + nanos / 1e9
}
