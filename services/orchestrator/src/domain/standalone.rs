//! Tasks of their own: executions of the built-in definition `task`, whose input says
//! what the definition of a workflow would say of a step.

use probity_engine::{Execution, Fact};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::LazyLock;

/// The built-in definition; the others differ in their retry policy.
const SOURCE: &str = include_str!("../../definitions/task.yaml");
/// Its step.
pub(crate) const STEP: &str = "run";
/// Names of the built-in definitions and their retry policies.
const POLICIES: [(&str, &str); 5] = [
    ("task", "standard"),
    ("task-quick", "quick"),
    ("task-aggressive", "aggressive"),
    ("task-rate-limited", "rate_limited"),
    ("task-never", "never"),
];

static SOURCES: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let source = |(name, retry): (&'static str, &str)| {
        let named = SOURCE.replace("name: task\n", &format!("name: {name}\n"));
        (name, named.replace("retry: standard\n", &format!("retry: {retry}\n")))
    };
    POLICIES.into_iter().map(source).collect()
});

/// The built-in definitions: name and source.
pub(crate) fn sources() -> &'static [(&'static str, String)] {
    &SOURCES
}

/// The definition with that retry policy.
pub(crate) fn definition_for(retry: &str) -> &'static str {
    POLICIES.iter().find(|(_, policy)| *policy == retry).map_or("task", |(name, _)| name)
}

/// What is asked of a task, as it stands in the input of its execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standalone {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) queue: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) unique: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) key: String,
    /// 0: at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) not_before_us: i64,
    /// How long an attempt may take.
    pub(crate) timeout_ms: u64,
    #[serde(default)]
    pub(crate) payload: Json,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde wants it
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Standalone {
    /// What is asked, when an execution is a task of its own. Input that somebody
    /// wrote by hand and that does not fit is that of any execution.
    pub(crate) fn of(execution: &Execution) -> Option<Self> {
        is_built_in(execution).then(|| Self::deserialize(&execution.opening.input).ok())?
    }
}

/// Whether an execution runs one of the built-in definitions. A tenant may have one
/// of the same name.
pub(crate) fn is_built_in(execution: &Execution) -> bool {
    let definition = &execution.definition;
    definition.name.starts_with("task")
        && SOURCES.iter().any(|(name, source)| *name == definition.name && *source == definition.source)
}

/// What a turn changes in the tables of tasks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// A task was put into its queue.
    Opened(Box<Standalone>),
    /// A task with a unique key has ended: another may have the key.
    Freed,
}

impl Change {
    /// What the facts of a turn change.
    pub(crate) fn of(facts: &[Fact], execution: &Execution) -> Option<Self> {
        let begins = matches!(facts.first(), Some(Fact::ExecutionStarted { .. }));
        let ends = matches!(facts.last(), Some(Fact::Ended { .. }));
        if !(begins || ends) || !is_built_in(execution) {
            return None;
        }
        if begins {
            return Standalone::of(execution).map(|task| Self::Opened(Box::new(task)));
        }
        let unique = execution.opening.input.get("unique").and_then(Json::as_str);
        unique.filter(|key| !key.is_empty()).map(|_| Self::Freed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_a_definition_of_its_own() {
        for ((name, retry), (named, source)) in POLICIES.into_iter().zip(sources()) {
            assert_eq!((name, definition_for(retry)), (*named, name));
            assert!(
                source.contains(&format!("name: {name}\n")) && source.contains(&format!("retry: {retry}\n"))
            );
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let task = Standalone {
            kind: "mail".into(),
            queue: "mails".into(),
            unique: String::new(),
            key: "k".into(),
            not_before_us: 7,
            timeout_ms: 30_000,
            payload: serde_json::json!({"to": "a"}),
        };
        let json = serde_json::to_value(&task).unwrap();
        assert_eq!(serde_json::from_value::<Standalone>(json).unwrap(), task);
    }
}
