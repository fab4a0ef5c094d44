//! Filters and orders of lists: one small language for every list of the platform.
//!
//! A filter is a text such as `state = RUNNING AND create_time > "2026-11-01"`, in the
//! language of [AIP-160](https://google.aip.dev/160). It goes through three steps, each with
//! its own type: [`Filter::parse`] makes a tree, [`Filter::check`] resolves it over a
//! [`Schema`], and the [`Predicate`] becomes SQL ([`Predicate::sql`]) or is asked about a row
//! in memory ([`Predicate::matches`]). Both answer alike; a test holds SQLite and PostgreSQL
//! to it. [`Order::parse`] does the same for `order_by` ([AIP-132](https://google.aip.dev/132)).
//!
//! ```
//! use probity_filter::{Field, Filter, Schema};
//!
//! let schema = Schema::new("executions")
//!     .with(Field::names("state", "e.state", &["RUNNING", "WAITING", "ENDED"]))
//!     .with(Field::time("end_time", "e.ended_us").nullable());
//! let filter = Filter::parse("state = (RUNNING OR WAITING) AND NOT end_time:*")?;
//! let sql = filter.check(&schema)?.sql(2);
//! assert_eq!(sql.text, "(e.state = $2 OR e.state = $3) AND NOT (e.ended_us IS NOT NULL)");
//!
//! let error = Filter::parse("stat = RUNNING")?.check(&schema).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "column 1: executions have no field \"stat\"; did you mean state? There are: state, end_time"
//! );
//! # Ok::<(), probity_filter::Error>(())
//! ```
//!
//! **Architecture invariants:** no text of a caller ever becomes part of the SQL: columns are
//! `&'static str`, everything else is an argument. The same filter selects the same rows on
//! both databases, so what they disagree about (the order of texts, case folding) is not in
//! the language. There is no three-valued logic: a comparison with a missing value is false,
//! and its negation is true.
//!
//! Deliberately absent: functions, arithmetic, comparing two fields, times relative to now,
//! and any knowledge of a store.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod check;
mod error;
mod literal;
mod order;
mod parse;
mod predicate;
mod schema;
mod sql;
mod tree;

pub use error::Error;
pub use order::{Key, MAX_KEYS, Order};
pub use predicate::{Place, Predicate, Test};
pub use schema::{Field, Kind, Op, Schema};
pub use sql::{Bind, Sql};
pub use tree::{Expr, Filter, Literal, Span};

/// Longest filter or order in bytes.
pub const MAX_LENGTH: usize = 4 * 1024;
/// Deepest nesting of groups and negations.
pub const MAX_DEPTH: usize = 32;
/// Most comparisons and search words in one filter.
pub const MAX_TERMS: usize = 64;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
