//! What an expression can see, and how it finds it.

use crate::value::{to_cel, to_map};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use serde_json::Value as Json;

/// The variables of an execution. Nothing is gathered before it is asked for: an
/// expression that reads one field of one answer touches that field alone.
pub trait Variables: Send + Sync {
    /// A variable by its name, other than `steps`.
    fn variable(&self, name: &str) -> Option<&Json>;
    /// What `steps.<id>` gives, once the step is done.
    fn step(&self, id: &str) -> Option<&Json>;
    /// Every step that is done.
    fn steps(&self) -> Vec<(&str, &Json)>;
}

/// Follows a path such as `steps.triage.band` through the JSON below it.
pub(super) fn follow<'a, 'n>(
    variables: &'a dyn Variables,
    mut path: impl Iterator<Item = &'n str>,
) -> Option<&'a Json> {
    let first = match path.next()? {
        "steps" => variables.step(path.next()?)?,
        name => variables.variable(name)?,
    };
    path.try_fold(first, |at, field| at.as_object()?.get(field))
}

/// The interpreter asks for the longest name first (`steps.triage.band` before
/// `steps.triage`), so that what it gets is the value itself.
pub(super) struct Resolver<'a>(pub(super) &'a dyn Variables);

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if name == "steps" {
            return Some(CowVal::owned(to_map(self.0.steps().into_iter())));
        }
        follow(self.0, name.split('.')).map(|found| CowVal::Owned(to_cel(found)))
    }
}
