//! A peer that breaks and comes back, behind the whole stack.
//! `cargo run -p probity-resilience --example peer`

#![allow(clippy::print_stdout)] // its output is what it is for

use http::{Request, Response};
use probity_proto::BoxError;
use probity_resilience::breaker::{Breakers, Config};
use probity_resilience::performance::{self, Performance};
use probity_resilience::stack::{Settings, Shared};
use probity_resilience::{Event, Observed, Policy, Stack};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tonic::Status;
use tonic::body::Body;
use tower::{ServiceExt as _, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let observed = Observed::by(Arc::new(|event: &Event<'_>| println!("      {event:?}")));
    let breaker = Config { open_ms: 500, ..Config::default() };
    let breakers = Breakers::new(breaker, BTreeMap::new(), observed.clone())?;
    let performance = Performance::new(performance::Config::default(), observed.clone())?;
    let shared = Shared { breakers, performance, observed };
    let quick = Policy { base: Duration::from_millis(20), cap: Duration::from_millis(100), ..Policy::QUICK };
    let stack =
        Stack::new("spam-detection", &Settings { retry: quick, breaker, ..Settings::default() }, &shared)?;

    let broken = Arc::new(AtomicBool::new(false));
    let state = broken.clone();
    let service = stack.around(service_fn(move |_request: Request<Body>| {
        let broken = state.load(Ordering::SeqCst);
        async move {
            let away = || Status::unavailable("connection refused").into_http();
            Ok::<_, BoxError>(if broken { away() } else { Response::new(Body::empty()) })
        }
    }));
    for (what, breaks, calls) in [("works", false, 2), ("is broken", true, 4), ("is back", false, 3)] {
        println!("the peer {what}");
        broken.store(breaks, Ordering::SeqCst);
        for _ in 0..calls {
            let request =
                Request::builder().uri("/probity.spam.v1.SpamService/Classify").body(Body::empty())?;
            let begun = Instant::now();
            let answer = service.clone().oneshot(request).await.map_err(|error| error.to_string())?;
            let code =
                Status::from_header_map(answer.headers()).map_or(tonic::Code::Ok, |status| status.code());
            println!("   {code:?} after {:?}", begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    for summary in shared.performance.summaries() {
        println!(
            "{}: {} calls, {:.0}% fine, p99 {:?}",
            summary.operation,
            summary.count,
            summary.success_rate * 100.0,
            summary.p99
        );
    }
    Ok(())
}
