//! The header `grpc-timeout`: at most eight digits and a unit.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// The header that says how long the caller will wait.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The same, read once and not for every call.
pub(crate) static HEADER: HeaderName = HeaderName::from_static(GRPC_TIMEOUT);

const MOST: u32 = 99_999_999;
/// Eight digits and a unit.
const LONGEST: usize = 9;
const DIGITS: &[u8; 10] = b"0123456789";

/// Unit letters and their length in nanoseconds, shortest first.
const UNITS: [(char, u64); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60_000_000_000),
    ('H', 3_600_000_000_000),
];

/// Reads a timeout such as `250m`; `None` when it is malformed.
#[must_use]
pub fn parse_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let valid = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let (_, nanos) = UNITS.into_iter().find(|(letter, _)| *letter == unit)?;
    let count: u128 = valid.then(|| digits.parse().ok())??;
    let nanos = count * u128::from(nanos);
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).ok()?))
}

/// Writes a timeout in the finest unit that holds it, rounded down: the callee
/// never believes it has more time than the caller gives.
#[must_use]
pub fn format_timeout(timeout: Duration) -> String {
    let (count, letter) = scaled(timeout);
    format!("{count}{letter}")
}

fn scaled(timeout: Duration) -> (u32, char) {
    // Up to five centuries in words of the machine: this is done for every call.
    if let Ok(nanos) = u64::try_from(timeout.as_nanos()) {
        for (letter, unit) in UNITS {
            let count = u32::try_from(nanos / unit).ok().filter(|count| *count <= MOST);
            if let Some(count) = count {
                return (count, letter);
            }
        }
    }
    let (letter, unit) = UNITS[UNITS.len() - 1];
    let count = timeout.as_nanos() / u128::from(unit);
    (u32::try_from(count).map_or(MOST, |count| count.min(MOST)), letter)
}

/// What a request says about its time.
pub(super) enum Told {
    Nothing,
    Within(Duration),
    Malformed,
}

pub(super) fn read(headers: &HeaderMap) -> Told {
    let Some(value) = headers.get(&HEADER) else { return Told::Nothing };
    value.to_str().ok().and_then(parse_timeout).map_or(Told::Malformed, Told::Within)
}

pub(crate) fn write(headers: &mut HeaderMap, timeout: Duration) {
    let (mut count, letter) = scaled(timeout);
    let mut text = [0; LONGEST];
    let mut begin = LONGEST - letter.len_utf8();
    letter.encode_utf8(&mut text[begin..]);
    while count > 0 || begin == LONGEST - 1 {
        begin -= 1;
        text[begin] = DIGITS[(count % 10) as usize];
        count /= 10;
    }
    if let Ok(value) = HeaderValue::from_bytes(&text[begin..]) {
        headers.insert(&HEADER, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_standard_allows() {
        let check =
            |text: &str, expect: Option<Duration>| assert_eq!(parse_timeout(text), expect, "{text:?}");
        check("1H", Some(Duration::from_secs(3600)));
        check("2M", Some(Duration::from_secs(120)));
        check("15S", Some(Duration::from_secs(15)));
        check("250m", Some(Duration::from_millis(250)));
        check("7u", Some(Duration::from_micros(7)));
        check("99999999n", Some(Duration::from_nanos(99_999_999)));
        check("0S", Some(Duration::ZERO));
        check("99999999H", Some(Duration::from_secs(99_999_999 * 3600)));
        check("123456789n", None);
        for malformed in ["", "S", "1", "-1S", "+1S", "1.5S", "1s", "1 S", "1µ"] {
            check(malformed, None);
        }
    }

    #[test]
    fn writes_the_finest_unit() {
        let check = |timeout, expect: &str| assert_eq!(format_timeout(timeout), expect);
        check(Duration::ZERO, "0n");
        check(Duration::from_millis(99), "99000000n");
        check(Duration::from_millis(100), "100000u");
        check(Duration::from_secs(30), "30000000u");
        check(Duration::from_secs(3600), "3600000m");
        check(Duration::from_nanos(u64::MAX), "5124095H");
        check(Duration::MAX, "99999999H");
    }

    proptest! {
        #[test]
        fn the_callee_has_no_more_time_and_hardly_less(nanos in 0u64..) {
            let timeout = Duration::from_nanos(nanos);
            let told = parse_timeout(&format_timeout(timeout)).unwrap();
            prop_assert!(told <= timeout);
            prop_assert!(timeout - told <= timeout / 10_000);
            let mut headers = HeaderMap::new();
            write(&mut headers, timeout);
            prop_assert_eq!(&headers[GRPC_TIMEOUT], &format_timeout(timeout));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,12}") {
            let _ = parse_timeout(&text);
        }
    }
}
