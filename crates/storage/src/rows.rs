//! One statement for many rows.
//!
//! The statement is written for one row, with `VALUES ($1, $2, …)` in it. SQLite
//! runs it as it is, prepared once and stepped for each row: nothing is faster
//! there. PostgreSQL gets the columns as arrays, in one trip: `VALUES (…)` gives
//! way to `SELECT * FROM UNNEST($1::bigint[], …)`, whose types are those of the
//! values. Mistakes that only one of them would notice are refused for both.

use crate::value::View;
use crate::{Error, Null, Value};
use std::collections::HashSet;
use std::fmt::Write as _;

/// Most rows in one trip to PostgreSQL; more rows take more trips.
pub(crate) const CHUNK: usize = 1_000;

/// A statement for rows of some width.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template<'s> {
    sql: &'s str,
    before: &'s str,
    after: &'s str,
}

impl<'s> Template<'s> {
    /// Finds the place of the row.
    pub(crate) fn new(sql: &'s str, width: usize) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Rows { sql: sql.to_owned(), reason };
        let places = sql.match_indices("VALUES");
        let found = places.map(|(at, word)| (at, &sql[at + word.len()..]));
        let Some((at, after)) = found.filter_map(|(at, rest)| Some((at, row(rest, width)?))).next() else {
            return Err(wrong(format!("it needs VALUES ($1, …) with {width} placeholders in order")));
        };
        if after.contains('$') || sql[..at].contains('$') {
            return Err(wrong("placeholders outside of VALUES are not the same for every row".to_owned()));
        }
        Ok(Self { sql, before: &sql[..at], after })
    }

    /// The statement with arrays of these types.
    pub(crate) fn with_arrays(&self, columns: &[Null]) -> String {
        let mut sql = format!("{}SELECT * FROM UNNEST(", self.before);
        let mut names = String::new();
        for (place, column) in (1..).zip(columns) {
            let comma = if place > 1 { ", " } else { "" };
            let column = match column {
                Null::Int => "bigint",
                Null::Float => "double precision",
                Null::Text => "text",
                Null::Bytes => "bytea",
            };
            // Writing to a text cannot fail.
            let _ = write!(sql, "{comma}${place}::{column}[]");
            let _ = write!(names, "{comma}column{place}");
        }
        format!("{sql}) AS r ({names}){}", self.after)
    }

    /// Which columns of a row must not repeat: PostgreSQL updates a row once a
    /// statement. Empty when the statement updates nothing.
    fn keys(&self) -> Vec<usize> {
        let listed = |text: &'s str| -> Option<Vec<&'s str>> {
            let (_, list) = text.split_once('(')?;
            Some(list.split_once(')')?.0.split(',').map(str::trim).collect())
        };
        let conflict = self.after.split_once("ON CONFLICT").filter(|(_, rest)| rest.contains("DO UPDATE"));
        let keys = conflict.and_then(|(_, rest)| listed(rest)).unwrap_or_default();
        let columns = listed(self.before).unwrap_or_default();
        keys.iter().filter_map(|key| columns.iter().position(|column| column == key)).collect()
    }
}

/// What follows `($1, $2, …)` with so many placeholders, if `text` begins so.
fn row(text: &str, width: usize) -> Option<&str> {
    let mut rest = text.trim_start().strip_prefix('(').filter(|_| width > 0)?;
    for place in 1..=width {
        let number = rest.trim_start().strip_prefix('$')?;
        let digits = number.find(|c: char| !c.is_ascii_digit())?;
        if number[..digits].parse() != Ok(place) {
            return None;
        }
        rest = number[digits..].trim_start().strip_prefix(if place < width { ',' } else { ')' })?;
    }
    Some(rest)
}

/// Looks at every row of a call, one after the other.
#[derive(Debug)]
pub(crate) struct Guard<'s, const N: usize> {
    template: Template<'s>,
    /// The types of the first row.
    columns: Option<[Null; N]>,
    keys: Vec<usize>,
    seen: HashSet<String>,
}

impl<'s, const N: usize> Guard<'s, N> {
    pub(crate) fn new(template: Template<'s>) -> Self {
        // Tests find a repeated key, so that production need not look.
        let keys = if cfg!(debug_assertions) { template.keys() } else { Vec::new() };
        Self { template, columns: None, keys, seen: HashSet::new() }
    }

    /// The types of the columns; `None` before the first row.
    pub(crate) const fn columns(&self) -> Option<&[Null; N]> {
        self.columns.as_ref()
    }

    pub(crate) fn check(&mut self, row: &[Value; N]) -> Result<(), Error> {
        let columns = row.each_ref().map(|value| value.view().column());
        let first = *self.columns.get_or_insert(columns);
        if columns != first {
            return Err(self.wrong(format!("columns of the types {first:?} were followed by {columns:?}")));
        }
        if row.iter().any(|value| matches!(value.view(), View::Text(text) if text.contains('\0'))) {
            return Err(Error::NulInText);
        }
        if self.keys.is_empty() {
            return Ok(());
        }
        let key = format!("{:?}", self.keys.iter().map(|place| row[*place].view()).collect::<Vec<_>>());
        if self.seen.contains(&key) {
            return Err(self.wrong(format!("the key {key} comes twice, and a row is updated once")));
        }
        self.seen.insert(key);
        Ok(())
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Rows { sql: self.template.sql.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    #[test]
    fn arrays_take_the_place_of_the_row() {
        let check = |sql: &str, columns: &[Null], expect: &str| {
            assert_eq!(Template::new(sql, columns.len()).unwrap().with_arrays(columns), expect);
        };
        check(
            "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO NOTHING",
            &[Null::Int, Null::Text],
            "INSERT INTO t (a, b) SELECT * FROM UNNEST($1::bigint[], $2::text[]) AS r (column1, column2) \
             ON CONFLICT (a) DO NOTHING",
        );
        check(
            "DELETE FROM t WHERE a IN (VALUES( $1 ))",
            &[Null::Bytes],
            "DELETE FROM t WHERE a IN (SELECT * FROM UNNEST($1::bytea[]) AS r (column1))",
        );
    }

    #[test]
    fn other_statements_are_refused() {
        let check = |sql: &str, width: usize, expect: &str| {
            let error = Template::new(sql, width).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("INSERT INTO t (a, b) VALUES ($1, $2)", 3, "with 3 placeholders in order");
        check("INSERT INTO t (a, b) VALUES ($2, $1)", 2, "in order");
        check("INSERT INTO t (a, b) VALUES ($1, 7)", 2, "in order");
        check("INSERT INTO t (a) VALUES ($1), ($2)", 1, "outside of VALUES");
        check("UPDATE t SET a = $1", 1, "needs VALUES");
        check("SELECT 'VALUES ($1'", 1, "needs VALUES");
        check("INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = $1", 1, "outside of VALUES");
    }

    #[test]
    fn rows_must_fit_each_other() {
        let sql = "INSERT INTO t (a, b, c) VALUES ($1, $2, $3) ON CONFLICT (c, a) DO UPDATE SET b = 'x'";
        let check = |second: Vec<Value>, expect: Result<(), &str>| {
            let mut guard = Guard::new(Template::new(sql, 3).unwrap());
            guard.check(&[1.into(), "x".into(), 1.into()]).unwrap();
            let second: [Value; 3] = second.try_into().unwrap();
            match (guard.check(&second), expect) {
                (Ok(()), Ok(())) => {}
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, expect) => panic!("{got:?} {expect:?}"),
            }
        };
        check(args![2, None::<&str>, 1], Ok(()));
        check(args![2, "x", "1"], Err("were followed by"));
        check(args![None::<&str>, "x", 1], Err("were followed by"));
        check(args![1, "y", 1], Err("comes twice"));
        check(args![1, "a\0b", 2], Err("NUL"));
    }
}
