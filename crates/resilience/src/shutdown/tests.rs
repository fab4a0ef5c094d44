//! The order of the steps, and that none of them can hold up the others.

use super::*;
use futures::channel::mpsc;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use probity_proto::BoxError;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer as _, ServiceExt as _, service_fn};

type BoxService = tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;
type Log = Arc<Mutex<Vec<&'static str>>>;

fn note(log: &Log, word: &'static str) {
    log.lock().push(word);
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test(start_paused = true)]
async fn the_steps_come_in_order() {
    let (shutdown, log) = (Shutdown::default(), Log::default());
    for name in ["store", "listener"] {
        let (log, state) = (Arc::clone(&log), shutdown.clone());
        shutdown.on_stop(name, move || async move {
            assert_eq!(state.state(), State::Draining);
            note(&log, name);
            Ok(())
        });
    }
    let seen = Arc::clone(&log);
    shutdown.spawn("relay", |stop| async move {
        stop.cancelled().await;
        note(&seen, "background");
    });
    let (call, seen, accepting) = (shutdown.track(), Arc::clone(&log), shutdown.accepting());
    tokio::spawn(async move {
        accepting.cancelled().await;
        note(&seen, "not accepting");
        tokio::time::sleep(secs(3)).await;
        note(&seen, "call done");
        drop(call);
    });
    let mut states = shutdown.watch();
    assert_eq!((shutdown.state(), shutdown.in_flight()), (State::Serving, 1));

    let (send, signals) = mpsc::unbounded();
    send.unbounded_send(Signal::Terminate).unwrap();
    let begun = Instant::now();
    assert_eq!(shutdown.run(signals).await, Outcome::Finished(Report::default()));
    assert_eq!(begun.elapsed(), secs(3));
    assert_eq!(*log.lock(), ["not accepting", "call done", "background", "listener", "store"]);
    assert_eq!(*states.borrow_and_update(), State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_hangs_keeps_the_rest_from_ending() {
    let (shutdown, log) = (Shutdown::new(Limits { total: secs(30), lead: secs(2) }), Log::default());
    let _call = shutdown.track();
    shutdown.spawn("deaf", |_stop| futures::future::pending());
    let seen = Arc::clone(&log);
    shutdown.on_stop("flush", move || async move {
        note(&seen, "flush");
        Ok(())
    });
    shutdown.on_stop("fails", || async { Err("disk full".to_owned()) });
    shutdown.on_stop("panics", || async { panic!("oh") });
    shutdown.begin();
    let begun = Instant::now();
    let outcome = shutdown.run(futures::stream::empty()).await;
    let report = Report { calls: 1, tasks: 1, hooks: vec!["panics", "fails"], ..Report::default() };
    assert_eq!(outcome, Outcome::Finished(report));
    assert_eq!(*log.lock(), ["flush"]);
    assert!(begun.elapsed() <= secs(30), "{:?}", begun.elapsed());
    assert_eq!(shutdown.state(), State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_hangs_is_given_up() {
    let shutdown = Shutdown::default();
    shutdown.on_stop("hangs", futures::future::pending);
    shutdown.begin();
    let begun = Instant::now();
    let outcome = shutdown.run(futures::stream::pending()).await;
    assert_eq!(outcome, Outcome::Finished(Report { hooks: vec!["hangs"], ..Report::default() }));
    assert_eq!(begun.elapsed(), secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_it_at_once() {
    let shutdown = Shutdown::default();
    let _call = shutdown.track();
    let (send, signals) = mpsc::unbounded();
    send.unbounded_send(Signal::Terminate).unwrap();
    tokio::spawn(async move {
        tokio::time::sleep(secs(4)).await;
        send.unbounded_send(Signal::Interrupt).unwrap();
    });
    let begun = Instant::now();
    assert_eq!(shutdown.run(signals).await, Outcome::Forced(Signal::Interrupt));
    assert_eq!(begun.elapsed(), secs(4));
    assert_eq!(shutdown.state(), State::Stopped);
}

fn serving(shutdown: &Shutdown, body: impl Fn() -> Body + Clone + Send + Sync + 'static) -> BoxService {
    let handler = service_fn(move |_request: Request<Body>| {
        let body = body();
        async move { Ok::<_, BoxError>(Response::new(body)) }
    });
    tower::util::BoxCloneSyncService::new(TrackLayer::new(shutdown.clone()).layer(handler))
}

async fn call(service: &BoxService) -> Response<Body> {
    service.clone().oneshot(Request::new(Body::empty())).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_counts_until_its_answer_is_read() {
    let shutdown = Shutdown::default();
    let service = serving(&shutdown, || Body::new(http_body_util::Full::new(bytes::Bytes::from("hello"))));
    let response = call(&service).await;
    assert_eq!(shutdown.in_flight(), 1);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    assert_eq!(shutdown.in_flight(), 0);
    drop(call(&service).await); // a caller that goes away
    assert_eq!(shutdown.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn streams_without_end_are_ended_and_late_calls_refused() {
    let shutdown = Shutdown::default();
    let service = serving(&shutdown, || {
        Body::new(StreamBody::new(
            futures::stream::pending::<Result<http_body::Frame<bytes::Bytes>, Status>>(),
        ))
    });
    let stream = tokio::spawn(call(&service).await.into_body().collect());
    shutdown.begin();
    let begun = Instant::now();
    assert_eq!(shutdown.run(futures::stream::pending()).await, Outcome::Finished(Report::default()));
    assert_eq!(begun.elapsed(), secs(5), "the grace time of streams");
    let trailers = stream.await.unwrap().unwrap().trailers().cloned().unwrap();
    assert_eq!(Status::from_header_map(&trailers).unwrap().code(), tonic::Code::Unavailable);
    let refused = call(&service).await;
    assert_eq!(Status::from_header_map(refused.headers()).unwrap().code(), tonic::Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn calls_are_answered_until_the_last_connection_has_ended() {
    let (shutdown, log) = (Shutdown::new(Limits { total: secs(30), lead: secs(2) }), Log::default());
    let service = serving(&shutdown, Body::empty);
    let (seen, accepting, living) = (Arc::clone(&log), shutdown.accepting(), shutdown.clone());
    shutdown.listen(async move {
        accepting.cancelled().await;
        note(&seen, "not accepting");
        tokio::time::sleep(secs(1)).await; // nothing is in flight, and a caller has not heard yet
        assert!(living.answers());
        assert!(Status::from_header_map(call(&service).await.headers()).is_none());
        note(&seen, "the last call");
    });
    let (seen, living) = (Arc::clone(&log), shutdown.clone());
    shutdown.spawn("relay", |stop| async move {
        stop.cancelled().await;
        assert!(!living.answers());
        note(&seen, "background");
    });
    shutdown.begin();
    let begun = Instant::now();
    assert_eq!(shutdown.run(futures::stream::pending()).await, Outcome::Finished(Report::default()));
    assert_eq!(begun.elapsed(), secs(3));
    assert_eq!(*log.lock(), ["not accepting", "the last call", "background"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_end_is_given_up() {
    let shutdown = Shutdown::default();
    shutdown.listen(futures::future::pending());
    shutdown.begin();
    let begun = Instant::now();
    assert_eq!(shutdown.run(futures::stream::pending()).await, Outcome::Finished(Report::default()));
    assert_eq!(begun.elapsed(), secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_background_work_ends_the_process_in_order() {
    let (shutdown, log) = (Shutdown::default(), Log::default());
    shutdown.spawn("relay", |_stop| async { panic!("a bug") });
    let seen = Arc::clone(&log);
    shutdown.on_stop("store", move || async move {
        note(&seen, "store closed");
        Ok(())
    });
    let outcome = shutdown.run(futures::stream::pending()).await;
    assert_eq!(outcome, Outcome::Finished(Report { panicked: vec!["relay"], ..Report::default() }));
    assert_eq!(*log.lock(), ["store closed"]);
}
