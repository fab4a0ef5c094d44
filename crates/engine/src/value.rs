//! Between JSON, which is stored, and CEL values, which are computed with.
//!
//! CEL values borrow from the JSON they stand for, so that an answer is never
//! copied to be looked at. JSON integers become CEL `int`, never `uint`, so that
//! a definition can write `count > 0` for every count.

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::{Map, Value as Json};
use std::collections::HashMap;

/// The CEL value of a JSON value; texts are borrowed.
#[must_use]
pub fn to_cel(json: &Json) -> Box<dyn Val + '_> {
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(b) => Box::new(CelBool::from(*b)),
        Json::Number(n) => match n.as_i64() {
            Some(n) => Box::new(CelInt::from(n)),
            None => Box::new(CelDouble::from(n.as_f64().unwrap_or(f64::NAN))),
        },
        Json::String(s) => Box::new(CelString::from(s.as_str())),
        Json::Array(items) => {
            let items: Vec<Box<dyn Val + '_>> = items.iter().map(to_cel).collect();
            Box::new(CelList::from(items))
        }
        Json::Object(fields) => Box::new(to_map(fields.iter().map(|(k, v)| (k.as_str(), v)))),
    }
}

/// A CEL map of named JSON values.
pub(crate) fn to_map<'a>(fields: impl Iterator<Item = (&'a str, &'a Json)>) -> CelMap<'a> {
    let map: HashMap<CelMapKey<'a>, Box<dyn Val + 'a>> =
        fields.map(|(k, v)| (CelMapKey::from(k), to_cel(v))).collect();
    CelMap::from(map)
}

/// The JSON value of a CEL value.
///
/// # Errors
/// Says which kind of value has no JSON form.
pub fn to_json(value: &(dyn Val + '_)) -> Result<Json, String> {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Ok(Json::String(text.inner().to_owned()));
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        return list.inner().iter().map(|item| to_json(&**item)).collect::<Result<_, _>>().map(Json::Array);
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        let mut fields = Map::new();
        for (key, value) in map.inner() {
            fields.insert(key_text(key), to_json(&**value)?);
        }
        return Ok(Json::Object(fields));
    }
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return Ok((*number.inner()).into());
    }
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Ok((*truth.inner()).into());
    }
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return Ok((*number.inner()).into());
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return Ok((*number.inner()).into());
    }
    let value = cel::Value::try_from(value).map_err(|e| e.to_string())?;
    value.json().map_err(|e| e.to_string())
}

fn key_text(key: &CelMapKey<'_>) -> String {
    match key {
        CelMapKey::String(text) => text.inner().to_owned(),
        CelMapKey::Int(n) => n.inner().to_string(),
        CelMapKey::UInt(n) => n.inner().to_string(),
        CelMapKey::Bool(b) => b.inner().to_string(),
    }
}

/// Whether a value takes more than `most` bytes as JSON text.
#[must_use]
pub fn is_larger(json: &Json, most: usize) -> bool {
    // Escapes make a byte of text six at most: what is far below the limit by
    // that measure, as nearly everything is, need not be written to be measured.
    bound(json) > most && written(json) > most
}

/// No less than the bytes of its text.
fn bound(json: &Json) -> usize {
    const NUMBER: usize = 32;
    match json {
        Json::Null | Json::Bool(_) => 5,
        Json::Number(_) => NUMBER,
        Json::String(text) => 2 + 6 * text.len(),
        Json::Array(items) => items.iter().fold(2, |sum, item| sum + 1 + bound(item)),
        Json::Object(fields) => {
            fields.iter().fold(2, |sum, (key, value)| sum + 4 + 6 * key.len() + bound(value))
        }
    }
}

/// The bytes of its text.
#[must_use]
pub fn written(json: &Json) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, json) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            proptest::num::f64::NORMAL.prop_map(Json::from),
            "[ -~ä\n\"]{0,12}".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
                prop::collection::btree_map("[a-z.]{0,4}", inner, 0..4)
                    .prop_map(|m| Json::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What is read back from the journal is sent again under the same key, so
        /// it must be the same to the last bit.
        #[test]
        fn numbers_survive_the_journal(number in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let stored = serde_json::to_string(&json!({ "p": number })).unwrap();
            let read: Json = serde_json::from_str(&stored).unwrap();
            prop_assert_eq!(read["p"].as_f64().map(f64::to_bits), Some(number.to_bits()));
        }

        #[test]
        fn round_trips(value in any_json()) {
            prop_assert_eq!(to_json(&*to_cel(&value)), Ok(value));
        }

        #[test]
        fn sizes_are_bounded_from_above(value in any_json()) {
            let exact = value.to_string().len();
            prop_assert_eq!(written(&value), exact);
            prop_assert!(bound(&value) >= exact);
            prop_assert!(is_larger(&value, exact - 1) && !is_larger(&value, exact));
        }
    }
}
