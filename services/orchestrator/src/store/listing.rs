//! Pages of a list with a filter and an order: nothing twice, nothing left out.
//!
//! A page goes on after the last row of the page before, by the values it is
//! ordered by and its id, so that rows which come or go between do not shift it.

use crate::error::Error;
use probity_filter::{Bind, Filter, Order, Predicate, Schema};
use probity_storage::{Row, Value};
use sha2::{Digest as _, Sha256};

/// A page of a list.
#[derive(Debug, Clone)]
pub(crate) struct Listing<'s> {
    predicate: Predicate<'s>,
    order: Order<'s>,
    /// What the page is of: a token of another list is refused.
    digest: [u8; 8],
    after: Option<After>,
    pub(crate) limit: i64,
}

/// The last row of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct After {
    keys: Vec<i64>,
    id: Vec<u8>,
}

/// What a caller asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) filter: &'a str,
    pub(crate) order_by: &'a str,
    pub(crate) page_token: &'a str,
    pub(crate) limit: i64,
}

/// A statement after its `WHERE`, and its arguments.
pub(crate) struct Clause {
    pub(crate) text: String,
    pub(crate) args: Vec<Value>,
}

impl<'s> Listing<'s> {
    /// Checks what was asked for. Every sortable field of the schema must be a
    /// number that is never missing.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field, the column and what there is.
    pub(crate) fn new(schema: &'s Schema, asked: Asked<'_>, default: &str) -> Result<Self, Error> {
        let predicate = predicate(schema, asked.filter)?;
        let order_by = if asked.order_by.trim().is_empty() { default } else { asked.order_by };
        let order = Order::parse(order_by, schema).map_err(|e| invalid("order_by", e.caret()))?;
        let hash = Sha256::new().chain_update(asked.filter).chain_update([0]).chain_update(order_by);
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
        let mut listing =
            Self { predicate, order, digest: [a, b, c, d, e, f, g, h], after: None, limit: asked.limit };
        if !asked.page_token.is_empty() {
            let after = listing.after(asked.page_token);
            let wrong = "is not from a page before with the same filter and order";
            listing.after = Some(after.ok_or_else(|| invalid("page_token", wrong.to_owned()))?);
        }
        Ok(listing)
    }

    fn after(&self, token: &str) -> Option<After> {
        let bytes = hex::decode(token).ok()?;
        let rest = bytes.strip_prefix(&self.digest)?;
        let (keys, id) = rest.split_at_checked(8 * self.order.keys.len())?;
        let keys = keys.chunks_exact(8).map(|k| Some(i64::from_be_bytes(k.try_into().ok()?)));
        (!id.is_empty()).then_some(After { keys: keys.collect::<Option<_>>()?, id: id.to_vec() })
    }

    /// Everything from the condition on; the arguments begin with `first`. One row
    /// more than the page has is asked for, to know whether there is a next one.
    pub(crate) fn clause(&self, first: usize, id: &'static str) -> Clause {
        let mut clause = condition(&self.predicate, first);
        if let Some(after) = &self.after {
            let from = first + clause.args.len();
            clause.text += &format!(" AND ({})", self.beyond(from, id));
            clause.args.extend(after.keys.iter().map(|key| Value::Int(*key)));
            clause.args.push(Value::Bytes(after.id.clone()));
        }
        let limit = first + clause.args.len();
        clause.text += &format!(" ORDER BY {} LIMIT ${limit}", self.order.sql(id));
        clause.args.push(Value::Int(self.limit.saturating_add(1)));
        clause
    }

    /// Greater than the last row in the first key that differs.
    fn beyond(&self, first: usize, id: &str) -> String {
        let keys: Vec<_> = self.order.keys.iter().map(|k| (k.field.column, k.descending)).collect();
        let columns = keys.iter().copied().chain([(id, false)]).collect::<Vec<_>>();
        let mut ways = Vec::with_capacity(columns.len());
        for (at, (column, descending)) in columns.iter().enumerate() {
            let same = columns.iter().take(at).enumerate();
            let mut way: Vec<_> = same.map(|(n, (column, _))| format!("{column} = ${}", first + n)).collect();
            way.push(format!("{column} {} ${}", if *descending { "<" } else { ">" }, first + at));
            ways.push(format!("({})", way.join(" AND ")));
        }
        ways.join(" OR ")
    }

    /// The columns the order goes by, to be read with each row: `, a, b`.
    pub(crate) fn columns(&self) -> String {
        self.order.keys.iter().map(|key| format!(", {}", key.field.column)).collect()
    }

    /// The rows of the page and the token of the next one. Each row has its id in
    /// column `id` and the [`columns`](Self::columns) from column `keys` on.
    pub(crate) fn page(
        &self,
        mut rows: Vec<Row>,
        id: usize,
        keys: usize,
    ) -> Result<(Vec<Row>, String), Error> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if rows.len() <= limit {
            return Ok((rows, String::new()));
        }
        rows.truncate(limit);
        let Some(last) = rows.last() else { return Ok((rows, String::new())) };
        let mut token = self.digest.to_vec();
        for at in 0..self.order.keys.len() {
            token.extend(last.i64(keys + at)?.to_be_bytes());
        }
        token.extend(last.bytes(id)?);
        let token = hex::encode(token);
        Ok((rows, token))
    }
}

/// A filter over a schema.
///
/// # Errors
/// [`Error::Invalid`] with the column, what is wrong and what there is.
pub(crate) fn predicate<'s>(schema: &'s Schema, filter: &str) -> Result<Predicate<'s>, Error> {
    let filter = Filter::parse(filter).map_err(|e| invalid("filter", e.caret()))?;
    filter.check(schema).map_err(|e| invalid("filter", e.caret()))
}

/// A filter as a condition whose arguments begin with `first`.
pub(crate) fn condition(predicate: &Predicate<'_>, first: usize) -> Clause {
    let sql = predicate.sql(first);
    let args = sql.binds.into_iter().map(|bind| match bind {
        Bind::Int(number) => Value::Int(number),
        Bind::Text(text) => Value::Text(text),
    });
    Clause { text: sql.text, args: args.collect() }
}

fn invalid(field: &str, why: String) -> Error {
    Error::Invalid { field: field.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_filter::Field;

    fn schema() -> Schema {
        Schema::new("letters").with(Field::int("n", "t.n")).with(Field::time("at", "t.at_us"))
    }

    #[test]
    fn a_page_goes_on_after_the_one_before() {
        let schema = schema();
        let asked = Asked { filter: "n > 1", limit: 10, ..Asked::default() };
        let mut listing = Listing::new(&schema, asked, "at desc, n").unwrap();
        listing.after = Some(After { keys: vec![7, 3], id: vec![1] });
        let clause = listing.clause(2, "t.id");
        let beyond =
            "(t.at_us < $3) OR (t.at_us = $3 AND t.n > $4) OR (t.at_us = $3 AND t.n = $4 AND t.id > $5)";
        let expect = format!("t.n > $2 AND ({beyond}) ORDER BY t.at_us DESC, t.n, t.id LIMIT $6");
        assert_eq!(clause.text, expect);
        assert_eq!(clause.args.len(), 5);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let schema = schema();
        let check = |asked: Asked<'_>, field: &str, part: &str| match Listing::new(&schema, asked, "at") {
            Err(Error::Invalid { field: found, why }) => {
                assert!(found == field && why.contains(part), "{found}: {why}");
            }
            other => panic!("{other:?}"),
        };
        check(Asked { filter: "m = 1", ..Asked::default() }, "filter", "no field");
        check(Asked { order_by: "n sideways", ..Asked::default() }, "order_by", "desc");
        check(Asked { page_token: "zz", ..Asked::default() }, "page_token", "same filter");
        check(Asked { page_token: &hex::encode([0; 40]), ..Asked::default() }, "page_token", "same filter");
    }
}
