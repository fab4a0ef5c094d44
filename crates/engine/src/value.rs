//! Between JSON, which is stored, and CEL values, which are computed with.
//!
//! JSON integers become CEL `int`, never `uint`, so that a definition can write
//! `count > 0` for every count.

use cel::Value;
use cel::objects::Key;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;

/// The CEL value of a JSON value.
#[must_use]
pub fn to_cel(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => {
            n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        Json::String(s) => Value::String(Arc::new(s.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Json::Object(fields) => {
            let map: HashMap<Key, Value> =
                fields.iter().map(|(k, v)| (Key::from(k.as_str()), to_cel(v))).collect();
            Value::from(map)
        }
    }
}

/// The JSON value of a CEL value.
///
/// # Errors
/// Says which kind of value has no JSON form.
pub fn to_json(value: &Value) -> Result<Json, String> {
    value.json().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        /// What is read back from the journal is sent again under the same key, so
        /// it must be the same to the last bit.
        #[test]
        fn numbers_survive_the_journal(number in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let stored = serde_json::to_string(&json!({ "p": number })).unwrap();
            let read: Json = serde_json::from_str(&stored).unwrap();
            prop_assert_eq!(read["p"].as_f64().map(f64::to_bits), Some(number.to_bits()));
        }
    }

    #[test]
    fn round_trips() {
        for value in [
            json!(null),
            json!(true),
            json!(3),
            json!(-3),
            json!(0.5),
            json!("text"),
            json!([1, "a", {"b": []}]),
            json!({"a": {"b": [1, 2]}, "c": null}),
        ] {
            assert_eq!(to_json(&to_cel(&value)), Ok(value));
        }
    }
}
