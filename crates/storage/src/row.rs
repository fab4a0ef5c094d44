//! One row of an answer. Columns are read by their place in the `SELECT`.

use crate::Error;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, Decode, Postgres, Row as _, Sqlite, Type};

/// One row.
#[derive(Debug)]
pub struct Row(Inner);

#[derive(Debug)]
enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self(Inner::Sqlite(row))
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self(Inner::Postgres(row))
    }
}

/// Declares a getter and its twin for columns that may be `NULL`.
macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident, $optional:ident -> $type:ty, $wanted:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// When there is no such column, it is `NULL`, or it has another type.
        pub fn $name(&self, index: usize) -> Result<$type, Error> {
            self.$optional(index)?.ok_or_else(|| self.wrong(index, $wanted, None))
        }

        /// The same, where `NULL` is `None`.
        ///
        /// # Errors
        /// When there is no such column or it has another type.
        pub fn $optional(&self, index: usize) -> Result<Option<$type>, Error> {
            self.get::<$type>(index, $wanted)
        }
    )*};
}

impl Row {
    getters! {
        /// A `TEXT` column.
        text, opt_text -> String, "TEXT";
        /// A `BYTEA` column.
        bytes, opt_bytes -> Vec<u8>, "BYTEA";
    }

    /// A `BIGINT` column, or a smaller integer.
    ///
    /// # Errors
    /// When there is no such column, it is `NULL`, or it has another type.
    pub fn i64(&self, index: usize) -> Result<i64, Error> {
        self.opt_i64(index)?.ok_or_else(|| self.wrong(index, "BIGINT", None))
    }

    /// A `BIGINT` column where `NULL` is `None`.
    ///
    /// # Errors
    /// When there is no such column or it has another type.
    pub fn opt_i64(&self, index: usize) -> Result<Option<i64>, Error> {
        let error = match self.get::<i64>(index, "BIGINT") {
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

    /// A `DOUBLE PRECISION` column.
    ///
    /// # Errors
    /// When there is no such column, it is `NULL`, or it has another type.
    pub fn f64(&self, index: usize) -> Result<f64, Error> {
        self.opt_f64(index)?.ok_or_else(|| self.wrong(index, "DOUBLE PRECISION", None))
    }

    /// A `DOUBLE PRECISION` column where `NULL` is `None`.
    ///
    /// # Errors
    /// When there is no such column or it has another type.
    pub fn opt_f64(&self, index: usize) -> Result<Option<f64>, Error> {
        self.get::<f64>(index, "DOUBLE PRECISION")
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
            Inner::Sqlite(row) => row.len(),
            Inner::Postgres(row) => row.len(),
        }
    }

    /// True when there is no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get<T>(&self, index: usize, wanted: &'static str) -> Result<Option<T>, Error>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        match &self.0 {
            Inner::Sqlite(row) => row.try_get::<Option<T>, _>(index),
            Inner::Postgres(row) => row.try_get::<Option<T>, _>(index),
        }
        .map_err(|error| self.wrong(index, wanted, Some(error)))
    }

    fn wrong(&self, index: usize, wanted: &'static str, source: Option<sqlx::Error>) -> Error {
        let name = match &self.0 {
            Inner::Sqlite(row) => row.columns().get(index).map(|c| c.name().to_owned()),
            Inner::Postgres(row) => row.columns().get(index).map(|c| c.name().to_owned()),
        };
        let found = source.map_or_else(|| "it is NULL".to_owned(), |error| error.to_string());
        Error::Column { index, name: name.unwrap_or_default(), wanted, found }
    }
}
