//! Definitions: versioned workflow graphs, checked before they are accepted.
//!
//! A definition is YAML or JSON. What cannot work is refused at registration with
//! line, column and the fix: unknown keys, cycles with their full path, methods
//! that do not exist or may not be steps, fields and enum names the descriptors
//! do not know, references to steps that are not upstream, states that go
//! backwards. An accepted [`Definition`] has everything resolved and compiled.

mod compile;
mod finding;
mod keys;
mod model;
mod raw;

pub use finding::{DefinitionError, Finding, Severity};
pub use model::{
    Action, ApprovalSpec, CallSpec, Each, Escalation, Guard, Limit, OnError, Output, SignalSpec, StateRule,
    Step, Target, VerdictRule,
};

use crate::case::CaseState;
use crate::schema::{InputError, MAX_INPUT, Schema};
use crate::value::{is_larger, written};
use probity_types::CaseKind;
use prost_reflect::MessageDescriptor;
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};

/// Largest source in bytes.
pub const MAX_SOURCE: usize = 256 * 1024;
/// The language of definitions as a JSON Schema (2020-12), for editors: every key
/// with what it means. What it allows may still be refused; what it refuses, is.
pub const SCHEMA: &str = include_str!("../../../docs/schemas/definition.schema.json");
/// Most steps.
pub const MAX_STEPS: usize = 200;

/// A method a step may call.
#[derive(Debug, Clone)]
pub struct MethodSpec {
    /// The request message.
    pub input: MessageDescriptor,
    /// The response message.
    pub output: MessageDescriptor,
    /// Whether it is marked `workflow_callable`.
    pub workflow_callable: bool,
    /// Whether the server streams; such a method cannot be a step.
    pub streaming: bool,
    /// The response with every field at its default, as it is stored for a
    /// skipped step.
    pub default_output: Json,
}

/// Where a definition's methods are looked up.
pub trait Catalog {
    /// The method `package.Service/Method`, if it exists.
    fn method(&self, name: &str) -> Option<MethodSpec>;
    /// Names of all methods that may be steps, for messages.
    fn callable(&self) -> Vec<String>;
}

/// An accepted definition.
#[derive(Debug)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// SHA-256 of its source, in hex.
    pub version: String,
    /// Its source as registered.
    pub source: String,
    /// The kind of case it is the default for.
    pub kind: Option<CaseKind>,
    /// Its steps in the order they are written.
    pub steps: Vec<Step>,
    /// Indices of the steps in a topological order.
    pub order: Vec<usize>,
    /// The step whose output has the number of findings.
    pub findings_from: Option<usize>,
    /// How the case ends when every step is done: the first rule that holds.
    /// Empty when it is not a definition for cases.
    pub verdict: Vec<VerdictRule>,
    /// How many executions may run at once, and how fast they may start.
    pub limit: Option<Limit>,
    /// What holds for the states of a case.
    pub states: BTreeMap<CaseState, StateRule>,
    /// What an input must look like, when that is said.
    pub input_schema: Option<Schema>,
    /// What an execution that is not a case gives.
    pub output: Option<Output>,
    /// The steps no other step needs.
    pub last: Vec<usize>,
    index: HashMap<String, usize>,
}

impl Definition {
    /// Reads, checks and compiles a definition.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and the fix.
    pub fn compile(source: &str, catalog: &dyn Catalog) -> Result<Self, DefinitionError> {
        let (definition, findings) = compile::compile(source, catalog);
        // A key that is written wrong is told first: what else is wrong may follow from it.
        let first = findings.iter().find(|finding| keys::tells_of_a_key(finding)).cloned();
        let error = |finding: &Finding| finding.severity == Severity::Error;
        let first = first.or_else(|| findings.into_iter().find(error));
        match (definition, first) {
            (Some(definition), _) => Ok(definition),
            (None, Some(first)) => Err(first.at),
            (None, None) => Err(DefinitionError {
                line: 0,
                column: 0,
                message: "the definition cannot be compiled".to_owned(),
            }),
        }
    }

    /// Whether it is for cases; plain executions run on the others.
    #[must_use]
    pub const fn is_case(&self) -> bool {
        !self.verdict.is_empty()
    }

    /// The index of a step.
    #[must_use]
    pub fn index(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// Checks an input before anything is stored.
    ///
    /// # Errors
    /// Everything that does not fit `input_schema`, at most 20 things, each with
    /// its place; or that it has more than [`MAX_INPUT`] bytes.
    pub fn check_input(&self, input: &Json) -> Result<(), Vec<InputError>> {
        if is_larger(input, MAX_INPUT) {
            let size = written(input);
            let message = format!(
                "the input has {size} bytes; at most {MAX_INPUT} are allowed: hand it over as a document"
            );
            return Err(vec![InputError { pointer: String::new(), message }]);
        }
        self.input_schema.as_ref().map_or(Ok(()), |schema| schema.check(input))
    }

    /// What its steps call, and what takes them back.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.steps.iter().flat_map(|step| {
            let call = match &step.action {
                Action::Call(call) => Some(call),
                _ => None,
            };
            call.into_iter().chain(&step.compensate).map(|call| &call.target)
        })
    }

    /// The methods its steps call.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.targets().filter_map(|target| match target {
            Target::Method(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// Everything that is wrong or doubtful about a source, in its order. A definition
/// is accepted when none of it is an error.
#[must_use]
pub fn lint(source: &str, catalog: &dyn Catalog) -> Vec<Finding> {
    compile::compile(source, catalog).1
}
