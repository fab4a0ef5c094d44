//! Every transition, as scripts, and the laws.

use super::*;
use crate::observe::tests::collecting;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Plays a script against a state machine and collects the changes of state.
///
/// `ok fail slow gone` are calls that end at once, `hold` is one that does not;
/// `held:ok`, `held:fail`, `held:slow`, `held:gone`, `held:drop` end the oldest
/// one held; `+60` lets seconds pass; `open!`, `close!`, `reset!` are operators, `serves!` is
/// the health check of the peer.
struct Play {
    machine: Machine,
    now: Instant,
    held: Vec<Pass>,
    changes: Vec<Change>,
    refused: u32,
}

impl Play {
    fn new(config: Config) -> Self {
        config.validate().unwrap();
        let now = Instant::now();
        Self { machine: Machine::new(config, now), now, held: Vec::new(), changes: Vec::new(), refused: 0 }
    }

    fn ask(&mut self) -> Option<Pass> {
        let (asked, change) = self.machine.on_ask(self.now);
        self.changes.extend(change);
        match asked {
            Asked::Pass(pass) => Some(pass),
            Asked::Refused(_) => {
                self.refused += 1;
                None
            }
        }
    }

    fn end(&mut self, pass: Pass, how: &str) {
        let (outcome, millis) = match how {
            "ok" => (Outcome::Success, 1),
            "fail" => (Outcome::Failure, 1),
            "slow" => (Outcome::Success, 5_000),
            "gone" => (Outcome::Unknown, 1),
            "drop" => {
                self.changes.extend(self.machine.on_abandoned(pass));
                return;
            }
            other => panic!("{other} is no end of a call"),
        };
        let change = self.machine.on_result(self.now, pass, outcome, Duration::from_millis(millis));
        self.changes.extend(change);
    }

    fn step(&mut self, word: &str) {
        if let Some(seconds) = word.strip_prefix('+') {
            self.now += Duration::from_secs_f64(seconds.parse().unwrap());
        } else if let Some(how) = word.strip_prefix("held:") {
            let pass = self.held.remove(0);
            self.end(pass, how);
        } else {
            match word {
                "serves!" => self.changes.extend(self.machine.on_peer_serves(self.now)),
                "open!" => self.changes.extend(self.machine.force_open(self.now)),
                "close!" => self.changes.extend(self.machine.force_close(self.now)),
                "reset!" => self.changes.extend(self.machine.reset(self.now)),
                "hold" => {
                    let pass = self.ask();
                    self.held.extend(pass);
                }
                how => {
                    if let Some(pass) = self.ask() {
                        self.end(pass, how);
                    }
                }
            }
        }
    }

    fn run(mut self, script: &str) -> Self {
        script.split_whitespace().for_each(|word| self.step(word));
        self
    }
}

/// The last state, the calls refused, and the reasons of all changes.
fn check_with(config: Config, script: &str, state: State, refused: u32, reasons: &[Reason]) {
    let play = Play::new(config).run(script);
    let got: Vec<_> = play.changes.iter().map(|change| change.reason).collect();
    assert_eq!((play.machine.state(), play.refused, got.as_slice()), (state, refused, reasons), "{script}");
    for pair in play.changes.windows(2) {
        assert_eq!(pair[0].to, pair[1].from, "{script}: a change begins where the last one ended");
    }
}

fn check(script: &str, state: State, refused: u32, reasons: &[Reason]) {
    check_with(Config::default(), script, state, refused, reasons);
}

const BREAK: &str = "fail fail fail fail fail";

#[test]
fn from_closed() {
    use Reason::{Failures, Forced};
    use State::{Closed, Open};
    check("", Closed, 0, &[]);
    check("ok fail fail fail fail ok", Closed, 0, &[]);
    check(BREAK, Open, 0, &[Failures]);
    check("fail ok fail ok fail ok fail ok fail", Open, 0, &[Failures]);
    check("fail fail fail fail gone gone gone", Closed, 0, &[]);
    check("fail fail fail fail hold held:drop", Closed, 0, &[]);
    check("slow slow slow slow slow slow slow", Closed, 0, &[]);
    check("fail fail fail fail +120 fail", Closed, 0, &[]);
    check("fail fail fail fail +109 fail", Open, 0, &[Failures]);
    check("open! ok", Open, 1, &[Forced]);
    check("close! fail fail fail fail fail fail", Closed, 0, &[Forced]);
    check("fail fail fail fail reset! fail", Closed, 0, &[]);
}

#[test]
fn from_open() {
    use Reason::{Failures, Forced, OpenTimeOver, PeerServes, ProbeFailed, Recovered, Reset};
    use State::{Closed, HalfOpen, Open};
    let check = |script: &str, state, refused, reasons: &[Reason]| {
        check(&format!("{BREAK} {script}"), state, refused, &[&[Failures], reasons].concat());
    };
    check("ok fail gone", Open, 3, &[]);
    check("+59.9 ok", Open, 1, &[]);
    check("+60 ok", HalfOpen, 0, &[OpenTimeOver]);
    check("+600 hold", HalfOpen, 0, &[OpenTimeOver]);
    check("+600", Open, 0, &[]);
    check("open! +600 ok", Open, 1, &[Forced]);
    check("serves! hold", HalfOpen, 0, &[PeerServes]);
    check("serves! fail ok", Open, 1, &[PeerServes, ProbeFailed]);
    check("serves! serves! ok ok serves!", Closed, 0, &[PeerServes, Recovered]);
    check("open! serves! ok", Open, 1, &[Forced]);
    check("close! ok", Closed, 0, &[Forced]);
    check("reset! ok fail fail fail fail", Closed, 0, &[Reset]);
}

#[test]
fn from_half_open() {
    use Reason::{Failures, Forced, OpenTimeOver, ProbeFailed, ProbeLost, Recovered, Reset};
    use State::{Closed, HalfOpen, Open};
    let check = |script: &str, state, refused, reasons: &[Reason]| {
        let all = [&[Failures, OpenTimeOver], reasons].concat();
        check(&format!("{BREAK} +60 {script}"), state, refused, &all);
    };
    check("ok ok", Closed, 0, &[Recovered]);
    check("ok fail", Open, 0, &[ProbeFailed]);
    check("ok fail +59 ok", Open, 1, &[ProbeFailed]);
    check("ok fail +60 ok ok", Closed, 0, &[ProbeFailed, OpenTimeOver, Recovered]);
    check("hold hold ok ok", HalfOpen, 2, &[]);
    check("hold hold held:ok hold held:ok", Closed, 0, &[Recovered]);
    check("hold hold held:gone ok ok", Closed, 0, &[Recovered]);
    check("hold hold held:drop held:drop ok ok", Closed, 0, &[Recovered]);
    check("hold hold held:fail held:ok", Open, 0, &[ProbeFailed]);
    check("slow slow", Closed, 0, &[Recovered]);
    check("hold hold +59.9 ok", HalfOpen, 1, &[]);
    check("hold hold +60 ok +60 ok ok", Closed, 1, &[ProbeLost, OpenTimeOver, Recovered]);
    check("hold open! ok", Open, 1, &[Forced]);
    check("hold close! held:fail ok", Closed, 0, &[Forced]);
    check("hold reset! held:fail ok", Closed, 0, &[Reset]);
    check("ok ok fail fail fail fail", Closed, 0, &[Recovered]);
}

#[test]
fn from_forced() {
    use Reason::{Failures, Forced, Reset};
    use State::{Closed, Open};
    check("open! open! +999 ok reset! ok", Closed, 1, &[Forced, Reset]);
    check("open! close! ok", Closed, 0, &[Forced, Forced]);
    check("close! close! open! ok", Open, 1, &[Forced, Forced]);
    check(&format!("close! {BREAK} reset! {BREAK}"), Open, 0, &[Forced, Failures]);
    check("close! hold open! held:fail", Open, 0, &[Forced, Forced]);
}

#[test]
fn old_news_changes_nothing() {
    let recovered = [Reason::Failures, Reason::OpenTimeOver, Reason::Recovered];
    let begun_before = "hold hold hold hold hold";
    let ends_late = "held:fail held:fail held:fail held:fail held:fail";
    check(&format!("{begun_before} {BREAK} +60 ok ok {ends_late}"), State::Closed, 0, &recovered);
    check(&format!("{begun_before} {BREAK} {ends_late}"), State::Open, 0, &recovered[..1]);
    let probe_late = format!("{BREAK} +60 hold hold +60 ok +60 held:ok held:ok");
    let lost = [Reason::Failures, Reason::OpenTimeOver, Reason::ProbeLost];
    check(&probe_late, State::Open, 1, &lost);
}

#[test]
fn rates_need_calls_enough() {
    let rate = Config { failure_rate: Some(0.5), min_calls: 10, ..Config::default() };
    let check = |script: &str, state| {
        let play = Play::new(rate).run(script);
        assert_eq!(play.machine.state(), state, "{script}");
    };
    check(&format!("{BREAK} fail fail fail fail"), State::Closed);
    check(&format!("{BREAK} {BREAK}"), State::Open);
    check(&format!("ok ok ok ok ok {BREAK}"), State::Open);
    check(&format!("ok ok ok ok ok ok {BREAK}"), State::Closed);
    check(&format!("ok ok ok ok ok ok {BREAK} fail"), State::Open);
}

#[test]
fn slow_calls_open_it_when_told_so() {
    let slow = Config { slow_rate: Some(0.8), min_calls: 5, ..Config::default() };
    let check = |script: &str, state, reasons: &[Reason]| check_with(slow, script, state, 0, reasons);
    check("slow slow slow slow", State::Closed, &[]);
    check("ok slow slow slow slow", State::Open, &[Reason::SlowCalls]);
    check("ok ok slow slow slow slow", State::Closed, &[]);
    let probing = "ok slow slow slow slow +60 slow";
    check(probing, State::Open, &[Reason::SlowCalls, Reason::OpenTimeOver, Reason::ProbeFailed]);
}

#[test]
fn a_window_of_calls_does_not_age() {
    let calls = Config { window_calls: Some(6), ..Config::default() };
    check_with(calls, "fail fail fail fail +9999 fail", State::Open, 0, &[Reason::Failures]);
    check_with(calls, "fail fail fail fail ok ok ok fail fail", State::Closed, 0, &[]);
}

#[test]
fn names_are_labels() {
    assert_eq!(State::ALL.map(State::name), ["closed", "open", "half_open"]);
}

fn words() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![
        4 => Just("ok".to_owned()),
        4 => Just("fail".to_owned()),
        1 => Just("slow".to_owned()),
        1 => Just("gone".to_owned()),
        2 => Just("hold".to_owned()),
        2 => prop::sample::select(vec!["held:ok", "held:fail", "held:drop", "held:gone"]).prop_map(Into::into),
        2 => (0u32..90).prop_map(|s| format!("+{s}")),
        1 => prop::sample::select(vec!["open!", "close!", "reset!", "serves!"]).prop_map(Into::into),
    ];
    proptest::collection::vec(word, 0..120)
}

fn configs() -> impl Strategy<Value = Config> {
    let rate = || proptest::option::of(0.1f64..=1.0);
    (1u32..8, rate(), rate(), 1u32..20, 1u32..4, 1u32..4, proptest::option::of(20u32..60)).prop_map(
        |(
            failure_threshold,
            failure_rate,
            slow_rate,
            min_calls,
            success_threshold,
            max_probes,
            window_calls,
        )| {
            Config {
                failure_threshold,
                failure_rate,
                slow_rate,
                min_calls,
                success_threshold,
                max_probes,
                window_calls,
                ..Config::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn whatever_happens_the_laws_hold(config in configs(), script in words()) {
        let mut play = Play::new(config);
        for word in &script {
            if word.starts_with("held:") && play.held.is_empty() {
                continue;
            }
            let (before, changes) = (play.machine.state(), play.changes.len());
            let refused = play.refused;
            play.step(word);
            let new = &play.changes[changes..];
            if word == "ok" || word == "held:ok" {
                prop_assert!(!new.iter().any(|c| c.from == State::Closed && c.to == State::Open), "a success opened it");
            }
            if before == State::Closed && word != "open!" {
                prop_assert_eq!(play.refused, refused, "a closed breaker refused a call");
            }
            for change in new {
                let legal = match (change.from, change.to) {
                    (State::Closed, State::HalfOpen) => false,
                    (State::Closed, State::Open) => matches!(change.reason, Reason::Failures | Reason::SlowCalls | Reason::Forced),
                    (State::Open, State::HalfOpen) => matches!(change.reason, Reason::OpenTimeOver | Reason::PeerServes),
                    (State::HalfOpen, State::Closed) => matches!(change.reason, Reason::Recovered | Reason::Forced | Reason::Reset),
                    (State::HalfOpen, State::Open) => matches!(change.reason, Reason::ProbeFailed | Reason::ProbeLost | Reason::Forced),
                    (State::Open, State::Closed) => matches!(change.reason, Reason::Forced | Reason::Reset),
                    _ => change.reason == Reason::Forced,
                };
                prop_assert!(legal, "{:?}", change);
            }
        }
    }

    #[test]
    fn the_shared_breaker_does_what_the_machine_does(config in configs(), fails in proptest::collection::vec(any::<bool>(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let breaker = Breaker::new("b", config).unwrap();
            let mut play = Play::new(config);
            for fail in fails {
                play.step(if fail { "fail" } else { "ok" });
                if let Ok(pass) = breaker.ask() {
                    let outcome = if fail { Outcome::Failure } else { Outcome::Success };
                    breaker.record(pass, outcome, Duration::from_millis(1));
                }
                tokio::time::advance(Duration::from_millis(700)).await;
                play.now += Duration::from_millis(700);
                assert_eq!(breaker.state(), play.machine.state());
            }
            let (snapshot, counts) = (breaker.snapshot(), play.machine.counts(play.now));
            assert_eq!((snapshot.calls, snapshot.failures), (counts.calls, counts.failures));
            assert_eq!(snapshot.refused_total, u64::from(play.refused));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_how_it_stands_and_the_observer_how_it_got_there() {
    let (observed, seen) = collecting();
    let breaker = Breaker::new("intake", Config::default()).unwrap().with_observer(observed);
    let fail = || breaker.record(breaker.ask().unwrap(), Outcome::Failure, Duration::ZERO);
    (0..4).for_each(|_| fail());
    breaker.record(breaker.ask().unwrap(), Outcome::Success, Duration::from_secs(6));
    breaker.record(breaker.ask().unwrap(), Outcome::Success, Duration::ZERO);
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.calls, snapshot.failures, snapshot.slow), (6, 4, 1));
    fail();
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(breaker.ask().is_err());
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.since), (State::Open, Duration::from_secs(10)));
    assert_eq!((snapshot.opened_total, snapshot.refused_total), (1, 1));
    assert_eq!(snapshot.retry_after, Some(Duration::from_secs(50)));
    let seen = seen.lock();
    assert!(seen[0].contains("from: Closed, to: Open, reason: Failures"), "{seen:?}");
    assert!(seen[1].contains("Refused"), "{seen:?}");
}

#[test]
fn threads_see_one_breaker() {
    let breaker = Arc::new(Breaker::new("b", Config::default()).unwrap());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let breaker = breaker.clone();
            std::thread::spawn(move || {
                for _ in 0..1_000 {
                    let pass = breaker.ask().unwrap();
                    breaker.record(pass, Outcome::Success, Duration::ZERO);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(breaker.snapshot().calls, 8_000);
}
