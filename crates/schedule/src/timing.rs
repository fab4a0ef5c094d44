//! Points in time that come again: cron expressions and intervals.
//!
//! The API of `croner` stays in this file.
//!
//! # When the clocks change
//!
//! | timing | an hour is left out | an hour comes twice |
//! |---|---|---|
//! | fixed: neither minute nor hour has a `*` | runs at the first moment after the gap | runs the first time only |
//! | with `*` in minute or hour | does not run in the gap | runs both times |
//! | `@every` | counts real time | counts real time |
//!
//! So a nightly job runs once every night, and one that runs every quarter of an hour keeps its
//! distance of a quarter of an hour.

use crate::Error;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use probity_types::Micros;

/// Longest timing in bytes.
pub const MAX_SOURCE: usize = 256;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const FIELDS: [&str; 6] = ["second", "minute", "hour", "day of month", "month", "day of week"];
const NAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * SUN"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A time zone of the IANA database. The database is part of the program, so that every
/// replica of it agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone of that name, such as `Europe/Vienna` or `UTC`.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let known = TimeZoneDatabase::bundled().get(name).ok();
        known.map(Self).ok_or_else(|| {
            let reason = format!(
                "there is no time zone {:?}; write a name of the IANA database such as Europe/Vienna, or UTC",
                name.chars().take(64).collect::<String>()
            );
            Error::new("zone", reason)
        })
    }
}

/// A cron expression or an interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    source: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Cron(Box<croner::Cron>),
    /// Every multiple of this many microseconds since 1970.
    Every(i64),
}

impl Timing {
    /// Reads `minute hour day-of-month month day-of-week`, the same with a second before it, a
    /// name such as `@daily`, or `@every 15m`.
    ///
    /// A field is `*`, a number, a name (`JAN`, `MON`), a range `1-5`, a step `*/15` or a list of
    /// those; `L` is the last day, `15W` the working day nearest to the 15th, `FRI#2` the second
    /// Friday. When both days are given, either is enough, as in every cron. An interval is from
    /// `1s` to `366d` and counted from 1970-01-01T00:00:00Z, so `@every 15m` runs at :00, :15,
    /// :30 and :45.
    ///
    /// # Errors
    /// Names the field that cannot be read, or says that such a time never comes.
    pub fn parse(source: &str) -> Result<Self, Error> {
        let text = source.trim();
        let wrong = |reason: String| Error::new("timing", reason);
        if text.len() > MAX_SOURCE {
            return Err(wrong(format!("has {} bytes; at most {MAX_SOURCE}", text.len())));
        }
        let rule = match text.strip_prefix("@every") {
            Some(interval) => Rule::Every(every(interval.trim()).map_err(wrong)?),
            None => Rule::Cron(Box::new(cron(text).map_err(wrong)?)),
        };
        let timing = Self { source: text.to_owned(), rule };
        match timing.next_after(Micros(0), &Zone::UTC) {
            Some(_) => Ok(timing),
            None => Err(wrong(format!("{text:?} never comes; there is no such day"))),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The first time after a point in time, in a zone; `None` when there is none that a clock
    /// can show. Times are whole seconds.
    #[must_use]
    pub fn next_after(&self, after: Micros, zone: &Zone) -> Option<Micros> {
        let next = match &self.rule {
            Rule::Every(interval) => after.0.div_euclid(*interval).checked_add(1)?.checked_mul(*interval)?,
            Rule::Cron(cron) => {
                let second = jiff::Timestamp::from_second(after.0.div_euclid(SECOND)).ok()?;
                let next = cron.find_next_occurrence(&second.to_zoned(zone.0.clone()), false).ok()?;
                next.timestamp().as_second().checked_mul(SECOND)?
            }
        };
        (next > after.0).then_some(Micros(next))
    }
}

/// Reads an interval as microseconds.
fn every(text: &str) -> Result<i64, String> {
    let wanted =
        || format!("@every {text:?}: write an interval from 1s to 366d, such as @every 15m or @every 1h30m");
    let (mut rest, mut sum) = (text, 0_i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wanted)?;
        let (number, after) = rest.split_at(digits);
        let unit = after.chars().next().ok_or_else(wanted)?;
        let size = match unit {
            's' => SECOND,
            'm' => 60 * SECOND,
            'h' => 3_600 * SECOND,
            'd' => DAY,
            _ => return Err(wanted()),
        };
        let part = number.parse::<i64>().ok().and_then(|number| number.checked_mul(size));
        sum = part.and_then(|part| sum.checked_add(part)).ok_or_else(wanted)?;
        rest = &after[unit.len_utf8()..];
    }
    if (SECOND..=366 * DAY).contains(&sum) { Ok(sum) } else { Err(wanted()) }
}

fn cron(text: &str) -> Result<croner::Cron, String> {
    let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, pattern)| *pattern);
    if named.is_none() && text.starts_with('@') {
        let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no {text}; there are @every, {}", names.join(", ")));
    }
    let pattern = named.unwrap_or(text);
    let fields: Vec<_> = pattern.split_whitespace().collect();
    if !(5..=6).contains(&fields.len()) {
        return Err(format!(
            "{text:?} has {} fields; write minute, hour, day of month, month and day of week, \
             with or without a second before them",
            fields.len()
        ));
    }
    if !pattern.is_ascii() || pattern.contains('@') {
        return Err(format!("{text:?}: fields are made of letters, digits and * , - / # + ?"));
    }
    // An empty set of minutes would be looked for until the end of the calendar.
    if let Some(field) = fields.iter().find(|field| field.split(',').any(str::is_empty)) {
        return Err(format!("{field:?} has an empty place in its list; write numbers between the commas"));
    }
    read(pattern).map_err(|why| blame(&fields).unwrap_or_else(|| format!("{text:?}: {why}")))
}

fn read(pattern: &str) -> Result<croner::Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    parser.parse(pattern).map_err(|error| error.to_string())
}

/// The field that cannot be read even when all others are `*`.
fn blame(fields: &[&str]) -> Option<String> {
    let names = &FIELDS[FIELDS.len() - fields.len()..];
    fields.iter().zip(names).enumerate().find_map(|(index, (field, name))| {
        let alone: Vec<_> =
            (0..fields.len()).map(|other| if other == index { *field } else { "*" }).collect();
        let why = read(&alone.join(" ")).err()?;
        let range = match *name {
            "second" | "minute" => "0 to 59",
            "hour" => "0 to 23",
            "day of month" => "1 to 31",
            "month" => "1 to 12 or JAN to DEC",
            _ => "0 (Sunday) to 6, 7 for Sunday too, or SUN to SAT",
        };
        Some(format!(
            "the {name} {field:?} cannot be read ({}); it is from {range}",
            why.trim_end_matches('.')
        ))
    })
}
