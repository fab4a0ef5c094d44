//! References to documents in the values of executions: what is too large to be a
//! value is a document, and the value says which.
//!
//! A reference is `{"$blob": "documents/<sha256>", "size": …, "media_type": "…"}`,
//! wherever it stands in a value. The key is reserved: an object that has it is a
//! reference, or refused.

use serde_json::{Map, Value as Json};

/// The key that makes an object a reference.
const KEY: &str = "$blob";
/// How a value that has one says so as JSON text: quotes inside of texts are escaped.
const MARK: &str = "\"$blob\"";
/// Most references in one value.
pub(crate) const MOST: usize = 100;
const PREFIX: &str = "documents/";

/// What a value says of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// `documents/<sha256>`.
    pub(crate) name: String,
    /// How many bytes it has.
    pub(crate) size: u64,
}

/// Whether JSON text may have a reference in it.
pub(crate) fn may_have_some(json: &str) -> bool {
    json.contains(MARK)
}

/// The references in a value, each document once.
///
/// # Errors
/// Where an object looks like a reference and is none, and what one looks like; or
/// that there are too many.
pub(crate) fn references(value: &Json) -> Result<Vec<Reference>, String> {
    let (mut found, mut wrong) = (Vec::new(), None);
    walk(value, &mut String::new(), &mut |at, fields| match read(fields) {
        Ok(reference) if !found.contains(&reference) => found.push(reference),
        Ok(_) => {}
        Err(why) => {
            wrong.get_or_insert_with(|| format!("{}: {why}", if at.is_empty() { "the value" } else { at }));
        }
    });
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    if found.len() > MOST {
        return Err(format!("it refers to {} documents; at most {MOST} are allowed", found.len()));
    }
    Ok(found)
}

/// The SHA-256 of every document that a value refers to; what is no reference is
/// passed over.
pub(crate) fn hashes(value: &Json) -> Vec<[u8; 32]> {
    let mut found = Vec::new();
    walk(value, &mut String::new(), &mut |_, fields| {
        found.extend(read(fields).ok().and_then(|reference| hash(&reference.name)));
    });
    found
}

/// The name of the document with this SHA-256.
pub(crate) fn name(hash: &[u8]) -> String {
    format!("{PREFIX}{}", hex::encode(hash))
}

fn hash(name: &str) -> Option<[u8; 32]> {
    let digits = name.strip_prefix(PREFIX)?;
    let lower = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; 32];
    (lower && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(bytes)
}

fn read(fields: &Map<String, Json>) -> Result<Reference, String> {
    const FORM: &str =
        "write a reference as {\"$blob\": \"documents/<sha256>\", \"size\": BYTES, \"media_type\": \"TYPE\"}";
    let name = fields.get(KEY).and_then(Json::as_str).filter(|name| hash(name).is_some());
    let size = fields.get("size").and_then(Json::as_u64);
    let kind = fields.get("media_type").is_none_or(Json::is_string);
    let known = fields.keys().all(|key| [KEY, "size", "media_type"].contains(&key.as_str()));
    match (name, size) {
        (Some(name), Some(size)) if kind && known => Ok(Reference { name: name.to_owned(), size }),
        _ => Err(format!("`{KEY}` is for references to documents; {FORM}")),
    }
}

/// Visits every object that has the key, with the JSON pointer to it.
fn walk<'a>(value: &'a Json, at: &mut String, visit: &mut impl FnMut(&str, &'a Map<String, Json>)) {
    let len = at.len();
    match value {
        Json::Object(fields) if fields.contains_key(KEY) => visit(at, fields),
        Json::Object(fields) => {
            for (key, inner) in fields {
                at.push('/');
                at.push_str(key);
                walk(inner, at, visit);
                at.truncate(len);
            }
        }
        Json::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                // Written out only where something may be found.
                if inner.is_object() || inner.is_array() {
                    at.push('/');
                    at.push_str(&index.to_string());
                    walk(inner, at, visit);
                    at.truncate(len);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn document(digit: char) -> String {
        format!("documents/{}", digit.to_string().repeat(64))
    }

    #[test]
    fn references_are_found_wherever_they_are() {
        let check = |value: Json, expect: &[(char, u64)]| {
            let expect: Vec<_> = expect
                .iter()
                .map(|(digit, size)| Reference { name: document(*digit), size: *size })
                .collect();
            assert_eq!(references(&value), Ok(expect.clone()), "{value}");
            assert_eq!(hashes(&value).len(), expect.len());
            assert!(expect.is_empty() || may_have_some(&value.to_string()));
        };
        check(json!(null), &[]);
        check(json!({"blob": document('a'), "text": "a \"$blob\" in a text"}), &[]);
        check(json!({"$blob": document('a'), "size": 7, "media_type": "text/csv"}), &[('a', 7)]);
        check(json!({"a": [1, {"b": {"$blob": document('c'), "size": 0}}]}), &[('c', 0)]);
        let both = json!([{"$blob": document('a'), "size": 1}, {"$blob": document('b'), "size": 2}]);
        check(both, &[('a', 1), ('b', 2)]);
        assert!(!may_have_some(&json!("\"$blob\"").to_string()));
        let name = name(&hash(&document('f')).unwrap());
        assert_eq!(name, document('f'));
    }

    #[test]
    fn what_looks_like_a_reference_is_one_or_is_refused() {
        let check = |value: Json, at: &str| {
            let why = references(&value).expect_err(at);
            assert!(why.starts_with(at) && why.contains("write a reference as"), "{why}");
            assert!(hashes(&value).is_empty());
        };
        check(json!({"$blob": document('a')}), "the value");
        check(json!({"x": [{"$blob": "sha256:aa", "size": 1}]}), "/x/0");
        check(json!({"$blob": document('A'), "size": 1}), "the value");
        check(json!({"$blob": document('a'), "size": -1}), "the value");
        check(json!({"$blob": document('a'), "size": 1, "media_type": 3}), "the value");
        check(json!({"$blob": document('a'), "size": 1, "name": "x"}), "the value");
        let many: Vec<_> =
            (0..101).map(|n| json!({"$blob": format!("documents/{n:064x}"), "size": 1})).collect();
        assert!(references(&json!(many)).unwrap_err().contains("101 documents; at most 100"));
    }

    proptest! {
        #[test]
        fn a_reference_in_a_value_is_always_marked(text in "\\PC{0,20}", digit in "[0-9a-f]", size: u64) {
            let value = json!({text: {"$blob": document(digit.chars().next().unwrap()), "size": size}});
            prop_assert_eq!(references(&value).unwrap().len(), 1);
            prop_assert!(may_have_some(&value.to_string()));
        }
    }
}
