//! Calls over several endpoints: who gets them, and who is left out.

use super::*;
use crate::observe::tests::collecting;
use std::sync::atomic::{AtomicUsize, Ordering};
use tonic::{Code, Status};
use tower::service_fn;

const UNARY: &str = "/probity.spam.v1.SpamService/Classify";

/// Endpoints that answer with a code after some milliseconds, and count.
struct Peer {
    balance: Balance,
    calls: Vec<Arc<AtomicUsize>>,
}

impl Peer {
    fn new(strategy: Strategy, endpoints: &[(Code, u64)], observed: Observed) -> Self {
        let calls: Vec<_> = endpoints.iter().map(|_| Arc::new(AtomicUsize::new(0))).collect();
        let services = endpoints.iter().zip(&calls).enumerate().map(|(at, ((code, millis), calls))| {
            let (code, millis, calls) = (*code, *millis, calls.clone());
            let service = service_fn(move |_request: Request<Body>| {
                calls.fetch_add(1, Ordering::SeqCst);
                async move {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    Ok(if code == Code::Ok {
                        Response::new(Body::empty())
                    } else {
                        Status::new(code, "no").into_http()
                    })
                }
            });
            (format!("e{at}"), 1, BoxGrpcService::new(service))
        });
        let config = Config { strategy, ..Config::default() };
        Self { balance: Balance::new("peer", config, services.collect(), observed).unwrap(), calls }
    }

    async fn call(&self, times: usize) {
        for _ in 0..times {
            let request = Request::builder().uri(UNARY).body(Body::empty()).unwrap();
            self.balance.clone().oneshot(request).await.unwrap();
        }
    }

    fn shares(&self) -> Vec<usize> {
        self.calls.iter().map(|calls| calls.swap(0, Ordering::SeqCst)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_taken_out_and_put_back() {
    let (observed, seen) = collecting();
    let peer = Peer::new(Strategy::RoundRobin, &[(Code::Ok, 1), (Code::Unavailable, 1)], observed);
    peer.call(10).await;
    assert_eq!(peer.shares(), [5, 5]);
    peer.call(10).await;
    assert_eq!(peer.shares(), [10, 0]);
    assert!(peer.balance.snapshots()[1].ejected);
    tokio::time::advance(Duration::from_secs(30)).await;
    peer.call(4).await;
    assert_eq!(peer.shares(), [2, 2]);
    let seen = seen.lock();
    assert!(
        seen[0].contains("\"e1\", during: Some(30s)") && seen[1].contains("\"e1\", during: None"),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn health_checks_are_heard_and_nobody_left_is_said_so() {
    let peer = Peer::new(Strategy::RoundRobin, &[(Code::Ok, 1), (Code::NotFound, 1)], Observed::default());
    peer.balance.set_serving(0, false);
    peer.call(6).await;
    assert_eq!(peer.shares(), [0, 6], "a NOT_FOUND is no failure");
    peer.balance.set_serving(1, false);
    let request = Request::builder().uri(UNARY).body(Body::empty()).unwrap();
    let answer = peer.balance.clone().oneshot(request).await.unwrap();
    assert!(matches!(Refusal::of(&answer), Some(Refusal::NoEndpoint { .. })));
    peer.balance.set_serving(0, true);
    peer.call(2).await;
    assert_eq!(peer.shares(), [2, 0]);
}

#[tokio::test(start_paused = true)]
async fn peak_ewma_leaves_a_slow_one_alone() {
    let peer =
        Peer::new(Strategy::PeakEwma, &[(Code::Ok, 2), (Code::Ok, 200), (Code::Ok, 2)], Observed::default());
    peer.call(300).await;
    let shares = peer.shares();
    assert!(shares[1] <= 3 && shares[0] > 90 && shares[2] > 90, "{shares:?}");
    assert!(peer.balance.snapshots().iter().all(|endpoint| endpoint.in_flight == 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_is_not_counted() {
    let peer = Peer::new(Strategy::LeastConnections, &[(Code::Ok, 900)], Observed::default());
    let gone = tokio::time::timeout(Duration::from_millis(1), peer.call(1)).await;
    assert!(gone.is_err());
    let snapshot = &peer.balance.snapshots()[0];
    assert_eq!((snapshot.in_flight, snapshot.time), (0, Duration::ZERO));
}
