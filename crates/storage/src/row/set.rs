//! The rows a SQLite statement answered, in three allocations however many
//! there are.

use rusqlite::types::ValueRef;

/// All rows of an answer.
#[derive(Debug, Default)]
pub(crate) struct Set {
    columns: usize,
    /// Names of the columns, a line each.
    names: String,
    cells: Vec<Cell>,
    /// Every text and every byte string, one after the other.
    heap: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Cell {
    Null,
    Int(i64),
    Float(f64),
    Text { start: usize, end: usize },
    Bytes { start: usize, end: usize },
}

/// One value, where it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field<'s> {
    Null,
    Int(i64),
    Float(f64),
    Text(&'s [u8]),
    Bytes(&'s [u8]),
}

impl Field<'_> {
    /// What it is, for an error.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Null => "it is NULL",
            Self::Int(_) => "it is an integer",
            Self::Float(_) => "it is a float",
            Self::Text(_) => "it is text",
            Self::Bytes(_) => "it is bytes",
        }
    }
}

impl Set {
    /// An empty answer of this statement.
    pub(crate) fn of(statement: &rusqlite::Statement<'_>) -> Self {
        let mut set = Self { columns: statement.column_count(), ..Self::default() };
        for column in 0..set.columns {
            set.names.push_str(statement.column_name(column).unwrap_or_default());
            set.names.push('\n');
        }
        set
    }

    /// Copies the row a statement stands on.
    pub(crate) fn push(&mut self, row: &rusqlite::Row<'_>) -> Result<(), rusqlite::Error> {
        for column in 0..self.columns {
            let cell = match row.get_ref(column)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(value) => Cell::Int(value),
                ValueRef::Real(value) => Cell::Float(value),
                ValueRef::Text(text) => {
                    let (start, end) = self.keep(text);
                    Cell::Text { start, end }
                }
                ValueRef::Blob(bytes) => {
                    let (start, end) = self.keep(bytes);
                    Cell::Bytes { start, end }
                }
            };
            self.cells.push(cell);
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.heap.len();
        self.heap.extend_from_slice(bytes);
        (start, self.heap.len())
    }

    /// How many rows there are.
    pub(crate) const fn rows(&self) -> usize {
        match self.columns {
            0 => 0,
            columns => self.cells.len() / columns,
        }
    }

    pub(super) const fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn name(&self, column: usize) -> Option<&str> {
        self.names.lines().nth(column)
    }

    /// A value, if there is such a row and column.
    pub(super) fn field(&self, row: usize, column: usize) -> Option<Field<'_>> {
        if column >= self.columns {
            return None;
        }
        Some(match *self.cells.get(row * self.columns + column)? {
            Cell::Null => Field::Null,
            Cell::Int(value) => Field::Int(value),
            Cell::Float(value) => Field::Float(value),
            Cell::Text { start, end } => Field::Text(self.heap.get(start..end)?),
            Cell::Bytes { start, end } => Field::Bytes(self.heap.get(start..end)?),
        })
    }
}
