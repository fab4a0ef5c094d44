//! The order of the layers, by what goes wrong in any other.

use super::*;
use crate::breaker::State;
use crate::refusal::Refusal;
use crate::retry::Jitter;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use tokio::time::Instant;
use tonic::Status;
use tower::{ServiceExt as _, service_fn};

const READ: &str = "/probity.spam.v1.SpamService/Classify";

fn shared(config: breaker::Config) -> Shared {
    let breakers = Breakers::new(config, BTreeMap::new(), Observed::default()).unwrap();
    let performance = Performance::new(crate::performance::Config::default(), Observed::default()).unwrap();
    Shared { breakers, performance, observed: Observed::default() }
}

/// A stack in front of a peer that is away for good, and when its calls came.
struct Away {
    stack: Stack,
    shared: Shared,
    calls: Arc<Mutex<Vec<Instant>>>,
}

impl Away {
    fn new(settings: Settings) -> Self {
        let shared = shared(settings.breaker);
        Self { stack: Stack::new("spam", &settings, &shared).unwrap(), shared, calls: Arc::default() }
    }

    async fn call(&self) -> Response<Body> {
        let seen = self.calls.clone();
        let peer = service_fn(move |_request: Request<Body>| {
            seen.lock().push(Instant::now());
            async { Ok::<_, BoxError>(Status::unavailable("no").into_http()) }
        });
        let request = Request::builder().uri(READ).body(Body::empty()).unwrap();
        self.stack.around(peer).oneshot(request).await.unwrap()
    }

    fn calls(&self) -> usize {
        self.calls.lock().len()
    }
}

const PATIENT: Policy = Policy { max_attempts: 10, jitter: Jitter::None, ..Policy::STANDARD };

#[tokio::test(start_paused = true)]
async fn the_deadline_bounds_all_attempts_together() {
    let away = Away::new(Settings {
        timeout_ms: 8_000,
        attempt_timeout_ms: 0,
        retry: Policy::AGGRESSIVE,
        ..Settings::default()
    });
    for _ in 0..50 {
        let begun = Instant::now();
        away.call().await;
        assert!(begun.elapsed() <= Duration::from_secs(8), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_way_round_every_attempt_has_the_whole_time() {
    let limits = Limits { unary: Duration::from_secs(8), stream: None };
    let wrong = Pair::new(DeadlineLayer::client(limits), RetryLayer::new(PATIENT));
    let peer = service_fn(|_request: Request<Body>| async {
        Ok::<_, BoxError>(Status::unavailable("no").into_http())
    });
    let begun = Instant::now();
    wrong.layer(peer).oneshot(Request::builder().uri(READ).body(Body::empty()).unwrap()).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_breaker_sees_every_attempt_and_ends_the_attempts() {
    let budget = BudgetConfig { max_tokens: 100, ..BudgetConfig::default() };
    let away = Away::new(Settings { retry: PATIENT, budget, timeout_ms: 3_600_000, ..Settings::default() });
    let answer = away.call().await;
    assert_eq!((away.calls(), away.stack.breaker().state()), (5, State::Open));
    let refusal = Refusal::of(&answer).expect("the sixth attempt is refused, for longer than a wait may be");
    assert!(refusal.retry_after() <= Duration::from_secs(60));
    let begun = Instant::now();
    away.call().await;
    assert_eq!((away.calls(), begun.elapsed()), (5, Duration::ZERO), "an open breaker answers at once");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_takes_no_seat_and_no_token() {
    let away = Away::new(Settings { retry: Policy::ONCE, ..Settings::default() });
    away.stack.breaker().force_open();
    for _ in 0..20 {
        assert!(matches!(Refusal::of(&away.call().await), Some(Refusal::BreakerOpen { .. })));
    }
    assert_eq!((away.calls(), away.stack.bulkhead().snapshot().refused_total), (0, 0));
    let summary = &away.shared.performance.summaries()[0];
    assert_eq!((summary.provider.as_str(), summary.total, summary.failed_total), ("spam", 20, 20));
}

#[tokio::test(start_paused = true)]
async fn the_budget_ends_attempts_before_the_policy_does() {
    let never = breaker::Config { failure_threshold: 1_000_000, ..breaker::Config::default() };
    let settings = Settings { retry: PATIENT, breaker: never, timeout_ms: 3_600_000, ..Settings::default() };
    let away = Away::new(settings);
    away.call().await;
    assert_eq!(away.calls(), 5, "ten tokens, of which more than half must be left");
    for _ in 0..10 {
        away.call().await;
    }
    assert_eq!(away.calls(), 15, "then one attempt for each call");
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_slow_read_passes_breaker_and_bulkhead_too() {
    let narrow = bulkhead::Config { max_concurrent: 2, max_waiting: 0, max_wait_ms: 0 };
    let settings =
        Settings { hedge: Some(hedge::Config::default()), bulkhead: narrow, ..Settings::default() };
    let shared = shared(settings.breaker);
    let stack = Stack::new("spam", &settings, &shared).unwrap();
    let (most, slow) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(10)));
    let (seen, takes, seats) = (most.clone(), slow.clone(), stack.bulkhead().clone());
    let peer = service_fn(move |_request: Request<Body>| {
        let mut most = seen.lock();
        *most = seats.snapshot().in_flight.max(*most);
        let millis = *takes.lock();
        async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok::<_, BoxError>(Response::new(Body::empty()))
        }
    });
    let service = stack.around(peer);
    let call = || service.clone().oneshot(Request::builder().uri(READ).body(Body::empty()).unwrap());
    for _ in 0..100 {
        call().await.unwrap();
    }
    assert_eq!(*most.lock(), 1);
    *slow.lock() = 100;
    call().await.unwrap();
    assert_eq!(*most.lock(), 2, "both copies hold a seat");
    let calls = stack.breaker().snapshot().calls;
    assert_eq!(calls, 101, "the copy that was dropped says nothing");
}

#[test]
fn settings_are_checked() {
    let check = |toml: &str, expect: Result<(), &str>| {
        let settings: Settings = toml::from_str(toml).unwrap();
        assert_eq!(settings.validate(), expect.map_err(str::to_owned), "{toml}");
        let stack = Stack::new("p", &settings, &shared(breaker::Config::default()));
        assert_eq!(stack.err().map(|e| e.to_string()), expect.err().map(str::to_owned));
    };
    check("", Ok(()));
    check("timeout_ms = 0", Err("timeout_ms is 0; it must be from 1 to 3600000"));
    let longer = "attempt_timeout_ms is 40000; it must be from 0 to timeout_ms, 30000";
    check("attempt_timeout_ms = 40000", Err(longer));
    let text = "retry = { max_attempts = 2, base_ms = 1, cap_ms = 1 }\nbudget = { token_ratio = 2.0 }";
    check(text, Err("budget.token_ratio is 2; it must be from 0.001 to 1"));
    check("[breaker]\nopen_ms = 0", Err("breaker.open_ms is 0; it must be from 1 to 86400000"));
    check("[bulkhead]\nmax_concurrent = 0", Err("bulkhead.max_concurrent is 0; it must be from 1 to 100000"));
    check("[hedge]\nquantile = 1.0", Err("hedge.quantile is 1; it must be from 0.5 to 0.999"));
    let unknown = toml::from_str::<Settings>("[breaker]\nopens = 3").unwrap_err().to_string();
    assert!(unknown.contains("unknown field `opens`"), "{unknown}");
}
