//! JSON Schema 2020-12: what an input or an answer must look like.
//!
//! The rest of the crate knows nothing of the `jsonschema` crate. A schema is
//! compiled once, reads nothing from outside itself, and its patterns run in
//! linear time.

use crate::expr::Type;
use crate::value::{is_larger, written};
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value as Json;
use std::fmt;

/// Largest schema, in bytes of its JSON text.
pub const MAX_SCHEMA: usize = 64 * 1024;
/// Largest input of an execution, in bytes of its JSON text.
pub const MAX_INPUT: usize = 1 << 20;
/// Most faults that are told at once.
const MAX_FAULTS: usize = 20;
/// Deepest nesting that types are read from.
const MAX_DEPTH: usize = 8;

/// One thing about a value that its schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// JSON pointer (RFC 6901) to the value; empty for the whole.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "{pointer}: {}", self.message)
    }
}

/// A compiled schema.
pub struct Schema {
    source: Json,
    validator: Validator,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.source)
    }
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Says what is wrong: no schema, larger than [`MAX_SCHEMA`], or a `$ref` that
    /// leads outside.
    pub fn compile(source: &Json) -> Result<Self, String> {
        if is_larger(source, MAX_SCHEMA) {
            let size = written(source);
            return Err(format!("the schema has {size} bytes; at most {MAX_SCHEMA} are allowed"));
        }
        if let Some(outside) = outside_ref(source) {
            return Err(format!(
                "$ref {outside:?} leads outside the schema; put what it names under `$defs` and write #/$defs/…"
            ));
        }
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true)
            .build(source)
            .map_err(|e| format!("this is no JSON Schema 2020-12: {e}"))?;
        Ok(Self { source: source.clone(), validator })
    }

    /// The schema as it was written.
    #[must_use]
    pub const fn source(&self) -> &Json {
        &self.source
    }

    /// Checks a value.
    ///
    /// # Errors
    /// Everything that does not fit, at most 20 things.
    pub fn check(&self, value: &Json) -> Result<(), Vec<InputError>> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let errors = self.validator.iter_errors(value).take(MAX_FAULTS);
        Err(errors
            .map(|e| InputError { pointer: e.instance_path().to_string(), message: e.to_string() })
            .collect())
    }

    /// The type of the values it allows, as far as it tells.
    #[must_use]
    pub fn type_of(&self) -> Type {
        type_of(&self.source, MAX_DEPTH)
    }

    /// A value that has every default the schema names, for trials.
    #[must_use]
    pub fn example(&self) -> Json {
        example(&self.source, MAX_DEPTH)
    }
}

/// The first `$ref` that is no fragment.
fn outside_ref(schema: &Json) -> Option<&str> {
    match schema {
        Json::Object(fields) => fields.iter().find_map(|(key, value)| match value {
            Json::String(to) if matches!(key.as_str(), "$ref" | "$dynamicRef") => {
                (!to.starts_with('#')).then_some(to.as_str())
            }
            _ => outside_ref(value),
        }),
        Json::Array(items) => items.iter().find_map(outside_ref),
        _ => None,
    }
}

fn type_of(schema: &Json, depth: usize) -> Type {
    let Some(kind) = schema.get("type").and_then(Json::as_str).filter(|_| depth > 0) else {
        return Type::Unknown;
    };
    match kind {
        "string" => Type::Text,
        "boolean" => Type::Bool,
        "integer" => Type::Int,
        // A number may be written without a fraction and is an integer then.
        "number" => Type::Unknown,
        "array" => {
            let of = schema.get("items").map_or(Type::Unknown, |items| type_of(items, depth - 1));
            Type::List(Box::new(of))
        }
        "object" => object_type(schema, depth),
        _ => Type::Unknown,
    }
}

fn object_type(schema: &Json, depth: usize) -> Type {
    let known = schema.get("properties").and_then(Json::as_object);
    let fields = known.into_iter().flatten().map(|(name, of)| (name.clone(), type_of(of, depth - 1)));
    let closed = schema.get("additionalProperties") == Some(&Json::Bool(false));
    let more =
        ["patternProperties", "allOf", "anyOf", "oneOf", "$ref"].iter().any(|k| schema.get(k).is_some());
    Type::Record { fields: fields.collect(), open: !closed || more }
}

fn example(schema: &Json, depth: usize) -> Json {
    let given = ["default", "const"].iter().find_map(|key| schema.get(key));
    let listed = || ["examples", "enum"].iter().find_map(|key| schema.get(key)?.get(0));
    if let Some(value) = given.or_else(listed) {
        return value.clone();
    }
    match schema.get("type").and_then(Json::as_str).filter(|_| depth > 0) {
        Some("string") => Json::String(String::new()),
        Some("boolean") => Json::Bool(false),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| 0.into()),
        Some("array") => Json::Array(Vec::new()),
        Some("object") => {
            let fields = schema.get("properties").and_then(Json::as_object).into_iter().flatten();
            Json::Object(fields.map(|(name, of)| (name.clone(), example(of, depth - 1))).collect())
        }
        _ => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn faults_are_told_with_their_place() {
        let schema = json!({
            "type": "object",
            "required": ["amount"],
            "properties": {"amount": {"type": "integer", "minimum": 1}, "to": {"type": "string", "pattern": "^[a-z]+$"}},
        });
        let schema = Schema::compile(&schema).unwrap();
        let check = |value: Json, pointer: &str, part: &str| {
            let faults = schema.check(&value).expect_err(&value.to_string());
            assert!(faults.iter().any(|f| f.pointer == pointer && f.message.contains(part)), "{faults:?}");
        };
        assert_eq!(schema.check(&json!({"amount": 3, "more": 1})), Ok(()));
        check(json!({}), "", "amount");
        check(json!({"amount": 0}), "/amount", "minimum");
        check(json!({"amount": "3", "to": "A"}), "/to", "match");
        check(json!([]), "", "object");
    }

    #[test]
    fn schemas_that_cannot_be_are_refused() {
        let check = |schema: Json, part: &str| {
            let why = Schema::compile(&schema).expect_err(&schema.to_string());
            assert!(why.contains(part), "{why}");
        };
        check(json!({"type": "strin"}), "no JSON Schema");
        check(json!({"$ref": "https://example.org/schema.json"}), "leads outside");
        check(json!({"properties": {"a": {"$ref": "other.json#/x"}}}), "leads outside");
        check(json!({"$ref": "#/$defs/missing"}), "no JSON Schema");
        check(json!({"pattern": "("}), "no JSON Schema");
        check(json!({"description": "x".repeat(MAX_SCHEMA)}), "at most");
    }

    #[test]
    fn types_are_told_where_the_schema_tells_them() {
        let of = |schema: Json| Schema::compile(&schema).unwrap().type_of();
        assert_eq!(
            of(json!({"type": "array", "items": {"type": "string"}})),
            Type::List(Box::new(Type::Text))
        );
        assert_eq!(of(json!({"type": ["string", "null"]})), Type::Unknown);
        let Type::Record { fields, open } = of(
            json!({"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": false}),
        ) else {
            panic!("no record");
        };
        assert_eq!((fields, open), (vec![("n".to_owned(), Type::Int)], false));
    }

    #[test]
    fn examples_fit_simple_schemas() {
        let schema = json!({"type": "object", "properties": {
            "n": {"type": "integer", "minimum": 2}, "s": {"enum": ["a", "b"]}, "d": {"default": 0.5}}});
        let schema = Schema::compile(&schema).unwrap();
        assert_eq!(schema.example(), json!({"n": 2, "s": "a", "d": 0.5}));
        assert_eq!(schema.check(&schema.example()), Ok(()));
    }
}
