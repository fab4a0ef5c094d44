//! From a policy's text to something that can be evaluated many times.
//!
//! Compiling checks the text ([`scan`]), parses it, checks what it may do
//! ([`inspect`]) and prepares it once; an evaluation works on a cheap copy.
//! **Not here:** any limit on the time this takes; the caller runs it where it
//! can be given up.

use super::inspect::inspect;
use super::scan::scan;
use super::{CaseKind, Trouble, builtins};
use regorus::{Engine, PolicyLengthConfig};
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// Longest line of a policy, in characters.
const MAX_COLUMNS: NonZeroU32 = NonZeroU32::new(1_024).unwrap();
/// Most lines of a policy.
const MAX_LINES: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();
/// What the parser calls the module; it shows up in its messages.
const FILE: &str = "policy.rego";

/// Why a policy is refused or failed, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    /// Line, counted from 1; 0 when it concerns the whole.
    pub line: u32,
    /// Column, counted from 1.
    pub column: u32,
    /// What is wrong and what to do.
    pub reason: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.reason),
            line => write!(f, "line {line}, column {}: {}", self.column, self.reason),
        }
    }
}

impl PolicyError {
    /// An error at a place.
    #[must_use]
    pub fn at(line: u32, column: u32, reason: impl Into<String>) -> Self {
        Self { line, column, reason: reason.into() }
    }

    /// An error of the whole.
    #[must_use]
    pub fn whole(reason: impl Into<String>) -> Self {
        Self::at(0, 0, reason)
    }

    /// Reads the place out of the interpreter's message, which shows it as
    /// `--> policy.rego:3:5`, the line itself, and `error: reason`.
    #[must_use]
    pub fn from_message(message: &str) -> Self {
        let place = message.split_once(&format!("--> {FILE}:")).map(|(_, rest)| rest);
        let Some(place) = place else { return Self::whole(one_line(message)) };
        let mut numbers = place.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
        let (line, column) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        // At the beginning of a line: the line that is shown may have the word in it.
        let reason = place.split_once("\nerror: ").map_or(place, |(_, reason)| reason);
        Self::at(line, column, one_line(reason))
    }
}

/// The first line of a message, not longer than a person reads.
fn one_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().take(300).collect::<String>().trim_end_matches(':').to_owned()
}

/// What a policy can say, by the name of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    /// `deny contains {…}`.
    Deny,
    /// `review contains {…}`.
    Review,
    /// `note contains {…}`.
    Note,
    /// `four_eyes`.
    FourEyes,
    /// `actions contains "…"`.
    Actions,
}

impl Output {
    /// All outputs, the strictest first.
    pub const ALL: [Self; 5] = [Self::Deny, Self::Review, Self::Note, Self::FourEyes, Self::Actions];

    /// The name of the rule.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Review => "review",
            Self::Note => "note",
            Self::FourEyes => "four_eyes",
            Self::Actions => "actions",
        }
    }

    /// True when the rule is a set (`contains`), not a single value.
    #[must_use]
    pub const fn is_set(self) -> bool {
        !matches!(self, Self::FourEyes)
    }
}

/// A policy ready to be evaluated. Cheap to share between threads.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(super) engine: Engine,
    /// The outputs the policy declares and their full paths.
    pub(super) outputs: Vec<(Output, String)>,
}

impl Compiled {
    /// Checks and prepares a policy.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its place.
    pub fn new(source: &str) -> Result<Self, PolicyError> {
        scan(source)?;
        let mut engine = Engine::new();
        engine.set_policy_length_config(PolicyLengthConfig {
            max_col: MAX_COLUMNS,
            max_file_bytes: NonZeroUsize::new(source.len().max(1)).unwrap_or(NonZeroUsize::MIN),
            max_lines: MAX_LINES,
        });
        engine.add_policy(FILE.to_owned(), source.to_owned()).map_err(refused)?;
        let found = inspect(&ast(&engine)?, source)?;
        let declared = Output::ALL.into_iter().filter(|output| found.outputs.contains(output));
        let path = |output: Output| format!("data.{}.{}", found.package, output.as_str());
        let outputs: Vec<_> = declared.map(|output| (output, path(output))).collect();
        builtins::install(&mut engine).map_err(refused)?;
        prepare(&mut engine, &outputs)?;
        Ok(Self { engine, outputs })
    }

    /// Runs the policy on a case without findings of each kind, so that one that
    /// fails on everything is refused when it is published and not when the
    /// first case comes.
    ///
    /// # Errors
    /// What went wrong, and on which kind of case.
    pub fn rehearse(&self, kinds: &[CaseKind], limit: Duration) -> Result<(), PolicyError> {
        for kind in kinds {
            let input = super::evaluate::input(&super::Case::empty(*kind))?;
            let verdict = self.evaluate(&input, limit);
            if let Some(trouble) = verdict.troubles.first() {
                return Err(rehearsal_failed(*kind, trouble));
            }
        }
        Ok(())
    }
}

fn rehearsal_failed(kind: CaseKind, trouble: &Trouble) -> PolicyError {
    let on = format!("on a case of the kind {} without findings", kind.as_str());
    match trouble {
        Trouble::Failed(error) => {
            PolicyError::at(error.line, error.column, format!("{on}: {}", error.reason))
        }
        other => PolicyError::whole(format!("{on} it {other}")),
    }
}

/// The analysis of the interpreter runs when an entry point is compiled, and its
/// result stays in the engine.
fn prepare(engine: &mut Engine, outputs: &[(Output, String)]) -> Result<(), PolicyError> {
    let Some((_, path)) = outputs.first() else { return Ok(()) };
    engine.compile_with_entrypoint(&path.as_str().into()).map(drop).map_err(refused)
}

fn ast(engine: &Engine) -> Result<serde_json::Value, PolicyError> {
    let text = engine.get_ast_as_json().map_err(refused)?;
    // The reader's limit of 128 levels is the limit on a policy's nesting.
    serde_json::from_str(&text)
        .map_err(|_| PolicyError::whole("an expression is nested too deeply; split it into several rules"))
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` gives it
fn refused(error: anyhow::Error) -> PolicyError {
    PolicyError::from_message(&format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line and part of the reason, or nothing when it compiles.
    fn check(body: &str, expect: Option<(u32, &str)>) {
        let source = format!("package p\n\n{body}\n");
        match (Compiled::new(&source).err(), expect) {
            (None, None) => {}
            (Some(error), Some((line, part))) => {
                assert!(error.line == line && error.reason.contains(part), "{body}\n=> {error}");
            }
            (got, expect) => panic!("{body}\n=> {got:?}, expected {expect:?}"),
        }
    }

    const DENY: &str = "deny contains {\"rule\": \"r\", \"message\": \"m\"} if input.case.kind == \"tender\"";

    #[test]
    fn says_where_a_text_is_wrong() {
        check(DENY, None);
        check("deny contains {", Some((4, "expect")));
        check("deny contains {\"rule\": \"r\", \"message\": x}", Some((3, "`x` is neither")));
        check("deny contains {\"rule\": \"a\" \"message\"}", Some((3, "")));
        check("allow := true", Some((0, "neither `deny` nor `review`")));
        check(&format!("{DENY}\nx := [1, 2"), Some((5, "]")));
        check(&format!("{DENY}\nx := {}", "1 * (".repeat(20)), Some((5, "")));
        check(&"x".repeat(1_100), Some((3, "column width")));
    }

    #[test]
    fn a_deep_tree_is_refused() {
        let deep = (0..60).fold("1".to_owned(), |inner, _| format!("{inner} + 1"));
        check(&format!("{DENY}\nx := {deep}"), Some((0, "nested too deeply")));
    }

    #[test]
    fn reads_the_interpreters_messages() {
        let check = |message: &str, expect: (u32, u32, &str)| {
            let got = PolicyError::from_message(message);
            assert_eq!((got.line, got.column, got.reason.as_str()), expect);
        };
        check(
            "\n--> policy.rego:3:14\n  |\n3 | x := y\n  |   ^\nerror: var y is unsafe",
            (3, 14, "var y is unsafe"),
        );
        let shown = "\n--> policy.rego:1:1\n  |\n1 | .error: :\n  | ^\nerror: expecting `package`";
        check(shown, (1, 1, "expecting `package`"));
        check("something else\nentirely", (0, 0, "something else"));
        check("", (0, 0, ""));
    }

    #[test]
    fn a_policy_that_fails_on_everything_is_refused() {
        let failing =
            "package p\n\ndeny contains {\"rule\": \"r\", \"message\": \"m\"} if to_number(\"x\") > 1\n";
        let compiled = Compiled::new(failing).unwrap();
        let error = compiled.rehearse(&CaseKind::ALL, Duration::from_secs(5)).unwrap_err();
        assert!(error.line == 3 && error.reason.starts_with("on a case of the kind tender"), "{error}");
    }

    #[test]
    fn the_example_of_the_authoring_guide_works() {
        let guide = include_str!("../../README.md");
        let example = guide.split("```rego\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let compiled = Compiled::new(example).unwrap_or_else(|error| panic!("{error}"));
        compiled.rehearse(&CaseKind::ALL, Duration::from_secs(20)).unwrap();
        assert_eq!(compiled.outputs.len(), 4);
    }
}
