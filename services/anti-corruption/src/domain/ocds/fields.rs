//! Reading typed values out of the tree. A field of the wrong type is noted
//! with its place and then absent; its neighbours are still read.

use crate::domain::json::{Node, Place, Value};
use crate::domain::when::When;
use probity_types::{Money, money};
use rust_decimal::Decimal;
use std::cell::RefCell;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: Place,
}

/// A field that cannot be used.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Where.
    pub at: Place,
    /// Why.
    pub reason: String,
}

/// Reads fields and keeps what is wrong with them.
#[derive(Debug, Default)]
pub struct Fields {
    problems: RefCell<Vec<Problem>>,
}

/// Most problems kept of one procedure.
const MAX_PROBLEMS: usize = 1_000;

impl Fields {
    /// What was wrong.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// Notes that a value cannot be used.
    pub fn problem(&self, at: &Place, reason: impl Into<String>) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
            problems.push(Problem { at: at.clone(), reason: reason.into() });
        }
    }

    fn wrong(&self, node: &Node<'_>, expected: &str) {
        self.problem(&node.at, format!("expected {expected}, found {}", node.value.form()));
    }

    /// A member that is an object.
    pub fn object<'n, 'a>(&self, node: &'n Node<'a>, name: &str) -> Option<&'n Node<'a>> {
        let member = node.member(name)?;
        if matches!(member.value, Value::Object(_)) {
            return Some(member);
        }
        self.wrong(member, "an object");
        None
    }

    /// The objects in a member that is a list.
    pub fn objects<'n, 'a>(&self, node: &'n Node<'a>, name: &str) -> Vec<&'n Node<'a>> {
        let is_object = |element: &&'n Node<'a>| {
            let object = matches!(element.value, Value::Object(_));
            if !object && !matches!(element.value, Value::Null) {
                self.wrong(element, "an object");
            }
            object
        };
        self.list(node, name).iter().filter(is_object).collect()
    }

    fn list<'n, 'a>(&self, node: &'n Node<'a>, name: &str) -> &'n [Node<'a>] {
        let Some(member) = node.member(name) else { return &[] };
        if let Value::List(elements) = &member.value {
            return elements;
        }
        self.wrong(member, "a list");
        &[]
    }

    /// A member that is text and not blank.
    pub fn text(&self, node: &Node<'_>, name: &str) -> Option<Located<String>> {
        let member = node.member(name)?;
        let Value::Text(text) = &member.value else {
            self.wrong(member, "a text");
            return None;
        };
        some_text(text, &member.at)
    }

    /// A code: text, trimmed and in lower case.
    pub fn code(&self, node: &Node<'_>, name: &str) -> Option<Located<String>> {
        let mut code = self.text(node, name)?;
        code.value.make_ascii_lowercase();
        Some(code)
    }

    /// An identifier: text or a number.
    pub fn id(&self, node: &Node<'_>, name: &str) -> Option<String> {
        let member = node.member(name)?;
        self.id_of(member)
    }

    fn id_of(&self, member: &Node<'_>) -> Option<String> {
        match &member.value {
            Value::Text(text) => some_text(text, &member.at).map(|text| text.value),
            Value::Number(number) => Some((*number).to_owned()),
            _ => {
                self.wrong(member, "an identifier (text or number)");
                None
            }
        }
    }

    /// The identifiers in a member that is a list; sorted, each once.
    pub fn ids(&self, node: &Node<'_>, name: &str) -> Vec<String> {
        let mut ids: Vec<_> =
            self.list(node, name).iter().filter_map(|element| self.id_of(element)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The texts in a member that is a list.
    pub fn texts(&self, node: &Node<'_>, name: &str) -> Vec<String> {
        self.ids(node, name)
    }

    /// A number, exactly.
    pub fn decimal(&self, node: &Node<'_>, name: &str) -> Option<Located<Decimal>> {
        let member = node.member(name)?;
        let Value::Number(number) = &member.value else {
            self.wrong(member, "a number");
            return None;
        };
        let exact = money::parse_amount(number);
        if exact.is_err() {
            self.problem(&member.at, "the number has more digits than can be kept exactly (28)");
        }
        Some(Located { value: exact.ok()?, at: member.at.clone() })
    }

    /// A whole number that is not negative.
    pub fn whole(&self, node: &Node<'_>, name: &str) -> Option<Located<u64>> {
        let number = self.decimal(node, name)?;
        let whole = number.value.is_integer().then(|| u64::try_from(number.value).ok()).flatten();
        if whole.is_none() {
            self.problem(&number.at, format!("expected a whole number, found {}", number.value));
        }
        Some(Located { value: whole?, at: number.at })
    }

    /// A date or a time.
    pub fn when(&self, node: &Node<'_>, name: &str) -> Option<Located<When>> {
        let text = self.text(node, name)?;
        match When::parse(&text.value) {
            Ok(value) => Some(Located { value, at: text.at }),
            Err(reason) => {
                let shown = crate::domain::text::clean(&text.value, 40);
                self.problem(&text.at, format!("{shown:?} {reason}"));
                None
            }
        }
    }

    /// A value object with amount and currency; without both it says nothing.
    pub fn money(&self, node: &Node<'_>, name: &str) -> Option<Located<Money>> {
        let value = self.object(node, name)?;
        let amount = self.decimal(value, "amount");
        let currency = self.text(value, "currency");
        let (amount, currency) = (amount?, currency?);
        let code = currency.value.to_ascii_uppercase();
        if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase()) {
            self.problem(&currency.at, "the currency is no ISO 4217 code such as EUR");
            return None;
        }
        Some(Located { value: Money { amount: amount.value, currency: code }, at: value.at.clone() })
    }
}

fn some_text(text: &str, at: &Place) -> Option<Located<String>> {
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| Located { value: trimmed.to_owned(), at: at.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node<'_> {
        Node::build(text, Place::root(0, 1, false, "")).unwrap()
    }

    #[test]
    fn amounts_are_exact() {
        let check = |amount: &str, expect: Option<&str>, problems: usize| {
            let text = format!(r#"{{"value":{{"amount":{amount},"currency":"eur"}}}}"#);
            let fields = Fields::default();
            let money = fields.money(&node(&text), "value").map(|m| m.value.to_string());
            assert_eq!(money.as_deref(), expect, "{amount}");
            assert_eq!(fields.into_problems().len(), problems, "{amount}");
        };
        check("0.1", Some("0.1 EUR"), 0);
        check("9007199254740993", Some("9007199254740993 EUR"), 0);
        check("12345678901234567890.12", Some("12345678901234567890.12 EUR"), 0);
        check("1.5e3", Some("1500 EUR"), 0);
        check("1e400", None, 1);
        check("\"5\"", None, 1);
        check("null", None, 0);
    }

    #[test]
    fn types_are_judged_field_by_field() {
        let text =
            r#"{"t":" x ","n":3,"l":["b",2,"b",{}],"o":{"a":1},"e":"","d":"2024-13-01","w":2.0,"h":2.5}"#;
        let tree = node(text);
        let fields = Fields::default();
        assert_eq!(fields.text(&tree, "t").unwrap().value, "x");
        assert!(fields.text(&tree, "e").is_none());
        assert_eq!(fields.id(&tree, "n").as_deref(), Some("3"));
        assert_eq!(fields.ids(&tree, "l"), ["2", "b"]);
        assert!(fields.object(&tree, "l").is_none());
        assert_eq!(fields.objects(&tree, "l").len(), 1);
        assert!(fields.when(&tree, "d").is_none());
        assert_eq!(fields.whole(&tree, "w").unwrap().value, 2);
        assert!(fields.whole(&tree, "h").is_none());
        let places: Vec<_> = fields.into_problems().iter().map(|p| p.at.pointer()).collect();
        assert_eq!(places, ["/l/3", "/l", "/l/0", "/l/1", "/l/2", "/d", "/h"]);
    }
}
