//! Dead letters by a filter: pages, counts and patterns.

use super::{Letter, LetterId};
use crate::domain::dead_letters::patterns::{Group, Totals};
use crate::error::Error;
use crate::store::Store;
use crate::store::listing::{Listing, condition};
use probity_filter::{Field, Predicate, Schema};
use probity_storage::{Row, args};
use probity_types::Micros;
use std::sync::LazyLock;

/// The columns of a letter without its payload.
pub(super) const COLUMNS: &str =
    "id, of_case, definition, state, code, error, template, peer, operation, attempts,
    failures, payload_bytes, created_us, opened_us, updated_us, reviewer, note";
/// How many those are.
pub(super) const COUNT: usize = 17;
/// Most groups the patterns are made of; the others are only counted.
const MAX_GROUPS: i64 = 10_000;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let states = [("FAILED", 1), ("REVIEWING", 2), ("REQUEUED", 3), ("DISCARDED", 4)];
    let item = Field { sortable: false, ..Field::int("item", "item") };
    Schema::new("dead letters")
        .with(Field::ranks("state", "state", &states))
        .with(Field::text("code", "code"))
        .with(Field::text("error", "error"))
        .with(Field::text("template", "template"))
        .with(Field::text("peer", "peer"))
        .with(Field::text("operation", "operation"))
        .with(Field::text("definition", "definition"))
        .with(Field::text("case", "of_case"))
        .with(Field::text("execution", "execution"))
        .with(Field::text("step", "step"))
        .with(item.nullable())
        .with(Field::int("attempts", "attempts"))
        .with(Field::int("failures", "failures"))
        .with(Field::int("payload_size_bytes", "payload_bytes"))
        .with(Field::time("create_time", "created_us"))
        .with(Field::time("open_time", "opened_us"))
        .with(Field::time("update_time", "updated_us"))
        .with(Field::text("reviewer", "reviewer"))
        .with(Field::text("note", "note"))
        .searching(Field::text("error", "error"))
        .searching(Field::text("code", "code"))
        .searching(Field::text("note", "note"))
});

/// What dead letters can be filtered and ordered by.
pub(crate) fn schema() -> &'static Schema {
    &SCHEMA
}

impl Store {
    /// A page of letters, with their payloads when asked for, and the token of the
    /// next page. `and` is a condition of our own.
    pub(crate) async fn letters(
        &self,
        tenant: &str,
        listing: &Listing<'_>,
        payloads: bool,
        and: &'static str,
    ) -> Result<(Vec<Letter>, String), Error> {
        let clause = listing.clause(2, "id");
        let payload = if payloads { "payload" } else { "''" };
        let keys = listing.columns();
        let sql = format!(
            "SELECT {COLUMNS}, {payload}{keys} FROM dead_letters WHERE tenant = $1 AND {and} AND {}",
            clause.text
        );
        let mut args = args![tenant];
        args.extend(clause.args);
        let rows = self.db.query(&sql, args).await?;
        let (rows, token) = listing.page(rows, 0, COUNT + 1)?;
        let letters = rows.iter().map(|row| read(row, Some(COUNT))).collect::<Result<_, _>>()?;
        Ok((letters, token))
    }

    /// The groups of letters with the same error at the same place, the largest
    /// first, and counts over all. An open letter is old when it failed before `old`.
    pub(crate) async fn letter_groups(
        &self,
        tenant: &str,
        predicate: &Predicate<'_>,
        old: Micros,
    ) -> Result<(Vec<Group>, Totals), Error> {
        let clause = condition(predicate, 4);
        let over =
            |what: &str| format!("CAST(SUM(SUM(CASE WHEN {what} THEN 1 ELSE 0 END)) OVER () AS BIGINT)");
        let sql = format!(
            "SELECT template, code, peer, operation, COUNT(*), MIN(opened_us), MAX(opened_us), {}, {}, {}, {}, {}
             FROM dead_letters WHERE tenant = $1 AND {} GROUP BY template, code, peer, operation
             ORDER BY COUNT(*) DESC LIMIT $3",
            over("TRUE"),
            over("state < 3"),
            over("state < 3 AND opened_us < $2"),
            over("state < 3 AND failures > 1"),
            over("state < 3 AND (opened_us < $2 OR failures > 1)"),
            clause.text
        );
        let mut args = args![tenant, old.0, MAX_GROUPS];
        args.extend(clause.args);
        let rows = self.db.query(&sql, args).await?;
        let totals = rows.first().map_or(Ok(Totals::default()), totals)?;
        Ok((rows.iter().map(group).collect::<Result<_, _>>()?, totals))
    }
}

impl Store {
    /// Open letters that failed before `old` or more than once, the oldest first.
    pub(crate) async fn attention(
        &self,
        tenant: &str,
        predicate: &Predicate<'_>,
        old: Micros,
        limit: i64,
    ) -> Result<Vec<Letter>, Error> {
        let clause = condition(predicate, 4);
        let sql = format!(
            "SELECT {COLUMNS} FROM dead_letters WHERE tenant = $1 AND state < 3
             AND (opened_us < $2 OR failures > 1) AND {} ORDER BY opened_us, id LIMIT $3",
            clause.text
        );
        let mut args = args![tenant, old.0, limit];
        args.extend(clause.args);
        self.db.query(&sql, args).await?.iter().map(|row| read(row, None)).collect()
    }
}

fn totals(row: &Row) -> Result<Totals, Error> {
    Ok(Totals {
        all: row.i64(7)?,
        open: row.i64(8)?,
        old: row.i64(9)?,
        repeated: row.i64(10)?,
        attention: row.i64(11)?,
    })
}

fn group(row: &Row) -> Result<Group, Error> {
    Ok(Group {
        template: row.text(0)?,
        code: row.text(1)?,
        peer: row.text(2)?,
        operation: row.text(3)?,
        count: row.i64(4)?,
        first: Micros(row.i64(5)?),
        last: Micros(row.i64(6)?),
    })
}

pub(super) fn read(row: &Row, payload: Option<usize>) -> Result<Letter, Error> {
    let small = |at: usize| row.i64(at).map(|n| i32::try_from(n).unwrap_or(i32::MAX));
    let broken = || Error::Journal { case: "a dead letter".to_owned(), why: "its id is none".to_owned() };
    Ok(Letter {
        id: LetterId::from_bytes(&row.bytes(0)?).ok_or_else(broken)?,
        case: row.text(1)?,
        definition: row.text(2)?,
        state: small(3)?,
        code: row.text(4)?,
        error: row.text(5)?,
        template: row.text(6)?,
        peer: row.text(7)?,
        operation: row.text(8)?,
        attempts: small(9)?,
        failures: small(10)?,
        payload_bytes: row.i64(11)?,
        created: Micros(row.i64(12)?),
        opened: Micros(row.i64(13)?),
        updated: Micros(row.i64(14)?),
        reviewer: row.text(15)?,
        note: row.text(16)?,
        payload: payload.map_or(Ok(String::new()), |at| row.text(at))?,
    })
}
