//! A record as a line of JSON or of text.

use super::fields::{Correlation, EventFields};
use probity_types::Micros;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use std::fmt::Write as _;
use tracing::Level;

/// Everything a line says.
pub(super) struct Line<'a> {
    pub(super) time: Micros,
    pub(super) level: Level,
    pub(super) target: &'a str,
    pub(super) service: &'a str,
    pub(super) correlation: &'a Correlation,
    pub(super) fields: &'a EventFields,
}

/// A character that can begin a line, steer a terminal or turn the reading
/// direction around.
pub(super) fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Line<'_> {
    /// A JSON object and a newline.
    pub(super) fn json(&self) -> String {
        // Serialising plain strings and numbers cannot fail.
        let text = serde_json::to_string(self).unwrap_or_default();
        let mut line = String::with_capacity(text.len() + 1);
        for c in text.chars() {
            // All left over here is inside a JSON string and in the Basic
            // Multilingual Plane, so four digits say it.
            let _ =
                if is_dangerous(c) { write!(line, "\\u{:04x}", u32::from(c)) } else { line.write_char(c) };
        }
        line.push('\n');
        line
    }

    /// Time, level, service, message and fields, and a newline.
    pub(super) fn pretty(&self, colour: bool) -> String {
        let mut line = String::with_capacity(128);
        let (on, off) = if colour { (paint(self.level), "\u{1b}[0m") } else { ("", "") };
        let _ = write!(line, "{} {on}{:5}{off} ", self.time, self.level);
        let service = self.correlation.iter().find(|(name, _)| *name == "service").map(|(_, value)| value);
        escape(&mut line, service.unwrap_or(self.service));
        line.push_str(": ");
        escape(&mut line, &self.fields.message);
        for (name, value) in &self.fields.values {
            pair(&mut line, name, value);
        }
        for (name, value) in self.correlation.iter().filter(|(name, _)| *name != "service") {
            pair(&mut line, name, &Value::from(value));
        }
        line.push('\n');
        line
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &self.time.to_string())?;
        map.serialize_entry("level", &self.level.as_str().to_ascii_lowercase())?;
        if self.correlation.iter().all(|(name, _)| name != "service") {
            map.serialize_entry("service", self.service)?;
        }
        for (name, value) in self.correlation.iter() {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("target", self.target)?;
        map.serialize_entry("message", &self.fields.message)?;
        if !self.fields.values.is_empty() {
            map.serialize_entry("fields", &self.fields.values)?;
        }
        map.end()
    }
}

fn pair(line: &mut String, name: &str, value: &Value) {
    let _ = write!(line, " {name}=");
    match value {
        Value::String(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
            escape(line, &format!("{text:?}"));
        }
        Value::String(text) => escape(line, text),
        other => escape(line, &other.to_string()),
    }
}

fn escape(line: &mut String, text: &str) {
    for c in text.chars() {
        let _ = if is_dangerous(c) { write!(line, "{}", c.escape_unicode()) } else { line.write_char(c) };
    }
}

const fn paint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}
