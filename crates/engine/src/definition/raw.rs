//! A definition as it is written, every value with its place.

use super::{DefinitionError, MAX_SOURCE};
use serde::Deserialize;
use serde_json::Value as Json;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) name: Spanned<String>,
    pub(super) kind: Option<Spanned<String>>,
    #[serde(default)]
    #[allow(dead_code)] // for people
    pub(super) description: Option<String>,
    pub(super) findings_from: Option<Spanned<String>>,
    pub(super) input_schema: Option<Spanned<Json>>,
    pub(super) steps: Vec<RawStep>,
    pub(super) verdict: Option<Vec<RawVerdict>>,
    pub(super) output: Option<Spanned<RawOutput>>,
}

/// One expression, or one a field.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawOutput {
    One(String),
    Fields(BTreeMap<String, String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    pub(super) id: Spanned<String>,
    pub(super) state: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) needs: Vec<Spanned<String>>,
    pub(super) when: Option<Spanned<String>>,
    pub(super) call: Option<Spanned<String>>,
    pub(super) task: Option<Spanned<String>>,
    pub(super) queue: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) input: BTreeMap<String, Spanned<String>>,
    pub(super) output_schema: Option<Spanned<Json>>,
    pub(super) fail: Option<Spanned<String>>,
    pub(super) wait: Option<RawWait>,
    pub(super) retry: Option<Spanned<RawRetry>>,
    pub(super) timeout: Option<Spanned<String>>,
    pub(super) on_error: Option<Spanned<String>>,
    pub(super) compensate: Option<RawCall>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCall {
    pub(super) call: Option<Spanned<String>>,
    pub(super) task: Option<Spanned<String>>,
    pub(super) queue: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) input: BTreeMap<String, Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWait {
    pub(super) approval: Option<RawApproval>,
    pub(super) timer: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawApproval {
    pub(super) reason: Spanned<String>,
    pub(super) required: Spanned<String>,
}

/// Values inside have no place of their own: what is tried twice is buffered.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawRetry {
    Preset(String),
    Own(RawPolicy),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicy {
    pub(super) max_attempts: u32,
    pub(super) base: String,
    pub(super) cap: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVerdict {
    pub(super) when: Option<Spanned<String>>,
    pub(super) outcome: Spanned<String>,
    pub(super) reasons: Spanned<String>,
}

pub(super) fn parse(source: &str) -> Result<Raw, DefinitionError> {
    if source.len() > MAX_SOURCE {
        let message = format!("the definition has {} bytes; at most {MAX_SOURCE} are allowed", source.len());
        return Err(DefinitionError { line: 0, column: 0, message });
    }
    serde_saphyr::from_str(source).map_err(|error| {
        let at = error.location();
        let message = error.without_snippet().to_string();
        // The place is told once, in front.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        DefinitionError { line: at.map_or(0, |l| l.line()), column: at.map_or(0, |l| l.column()), message }
    })
}

/// An error at the place of a value.
pub(super) fn at<T>(value: &Spanned<T>, message: impl Into<String>) -> DefinitionError {
    at_location(&value.referenced, message)
}

fn at_location(at: &Location, message: impl Into<String>) -> DefinitionError {
    DefinitionError { line: at.line(), column: at.column(), message: message.into() }
}
