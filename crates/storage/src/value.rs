//! Arguments of a statement.

use probity_types::Micros;
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
}

/// A Rust type whose absence has a type in the database.
pub trait Typed {
    /// That type.
    const NULL: Null;
}

/// Declares how Rust types become values.
macro_rules! values {
    ($($source:ty, $null:ident, $value:ident => $made:expr;)*) => {$(
        impl Typed for $source {
            const NULL: Null = Null::$null;
        }
        impl From<$source> for Value {
            fn from($value: $source) -> Self {
                Self::$null($made)
            }
        }
    )*};
}

values! {
    i64, Int, value => value;
    i32, Int, value => i64::from(value);
    u32, Int, value => i64::from(value);
    bool, Int, value => i64::from(value);
    Micros, Int, value => value.0;
    f64, Float, value => value;
    &str, Text, value => value.to_owned();
    String, Text, value => value;
    &String, Text, value => value.clone();
    Vec<u8>, Bytes, value => value;
    &Vec<u8>, Bytes, value => value.clone();
    &[u8], Bytes, value => value.to_vec();
    Uuid, Bytes, value => value.as_bytes().to_vec();
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
        check(Value::from(Uuid::nil()), Value::Bytes(vec![0; 16]));
    }
}
