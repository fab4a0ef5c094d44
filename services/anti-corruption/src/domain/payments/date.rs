//! Dates as people write them in tables. Whether `03/04` is March or April is
//! told by the other rows of the file, or not at all.

use crate::domain::when::{When, day_number};
use jiff::civil::Date;

/// A date that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// One day, as a day number.
    Day(i32),
    /// Day and month can be told apart, so the style is known.
    Styled(i32, Style),
    /// It depends on the style.
    Either {
        /// When the day comes first.
        day_first: i32,
        /// When the month comes first.
        month_first: i32,
    },
}

/// Which of day and month comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// 31/12/2024.
    DayFirst,
    /// 12/31/2024.
    MonthFirst,
}

/// Reads a date.
///
/// # Errors
/// Says what would be right.
pub(super) fn parse(text: &str) -> Result<Read, String> {
    let bad = || format!("{:?} is no date such as 2024-03-01", crate::domain::text::clean(text, 40));
    if let Ok(when) = When::parse(text) {
        return Ok(Read::Day(day_number(when.date())));
    }
    let day = text.split([' ', 'T']).next().unwrap_or_default();
    let separator = day.chars().find(|c| !c.is_ascii_digit()).ok_or_else(bad)?;
    let mut parts = day.split(separator);
    let (Some(a), Some(b), Some(c), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(bad());
    };
    if !matches!(separator, '/' | '.' | '-') {
        return Err(bad());
    }
    if a.len() == 4 {
        return date(a, b, c).map(Read::Day).ok_or_else(bad);
    }
    let (day_first, month_first) = (date(c, b, a), date(c, a, b));
    match (day_first, month_first) {
        // A point is only used where the day comes first.
        (Some(day), _) if separator == '.' => Ok(Read::Day(day)),
        (Some(day), Some(month)) if day == month => Ok(Read::Day(day)),
        (Some(day_first), Some(month_first)) => Ok(Read::Either { day_first, month_first }),
        (Some(day), None) => Ok(Read::Styled(day, Style::DayFirst)),
        (None, Some(day)) if separator != '.' => Ok(Read::Styled(day, Style::MonthFirst)),
        _ => Err(bad()),
    }
}

fn date(year: &str, month: &str, day: &str) -> Option<i32> {
    let number = |text: &str| text.parse::<i8>().ok().filter(|_| text.len() <= 2);
    let year: i16 = year.parse().ok().filter(|_| year.len() == 4)?;
    Date::new(year, number(month)?, number(day)?).ok().map(day_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> i32 {
        day_number(text.parse().unwrap())
    }

    #[test]
    fn dates() {
        let check = |text: &str, expect: Option<Read>| assert_eq!(parse(text).ok(), expect, "{text}");
        let first = Some(Read::Day(day("2024-03-01")));
        check("2024-03-01", first);
        check("2024-03-01T23:59:00Z", first);
        check("2024-03-01 10:00:00", first);
        check("2024/03/01", first);
        check("20240301", first);
        check("01.03.2024", first);
        check("1.3.2024", first);
        check("3/3/2024", Some(Read::Day(day("2024-03-03"))));
        check("31/12/2024", Some(Read::Styled(day("2024-12-31"), Style::DayFirst)));
        check("12/31/2024", Some(Read::Styled(day("2024-12-31"), Style::MonthFirst)));
        check("12-31-2024 08:00", Some(Read::Styled(day("2024-12-31"), Style::MonthFirst)));
        let either = Read::Either { day_first: day("2024-04-03"), month_first: day("2024-03-04") };
        check("03/04/2024", Some(either));
        check("31.31.2024", None);
        check("12.31.2024", None);
        check("2024-02-30", None);
        check("01/02/24", None);
        check("1/2/3/2024", None);
        check("soon", None);
        check("", None);
    }
}
