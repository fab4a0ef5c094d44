//! Merging the releases of one procedure by the rules of OCDS: later values
//! win, `null` removes, lists of objects are matched by `id`, other lists are
//! replaced. Every value keeps the place it came from.

use crate::domain::json::{Node, Value};
use crate::domain::when::When;
use std::borrow::Cow;
use std::collections::HashMap;

/// Merges releases in the order of their dates; those without a date that can
/// be read come first, in the order given.
#[must_use]
pub fn in_order(mut releases: Vec<Node<'_>>) -> Option<Node<'_>> {
    releases.sort_by_key(date);
    releases.into_iter().reduce(merge)
}

fn date(release: &Node<'_>) -> i64 {
    let Some(Node { value: Value::Text(text), .. }) = release.member("date") else { return i64::MIN };
    When::parse(text).map_or(i64::MIN, |when| when.order())
}

fn merge<'a>(old: Node<'a>, new: Node<'a>) -> Node<'a> {
    let value = match (old.value, new.value) {
        (Value::Object(old), Value::Object(new)) => Value::Object(members(old, new)),
        (Value::List(old), Value::List(new)) => Value::List(elements(old, new)),
        (_, new) => new,
    };
    Node { at: new.at, value }
}

/// A member of an object.
type Member<'a> = (Cow<'a, str>, Node<'a>);

fn members<'a>(mut old: Vec<Member<'a>>, new: Vec<Member<'a>>) -> Vec<Member<'a>> {
    let mut at: HashMap<_, _> = old.iter().map(|(key, _)| key.clone()).zip(0..).collect();
    for (key, node) in new {
        match at.get(&key) {
            Some(known) => merge_into(&mut old[*known].1, node),
            None => {
                at.insert(key.clone(), old.len());
                old.push((key, node));
            }
        }
    }
    old.retain(|(_, node)| !matches!(node.value, Value::Null));
    old
}

/// Merges a later value into the one before it.
fn merge_into<'a>(old: &mut Node<'a>, new: Node<'a>) {
    let at = old.at.clone();
    let before = std::mem::replace(old, Node { at, value: Value::Null });
    *old = merge(before, new);
}

fn elements<'a>(mut old: Vec<Node<'a>>, new: Vec<Node<'a>>) -> Vec<Node<'a>> {
    if old.iter().chain(&new).any(|node| id(node).is_none()) {
        return new;
    }
    let mut at: HashMap<String, usize> = old.iter().filter_map(id).zip(0..).collect();
    for node in new {
        let Some(id) = id(&node) else { continue };
        match at.get(&id) {
            Some(known) => merge_into(&mut old[*known], node),
            None => {
                at.insert(id, old.len());
                old.push(node);
            }
        }
    }
    old
}

fn id(node: &Node<'_>) -> Option<String> {
    match &node.member("id")?.value {
        Value::Text(text) => Some(text.to_string()),
        Value::Number(number) => Some((*number).to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::json::Place;
    use proptest::prelude::*;

    fn node(text: &str, document: usize) -> Node<'_> {
        Node::build(text, Place::root(document, 1, false, "")).unwrap()
    }

    fn show(node: &Node<'_>) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Number(n) => serde_json::from_str(n).unwrap(),
            Value::Text(t) => t.as_ref().into(),
            Value::List(items) => items.iter().map(show).collect(),
            Value::Object(members) => members.iter().map(|(k, v)| (k.to_string(), show(v))).collect(),
        }
    }

    fn check(releases: &[&str], expect: &str) {
        let merged = in_order(releases.iter().enumerate().map(|(n, text)| node(text, n)).collect()).unwrap();
        let expect: serde_json::Value = serde_json::from_str(expect).unwrap();
        assert_eq!(show(&merged), expect, "{releases:?}");
    }

    #[test]
    fn follows_the_rules() {
        check(&[r#"{"a":1}"#], r#"{"a":1}"#);
        check(&[r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":3}}"#], r#"{"a":{"b":3,"c":2}}"#);
        check(&[r#"{"a":1,"b":2}"#, r#"{"a":null}"#], r#"{"b":2}"#);
        check(&[r#"{"a":[1,2]}"#, r#"{"a":[3]}"#], r#"{"a":[3]}"#);
        check(
            &[r#"{"a":[{"id":"1","x":1},{"id":"2"}]}"#, r#"{"a":[{"id":"2","x":2},{"id":3}]}"#],
            r#"{"a":[{"id":"1","x":1},{"id":"2","x":2},{"id":3}]}"#,
        );
        check(&[r#"{"a":[{"id":"1"},{}]}"#, r#"{"a":[{"id":"2"}]}"#], r#"{"a":[{"id":"2"}]}"#);
        check(
            &[r#"{"date":"2024-02-01","a":"late"}"#, r#"{"date":"2024-01-01T00:00:00Z","a":"early"}"#],
            r#"{"date":"2024-02-01","a":"late"}"#,
        );
    }

    #[test]
    fn places_survive() {
        let old = node(r#"{"awards":[{"id":"1","value":5},{"id":"2","value":6}]}"#, 0);
        let new = node(r#"{"awards":[{"id":"2","status":"active"}]}"#, 1);
        let merged = in_order(vec![old, new]).unwrap();
        let Value::List(awards) = &merged.member("awards").unwrap().value else { panic!() };
        let (value, status) = (awards[1].member("value").unwrap(), awards[1].member("status").unwrap());
        assert_eq!((value.at.document(), value.at.pointer().as_str()), (0, "/awards/1/value"));
        assert_eq!((status.at.document(), status.at.pointer().as_str()), (1, "/awards/0/status"));
    }

    proptest! {
        #[test]
        fn merging_with_itself_changes_nothing(a in 0u8..9, ids in proptest::collection::hash_set(0u8..9, 0..6)) {
            let list: Vec<_> = ids.iter().map(|id| format!(r#"{{"id":"{id}","v":{a}}}"#)).collect();
            let text = format!(r#"{{"a":{a},"l":[{}]}}"#, list.join(","));
            let once = show(&node(&text, 0));
            let twice = show(&in_order(vec![node(&text, 0), node(&text, 1)]).unwrap());
            prop_assert_eq!(once, twice);
        }
    }
}
