//! JSON as a tree that keeps numbers as they are written and knows where every
//! value stands.
//!
//! `serde_json` does the parsing, one level at a time through raw values, so no
//! amount passes through floating point and no depth can exhaust the stack.
//! Deliberately absent: typed access; that is [`super::ocds::fields`].

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// Deepest nesting of one item.
pub const MAX_DEPTH: usize = 32;
/// Most values in one item.
pub const MAX_VALUES: usize = 500_000;

/// Where a value stands: a document, and the way from its root.
#[derive(Debug, Clone)]
pub struct Place(Rc<Step>);

#[derive(Debug)]
enum Step {
    Root { document: usize, line: u64, in_line: bool, pointer: String },
    Key(Place, String),
    Index(Place, usize),
}

impl Place {
    /// The root of an item: the document's number, the line it starts in,
    /// whether the line is the item (JSON Lines), and its pointer there.
    #[must_use]
    pub fn root(document: usize, line: u64, in_line: bool, pointer: &str) -> Self {
        Self(Rc::new(Step::Root { document, line, in_line, pointer: pointer.to_owned() }))
    }

    /// The value of a member.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(Rc::new(Step::Key(self.clone(), key.to_owned())))
    }

    /// An element of an array.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(Rc::new(Step::Index(self.clone(), index)))
    }

    /// Number of the document.
    #[must_use]
    pub fn document(&self) -> usize {
        match &*self.0 {
            Step::Root { document, .. } => *document,
            Step::Key(parent, _) | Step::Index(parent, _) => parent.document(),
        }
    }

    /// Line in which the item starts.
    #[must_use]
    pub fn line(&self) -> u64 {
        match &*self.0 {
            Step::Root { line, .. } => *line,
            Step::Key(parent, _) | Step::Index(parent, _) => parent.line(),
        }
    }

    /// JSON pointer (RFC 6901), from the line in JSON Lines.
    #[must_use]
    pub fn pointer(&self) -> String {
        match &*self.0 {
            Step::Root { pointer, .. } => pointer.clone(),
            Step::Key(parent, key) => {
                format!("{}/{}", parent.pointer(), key.replace('~', "~0").replace('/', "~1"))
            }
            Step::Index(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }

    /// The pointer, with the line before it where a document has many.
    #[must_use]
    pub fn locator(&self) -> String {
        let pointer = self.pointer();
        if self.in_line() { format!("line {} {pointer}", self.line()).trim_end().to_owned() } else { pointer }
    }

    fn in_line(&self) -> bool {
        match &*self.0 {
            Step::Root { in_line, .. } => *in_line,
            Step::Key(parent, _) | Step::Index(parent, _) => parent.in_line(),
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// Where.
    pub at: Place,
    /// What.
    pub value: Value<'a>,
}

/// A JSON value; numbers stay text.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written.
    Number(&'a str),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Node<'a>>),
    /// An object, members in order of appearance; of equal names the last counts.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Value<'_> {
    /// What it is, for messages.
    #[must_use]
    pub const fn form(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl<'a> Node<'a> {
    /// The member of that name; `null` counts as absent.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        let Value::Object(members) = &self.value else { return None };
        let found = members.iter().rev().find(|(key, _)| key == name)?;
        (!matches!(found.1.value, Value::Null)).then_some(&found.1)
    }

    /// Builds the tree of one item.
    ///
    /// # Errors
    /// Names the pointer where a limit is passed or a string cannot be read.
    pub fn build(raw: &'a str, at: Place) -> Result<Self, String> {
        let mut left = MAX_VALUES;
        build(raw, at, 0, &mut left)
    }
}

fn build<'a>(raw: &'a str, at: Place, depth: usize, left: &mut usize) -> Result<Node<'a>, String> {
    if depth > MAX_DEPTH {
        return Err(format!("the item is nested deeper than {MAX_DEPTH} levels"));
    }
    *left = left.checked_sub(1).ok_or_else(|| format!("the item holds more than {MAX_VALUES} values"))?;
    let value = match raw.as_bytes().first() {
        Some(b'{') => object(raw, &at, depth, left)?,
        Some(b'[') => list(raw, &at, depth, left)?,
        Some(b'"') => Value::Text(text(raw).map_err(|_| format!("{} holds a broken escape", at.pointer()))?),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') | None => Value::Null,
        Some(_) => Value::Number(raw),
    };
    Ok(Node { at, value })
}

fn object<'a>(raw: &'a str, at: &Place, depth: usize, left: &mut usize) -> Result<Value<'a>, String> {
    let Members(members) =
        serde_json::from_str(raw).map_err(|_| format!("{} holds a broken member name", at.pointer()))?;
    let mut nodes = Vec::with_capacity(members.len().min(64));
    for (key, raw) in members {
        let node = build(raw.get(), at.key(&key), depth + 1, left)?;
        nodes.push((key, node));
    }
    Ok(Value::Object(nodes))
}

fn list<'a>(raw: &'a str, at: &Place, depth: usize, left: &mut usize) -> Result<Value<'a>, String> {
    let items: Vec<&RawValue> =
        serde_json::from_str(raw).map_err(|_| format!("{} is a broken list", at.pointer()))?;
    let nodes = items.into_iter().enumerate().map(|(i, raw)| build(raw.get(), at.index(i), depth + 1, left));
    Ok(Value::List(nodes.collect::<Result<_, _>>()?))
}

/// A string literal, borrowed where it has no escapes.
fn text(raw: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    serde_json::from_str::<Text<'_>>(raw).map(|text| text.0)
}

/// The members of one object, each value still raw.
#[derive(Debug)]
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The raw value of a member; of equal names the last counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, raw)| raw.get())
    }

    /// The raw value of a member that begins like an object or a list.
    #[must_use]
    pub fn starting(&self, name: &str, first: u8) -> Option<&'a str> {
        self.get(name).filter(|raw| raw.as_bytes().first() == Some(&first))
    }

    /// The text of a member: a string, or a number as written.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let raw = self.get(name)?;
        match raw.as_bytes().first()? {
            b'"' => text(raw).ok().map(Cow::into_owned),
            b'-' | b'0'..=b'9' => Some(raw.to_owned()),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(key), raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    members.push((key, raw));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// A string that borrows from the input where it can.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn root() -> Place {
        Place::root(0, 1, false, "")
    }

    fn back(node: &Node<'_>) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) => (*n).to_owned(),
            Value::Text(t) => serde_json::to_string(t).unwrap(),
            Value::List(items) => format!("[{}]", items.iter().map(back).collect::<Vec<_>>().join(",")),
            Value::Object(members) => {
                let member = |(k, v): &(Cow<'_, str>, Node<'_>)| {
                    format!("{}:{}", serde_json::to_string(k).unwrap(), back(v))
                };
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }

    #[test]
    fn numbers_stay_as_written() {
        let text = r#"{"a":0.1,"b":9007199254740993,"c":[1e400,-0],"d":"\u00e9","e":null,"f":true}"#;
        let node = Node::build(text, root()).unwrap();
        assert_eq!(back(&node), text.replace("\\u00e9", "é"));
        assert!(node.member("e").is_none());
        assert!(node.member("x").is_none());
        assert_eq!(node.member("c").unwrap().at.pointer(), "/c");
    }

    #[test]
    fn pointers_escape_and_lines_show() {
        let place = Place::root(3, 7, true, "/releases/0").key("a/b~c").index(2);
        assert_eq!(place.pointer(), "/releases/0/a~1b~0c/2");
        assert_eq!(place.locator(), "line 7 /releases/0/a~1b~0c/2");
        assert_eq!((place.document(), place.line()), (3, 7));
        assert_eq!(Place::root(0, 2, true, "").locator(), "line 2");
    }

    #[test]
    fn limits_hold() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Node::build(&deep(MAX_DEPTH), root()).is_ok());
        assert!(Node::build(&deep(MAX_DEPTH + 2), root()).is_err_and(|e| e.contains("nested")));
        assert!(Node::build(&deep(100_000), root()).is_err_and(|e| e.contains("nested")));
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert!(Node::build(&many, root()).is_err_and(|e| e.contains("values")));
        assert!(Node::build(r#"{"a":"\ud800"}"#, root()).is_err_and(|e| e.contains("/a")));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                proptest::collection::hash_map("\\PC{0,5}", inner, 0..5)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_tree_is_what_was_written(value in any_json()) {
            let text = value.to_string();
            let node = Node::build(&text, root()).unwrap();
            let again: serde_json::Value = serde_json::from_str(&back(&node)).unwrap();
            prop_assert_eq!(again, value);
        }
    }
}
