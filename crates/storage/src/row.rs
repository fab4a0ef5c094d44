//! One row of an answer. Columns are read by their place in the `SELECT`.

mod set;

pub(crate) use set::Set;

use crate::Error;
use set::Field;
use sqlx::postgres::PgRow;
use sqlx::{Column as _, Decode, Postgres, Row as _, Type};
use std::sync::Arc;

/// One row.
#[derive(Debug)]
pub struct Row(Inner);

#[derive(Debug)]
enum Inner {
    /// A row of an answer that all its rows share.
    Sqlite {
        set: Arc<Set>,
        row: usize,
    },
    Postgres(PgRow),
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self(Inner::Postgres(row))
    }
}

/// A type of the SQL surface, as both databases give it. The borrowed forms are
/// what the owned ones are made of.
trait Stored<'r>: Decode<'r, Postgres> + Type<Postgres> + Sized {
    /// What the column should have been.
    const WANTED: &'static str;
    /// The value of a field that is not `NULL`, or why there is none.
    fn of(field: Field<'r>) -> Result<Self, String>;
}

impl<'r> Stored<'r> for i64 {
    const WANTED: &'static str = "BIGINT";
    fn of(field: Field<'r>) -> Result<Self, String> {
        match field {
            Field::Int(value) => Ok(value),
            other => Err(other.kind().to_owned()),
        }
    }
}

impl<'r> Stored<'r> for f64 {
    const WANTED: &'static str = "DOUBLE PRECISION";
    fn of(field: Field<'r>) -> Result<Self, String> {
        match field {
            Field::Float(value) => Ok(value),
            other => Err(other.kind().to_owned()),
        }
    }
}

impl<'r> Stored<'r> for &'r str {
    const WANTED: &'static str = "TEXT";
    fn of(field: Field<'r>) -> Result<Self, String> {
        match field {
            Field::Text(text) => std::str::from_utf8(text).map_err(|error| error.to_string()),
            other => Err(other.kind().to_owned()),
        }
    }
}

impl<'r> Stored<'r> for &'r [u8] {
    const WANTED: &'static str = "BYTEA";
    fn of(field: Field<'r>) -> Result<Self, String> {
        match field {
            Field::Bytes(bytes) => Ok(bytes),
            other => Err(other.kind().to_owned()),
        }
    }
}

/// Declares a getter and its twin for columns that may be `NULL`.
macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident, $optional:ident -> $type:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// When there is no such column, it is `NULL`, or it has another type.
        pub fn $name(&self, index: usize) -> Result<$type, Error> {
            self.$optional(index)?.ok_or_else(|| self.null::<$type>(index))
        }

        /// The same, where `NULL` is `None`.
        ///
        /// # Errors
        /// When there is no such column or it has another type.
        pub fn $optional(&self, index: usize) -> Result<Option<$type>, Error> {
            self.get::<$type>(index)
        }
    )*};
}

impl Row {
    /// The rows of an answer.
    pub(crate) fn all(set: Set) -> Vec<Self> {
        let (rows, set) = (set.rows(), Arc::new(set));
        (0..rows).map(|row| Self(Inner::Sqlite { set: Arc::clone(&set), row })).collect()
    }

    getters! {
        /// A `TEXT` column, where it lies.
        str, opt_str -> &str;
        /// A `BYTEA` column, where it lies.
        blob, opt_blob -> &[u8];
        /// A `DOUBLE PRECISION` column.
        f64, opt_f64 -> f64;
    }

    /// A `TEXT` column, copied; [`Self::str`] does without the copy.
    ///
    /// # Errors
    /// As [`Self::str`].
    pub fn text(&self, index: usize) -> Result<String, Error> {
        self.str(index).map(str::to_owned)
    }

    /// The same, where `NULL` is `None`.
    ///
    /// # Errors
    /// As [`Self::opt_str`].
    pub fn opt_text(&self, index: usize) -> Result<Option<String>, Error> {
        self.opt_str(index).map(|text| text.map(str::to_owned))
    }

    /// A `BYTEA` column, copied; [`Self::blob`] does without the copy.
    ///
    /// # Errors
    /// As [`Self::blob`].
    pub fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        self.blob(index).map(<[u8]>::to_vec)
    }

    /// The same, where `NULL` is `None`.
    ///
    /// # Errors
    /// As [`Self::opt_blob`].
    pub fn opt_bytes(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        self.opt_blob(index).map(|bytes| bytes.map(<[u8]>::to_vec))
    }

    /// A `BIGINT` column, or a smaller integer.
    ///
    /// # Errors
    /// When there is no such column, it is `NULL`, or it has another type.
    pub fn i64(&self, index: usize) -> Result<i64, Error> {
        self.opt_i64(index)?.ok_or_else(|| self.null::<i64>(index))
    }

    /// A `BIGINT` column where `NULL` is `None`.
    ///
    /// # Errors
    /// When there is no such column or it has another type.
    pub fn opt_i64(&self, index: usize) -> Result<Option<i64>, Error> {
        let error = match self.get::<i64>(index) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Inner::Postgres(row) = &self.0 else { return Err(error) };
        // Literals and comparisons are INT4 and BOOL on PostgreSQL.
        let small = || row.try_get::<Option<i32>, _>(index).map(|n| n.map(i64::from));
        let tiny = || row.try_get::<Option<i16>, _>(index).map(|n| n.map(i64::from));
        let truth = || row.try_get::<Option<bool>, _>(index).map(|b| b.map(i64::from));
        small().or_else(|_| tiny()).or_else(|_| truth()).map_err(|_| error)
    }

    /// A `BIGINT` column that holds 0 or 1, or a comparison.
    ///
    /// # Errors
    /// As [`Self::i64`].
    pub fn bool(&self, index: usize) -> Result<bool, Error> {
        self.i64(index).map(|n| n != 0)
    }

    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Inner::Sqlite { set, .. } => set.columns(),
            Inner::Postgres(row) => row.len(),
        }
    }

    /// True when there is no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get<'r, T: Stored<'r>>(&'r self, index: usize) -> Result<Option<T>, Error> {
        match &self.0 {
            Inner::Sqlite { set, row } => match set.field(*row, index) {
                Some(Field::Null) => Ok(None),
                Some(field) => T::of(field).map(Some),
                None => Err("there is no such column".to_owned()),
            },
            Inner::Postgres(row) => row.try_get::<Option<T>, _>(index).map_err(|error| error.to_string()),
        }
        .map_err(|found| self.wrong(index, T::WANTED, found))
    }

    fn null<'r, T: Stored<'r>>(&self, index: usize) -> Error {
        self.wrong(index, T::WANTED, "it is NULL".to_owned())
    }

    fn wrong(&self, index: usize, wanted: &'static str, found: String) -> Error {
        let name = match &self.0 {
            Inner::Sqlite { set, .. } => set.name(index),
            Inner::Postgres(row) => row.columns().get(index).map(|column| column.name()),
        };
        Error::Column { index, name: name.unwrap_or_default().to_owned(), wanted, found }
    }
}
