//! The fields of events and spans, as values that are safe to write.

use serde_json::{Map, Value};
use std::error::Error as StdError;
use std::fmt;
use tracing::field::{Field, Visit};

/// Span fields that go on every record written inside the span, in this order.
pub const CORRELATION: [&str; 7] =
    ["service", "request_id", "trace_id", "tenant", "case", "execution", "step"];

/// Fields whose name contains one of these are withheld: secrets and personal
/// data. A net for accidents; such values are not logged in the first place.
pub const WITHHELD: [&str; 10] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "cookie",
    "api_key",
    "email",
    "phone",
    "iban",
];

/// The most bytes one value takes in a record.
const VALUE_LIMIT: usize = 8 * 1024;
const REPLACEMENT: &str = "[withheld]";

/// What spans say about the request a record belongs to.
#[derive(Debug, Default)]
pub(super) struct Correlation([Option<Box<str>>; CORRELATION.len()]);

impl Correlation {
    /// Takes what an outer span knows and the inner ones did not.
    pub(super) fn fill_from(&mut self, outer: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&outer.0) {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
    }

    /// The known fields by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        CORRELATION.into_iter().zip(&self.0).filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    fn set(&mut self, field: &Field, value: &str) {
        if let Some(at) = CORRELATION.iter().position(|name| *name == field.name())
            && !value.is_empty()
        {
            self.0[at] = Some(cut(value).into());
        }
    }
}

impl Visit for Correlation {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if CORRELATION.contains(&field.name()) {
            self.set(field, &format!("{value:?}"));
        }
    }
}

/// The message and the fields of an event.
#[derive(Debug, Default)]
pub(super) struct EventFields {
    pub(super) message: String,
    pub(super) values: Map<String, Value>,
}

impl EventFields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let secret = WITHHELD.iter().any(|part| name.contains(part)) && !value.is_number();
        let value = if secret { Value::from(REPLACEMENT) } else { value };
        self.values.insert(name.to_owned(), value);
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.message = cut(text);
        } else {
            self.put(field, Value::from(cut(text)));
        }
    }
}

impl Visit for EventFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        self.put_text(field, &chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, &format!("{value:?}"));
    }
}

/// An error and its causes, leaving out a cause the text before it repeats.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

/// The text, or its beginning and how long it was.
fn cut(text: &str) -> String {
    if text.len() <= VALUE_LIMIT {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(VALUE_LIMIT);
    format!("{}… ({} bytes)", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(VALUE_LIMIT);
        let text = cut(&long);
        assert!(text.len() < VALUE_LIMIT + 40 && text.ends_with(" bytes)"), "{}", text.len());
    }
}
