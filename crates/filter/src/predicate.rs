//! A filter that is known to make sense, and what it says about a row in memory.

use crate::schema::{Field, Op};
use crate::sql::Bind;

/// A filter over the fields of a schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate<'s> {
    /// Everything.
    All,
    /// All of these.
    And(Vec<Predicate<'s>>),
    /// Any of these.
    Or(Vec<Predicate<'s>>),
    /// Not this.
    Not(Box<Predicate<'s>>),
    /// A field passes a test.
    Test(&'s Field, Test),
}

/// What is asked of one field. A missing value passes none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It has a value, and not the empty text.
    Present,
    /// It compares so with a number: an integer, 0 or 1, or microseconds.
    Number(Op, i64),
    /// That text is at this place in it, letter for letter.
    Text(Place, String),
    /// It is one of these; of none, when there is none.
    OneOf(Vec<Bind>),
}

/// Where a text must stand in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is all of it.
    Whole,
    /// It is its beginning.
    Start,
    /// It is its end.
    End,
    /// It is somewhere in it.
    Within,
}

impl Predicate<'_> {
    /// Whether a row passes. `row` gives the stored value of a field by its name, and `None`
    /// for a missing one.
    pub fn matches(&self, row: &impl Fn(&str) -> Option<Bind>) -> bool {
        match self {
            Self::All => true,
            Self::And(parts) => parts.iter().all(|part| part.matches(row)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(row)),
            Self::Not(inner) => !inner.matches(row),
            Self::Test(field, test) => row(field.name).is_some_and(|value| test.passes(&value)),
        }
    }
}

impl Test {
    fn passes(&self, value: &Bind) -> bool {
        match (self, value) {
            (Self::Present, Bind::Text(text)) => !text.is_empty(),
            (Self::Present, Bind::Int(_)) => true,
            (Self::Number(op, wanted), Bind::Int(value)) => compare(*op, *value, *wanted),
            (Self::Text(place, wanted), Bind::Text(text)) => match place {
                Place::Whole => text == wanted,
                Place::Start => text.starts_with(wanted.as_str()),
                Place::End => text.ends_with(wanted.as_str()),
                Place::Within => text.contains(wanted.as_str()),
            },
            (Self::OneOf(wanted), value) => wanted.contains(value),
            (Self::Number(..), Bind::Text(_)) | (Self::Text(..), Bind::Int(_)) => false,
        }
    }
}

fn compare(op: Op, value: i64, wanted: i64) -> bool {
    match op {
        Op::Eq | Op::Has => value == wanted,
        Op::Ne => value != wanted,
        Op::Lt => value < wanted,
        Op::Le => value <= wanted,
        Op::Gt => value > wanted,
        Op::Ge => value >= wanted,
    }
}
