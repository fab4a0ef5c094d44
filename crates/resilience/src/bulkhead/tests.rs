//! Who gets a seat, who waits, who is refused, and when a seat is given back.

use super::*;
use http_body_util::StreamBody;
use tokio::time::{Instant, sleep};
use tower::service_fn;

const UNARY: &str = "/probity.spam.v1.SpamService/Classify";
const STREAM: &str = "/probity.orchestrator.v1.CaseService/WatchCase";

fn bulkhead(max_concurrent: usize, max_waiting: usize, max_wait_ms: u64) -> Bulkhead {
    let config = Config { max_concurrent, max_waiting, max_wait_ms };
    Bulkhead::new("intake", config, Observed::default()).unwrap()
}

#[test]
fn what_cannot_work_is_refused() {
    let check = |config: Config, expect: &str| {
        assert_eq!(config.validate().unwrap_err().to_string(), expect);
    };
    let fine = Config::default();
    check(Config { max_concurrent: 0, ..fine }, "max_concurrent is 0; it must be from 1 to 100000");
    check(Config { max_waiting: 100_001, ..fine }, "max_waiting is 100001; it must be from 0 to 100000");
    check(Config { max_wait_ms: 60_001, ..fine }, "max_wait_ms is 60001; it must be from 0 to 60000");
    assert_eq!(fine.validate(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn seats_then_a_queue_then_refusals() {
    let bulkhead = bulkhead(2, 1, 500);
    let first = bulkhead.enter().await.unwrap();
    let _second = bulkhead.enter().await.unwrap();
    let waiting = tokio::spawn({
        let bulkhead = bulkhead.clone();
        async move { bulkhead.enter().await }
    });
    tokio::task::yield_now().await;
    assert_eq!(bulkhead.snapshot(), Snapshot { in_flight: 2, waiting: 1, refused_total: 0 });
    let begun = Instant::now();
    assert!(matches!(bulkhead.enter().await, Err(Refusal::BulkheadFull { limit: 2, .. })));
    assert_eq!(begun.elapsed(), Duration::ZERO, "a full queue refuses at once");
    drop(first);
    let _third = waiting.await.unwrap().unwrap();
    assert!(bulkhead.enter().await.is_err());
    assert_eq!(begun.elapsed(), Duration::from_millis(500), "nobody waits for longer");
    assert_eq!(bulkhead.snapshot(), Snapshot { in_flight: 2, waiting: 0, refused_total: 2 });
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_past_the_deadline() {
    let bulkhead = bulkhead(1, 9, 10_000);
    let _seat = bulkhead.enter().await.unwrap();
    let begun = Instant::now();
    let deadline = Deadline::within(Duration::from_millis(70));
    assert!(deadline.scope(bulkhead.enter()).await.is_err());
    assert_eq!(begun.elapsed(), Duration::from_millis(70));
    let gone = tokio::time::timeout(Duration::from_millis(5), bulkhead.enter()).await;
    assert!(gone.is_err());
    assert_eq!(bulkhead.snapshot().waiting, 0, "who goes away does not wait any more");
}

#[tokio::test(start_paused = true)]
async fn a_seat_is_held_until_the_answer_is_read() {
    let check = async |path: &str, held: usize| {
        let bulkhead = bulkhead(4, 0, 0);
        let peer = service_fn(|_request: Request<Body>| async {
            let endless = futures::stream::pending::<Result<http_body::Frame<bytes::Bytes>, tonic::Status>>();
            Ok::<_, BoxError>(Response::new(Body::new(StreamBody::new(endless))))
        });
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = BulkheadLayer::new(bulkhead.clone()).layer(peer).oneshot(request).await.unwrap();
        assert_eq!(bulkhead.snapshot().in_flight, held, "{path}");
        drop(answer);
        assert_eq!(bulkhead.snapshot().in_flight, 0, "{path}");
    };
    check(UNARY, 1).await;
    check(STREAM, 0).await;
}

#[tokio::test(start_paused = true)]
async fn never_more_than_the_limit_get_through() {
    let (bulkhead, now) = (bulkhead(3, 100, 10_000), Arc::new(AtomicUsize::new(0)));
    let inside = now.clone();
    let peer = service_fn(move |_request: Request<Body>| {
        let inside = inside.clone();
        async move {
            assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
            sleep(Duration::from_millis(10)).await;
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, BoxError>(Response::new(Body::empty()))
        }
    });
    let service = BulkheadLayer::new(bulkhead.clone()).layer(peer);
    let calls =
        (0..50).map(|_| service.clone().oneshot(Request::builder().uri(UNARY).body(Body::empty()).unwrap()));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| Refusal::of(answer.as_ref().unwrap()).is_none()));
    assert_eq!(bulkhead.snapshot(), Snapshot { in_flight: 0, waiting: 0, refused_total: 0 });
}
