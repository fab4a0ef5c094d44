//! A definition as it is written, every value with its place. Keys that do not belong
//! where they are are found by `keys.rs`.

use super::{DefinitionError, MAX_SOURCE};
use serde::Deserialize;
use serde_json::Value as Json;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;

pub(super) type Text = Spanned<String>;
pub(super) type Fields = BTreeMap<String, Text>;

#[derive(Debug, Deserialize)]
pub(super) struct Raw {
    pub(super) name: Text,
    pub(super) kind: Option<Text>,
    #[serde(default)]
    #[allow(dead_code)] // for people
    pub(super) description: Option<String>,
    pub(super) findings_from: Option<Text>,
    pub(super) input_schema: Option<Spanned<Json>>,
    pub(super) limit: Option<Spanned<RawLimit>>,
    #[serde(default)]
    pub(super) states: BTreeMap<String, Spanned<RawState>>,
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
pub(super) struct RawState {
    pub(super) due: Option<Text>,
    #[serde(default)]
    pub(super) remind: Vec<Text>,
    #[serde(default)]
    pub(super) escalate_to: Vec<Text>,
    pub(super) guard: Option<Text>,
    pub(super) reason: Option<Text>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawStep {
    pub(super) id: Text,
    pub(super) state: Option<Text>,
    #[serde(default)]
    pub(super) needs: Vec<Text>,
    pub(super) when: Option<Text>,
    pub(super) for_each: Option<Text>,
    pub(super) concurrency: Option<Spanned<u32>>,
    pub(super) call: Option<Text>,
    pub(super) task: Option<Text>,
    pub(super) queue: Option<Text>,
    pub(super) workflow: Option<Text>,
    #[serde(default)]
    pub(super) input: Fields,
    pub(super) output_schema: Option<Spanned<Json>>,
    pub(super) fail: Option<Text>,
    pub(super) wait: Option<RawWait>,
    pub(super) retry: Option<Spanned<RawRetry>>,
    #[serde(default)]
    pub(super) no_retry_on: Vec<Text>,
    pub(super) limit: Option<Spanned<RawLimit>>,
    pub(super) timeout: Option<Text>,
    pub(super) deadline: Option<Text>,
    pub(super) on_error: Option<Spanned<RawOnError>>,
    pub(super) compensate: Option<RawCall>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawLimit {
    pub(super) key: Option<Text>,
    pub(super) running: Option<Spanned<u32>>,
    pub(super) rate: Option<RawRate>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawRate {
    pub(super) count: Spanned<u32>,
    pub(super) per: Text,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawCall {
    pub(super) call: Option<Text>,
    pub(super) task: Option<Text>,
    pub(super) queue: Option<Text>,
    pub(super) workflow: Option<Text>,
    #[serde(default)]
    pub(super) input: Fields,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawWait {
    pub(super) approval: Option<RawApproval>,
    pub(super) timer: Option<Text>,
    pub(super) until: Option<Text>,
    pub(super) signal: Option<Text>,
    pub(super) timeout: Option<Text>,
    pub(super) schema: Option<Spanned<Json>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawApproval {
    pub(super) reason: Text,
    pub(super) required: Text,
    pub(super) assignees: Option<Text>,
    pub(super) due: Option<Text>,
    #[serde(default)]
    pub(super) remind: Vec<Text>,
    pub(super) escalate: Option<RawEscalation>,
    #[serde(default)]
    pub(super) four_eyes: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawEscalation {
    pub(super) to: Vec<Text>,
    pub(super) after: Text,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawOnError {
    Named(String),
    /// A map, as a structure could be written as a list here too.
    Route(BTreeMap<RouteKey, String>),
}

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(super) enum RouteKey {
    Route,
}

impl RawOnError {
    /// The step that goes on instead, where one is named.
    pub(super) fn route(&self) -> Option<&str> {
        match self {
            Self::Named(_) => None,
            Self::Route(to) => to.get(&RouteKey::Route).map(String::as_str),
        }
    }
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
    pub(super) multiplier: Option<f64>,
    pub(super) jitter: Option<String>,
    pub(super) total: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawVerdict {
    pub(super) when: Option<Text>,
    pub(super) outcome: Text,
    pub(super) reasons: Text,
}

/// What is said when none of the forms of a value fits.
const FORMS: [(&str, &str); 3] = [
    (
        "RawRetry",
        "`retry` is the name of a preset or {max_attempts, base, cap} with, if wanted, multiplier, jitter and total",
    ),
    ("RawOnError", "`on_error` is incident, fail, compensate, continue or {route: STEP}"),
    ("RawOutput", "`output` is an expression or a map from names to expressions"),
];

pub(super) fn parse(source: &str) -> Result<Raw, DefinitionError> {
    if source.len() > MAX_SOURCE {
        let message = format!("the definition has {} bytes; at most {MAX_SOURCE} are allowed", source.len());
        return Err(DefinitionError { line: 0, column: 0, message });
    }
    // `n` and `yes` are texts, as in YAML 1.2; only true and false are truth values.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(source, options).map_err(|error| {
        let at = error.location();
        let message = error.without_snippet().to_string();
        let form = FORMS.iter().find(|(name, _)| message.contains(name)).map(|(_, form)| (*form).to_owned());
        // The place is told once, in front.
        let message =
            form.unwrap_or_else(|| message.split(" at line ").next().unwrap_or_default().to_owned());
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
