//! What a rule finds: where, what, and how to fix it.

use std::fmt;
use std::path::Path;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, from the root of the repository.
    pub file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

impl Problem {
    /// A problem of a whole file.
    pub fn new(file: impl AsRef<Path>, what: impl Into<String>, fix: impl Into<String>) -> Self {
        let file = file.as_ref().display().to_string();
        Self { file, line: 0, what: what.into(), fix: fix.into() }
    }

    /// The line it is on.
    #[must_use]
    pub const fn at(mut self, line: usize) -> Self {
        self.line = line;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what)?,
            line => write!(f, "{}:{line}: {}", self.file, self.what)?,
        }
        write!(f, "\n    fix: {}", self.fix)
    }
}

/// Fails a test with everything that was found.
#[cfg(test)]
pub(crate) fn assert_none(problems: &[Problem]) {
    let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{} problem(s)\n\n{}", problems.len(), text.join("\n\n"));
}
