//! Figures of this crate: `cargo run --release -p probity-resilience --example bench`.
//!
//! Every figure is the median of several rounds, in nanoseconds for one call on
//! one thread. The calls do no I/O: what is measured is the layers alone.

#![allow(clippy::print_stdout)] // its output is what it is for
#![allow(clippy::cast_precision_loss)] // counts of calls

use futures::FutureExt as _;
use http::{Request, Response};
use probity_proto::BoxError;
use probity_resilience::breaker::{self, Breaker, BreakerLayer, Breakers, Outcome};
use probity_resilience::performance::{self, Performance};
use probity_resilience::stack::{Settings, Shared};
use probity_resilience::{Observed, Stack};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use tonic::body::Body;
use tower::{Layer as _, Service, service_fn};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

type Failure = Box<dyn std::error::Error>;

const CALLS: u32 = 200_000;
const ROUNDS: usize = 9;
const READ: &str = "/probity.spam.v1.SpamService/Classify";

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter(); // for timers
    println!("{:<58} {:>9} {:>12}", "ns a call", "1 thread", "8 threads");
    let breaker = Arc::new(Breaker::new("peer", breaker::Config::default())?);
    row("breaker: ask (closed)", || {
        let breaker = breaker.clone();
        move || drop(black_box(breaker.ask()))
    });
    row("breaker: decision (ask and record a success)", || {
        let breaker = breaker.clone();
        move || {
            if let Ok(pass) = breaker.ask() {
                breaker.record(pass, Outcome::Success, Duration::ZERO);
            }
        }
    });
    let open = Arc::new(Breaker::new("peer", breaker::Config::default())?);
    open.force_open();
    row("breaker: refusal (open)", || {
        let open = open.clone();
        move || drop(black_box(open.ask()))
    });
    let peer = service_fn(|_request: Request<Body>| {
        std::future::ready(Ok::<_, BoxError>(Response::new(Body::empty())))
    });
    row("no layer", || calling(peer));
    row("layer: this breaker", || calling(BreakerLayer::new(breaker.clone()).layer(peer)));
    let theirs = CircuitBreakerLayer::builder().failure_rate_threshold(0.5).build()?;
    let theirs: tower_resilience_circuitbreaker::CircuitBreaker<_, _> = theirs.layer(peer);
    row("layer: tower-resilience-circuitbreaker 0.14", || calling(theirs.clone()));
    let stack = stack()?;
    row("whole stack: deadline, measure, retry, breaker, bulkhead", || calling(stack.around(peer)));
    deciding_failure()?;
    Ok(())
}

fn stack() -> Result<Stack, Failure> {
    let observed = Observed::default();
    let breakers = Breakers::new(breaker::Config::default(), BTreeMap::new(), observed.clone())?;
    let performance = Performance::new(performance::Config::default(), observed.clone())?;
    let shared = Shared { breakers, performance, observed };
    // The longest that is usual, so that nothing but the layers is measured.
    let settings = Settings { attempt_timeout_ms: 0, ..Settings::default() };
    Ok(Stack::new("peer", &settings, &shared)?)
}

/// One call after the other through a service that is always ready.
fn calling<S>(mut service: S) -> impl FnMut()
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static(READ);
    let (parts, _) = request.into_parts();
    move || {
        let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).now_or_never();
        assert!(ready.is_some_and(|ready| ready.is_ok()));
        let answer = service.call(Request::from_parts(parts.clone(), Body::empty())).now_or_never();
        assert!(black_box(answer).is_some_and(|answer| answer.is_ok()));
    }
}

fn row<F: FnMut() + Send>(name: &str, make: impl Fn() -> F) {
    let one = median(|| measure(1, &make));
    let eight = median(|| measure(8, &make));
    println!("{name:<58} {one:>9.0} {eight:>12.0}");
}

fn median(mut round: impl FnMut() -> f64) -> f64 {
    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Nanoseconds of processor time a call: elapsed time, times the cores that were
/// at work, over all calls.
fn measure<F: FnMut() + Send>(threads: usize, make: &impl Fn() -> F) -> f64 {
    let barrier = Barrier::new(threads + 1);
    let handle = tokio::runtime::Handle::current();
    let took = std::thread::scope(|scope| {
        for _ in 0..threads {
            let (mut call, barrier, handle) = (make(), &barrier, &handle);
            scope.spawn(move || {
                let _entered = handle.enter();
                barrier.wait();
                (0..CALLS).for_each(|_| call());
                barrier.wait();
            });
        }
        barrier.wait();
        let begun = Instant::now();
        barrier.wait();
        begun.elapsed()
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(threads);
    took.as_nanos() as f64 * cores as f64 / (f64::from(CALLS) * threads as f64)
}

/// From the failure that decides to the first refusal.
fn deciding_failure() -> Result<(), Failure> {
    let mut worst = Duration::ZERO;
    for _ in 0..1_000 {
        let breaker = Breaker::new("peer", breaker::Config::default())?;
        for _ in 0..4 {
            breaker.record(breaker.ask()?, Outcome::Failure, Duration::ZERO);
        }
        let (pass, begun) = (breaker.ask()?, Instant::now());
        breaker.record(pass, Outcome::Failure, Duration::ZERO);
        assert!(breaker.ask().is_err());
        worst = worst.max(begun.elapsed());
    }
    println!("\nfrom the deciding failure to the first refusal, worst of 1,000: {worst:?}");
    Ok(())
}
