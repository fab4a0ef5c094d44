//! What one service says of itself.

use super::*;
use probity_resilience::breaker::Config;
use probity_resilience::{Observed, performance};
use probity_types::SystemClock;
use std::collections::BTreeMap;

fn monitor() -> Monitor {
    let breakers = Breakers::new(Config::default(), BTreeMap::new(), Observed::default()).unwrap();
    let performance = Performance::new(performance::Config::default(), Observed::default()).unwrap();
    for peer in ["intake", "audit-aggregator"] {
        breakers.of(peer).unwrap();
    }
    let clock = Arc::new(SystemClock);
    Monitor::new("orchestrator", Registry::new(), breakers, performance, Shutdown::default(), clock)
}

#[tokio::test]
async fn a_switched_breaker_shows_and_unreadies() {
    let monitor = monitor();
    assert!(monitor.ready().await.is_ok());
    let check = |name: &str, switch: Switch, state: CircuitBreakerState, forced: bool| {
        let changed = monitor.switch(name, switch);
        assert_eq!(changed.len(), 1, "{name}");
        assert_eq!((changed[0].state(), changed[0].forced), (state, forced), "{name} {switch:?}");
        assert_eq!(changed[0].name, "orchestrator.intake");
    };
    check("orchestrator.intake", Switch::Open, CircuitBreakerState::Open, true);
    let fault = monitor.ready().await.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::Unavailable, "RUN-0031"));
    assert!(fault.message.contains("held back by orchestrator.intake"), "{}", fault.message);
    assert_eq!(monitor.health().await.status(), HealthStatus::Degraded);
    assert_eq!(monitor.problem().await, None, "a peer never unreadies the service itself");
    check("intake", Switch::Close, CircuitBreakerState::Closed, true);
    check("intake", Switch::Reset, CircuitBreakerState::Closed, false);
    assert!(monitor.ready().await.is_ok());
    for unknown in ["", "nobody", "gateway.intake", "orchestrator.", "orchestrator.nobody"] {
        assert_eq!(monitor.switch(unknown, Switch::Open), [], "{unknown:?}");
    }
}

#[tokio::test]
async fn what_goes_badly_degrades_and_unreadies_nobody() {
    let monitor = monitor();
    let bad = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = bad.clone();
    let why = move || asked.load(std::sync::atomic::Ordering::SeqCst).then(|| "it is late".to_owned());
    monitor.set_complaint(std::sync::Arc::new(why));
    assert_eq!(monitor.health().await.status(), HealthStatus::Healthy);
    bad.store(true, std::sync::atomic::Ordering::SeqCst);
    let health = monitor.health().await;
    assert_eq!((health.status(), health.problems), (HealthStatus::Degraded, vec!["it is late".to_owned()]));
    assert!(monitor.ready().await.is_ok() && monitor.problem().await.is_none());
}

#[tokio::test]
async fn values_are_shown_one_by_one() {
    let monitor = monitor();
    let histogram = prometheus::Histogram::with_opts(prometheus::HistogramOpts::new("took", "h")).unwrap();
    let calls = prometheus::IntCounterVec::new(prometheus::Opts::new("calls", "c"), &["peer"]).unwrap();
    monitor.registry.register(Box::new(histogram.clone())).unwrap();
    monitor.registry.register(Box::new(calls.clone())).unwrap();
    histogram.observe(2.5);
    calls.with_label_values(&["intake"]).inc_by(3);
    let shown = |prefix: &str| -> Vec<_> {
        monitor.samples(prefix).into_iter().map(|s| (s.name, s.labels, s.value)).collect()
    };
    let labels = BTreeMap::from([("peer".to_owned(), "intake".to_owned())]);
    assert_eq!(shown("calls"), [("calls".to_owned(), labels, 3.0)]);
    let took = |suffix: &str, value| (format!("took_{suffix}"), BTreeMap::new(), value);
    assert_eq!(shown("took"), [took("count", 1.0), took("sum", 2.5)]);
    assert_eq!(shown("").len(), 3);
}

#[test]
fn so_many_letters_are_shown() {
    let check = |asked: i32, expect: Option<u32>| assert_eq!(recent(asked).ok(), expect, "{asked}");
    check(0, Some(10));
    check(100, Some(100));
    check(101, None);
    check(-1, None);
}
