//! Which times a timing names, above all when the clocks change, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_schedule::{Timing, Zone};
use probity_types::Micros;
use proptest::prelude::*;

fn micros(text: &str) -> Micros {
    Micros(text.parse::<jiff::Timestamp>().unwrap_or_else(|e| panic!("{text}: {e}")).as_microsecond())
}

/// The next times after one, in the zone, as `day hour:minute` with the offset where it matters.
fn check(timing: &str, zone: &str, after: &str, expect: &[&str]) {
    let (timing, zone) = (Timing::parse(timing).unwrap(), Zone::parse(zone).unwrap());
    let next = |at: &Micros| timing.next_after(*at, &zone);
    let found: Vec<_> = std::iter::successors(next(&micros(after)), next).take(expect.len()).collect();
    let expect: Vec<_> = expect.iter().map(|text| micros(text)).collect();
    assert_eq!(
        found,
        expect,
        "{timing:?}: {}",
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    );
}

#[test]
fn fields_mean_what_cron_says() {
    let monday = "2026-11-16T00:00:00Z";
    check(
        "*/20 * * * *",
        "UTC",
        monday,
        &["2026-11-16T00:20:00Z", "2026-11-16T00:40:00Z", "2026-11-16T01:00:00Z"],
    );
    check("30 9 * * MON-FRI", "UTC", "2026-11-20T12:00:00Z", &["2026-11-23T09:30:00Z"]);
    check("0 0 L * *", "UTC", "2028-02-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"]);
    check("0 12 * * FRI#2", "UTC", monday, &["2026-12-11T12:00:00Z"]);
    check(
        "0 0 13 * FRI",
        "UTC",
        monday,
        &["2026-11-20T00:00:00Z", "2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z"],
    );
    check("0 0 29 2 *", "UTC", monday, &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    check(
        "*/30 0 12 * * *",
        "UTC",
        monday,
        &["2026-11-16T12:00:00Z", "2026-11-16T12:00:30Z", "2026-11-17T12:00:00Z"],
    );
    check("0 9 * * *", "Asia/Kolkata", monday, &["2026-11-16T03:30:00Z"]);
    check("@daily", "UTC", "2026-11-15T23:59:59.999999Z", &["2026-11-16T00:00:00Z", "2026-11-17T00:00:00Z"]);
    check("@weekly", "UTC", monday, &["2026-11-22T00:00:00Z"]);
    check("@every 90m", "UTC", monday, &["2026-11-16T01:30:00Z", "2026-11-16T03:00:00Z"]);
    check("@every 1d", "Asia/Kolkata", "1969-12-31T12:00:00Z", &["1970-01-01T00:00:00Z"]);
}

#[test]
fn when_an_hour_is_left_out() {
    // Vienna, 2026-03-29: 01:59:59 is followed by 03:00:00.
    let check = |timing, after, expect| check(timing, "Europe/Vienna", after, expect);
    check("30 2 * * *", "2026-03-28T02:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    check("30 * * * *", "2026-03-29T00:00:00Z", &["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]);
    check("*/15 2 * * *", "2026-03-28T02:00:00Z", &["2026-03-30T00:00:00Z"]);
    check("@every 30m", "2026-03-29T00:45:00Z", &["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
    check("0 3 * * *", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"]);
}

#[test]
fn when_an_hour_comes_twice() {
    // Vienna, 2026-10-25: 02:59:59 in summer time is followed by 02:00:00 in winter time.
    let check = |timing, after, expect| check(timing, "Europe/Vienna", after, expect);
    check("30 2 * * *", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    check("30 2 * * *", "2026-10-25T00:45:00Z", &["2026-10-26T01:30:00Z"]);
    check(
        "30 * * * *",
        "2026-10-25T00:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"],
    );
    check(
        "*/30 2 * * *",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"],
    );
    check("@every 30m", "2026-10-25T00:45:00Z", &["2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_field() {
    let check = |text: &str, expect: &str| {
        let error = Timing::parse(text).expect_err(text);
        assert!(error.reason.contains(expect), "{text}: {error}");
        assert_eq!(error.field, "timing");
    };
    check("", "has 0 fields; write minute, hour, day of month, month and day of week");
    check("* * * *", "has 4 fields");
    check("* * * * * * *", "has 7 fields");
    check("60 * * * *", "the minute \"60\" cannot be read");
    check("* 24 * * *", "it is from 0 to 23");
    check("* * 32 * *", "the day of month \"32\"");
    check("* * * 13 *", "1 to 12 or JAN to DEC");
    check("* * * * 8", "the day of week \"8\"");
    check("99 * * * * *", "the second \"99\"");
    check("5-1 * * * *", "the minute \"5-1\"");
    check("*/0 * * * *", "the minute \"*/0\"");
    check("a * * * *", "the minute \"a\"");
    check("é * * * *", "letters, digits");
    check("0 0 30 2 *", "never comes");
    check("00 , 9 * * *", "\",\" has an empty place in its list");
    check("0 1,,2 * * *", "\"1,,2\" has an empty place");
    check("@reboot", "there is no @reboot; there are @every, @hourly");
    check("@every", "write an interval from 1s to 366d");
    check("@every 0s", "write an interval");
    check("@every 5", "write an interval");
    check("@every -5m", "write an interval");
    check("@every 367d", "write an interval");
    check("@every 99999999999999999999s", "write an interval");
    check(&"*".repeat(300), "has 300 bytes; at most 256");
}

#[test]
fn ten_thousand_random_texts_do_no_harm() {
    let mut random = fastrand::Rng::with_seed(5);
    let letters: Vec<char> = "0123456789*/,-#LW?+ MONJANéß@evry\u{0}\n".chars().collect();
    let mut read = 0;
    for _ in 0..10_000 {
        let text: String = (0..random.usize(..16)).map(|_| letters[random.usize(..letters.len())]).collect();
        read += usize::from(Timing::parse(&text).is_ok());
        let fields: Vec<String> =
            (0..5).map(|_| (0..random.usize(1..3)).map(|_| letters[random.usize(..12)]).collect()).collect();
        read += usize::from(Timing::parse(&fields.join(" ")).is_ok());
    }
    assert!(read > 20, "only {read} could be read");
}

fn zones() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "UTC",
        "Europe/Vienna",
        "America/New_York",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "Africa/Casablanca",
        "America/Havana",
    ])
}

fn cron() -> impl Strategy<Value = String> {
    let field = |max: u32| {
        prop_oneof![
            Just("*".to_owned()),
            (0..max).prop_map(|n| n.to_string()),
            (2..9_u32).prop_map(|n| format!("*/{n}"))
        ]
    };
    (field(60), field(24), field(7)).prop_map(|(minute, hour, day)| format!("{minute} {hour} * * {day}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Two years of changes in nine zones: times only go forward, and asking from any moment
    /// between two of them gives the second.
    #[test]
    fn times_go_forward_and_none_is_passed_over(
        timing in cron(), zone in zones(), start in 1_767_225_600_i64..1_830_297_600, inside in 0.0_f64..1.0,
    ) {
        let (timing, zone) = (Timing::parse(&timing).unwrap(), Zone::parse(zone).unwrap());
        let mut at = timing.next_after(Micros(start * 1_000_000), &zone).unwrap();
        for _ in 0..30 {
            let next = timing.next_after(at, &zone).unwrap();
            prop_assert!(next > at);
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
            let between = Micros(at.0 + ((next.0 - at.0 - 1) as f64 * inside) as i64);
            prop_assert_eq!(timing.next_after(between, &zone), Some(next), "asked at {}", between);
            at = next;
        }
    }

    /// With `*` in the minute, every minute whose clock matches is a time, and no other is.
    #[test]
    fn every_minute_that_matches_is_a_time(hour in 0_i8..24, zone in zones(), day in 0_i64..730) {
        let start = 1_767_225_600_i64 + day * 86_400;
        let timing = Timing::parse(&format!("* {hour} * * *")).unwrap();
        let tz = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap();
        let zone = Zone::parse(zone).unwrap();
        let shows = |minute: i64| jiff::Timestamp::from_second(start + minute * 60).unwrap().to_zoned(tz.clone()).hour();
        let expect: Vec<_> = (1..1_440).filter(|minute| shows(*minute) == hour).map(|m| Micros((start + m * 60) * 1_000_000)).collect();
        let next = |at: &Micros| timing.next_after(*at, &zone);
        let end = Micros((start + 1_440 * 60) * 1_000_000);
        let found: Vec<_> = std::iter::successors(next(&Micros(start * 1_000_000)), next).take_while(|at| *at < end).collect();
        prop_assert_eq!(found, expect);
    }
}
