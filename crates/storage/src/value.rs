//! Arguments of a statement.

use probity_types::Micros;
use std::sync::Arc;
use uuid::Uuid;

/// The type of an absent value. PostgreSQL wants to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Null {
    /// A missing `BIGINT`.
    Int,
    /// A missing `DOUBLE PRECISION`.
    Float,
    /// A missing `TEXT`.
    Text,
    /// A missing `BYTEA`.
    Bytes,
}

/// One argument. Made by [`args!`](crate::args) from the usual Rust types.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null(Null),
    /// `BIGINT`; also booleans (0/1) and points in time (microseconds).
    Int(i64),
    /// `DOUBLE PRECISION`.
    Float(f64),
    /// `TEXT`.
    Text(String),
    /// `BYTEA`.
    Bytes(Vec<u8>),
    /// `TEXT` that others hold too: the text is not copied.
    SharedText(Arc<str>),
    /// `BYTEA` that others hold too: the bytes are not copied.
    SharedBytes(Arc<[u8]>),
    /// `BYTEA` of 16 bytes, such as an identifier: no memory of its own.
    Id([u8; 16]),
}

/// What a value is to a database, however it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View<'v> {
    Null(Null),
    Int(i64),
    Float(f64),
    Text(&'v str),
    Bytes(&'v [u8]),
}

impl Value {
    pub(crate) fn view(&self) -> View<'_> {
        match self {
            Self::Null(null) => View::Null(*null),
            Self::Int(value) => View::Int(*value),
            Self::Float(value) => View::Float(*value),
            Self::Text(text) => View::Text(text),
            Self::SharedText(text) => View::Text(text),
            Self::Bytes(bytes) => View::Bytes(bytes),
            Self::SharedBytes(bytes) => View::Bytes(bytes),
            Self::Id(bytes) => View::Bytes(bytes),
        }
    }
}

impl View<'_> {
    /// The type of its column.
    pub(crate) const fn column(self) -> Null {
        match self {
            Self::Null(null) => null,
            Self::Int(_) => Null::Int,
            Self::Float(_) => Null::Float,
            Self::Text(_) => Null::Text,
            Self::Bytes(_) => Null::Bytes,
        }
    }

    pub(crate) const fn int(self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) const fn float(self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(value),
            _ => None,
        }
    }
}

impl<'v> View<'v> {
    pub(crate) const fn text(self) -> Option<&'v str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) const fn bytes(self) -> Option<&'v [u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }
}

/// A Rust type whose absence has a type in the database.
pub trait Typed {
    /// That type.
    const NULL: Null;
}

/// Declares how Rust types become values.
macro_rules! values {
    ($($source:ty, $null:ident, $kept:ident, $value:ident => $made:expr;)*) => {$(
        impl Typed for $source {
            const NULL: Null = Null::$null;
        }
        impl From<$source> for Value {
            fn from($value: $source) -> Self {
                Self::$kept($made)
            }
        }
    )*};
}

values! {
    i64, Int, Int, value => value;
    i32, Int, Int, value => i64::from(value);
    u32, Int, Int, value => i64::from(value);
    bool, Int, Int, value => i64::from(value);
    Micros, Int, Int, value => value.0;
    f64, Float, Float, value => value;
    &str, Text, Text, value => value.to_owned();
    String, Text, Text, value => value;
    &String, Text, Text, value => value.clone();
    Vec<u8>, Bytes, Bytes, value => value;
    &Vec<u8>, Bytes, Bytes, value => value.clone();
    &[u8], Bytes, Bytes, value => value.to_vec();
    Uuid, Bytes, Id, value => value.into_bytes();
    Arc<str>, Text, SharedText, value => value;
    &Arc<str>, Text, SharedText, value => Arc::clone(value);
    Arc<[u8]>, Bytes, SharedBytes, value => value;
    &Arc<[u8]>, Bytes, SharedBytes, value => Arc::clone(value);
}

impl<const N: usize> Typed for [u8; N] {
    const NULL: Null = Null::Bytes;
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<const N: usize> Typed for &[u8; N] {
    const NULL: Null = Null::Bytes;
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(value: &[u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<T: Into<Self> + Typed> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null(T::NULL), Into::into)
    }
}

/// The arguments of a statement, in the order of `$1`, `$2`….
///
/// ```
/// use probity_storage::{Value, args};
/// assert_eq!(args!["a", 1, None::<f64>].len(), 3);
/// ```
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        ::std::vec![$($crate::Value::from($value)),*]
    };
}

/// One row for [`Tx::execute_many`](crate::Tx::execute_many), in the order of `$1`, `$2`….
///
/// ```
/// use probity_storage::{Value, row};
/// assert_eq!(row!["a", 1], [Value::Text("a".into()), Value::Int(1)]);
/// ```
#[macro_export]
macro_rules! row {
    ($($value:expr),* $(,)?) => {
        [$($crate::Value::from($value)),*]
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_usual_types() {
        let check = |value: Value, expect: Value| assert_eq!(value, expect);
        check(Value::from(7_i32), Value::Int(7));
        check(Value::from(true), Value::Int(1));
        check(Value::from(Micros(9)), Value::Int(9));
        check(Value::from("x"), Value::Text("x".into()));
        check(Value::from(Some("x")), Value::Text("x".into()));
        check(Value::from(None::<String>), Value::Null(Null::Text));
        check(Value::from(None::<[u8; 32]>), Value::Null(Null::Bytes));
        check(Value::from(None::<bool>), Value::Null(Null::Int));
        check(Value::from(&[1_u8, 2]), Value::Bytes(vec![1, 2]));
        check(Value::from(Uuid::nil()), Value::Id([0; 16]));
        check(Value::from(Arc::<str>::from("x")), Value::SharedText("x".into()));
        check(Value::from(None::<Arc<[u8]>>), Value::Null(Null::Bytes));
    }
}
