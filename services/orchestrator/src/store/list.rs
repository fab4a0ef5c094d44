//! Lists of executions: what they can be filtered by, pages, counts.

use super::{Store, View, id};
use crate::error::Error;
use probity_filter::{Bind, Field, Filter, Op, Schema, Sql};
use probity_storage::{Value, args};
use probity_types::id::ExecutionId;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Names and numbers of an execution's status, as in the contract.
const STATUS: [(&str, i64); 8] = [
    ("RUNNING", 1),
    ("WAITING", 2),
    ("INCIDENT", 3),
    ("PENDING", 8),
    ("COMPENSATING", 4),
    ("COMPLETED", 5),
    ("FAILED", 6),
    ("CANCELLED", 7),
];
const STATE: [(&str, i64); 7] = [
    ("PENDING", 1),
    ("INVESTIGATING", 2),
    ("VALIDATING", 3),
    ("REMEDIATING", 4),
    ("RESOLVED", 5),
    ("FAILED", 6),
    ("CANCELLED", 7),
];
const KIND: [(&str, i64); 5] = [("NONE", 0), ("TENDER", 1), ("PAYMENT", 2), ("MESSAGE", 3), ("REPORT", 4)];
const PRIORITY: [(&str, i64); 4] = [("LOW", 1), ("NORMAL", 2), ("HIGH", 3), ("CRITICAL", 4)];
const WAITING: [(&str, i64); 3] = [("NOTHING", 0), ("APPROVAL", 1), ("INCIDENT", 2)];
const NAMED: [Op; 3] = [Op::Eq, Op::Ne, Op::Has];

/// What executions can be filtered by. See docs/guides/filters.md.
static EXECUTIONS: LazyLock<Schema> = LazyLock::new(|| {
    Schema::new("executions")
        .with(Field::ranks("status", "status", &STATUS).only(&NAMED))
        .with(Field::ranks("state", "state", &STATE))
        .with(Field::ranks("kind", "kind", &KIND).only(&NAMED))
        .with(Field::ranks("priority", "priority", &PRIORITY))
        .with(Field::ranks("waiting", "waiting", &WAITING).only(&NAMED))
        .with(Field::text("definition", "definition"))
        .with(Field::text("owner", "owner"))
        .with(Field::bool("paused", "paused"))
        .with(Field::time("create_time", "created_us"))
        .with(Field::time("update_time", "updated_us"))
});

/// What executions can be counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupBy {
    Status,
    Definition,
    Priority,
}

impl GroupBy {
    /// The field of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "status" => Some(Self::Status),
            "definition" => Some(Self::Definition),
            "priority" => Some(Self::Priority),
            _ => None,
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Definition => "definition",
            Self::Priority => "priority",
        }
    }

    fn value(self, row: &probity_storage::Row) -> Result<String, Error> {
        let named = |names: &[(&str, i64)], number: i64| {
            let found = names.iter().find(|(_, n)| *n == number);
            found.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
        };
        Ok(match self {
            Self::Status => named(&STATUS, row.i64(0)?),
            Self::Priority => named(&PRIORITY, row.i64(0)?),
            Self::Definition => row.text(0)?,
        })
    }
}

/// Reads a filter over executions.
fn condition(filter: &str, first: usize) -> Result<Sql, Error> {
    let refused =
        |error: probity_filter::Error| Error::Invalid { field: "filter".to_owned(), why: error.caret() };
    let filter = Filter::parse(filter).map_err(refused)?;
    Ok(filter.check(&EXECUTIONS).map_err(refused)?.sql(first))
}

fn values(binds: Vec<Bind>) -> impl Iterator<Item = Value> {
    binds.into_iter().map(|bind| match bind {
        Bind::Int(number) => Value::from(number),
        Bind::Text(text) => Value::from(text),
    })
}

impl Store {
    /// Executions, newest first.
    pub(crate) async fn executions(
        &self,
        tenant: &str,
        filter: &str,
        before: Option<ExecutionId>,
        limit: i64,
    ) -> Result<Vec<(ExecutionId, View)>, Error> {
        let condition = condition(filter, 4)?;
        let sql = format!(
            "SELECT kind, body, id FROM executions WHERE tenant = $1 AND id < $2 AND {} ORDER BY id DESC LIMIT $3",
            condition.text
        );
        let before = before.map_or_else(|| vec![0xff; 16], ExecutionId::to_bytes);
        let mut arguments = args![tenant, before, limit];
        arguments.extend(values(condition.binds));
        let rows = self.db.query(&sql, arguments).await?;
        rows.iter().map(|row| Ok((id(&row.bytes(2)?)?, View::read(row, 0)?))).collect()
    }

    /// How many executions there are, in all and by the value of a field.
    pub(crate) async fn count_executions(
        &self,
        tenant: &str,
        filter: &str,
        by: Option<GroupBy>,
    ) -> Result<(i64, BTreeMap<String, i64>), Error> {
        let condition = condition(filter, 2)?;
        let column = by.map_or("0", GroupBy::column);
        let sql = format!(
            "SELECT {column}, COUNT(*) FROM executions WHERE tenant = $1 AND {} GROUP BY {}",
            condition.text,
            if by.is_some() { column } else { "tenant" }
        );
        let mut arguments = args![tenant];
        arguments.extend(values(condition.binds));
        let mut groups = BTreeMap::new();
        let mut total = 0;
        for row in self.db.query(&sql, arguments).await? {
            let count = row.i64(1)?;
            total += count;
            if let Some(by) = by {
                groups.insert(by.value(&row)?, count);
            }
        }
        Ok((total, groups))
    }
}
