//! Values as people type them: durations, resource names, tokens.

use std::time::Duration;

/// Seconds from `90`, `90s`, `30m`, `8h` or `7d`.
pub(crate) fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no duration such as 90s, 30m, 8h or 7d");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let scale = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(scale).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

/// Times from `250ms`, or as [`seconds`].
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    if let Some(number) = text.strip_suffix("ms") {
        let wrong = || format!("{text:?} is no time such as 250ms or 2s");
        return number.parse().ok().filter(|ms| *ms > 0).map(Duration::from_millis).ok_or_else(wrong);
    }
    seconds(text).map(|seconds| Duration::from_secs(seconds.unsigned_abs()))
}

/// Seconds as the API has them.
pub(crate) const fn span(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

/// So many in so many seconds: `100/1s`, `5/1m`, `none`.
pub(crate) fn rate(text: &str) -> Result<(i32, i64), String> {
    let wrong = || format!("{text:?} is no rate such as 100/1s, 5/1m or none");
    if text == "none" {
        return Ok((0, 0));
    }
    let (count, period) = text.split_once('/').ok_or_else(wrong)?;
    let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    Ok((count, seconds(period).map_err(|_| wrong())?))
}

/// The two sides of `STEP=VALUE`.
pub(crate) fn assigned(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=').filter(|(step, _)| !step.is_empty());
    let (step, value) = split.ok_or_else(|| format!("{text:?}: write STEP=VALUE"))?;
    Ok((step.to_owned(), value.to_owned()))
}

/// The full name of a resource given with or without its collection.
pub(crate) fn name(collection: &str, id: &str) -> String {
    let prefix = format!("{collection}/");
    if id.starts_with(&prefix) { id.to_owned() } else { prefix + id }
}

/// What a receipt is asked for: a case, unless it says `entries/…`.
pub(crate) fn receipt_name(id: &str) -> String {
    if id.starts_with("entries/") { id.to_owned() } else { name("cases", id) }
}

/// An actor: a bare name is a user.
pub(crate) fn actor(text: &str) -> String {
    if text.contains('/') { text.to_owned() } else { format!("users/{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(seconds(text).ok(), expect, "{text}");
        check("90", Some(90));
        check("90s", Some(90));
        check("30m", Some(1_800));
        check("8h", Some(28_800));
        check("7d", Some(604_800));
        check("0", None);
        check("-5m", None);
        check("1.5h", None);
        check("h", None);
        check("99999999999999999d", None);
        check("", None);
    }

    #[test]
    fn times_may_be_shorter_than_a_second() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(time(text).ok(), expect.map(Duration::from_millis), "{text}");
        };
        check("250ms", Some(250));
        check("2s", Some(2_000));
        check("1m", Some(60_000));
        check("0ms", None);
        check("ms", None);
    }

    #[test]
    fn rates_and_assignments() {
        let check = |text: &str, expect: Option<(i32, i64)>| assert_eq!(rate(text).ok(), expect, "{text}");
        check("100/1s", Some((100, 1)));
        check("5/2m", Some((5, 120)));
        check("none", Some((0, 0)));
        check("0/1s", None);
        check("5", None);
        check("5/soon", None);
        assert_eq!(assigned("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(assigned("=b").is_err() && assigned("a").is_err());
    }

    #[test]
    fn names_with_and_without_their_collection() {
        assert_eq!(name("cases", "case_1"), "cases/case_1");
        assert_eq!(name("cases", "cases/case_1"), "cases/case_1");
        assert_eq!(receipt_name("entries/7"), "entries/7");
        assert_eq!(receipt_name("case_1"), "cases/case_1");
        assert_eq!(actor("ana"), "users/ana");
        assert_eq!(actor("service-accounts/erp"), "service-accounts/erp");
    }
}
