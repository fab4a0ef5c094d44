//! What is wrong or doubtful about a definition, and where.

use std::cell::RefCell;
use std::fmt;

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

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The definition is refused.
    Error,
    /// It is accepted, and probably not what was meant.
    Warning,
}

impl Severity {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// What and where.
    pub at: DefinitionError,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity.as_str(), self.at)
    }
}

/// Findings as they are made. Shared while a definition is compiled, so that one
/// mistake does not hide the next.
#[derive(Debug, Default)]
pub(super) struct Findings(RefCell<Vec<Finding>>);

impl Findings {
    pub(super) fn error(&self, at: DefinitionError) {
        self.0.borrow_mut().push(Finding { severity: Severity::Error, at });
    }

    pub(super) fn warn(&self, at: DefinitionError) {
        self.0.borrow_mut().push(Finding { severity: Severity::Warning, at });
    }

    /// The value, or nothing and one finding more.
    pub(super) fn keep<T>(&self, result: Result<T, DefinitionError>) -> Option<T> {
        result.map_err(|error| self.error(error)).ok()
    }

    pub(super) fn has_errors(&self) -> bool {
        self.0.borrow().iter().any(|finding| finding.severity == Severity::Error)
    }

    /// All of them in the order of the source, each once.
    pub(super) fn into_sorted(self) -> Vec<Finding> {
        let mut all = self.0.into_inner();
        all.sort_by_key(|finding| (finding.at.line, finding.at.column, finding.severity));
        all.dedup();
        all
    }
}
