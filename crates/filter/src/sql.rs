//! A predicate as SQL that SQLite and PostgreSQL read alike.
//!
//! `LIKE` folds case on one database and not on the other, and `instr`, `strpos` and `right`
//! exist on one each. `substr` and `replace` exist on both and count characters: a text
//! contains another when replacing that other by nothing changes it.

use crate::predicate::{Place, Predicate, Test};
use crate::schema::{Field, Kind, Op};
use std::fmt::Write as _;

/// An argument of a statement, or the stored value of a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bind {
    /// `BIGINT`
    Int(i64),
    /// `TEXT`
    Text(String),
}

impl From<i64> for Bind {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Bind {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// A condition for a `WHERE`, and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sql {
    /// The condition, with `$n` for each argument. Safe to join with `AND`.
    pub text: String,
    /// The arguments in the order of their numbers.
    pub binds: Vec<Bind>,
}

impl Predicate<'_> {
    /// As SQL whose first placeholder is `$first`. An empty filter is `TRUE`.
    #[must_use]
    pub fn sql(&self, first: usize) -> Sql {
        let mut writer = Writer { text: String::new(), binds: Vec::new(), first };
        match self {
            // An AND beside the caller's own ANDs needs no parentheses.
            Self::And(_) => writer.predicate(self),
            _ => writer.grouped(self),
        }
        Sql { text: writer.text, binds: writer.binds }
    }
}

struct Writer {
    text: String,
    binds: Vec<Bind>,
    first: usize,
}

impl Writer {
    fn predicate(&mut self, predicate: &Predicate<'_>) {
        match predicate {
            Predicate::All => self.text.push_str("TRUE"),
            Predicate::And(parts) => self.joined(parts, " AND "),
            Predicate::Or(parts) => self.joined(parts, " OR "),
            Predicate::Not(inner) => {
                self.text.push_str("NOT (");
                self.predicate(inner);
                self.text.push(')');
            }
            Predicate::Test(field, test) => self.guarded(field, test),
        }
    }

    fn joined(&mut self, parts: &[Predicate<'_>], word: &str) {
        for (index, part) in parts.iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { word });
            self.grouped(part);
        }
    }

    fn grouped(&mut self, predicate: &Predicate<'_>) {
        let in_parentheses = matches!(predicate, Predicate::And(_) | Predicate::Or(_));
        self.text.push_str(if in_parentheses { "(" } else { "" });
        self.predicate(predicate);
        self.text.push_str(if in_parentheses { ")" } else { "" });
    }

    /// A test is never `NULL`, so that its negation is its opposite.
    fn guarded(&mut self, field: &Field, test: &Test) {
        let guard = field.nullable && *test != Test::Present;
        if guard {
            let _ = write!(self.text, "({} IS NOT NULL AND ", field.column);
        }
        self.test(field, test);
        self.text.push_str(if guard { ")" } else { "" });
    }

    fn test(&mut self, field: &Field, test: &Test) {
        let column = field.column;
        match test {
            Test::Present if field.kind == Kind::Text => {
                let _ = write!(self.text, "({column} IS NOT NULL AND {column} <> '')");
            }
            Test::Present => {
                let _ = write!(self.text, "{column} IS NOT NULL");
            }
            Test::Number(op, number) => self.compare(column, *op, Bind::Int(*number)),
            Test::Text(place, text) => self.place(column, *place, text),
            Test::OneOf(values) => self.one_of(column, values),
        }
    }

    fn compare(&mut self, column: &str, op: Op, value: Bind) {
        let sign = match op {
            Op::Has => "=",
            Op::Ne => "<>",
            op => op.as_str(),
        };
        let _ = write!(self.text, "{column} {sign} ");
        self.bind(value);
    }

    fn place(&mut self, column: &str, place: Place, text: &str) {
        let length = text.chars().count();
        let _ = match place {
            Place::Whole => write!(self.text, "{column} = "),
            Place::Start => write!(self.text, "substr({column}, 1, {length}) = "),
            Place::End => write!(self.text, "substr({column}, length({column}) - {length} + 1) = "),
            Place::Within => write!(self.text, "replace({column}, "),
        };
        self.bind(Bind::from(text));
        if place == Place::Within {
            let _ = write!(self.text, ", '') <> {column}");
        }
    }

    fn one_of(&mut self, column: &str, values: &[Bind]) {
        if let [value] = values {
            return self.compare(column, Op::Eq, value.clone());
        }
        if values.is_empty() {
            return self.text.push_str("FALSE");
        }
        let _ = write!(self.text, "{column} IN (");
        for (index, value) in values.iter().enumerate() {
            self.text.push_str(if index == 0 { "" } else { ", " });
            self.bind(value.clone());
        }
        self.text.push(')');
    }

    fn bind(&mut self, value: Bind) {
        let _ = write!(self.text, "${}", self.first + self.binds.len());
        self.binds.push(value);
    }
}
