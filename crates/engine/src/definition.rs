//! Definitions: versioned workflow graphs, checked before they are accepted.
//!
//! A definition is YAML or JSON. What cannot work is refused at registration with
//! line, column and the fix: unknown keys, cycles with their full path, methods
//! that do not exist or may not be steps, fields and enum names the descriptors
//! do not know, references to steps that are not upstream, states that go
//! backwards. An accepted [`Definition`] has everything resolved and compiled.

mod compile;
mod raw;

use crate::case::CaseState;
use crate::expr::Expr;
use crate::fact::Outcome;
use crate::schema::{InputError, MAX_INPUT, Schema};
use crate::value::{is_larger, written};
use probity_types::CaseKind;
use probity_types::retry::RetryPolicy;
use prost_reflect::MessageDescriptor;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Largest source in bytes.
pub const MAX_SOURCE: usize = 256 * 1024;
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
    /// What an input must look like, when that is said.
    pub input_schema: Option<Schema>,
    /// What an execution that is not a case gives.
    pub output: Option<Output>,
    /// The steps no other step needs.
    pub last: Vec<usize>,
    index: HashMap<String, usize>,
}

/// What an execution that is not a case gives.
#[derive(Debug)]
pub enum Output {
    /// The value of one expression.
    One(Expr),
    /// Named values.
    Fields(Vec<(String, Expr)>),
}

/// A step.
#[derive(Debug)]
pub struct Step {
    /// Its identifier.
    pub id: String,
    /// The state the case enters when the step starts.
    pub state: Option<CaseState>,
    /// Indices of the steps that must be done before.
    pub needs: Vec<usize>,
    /// Whether it is done at all; always when absent.
    pub when: Option<Expr>,
    /// What it does.
    pub action: Action,
    /// When a failed call is tried again.
    pub retry: RetryPolicy,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// What happens when the attempts are used up.
    pub on_error: OnError,
    /// How it is taken back.
    pub compensate: Option<CallSpec>,
    /// What an answer must look like, when that is said.
    pub output_schema: Option<Schema>,
    /// Its output when it is skipped.
    pub default_output: Arc<Json>,
}

/// What a step does.
#[derive(Debug)]
pub enum Action {
    /// Calls a method, or has a worker do a task.
    Call(CallSpec),
    /// Ends the execution as failed, for a reason.
    Fail(Expr),
    /// Asks people.
    Approval {
        /// What is asked.
        reason: Expr,
        /// How many must agree; at least one.
        required: Expr,
    },
    /// Waits.
    Timer(Duration),
}

/// A call and its message.
#[derive(Debug)]
pub struct CallSpec {
    /// Who does it.
    pub target: Target,
    /// The fields of the message.
    pub input: Vec<(String, Expr)>,
}

/// Who does what a step asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A service of the platform: `package.Service/Method`.
    Method(String),
    /// A worker that takes tasks from a queue.
    Task {
        /// The type of the task.
        kind: String,
        /// The queue it waits in.
        queue: String,
    },
    /// Another definition, by its name.
    Workflow(String),
}

impl Target {
    /// How people read it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Method(name) | Self::Workflow(name) => name,
            Self::Task { kind, .. } => kind,
        }
    }
}

/// What happens when the attempts of a step are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It waits for a person.
    #[default]
    Incident,
    /// The execution fails; what was done is taken back.
    Fail,
    /// The step counts as skipped.
    Continue,
}

/// One way to end.
#[derive(Debug)]
pub struct VerdictRule {
    /// When it holds; always when absent.
    pub when: Option<Expr>,
    /// How the case ends.
    pub outcome: Outcome,
    /// A list of texts.
    pub reasons: Expr,
}

impl Definition {
    /// Reads, checks and compiles a definition.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and the fix.
    pub fn compile(source: &str, catalog: &dyn Catalog) -> Result<Self, DefinitionError> {
        compile::compile(source, catalog)
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

/// Why a definition was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionError {
    /// Line, from 1; 0 when it concerns the whole.
    pub line: u64,
    /// Column, from 1; 0 when it concerns the whole.
    pub column: u64,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.message);
        }
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for DefinitionError {}
