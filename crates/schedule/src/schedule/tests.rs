use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
/// Monday 2026-11-16T00:00:00Z.
const MONDAY: i64 = 1_794_787_200 * SECOND;

fn spec(timing: &str, overlap: Overlap) -> Spec {
    Spec { timing: timing.to_owned(), overlap, catch_up_us: 10 * MINUTE, ..Spec::default() }
}

fn schedule(spec: &Spec) -> Schedule {
    Schedule::new("schedules/a", spec).unwrap()
}

/// A schedule in use: what it started and cancelled, in minutes since Monday.
struct World {
    schedule: Schedule,
    state: State,
    log: Vec<String>,
    wake: Option<Micros>,
}

impl World {
    fn new(spec: &Spec) -> Self {
        Self { schedule: schedule(spec), state: State::new(Micros(MONDAY)), log: Vec::new(), wake: None }
    }

    fn take(&mut self, turn: Turn) {
        let minute = |at: Micros| (at.0 - MONDAY) / MINUTE;
        self.log.extend(turn.missed.map(|(from, to)| format!("missed {}..{}", minute(from), minute(to))));
        self.log.extend(turn.start.iter().map(|run| format!("start {}", minute(run.at))));
        self.log.extend(turn.cancel.iter().map(|at| format!("cancel {}", minute(*at))));
        (self.state, self.wake) = (turn.state, turn.next_wake);
    }

    fn at(&mut self, minute: i64) -> &mut Self {
        self.take(self.schedule.due(&self.state, Micros(MONDAY + minute * MINUTE)));
        self
    }

    fn ended(&mut self, run: i64, minute: i64) -> &mut Self {
        let (run, now) = (Micros(MONDAY + run * MINUTE), Micros(MONDAY + minute * MINUTE));
        self.take(self.schedule.ended(&self.state, run, now));
        self
    }

    fn pause(&mut self, minute: i64) -> &mut Self {
        self.state = self.schedule.pause(&self.state, Micros(MONDAY + minute * MINUTE));
        self
    }

    fn resume(&mut self, minute: i64) -> &mut Self {
        self.take(self.schedule.resume(&self.state, Micros(MONDAY + minute * MINUTE)));
        self
    }

    fn told(&mut self, expect: &[&str]) -> &mut Self {
        assert_eq!(self.log, expect);
        self.log.clear();
        self
    }
}

#[test]
fn overlap_is_what_was_asked_for() {
    let world = |overlap| World::new(&spec("*/5 * * * *", overlap));
    world(Overlap::AllowAll).at(5).at(10).told(&["start 5", "start 10"]);
    world(Overlap::Skip).at(5).at(10).told(&["start 5"]).ended(5, 12).told(&[]).at(15).told(&["start 15"]);
    let mut buffer = world(Overlap::BufferOne);
    buffer.at(5).at(10).at(15).told(&["start 5"]).ended(5, 17).told(&["start 10"]).ended(10, 18).told(&[]);
    assert_eq!(buffer.state.skipped, 1);
    let mut cancel = world(Overlap::CancelRunning);
    cancel.at(5).told(&["start 5"]).at(10).told(&["cancel 5"]).at(15).told(&["cancel 5"]);
    cancel.ended(5, 16).told(&["start 15"]).ended(15, 17).told(&[]);
    assert_eq!((cancel.state.started, cancel.state.skipped), (2, 1));
}

#[test]
fn after_a_downtime_what_is_inside_the_window_is_caught_up() {
    let world = |overlap| World::new(&spec("*/5 * * * *", overlap));
    world(Overlap::AllowAll).at(5).at(62).told(&["start 5", "missed 5..51", "start 55", "start 60"]);
    world(Overlap::Skip).at(62).told(&["missed 0..51", "start 55"]);
    world(Overlap::BufferOne).at(62).told(&["missed 0..51", "start 55"]).ended(55, 63).told(&["start 60"]);
    world(Overlap::CancelRunning).at(62).told(&["missed 0..51", "start 60"]);
    world(Overlap::AllowAll).at(12).told(&["start 5", "start 10"]);
}

#[test]
fn clocks_that_jump_neither_lose_nor_repeat_a_run() {
    let mut world = World::new(&spec("*/5 * * * *", Overlap::AllowAll));
    world.at(5).told(&["start 5"]).at(-100).told(&[]);
    assert_eq!(world.wake, Some(Micros(MONDAY + 10 * MINUTE)));
    world.at(10).told(&["start 10"]);
    // An hour ahead for a moment: times in between come when the clock is right again.
    world.at(70).told(&["missed 10..59", "start 60", "start 65", "start 70"]);
    world.at(16).told(&["start 15"]).at(59).told(&["missed 16..48", "start 50", "start 55"]);
    world.at(70).told(&[]).at(75).told(&["start 75"]);
}

#[test]
fn a_pause_leaves_out_what_was_due_in_it() {
    let mut world = World::new(&spec("*/5 * * * *", Overlap::BufferOne));
    world.at(5).at(10).told(&["start 5"]).pause(11).at(20).ended(5, 21).told(&[]);
    assert_eq!(world.wake, None);
    world.resume(23).told(&["start 10"]);
    assert_eq!(world.wake, Some(Micros(MONDAY + 25 * MINUTE)));
    // What was due before the pause, and not yet seen, is caught up.
    let mut late = World::new(&spec("*/5 * * * *", Overlap::AllowAll));
    late.pause(6).resume(13).told(&["start 5"]);
}

#[test]
fn it_ends_by_number_or_by_date() {
    let mut world = World::new(&Spec { limit: Some(2), ..spec("*/5 * * * *", Overlap::AllowAll) });
    world.at(5).at(20).told(&["start 5", "start 10"]);
    assert_eq!(world.wake, None);
    let bounds = Spec {
        starts: Some(Micros(MONDAY + 10 * MINUTE)),
        ends: Some(Micros(MONDAY + 15 * MINUTE)),
        ..spec("*/5 * * * *", Overlap::AllowAll)
    };
    World::new(&bounds).at(0).at(9).told(&[]).at(19).told(&["start 10", "start 15"]);
    assert_eq!(schedule(&bounds).upcoming(Micros(0), 9).len(), 2);
}

#[test]
fn a_backlog_is_taken_in_portions() {
    let mut world = World::new(&Spec { catch_up_us: 3_600 * SECOND, ..spec("@every 1s", Overlap::AllowAll) });
    let now = Micros(MONDAY + 3_600 * SECOND);
    let mut turns = 0;
    loop {
        let turn = world.schedule.due(&world.state, now);
        assert!(turn.start.len() <= MAX_PER_TURN);
        world.take(turn);
        turns += 1;
        if world.wake != Some(now) {
            break;
        }
    }
    assert_eq!((world.state.started, turns), (3_600, 36));
    assert_eq!(world.wake, Some(Micros(now.0 + SECOND)));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let check = |spec: Spec, expect: &str| {
        let error = Schedule::new("a", &spec).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(
        Spec { zone: "Europe/Wien".into(), ..Spec::default() },
        "zone: there is no time zone \"Europe/Wien\"",
    );
    check(Spec { catch_up_us: 1, ..Spec::default() }, "catch_up_us: is 1; it is from 10 s to 366 d");
    check(Spec { jitter_us: -1, ..Spec::default() }, "jitter_us: is -1; it is from 0 to 1 d");
    let often = Spec { timing: "@every 1m".into(), jitter_us: MINUTE, ..Spec::default() };
    check(often, "jitter_us: is 60000000; it must be below the 60 s between two runs");
    check(Spec { limit: Some(0), ..Spec::default() }, "limit: is 0");
    check(Spec { starts: Some(Micros(9)), ends: Some(Micros(5)), ..Spec::default() }, "ends: is 1970");
    assert!(Schedule::new("", &Spec::default()).is_err());
    assert!(serde_json::from_str::<Spec>(r#"{"cron": "@daily"}"#).is_err());
}

#[test]
fn states_are_stored_as_they_are() {
    let mut world = World::new(&spec("*/5 * * * *", Overlap::BufferOne));
    world.at(5).at(10).at(90);
    let text = serde_json::to_string(&world.state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), world.state, "{text}");
}

fn timings() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "@every 37s",
        "@every 5m",
        "*/7 * * * *",
        "*/20 * * * * *",
        "0,1,30 * * * *",
        "@hourly",
    ])
}

/// How the clock moves from one call to the next: mostly on, sometimes an outage, sometimes back.
fn moves() -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![
        6 => 0..3 * MINUTE,
        2 => 5 * MINUTE..90 * MINUTE,
        1 => -60 * MINUTE..0_i64,
    ];
    prop::collection::vec(step, 1..30)
}

/// Asks until nothing is due any more, and counts the starts of each time.
fn drain(schedule: &Schedule, state: &mut State, now: Micros, started: &mut BTreeMap<Micros, u32>) {
    loop {
        let turn = schedule.due(state, now);
        for run in &turn.start {
            *started.entry(run.at).or_default() += 1;
        }
        *state = turn.state;
        match turn.next_wake {
            Some(wake) if wake <= now => {}
            _ => return,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_seen_inside_its_window_runs_once(timing in timings(), moves in moves(), jitter in 0_i64..15) {
        let spec = Spec { jitter_us: jitter * SECOND, ..spec(timing, Overlap::AllowAll) };
        let schedule = schedule(&spec);
        let (mut state, mut now) = (State::new(Micros(MONDAY)), MONDAY);
        let (mut started, mut seen, mut gaps) = (BTreeMap::new(), BTreeSet::new(), 0);
        for by in moves {
            let before = state.clone();
            now += by;
            drain(&schedule, &mut state, Micros(now), &mut started);
            gaps += usize::from(state.decided != before.decided && by > 10 * MINUTE);
            let window = now - spec.catch_up_us;
            let mut at = Micros(window - spec.jitter_us - MINUTE);
            while let Some(next) = schedule.next(at).filter(|next| next.0 <= now) {
                let moment = schedule.with_jitter(next).0;
                if (window..=now).contains(&moment) && moment > MONDAY {
                    seen.insert(next);
                }
                at = next;
            }
        }
        prop_assume!(gaps < 15);
        prop_assert_eq!(started.keys().copied().collect::<BTreeSet<_>>(), seen);
        prop_assert!(started.values().all(|times| *times == 1), "{started:?}");
    }

    #[test]
    fn never_two_at_once_and_never_one_twice(
        overlap in prop::sample::select(vec![Overlap::Skip, Overlap::BufferOne, Overlap::CancelRunning]),
        timing in timings(),
        moves in moves(),
        ends in prop::collection::vec(any::<bool>(), 30),
        limit in prop::option::of(1_u64..20),
    ) {
        let schedule = schedule(&Spec { limit, ..spec(timing, overlap) });
        let (mut state, mut now, mut started) = (State::new(Micros(MONDAY)), MONDAY, BTreeMap::new());
        for (by, ends) in moves.into_iter().zip(ends) {
            now += by;
            drain(&schedule, &mut state, Micros(now), &mut started);
            prop_assert!(state.running.len() <= 1);
            if let Some(run) = state.running.first().copied().filter(|_| ends) {
                let turn = schedule.ended(&state, run, Micros(now));
                prop_assert!(turn.start.len() <= 1 && !turn.start.iter().any(|next| next.at == run));
                for run in &turn.start {
                    *started.entry(run.at).or_default() += 1;
                }
                state = turn.state;
            }
            prop_assert_eq!(started.len() as u64, state.started);
            prop_assert!(limit.is_none_or(|limit| state.started <= limit));
        }
        prop_assert!(started.values().all(|times| *times == 1), "{started:?}");
    }

    #[test]
    fn jitter_never_changes_the_order_and_is_always_the_same(timing in timings(), seconds in 0_i64..19) {
        let spec = Spec { jitter_us: seconds * SECOND, ..spec(timing, Overlap::Skip) };
        let schedule = schedule(&spec);
        let moments: Vec<_> = schedule.upcoming(Micros(MONDAY), 50).into_iter().map(|at| (at, schedule.with_jitter(at))).collect();
        for (at, moment) in &moments {
            prop_assert!(moment.0 - at.0 <= spec.jitter_us && moment >= at);
            prop_assert_eq!(schedule.with_jitter(*at), *moment);
        }
        prop_assert!(moments.windows(2).all(|pair| pair[0].1 < pair[1].1));
    }
}
