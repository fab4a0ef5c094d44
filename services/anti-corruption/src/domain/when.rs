//! Points in time as documents give them: with or without a time of day, with
//! or without an offset from UTC.
//!
//! What is not known is not guessed: two times are compared as instants when
//! both have an offset, by the calendar when neither has, and otherwise only
//! when every possible offset gives the same answer.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;
use rust_decimal::Decimal;
use std::fmt;

const DAY_SECONDS: i64 = 86_400;
/// The furthest offset from UTC that is in use.
const OFFSET_SLACK_SECONDS: i64 = 14 * 3_600;

/// A point in time or a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    civil: DateTime,
    offset: Option<Offset>,
    whole_day: bool,
}

impl When {
    /// Reads RFC 3339 and ISO 8601 dates and times.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || "is no date such as 2024-03-01T09:00:00Z".to_owned();
        let pieces = Pieces::parse(text.trim()).map_err(|_| bad())?;
        let (time, offset) = (pieces.time(), pieces.to_numeric_offset());
        let civil = DateTime::from_parts(pieces.date(), time.unwrap_or(Time::midnight()));
        Ok(Self { civil, offset: if time.is_some() { offset } else { None }, whole_day: time.is_none() })
    }

    /// The calendar date as written.
    #[must_use]
    pub fn date(&self) -> Date {
        self.civil.date()
    }

    /// Sorts points in time; without an offset they count as UTC.
    #[must_use]
    pub fn order(&self) -> i64 {
        self.seconds() - self.offset.map_or(0, |offset| i64::from(offset.seconds()))
    }

    /// Seconds of the civil time since 1970.
    fn seconds(&self) -> i64 {
        let epoch = jiff::civil::date(1970, 1, 1);
        let days = i64::from(day_number(self.civil.date()) - day_number(epoch));
        let time = self.civil.time();
        let of_day =
            i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second());
        days * DAY_SECONDS + of_day
    }

    /// The last second this can mean.
    fn last_second(&self) -> i64 {
        self.seconds() + if self.whole_day { DAY_SECONDS - 1 } else { 0 }
    }

    /// Days from `start` to `self`, to the second. Between two days it is their
    /// difference; a day after a time of day counts to its end.
    #[must_use]
    pub fn days_since(&self, start: &Self) -> Decimal {
        let seconds = match (self.offset, start.offset) {
            (Some(_), Some(_)) => self.order() - start.order(),
            _ if self.whole_day && !start.whole_day => self.last_second() + 1 - start.seconds(),
            _ => self.seconds() - start.seconds(),
        };
        Decimal::from(seconds) / Decimal::from(DAY_SECONDS)
    }

    /// True when this is later than `deadline` whatever the offsets are; a
    /// deadline given as a day lasts to its end.
    #[must_use]
    pub fn is_surely_after(&self, deadline: &Self) -> bool {
        match (self.offset, deadline.offset) {
            (Some(_), Some(_)) => self.order() > deadline.order(),
            (None, None) => self.seconds() > deadline.last_second(),
            _ => self.seconds() > deadline.last_second() + OFFSET_SLACK_SECONDS,
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.whole_day, self.offset) {
            (true, _) => write!(f, "{}", self.civil.date()),
            (false, Some(Offset::UTC)) => write!(f, "{}Z", self.civil),
            (false, Some(offset)) => write!(f, "{}{offset}", self.civil),
            (false, None) => write!(f, "{}", self.civil),
        }
    }
}

/// Days since 0000-03-01 in the proleptic Gregorian calendar; only differences
/// mean anything.
#[must_use]
pub fn day_number(date: Date) -> i32 {
    let (year, month) = (i32::from(date.year()), i32::from(date.month()));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + i32::from(date.day()) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn when(text: &str) -> When {
        When::parse(text).unwrap()
    }

    #[test]
    fn reads_what_publishers_write() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(When::parse(text).ok().map(|w| w.to_string()).as_deref(), expect, "{text}");
        };
        check("2024-03-01T09:00:00Z", Some("2024-03-01T09:00:00Z"));
        check(" 2024-03-01 ", Some("2024-03-01"));
        check("2024-03-01T09:00:00", Some("2024-03-01T09:00:00"));
        check("2024-03-01T09:00:00.123+02:00", Some("2024-03-01T09:00:00.123+02"));
        check("2024-03-01 09:00:00-05:00", Some("2024-03-01T09:00:00-05"));
        check("2024-02-30", None);
        check("01/03/2024", None);
        check("", None);
        check("soon", None);
    }

    #[test]
    fn counts_days() {
        let check = |start: &str, end: &str, expect: &str| {
            let days = when(end).days_since(&when(start)).round_dp(4).normalize().to_string();
            assert_eq!(days, expect, "{start} {end}");
        };
        check("2024-03-01T09:00:00Z", "2024-03-16T09:00:00Z", "15");
        check("2024-03-01T09:00:00Z", "2024-03-16T08:59:59Z", "15");
        check("2024-03-01T23:00:00-05:00", "2024-03-17T00:00:00+02:00", "14.75");
        check("2024-03-01", "2024-03-15", "14");
        check("2024-02-28", "2024-03-01", "2");
        check("2023-02-28", "2023-03-01", "1");
        check("2024-03-01T09:00:00", "2024-03-02T09:00:00", "1");
        check("2024-03-01T12:00:00Z", "2024-03-02", "1.5");
        check("2024-03-02", "2024-03-01", "-1");
        check("2024-03-01", "2024-03-01", "0");
    }

    #[test]
    fn is_late_only_when_it_is_sure() {
        let check = |at: &str, deadline: &str, late: bool| {
            assert_eq!(when(at).is_surely_after(&when(deadline)), late, "{at} {deadline}");
        };
        check("2024-03-15T12:00:01Z", "2024-03-15T12:00:00Z", true);
        check("2024-03-15T12:00:00Z", "2024-03-15T12:00:00Z", false);
        check("2024-03-15T13:30:00+02:00", "2024-03-15T12:00:00Z", false);
        check("2024-03-15T11:00:00-03:00", "2024-03-15T12:00:00Z", true);
        check("2024-03-15", "2024-03-15", false);
        check("2024-03-16", "2024-03-15", true);
        check("2024-03-15T23:00:00", "2024-03-15", false);
        check("2024-03-16T01:00:00Z", "2024-03-15", false);
        check("2024-03-16T20:00:00Z", "2024-03-15", true);
        check("2024-03-16", "2024-03-15T12:00:00", true);
    }

    proptest! {
        #[test]
        fn day_numbers_follow_the_calendar(days in -700_000i32..700_000) {
            let start = jiff::civil::date(1970, 1, 1);
            let later = start.checked_add(jiff::Span::new().days(days)).unwrap();
            prop_assert_eq!(day_number(later) - day_number(start), days);
        }

        #[test]
        fn parsing_never_panics(text in "[0-9TZ:+.\\- ]{0,40}") {
            let _ = When::parse(&text);
        }
    }
}
