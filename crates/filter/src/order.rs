//! `order_by`: fields with or without `desc`, divided by commas (AIP-132).

use crate::check::unknown_field;
use crate::schema::{Field, Schema};
use crate::sql::Bind;
use crate::tree::Span;
use crate::{Error, MAX_LENGTH};
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Most fields in one order.
pub const MAX_KEYS: usize = 8;

/// The order of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Order<'s> {
    /// The fields it goes by, the weightiest first.
    pub keys: Vec<Key<'s>>,
}

/// One field of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Key<'s> {
    /// The field.
    pub field: &'s Field,
    /// The largest value first.
    pub descending: bool,
}

impl<'s> Order<'s> {
    /// Reads an order such as `create_time desc, priority`. An empty source has no keys.
    ///
    /// # Errors
    /// When it has more than [`MAX_KEYS`] keys, or one that is no field, cannot be ordered by,
    /// comes twice, or is followed by anything but `asc` or `desc`; with the place.
    pub fn parse(source: &str, schema: &'s Schema) -> Result<Self, Error> {
        let mut order = Self { keys: Vec::new() };
        let error = |start, end, text: String| Err(Error::new(source, Span { start, end }, text));
        if source.len() > MAX_LENGTH {
            return error(0, 0, format!("an order has at most {MAX_LENGTH} bytes"));
        }
        if source.trim().is_empty() {
            return Ok(order);
        }
        let mut start = 0;
        for part in source.split(',') {
            let begin = start + (part.len() - part.trim_start().len());
            let end = begin + part.trim().len();
            match order.key(part, schema) {
                Ok(key) if order.keys.len() < MAX_KEYS => order.keys.push(key),
                Ok(_) => return error(begin, end, format!("an order has at most {MAX_KEYS} fields")),
                Err(text) => return error(begin, end, text),
            }
            start += part.len() + 1;
        }
        Ok(order)
    }

    fn key(&self, part: &str, schema: &'s Schema) -> Result<Key<'s>, String> {
        let mut words = part.split_whitespace();
        let name = words.next().ok_or("a field is missing here")?;
        let descending = match (words.next(), words.next()) {
            (None, _) | (Some("asc"), None) => false,
            (Some("desc"), None) => true,
            _ => {
                return Err(
                    "after a field stands nothing, asc or desc; fields are divided by commas".to_owned()
                );
            }
        };
        let sortable = schema.fields().iter().filter(|field| field.sortable).map(|field| field.name);
        let Some(field) = schema.field(name) else {
            return Err(unknown_field(schema.of, name, sortable));
        };
        if !field.sortable {
            let names: Vec<_> = sortable.collect();
            return Err(format!(
                "{} cannot be ordered by {name}; they can by {}",
                schema.of,
                names.join(", ")
            ));
        }
        if self.keys.iter().any(|key| key.field.name == name) {
            return Err(format!("{name} is there already; a second time changes nothing"));
        }
        Ok(Key { field, descending })
    }

    /// As SQL for after `ORDER BY`. What has no value comes last. `tie` is a column that differs
    /// from row to row, so that pages neither repeat nor lose one.
    #[must_use]
    pub fn sql(&self, tie: &'static str) -> String {
        let mut text = String::new();
        for key in &self.keys {
            let direction = if key.descending { " DESC" } else { "" };
            let nulls = if key.field.nullable { " NULLS LAST" } else { "" };
            let _ = write!(text, "{}{direction}{nulls}, ", key.field.column);
        }
        text + tie
    }

    /// Which of two rows comes first, without the tie. Rows are as in
    /// [`Predicate::matches`](crate::Predicate::matches).
    pub fn compare(&self, a: &impl Fn(&str) -> Option<Bind>, b: &impl Fn(&str) -> Option<Bind>) -> Ordering {
        let by_key = |key: &Key<'_>| match (a(key.field.name), b(key.field.name)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) if key.descending => b.cmp(&a),
            (Some(a), Some(b)) => a.cmp(&b),
        };
        self.keys.iter().map(by_key).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}
