//! Printing: tables for people, JSON for programs.
//!
//! What came over the wire is cleaned of control characters before it reaches a
//! terminal; JSON keeps it as it is (escaped). Colours appear on a terminal only.

use crate::args::Format;
use crate::failure::Failure;
use anyhow::Context as _;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Row, Table, Width, presets};
use probity_proto::prost_reflect::{
    DynamicMessage, FieldDescriptor, ReflectMessage as _, SerializeOptions, Value as Held,
};
use prost::Message;
use serde_json::Value;
use std::io::{IsTerminal as _, Write as _};

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// For people or for programs.
    pub format: Format,
    /// Whether standard output is a terminal.
    pub terminal: bool,
}

impl Output {
    /// Standard output in this format.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, terminal: std::io::stdout().is_terminal() }
    }

    /// True when a program reads along.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints text and a line end.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn line(self, text: impl std::fmt::Display) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Prints text that ends its own lines.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn text(self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Text in a colour, on a terminal that has colours.
    #[must_use]
    pub fn coloured(self, text: &str, colour: Color) -> String {
        let code = match colour {
            Color::Red => 31,
            Color::Green => 32,
            Color::Yellow => 33,
            Color::Cyan => 36,
            Color::DarkGrey => 90,
            _ => 0,
        };
        let plain = !self.terminal || code == 0 || std::env::var_os("NO_COLOR").is_some();
        if plain { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
    }

    /// Prints a value as one line of JSON.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn json_line(self, value: &Value) -> Result<(), Failure> {
        self.line(value)
    }

    /// Prints a value as indented JSON.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn json(self, value: &Value) -> Result<(), Failure> {
        self.line(serde_json::to_string_pretty(value).context("the answer cannot be printed")?)
    }

    /// Prints a table; nothing at all when it has no rows.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn table(self, table: &Table) -> Result<(), Failure> {
        if table.is_empty() { Ok(()) } else { self.line(table.trim_fmt()) }
    }
}

/// Prints text and a line end to standard error. Nobody can be told when that
/// fails.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// An empty table that fits the terminal.
#[must_use]
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|text| Cell::new(text).add_attribute(Attribute::Bold)));
    table
}

/// How a column of a table with a line a row behaves on a terminal.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// Keeps its width: what it holds is copied, or short.
    Whole,
    /// Is cut to so many characters, and further when there is no room.
    Cut(u16),
    /// As `Whole`, but not shown on terminals narrower than that.
    WholeFrom(u16),
    /// As `Cut`, but not shown on terminals narrower than that.
    CutFrom(u16, u16),
}

/// A table with a line a row on a terminal; elsewhere nothing is cut or left out.
#[must_use]
pub fn lines(columns: &[(&str, Column)]) -> Table {
    let mut table = table(&columns.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let Some(width) = table.width() else { return table };
    for ((_, kind), column) in columns.iter().zip(table.column_iter_mut()) {
        column.set_constraint(match kind {
            Column::WholeFrom(least) | Column::CutFrom(_, least) if width < *least => {
                ColumnConstraint::Hidden
            }
            Column::Whole | Column::WholeFrom(_) => ColumnConstraint::ContentWidth,
            Column::Cut(most) | Column::CutFrom(most, _) => {
                ColumnConstraint::UpperBoundary(Width::Fixed(*most))
            }
        });
    }
    table
}

/// A row of such a table.
#[must_use]
pub fn one_line(cells: Vec<Cell>) -> Row {
    let mut row = Row::from(cells);
    row.max_height(1);
    row
}

/// Text without anything that moves a cursor, changes colours or turns the
/// direction of writing; white space becomes single spaces.
#[must_use]
pub fn plain(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let cleaned = text.chars().map(|c| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() || turns(c) => '\u{fffd}',
        c => c,
    });
    cleaned.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Plain text of at most `most` characters.
#[must_use]
pub fn short(text: &str, most: usize) -> String {
    let text = plain(text);
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A message of the API as the JSON that REST gives for it, every field present: what
/// is JSON in REST (inputs, outputs, payloads) is so here, `null` when it is empty.
///
/// # Errors
/// When the type is not in the contracts of this build.
pub fn json<M: Message>(full_name: &str, message: &M) -> anyhow::Result<Value> {
    let descriptor = probity_proto::pool()
        .get_message_by_name(full_name)
        .with_context(|| format!("{full_name} is not in the contracts"))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut value = message.serialize_with_options(serde_json::value::Serializer, &options)?;
    put_json_in(&message, &mut value);
    Ok(value)
}

/// Puts JSON in the place of the bytes that carried it.
fn put_json_in(message: &DynamicMessage, value: &mut Value) {
    for field in message.descriptor().fields().filter(|field| message.has_field(field) || is_json(field)) {
        let Some(shown) = value.get_mut(field.json_name()) else { continue };
        let held = message.get_field(&field);
        match &*held {
            Held::Bytes(bytes) if is_json(&field) => {
                *shown = serde_json::from_slice(bytes).unwrap_or(Value::Null);
            }
            Held::Message(inner) => put_json_in(inner, shown),
            Held::List(items) => {
                for (item, shown) in items.iter().zip(shown.as_array_mut().into_iter().flatten()) {
                    if let Held::Message(inner) = item {
                        put_json_in(inner, shown);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether the bytes of a field are JSON.
fn is_json(field: &FieldDescriptor) -> bool {
    let option = probity_proto::pool().get_extension_by_name("probity.common.v1.json");
    option.is_some_and(|option| field.options().get_extension(&option).as_bool() == Some(true))
}

/// A timestamp of the API for people: UTC to the second.
#[must_use]
pub fn time(timestamp: Option<&prost_types::Timestamp>) -> String {
    let text = timestamp.and_then(|t| jiff::Timestamp::from_second(t.seconds).ok());
    text.map(|t| t.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

/// The readable half of an enum value of the contracts: `CASE_STATE_PENDING`
/// gives `pending`.
#[must_use]
pub fn word(prefix: &str, name: &str) -> String {
    let rest = name.strip_prefix(prefix).unwrap_or(name);
    if rest == "UNSPECIFIED" { "-".to_owned() } else { rest.to_ascii_lowercase().replace('_', " ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_proto::orchestrator::{Case, CaseState};

    #[test]
    fn terminals_get_plain_text() {
        let check = |text: &str, expect: &str| assert_eq!(plain(text), expect);
        check("a\r\nb\tc", "a b c");
        check("\x1b[31mred", "\u{fffd}[31mred");
        check("abc\u{202e}def", "abc\u{fffd}def");
        check("  Größe  ", "Größe");
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(short("abcd", 4), "abcd");
    }

    #[test]
    fn json_is_that_of_the_api() {
        let case = Case { name: "cases/1".into(), state: CaseState::Resolved.into(), ..Case::default() };
        let value = json("probity.orchestrator.v1.Case", &case).unwrap();
        assert_eq!(value["name"], "cases/1");
        assert_eq!(value["state"], "CASE_STATE_RESOLVED");
        assert_eq!(value["findingCount"], "0");
        assert!(json("probity.orchestrator.v1.Nothing", &case).is_err());
    }

    #[test]
    fn json_fields_are_json() {
        use probity_proto::orchestrator::{DeadLetter, ListDeadLettersResponse};
        let letter = DeadLetter { payload: "{\"n\": [1]}".into(), ..DeadLetter::default() };
        let dead_letters = vec![letter, DeadLetter::default()];
        let page = ListDeadLettersResponse { dead_letters, ..ListDeadLettersResponse::default() };
        let value = json("probity.orchestrator.v1.ListDeadLettersResponse", &page).unwrap();
        assert_eq!(value["deadLetters"][0]["payload"], serde_json::json!({"n": [1]}));
        assert_eq!(value["deadLetters"][1]["payload"], Value::Null);
    }

    #[test]
    fn enum_names_become_words() {
        assert_eq!(word("CASE_STATE_", CaseState::Pending.as_str_name()), "pending");
        assert_eq!(word("CASE_STATE_", CaseState::Unspecified.as_str_name()), "-");
        assert_eq!(word("ACTION_TYPE_", "ACTION_TYPE_HOLD_PAYMENT"), "hold payment");
    }

    #[test]
    fn times_are_utc_to_the_second() {
        let stamp = prost_types::Timestamp { seconds: 86_400, nanos: 999_999_999 };
        assert_eq!(time(Some(&stamp)), "1970-01-02 00:00:00");
        assert_eq!(time(None), "");
    }
}
