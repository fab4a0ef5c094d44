//! The row an execution is listed by.

use super::LineRow;
use crate::domain::ownership::shard_of;
use crate::error::Error;
use probity_proto::orchestrator::{Case, Execution};
use probity_storage::{Row, Value, row};
use probity_types::Micros;
use probity_types::id::ExecutionId;
use prost::Message as _;

/// What is shown of an execution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum View {
    /// It runs a case.
    Case(Box<Case>),
    /// It runs without one. Steps, input and output are not in the row.
    Plain(Box<Execution>),
}

/// A row of `executions`.
#[derive(Debug, Clone)]
pub(crate) struct ExecutionRow {
    pub(crate) id: ExecutionId,
    pub(crate) tenant: String,
    pub(crate) kind: i32,
    pub(crate) state: i32,
    pub(crate) status: i32,
    pub(crate) definition: String,
    pub(crate) owner: String,
    pub(crate) priority: u8,
    pub(crate) waiting: i32,
    pub(crate) paused: bool,
    /// Something is under way: whoever owns the shard must go on with it.
    pub(crate) active: bool,
    pub(crate) created: Micros,
    pub(crate) updated: Micros,
    pub(crate) body: Vec<u8>,
    /// What is to be said of its place, when its definition has a limit.
    pub(crate) line: Option<LineRow>,
}

impl ExecutionRow {
    /// In the order of the columns.
    pub(super) fn values(&self) -> [Value; 15] {
        row![
            self.tenant.as_str(),
            self.id.0,
            i64::from(shard_of(self.id)),
            self.kind,
            self.state,
            self.status,
            self.definition.as_str(),
            self.owner.as_str(),
            i64::from(self.priority),
            self.waiting,
            self.paused,
            self.active,
            self.created,
            self.updated,
            self.body.as_slice()
        ]
    }
}

impl View {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Case(case) => case.encode_to_vec(),
            Self::Plain(execution) => execution.encode_to_vec(),
        }
    }

    /// The case, when it is one.
    pub(crate) fn into_case(self) -> Option<Case> {
        match self {
            Self::Case(case) => Some(*case),
            Self::Plain(_) => None,
        }
    }

    /// Reads `kind, body` at a column.
    pub(crate) fn read(row: &Row, column: usize) -> Result<Self, Error> {
        Self::decode(row.i64(column)?, &row.bytes(column + 1)?)
    }

    /// Reads a body of a kind.
    pub(crate) fn decode(kind: i64, body: &[u8]) -> Result<Self, Error> {
        let decoded = if kind > 0 {
            Case::decode(body).map(|case| Self::Case(Box::new(case)))
        } else {
            Execution::decode(body).map(|execution| Self::Plain(Box::new(execution)))
        };
        decoded.map_err(|e| Error::Journal { case: "an execution".to_owned(), why: e.to_string() })
    }
}
