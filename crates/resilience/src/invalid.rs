//! Configurations that cannot work, refused with the field and what it may be.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// A setting that is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}; it must be {range}")]
pub struct Invalid {
    /// The setting, by its name in a configuration.
    pub field: &'static str,
    /// What it was.
    pub value: String,
    /// What it may be.
    pub range: String,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, value: impl Display, range: impl Display) -> Self {
        Self { field, value: value.to_string(), range: range.to_string() }
    }
}

/// Refuses a number outside a range, both ends of which are allowed.
pub(crate) fn within<T: PartialOrd + Display>(
    field: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), Invalid> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Invalid::new(field, value, format_args!("from {} to {}", range.start(), range.end())))
}

/// Refuses a share that is not above 0 and at most 1 (not-a-number included).
pub(crate) fn share(field: &'static str, value: f64) -> Result<(), Invalid> {
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    Err(Invalid::new(field, value, "above 0 and at most 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_and_the_range_are_named() {
        let check = |got: Result<(), Invalid>, expect: Option<&str>| {
            assert_eq!(got.err().map(|e| e.to_string()).as_deref(), expect);
        };
        check(within("open_ms", 1, 1..=9), None);
        check(within("open_ms", 9, 1..=9), None);
        check(within("open_ms", 0, 1..=9), Some("open_ms is 0; it must be from 1 to 9"));
        check(share("failure_rate", 1.0), None);
        check(share("failure_rate", 0.0), Some("failure_rate is 0; it must be above 0 and at most 1"));
        check(share("failure_rate", 1.1), Some("failure_rate is 1.1; it must be above 0 and at most 1"));
        check(share("failure_rate", f64::NAN), Some("failure_rate is NaN; it must be above 0 and at most 1"));
    }
}
