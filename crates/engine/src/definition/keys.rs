//! Keys that do not belong where they are, all of them at once.
//!
//! Which keys there are is read from the published schema, so that editors and the
//! compiler never differ. What the values are is the business of the compiler.

use super::finding::{Finding, Findings};
use super::raw::at;
use super::{DefinitionError, SCHEMA};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::Spanned;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

static LANGUAGE: LazyLock<Json> = LazyLock::new(|| serde_json::from_str(SCHEMA).unwrap_or_default());

const UNKNOWN: &str = "there is no key";

/// Values that are one of several forms: the compiler tells of their keys.
const OF_SEVERAL_FORMS: [&str; 2] = ["retry", "on_error"];

/// A definition as it is written, by its keys.
enum Tree {
    Map(Vec<(Spanned<String>, Tree)>),
    List(Vec<Tree>),
    Leaf,
}

/// Tells of every key that does not belong where it is. What cannot be read is told
/// elsewhere.
pub(super) fn check(source: &str, findings: &Findings) {
    let options = serde_saphyr::options! { strict_booleans: true };
    if let Ok(tree) = serde_saphyr::from_str_with_options::<Tree>(source, options) {
        walk(&tree, &LANGUAGE, findings);
    }
}

fn walk(tree: &Tree, schema: &'static Json, findings: &Findings) {
    let mut forms = Vec::new();
    gather(schema, &mut forms);
    match tree {
        Tree::Leaf => {}
        Tree::List(items) => {
            let of_items = forms.iter().find_map(|form| form.get("items"));
            of_items
                .into_iter()
                .for_each(|schema| items.iter().for_each(|item| walk(item, schema, findings)));
        }
        Tree::Map(fields) => {
            let closed =
                forms.iter().any(|form| form.get("additionalProperties") == Some(&Json::Bool(false)));
            for (key, value) in fields {
                let property =
                    |form: &&'static Json| form.get("properties").and_then(|of| of.get(key.value.as_str()));
                let others = || forms.iter().find_map(|form| form.get("additionalProperties"));
                match forms.iter().find_map(property) {
                    Some(schema) if !OF_SEVERAL_FORMS.contains(&key.value.as_str()) => {
                        walk(value, schema, findings);
                    }
                    Some(_) => {}
                    None if closed => findings.error(unknown(key, &forms)),
                    None => others().into_iter().for_each(|schema| walk(value, schema, findings)),
                }
            }
        }
    }
}

/// Whether it is a finding of this module.
pub(super) fn tells_of_a_key(finding: &Finding) -> bool {
    finding.at.message.starts_with(UNKNOWN)
}

fn unknown(key: &Spanned<String>, forms: &[&'static Json]) -> DefinitionError {
    let keys = forms.iter().filter_map(|form| form.get("properties")?.as_object());
    let known: BTreeSet<&str> = keys.flat_map(|of| of.keys().map(String::as_str)).collect();
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    at(key, format!("{UNKNOWN} {:?} here; there are {known}", key.value))
}

/// A schema and all it is made of.
fn gather(schema: &'static Json, forms: &mut Vec<&'static Json>) {
    forms.push(schema);
    if let Some(to) = schema.get("$ref").and_then(Json::as_str).and_then(|to| to.strip_prefix('#'))
        && let Some(to) = LANGUAGE.pointer(to)
    {
        gather(to, forms);
    }
    for several in ["allOf", "anyOf", "oneOf"] {
        let parts = schema.get(several).and_then(Json::as_array);
        parts.into_iter().flatten().for_each(|part| gather(part, forms));
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Tree::Map(fields))
    }
}
