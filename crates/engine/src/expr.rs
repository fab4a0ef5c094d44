//! CEL expressions: compiled once, with what they refer to and what they give.
//!
//! The rest of the crate knows nothing of the `cel` crate but [`cel::Value`]; its
//! API changes with each minor version and stays behind this file. `cel` has no
//! type checker; ours walks the tree over the descriptors of the called methods
//! and refuses what is certainly wrong, leaving to run time what it cannot tell.

mod infer;

pub use infer::{Scope, Type};

use cel::common::ast::{EntryExpr, Expr as Ast, IdedExpr};
use cel::{Context, Program, Value};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// Longest expression.
pub const MAX_LEN: usize = 4_096;
/// Deepest nesting of an expression: the parser recurses, and its stack must do.
pub const MAX_DEPTH: usize = 16;

/// The functions of CEL, gathered once: doing it for each evaluation would cost
/// more than most expressions do.
static STANDARD: LazyLock<Arc<cel::Env>> = LazyLock::new(|| Arc::new(cel::Env::stdlib()));

/// A compiled expression.
#[derive(Clone)]
pub struct Expr {
    source: String,
    program: Arc<Program>,
}

impl std::fmt::Debug for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expr({})", self.source)
    }
}

/// What an expression can see: the case and the steps before.
pub struct Env<'a> {
    /// `case`.
    pub case: &'a Value,
    /// `steps`.
    pub steps: Value,
}

impl Expr {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Says what cannot be read, with the column inside the expression.
    pub fn compile(source: &str) -> Result<Self, String> {
        if source.len() > MAX_LEN {
            return Err(format!("the expression has {} bytes; at most {MAX_LEN} are allowed", source.len()));
        }
        let depth = depth(source);
        if depth > MAX_DEPTH {
            return Err(format!("the expression is nested {depth} deep; at most {MAX_DEPTH} are allowed"));
        }
        let program = parse(source)?.map_err(|errors| {
            let first = errors.errors.first();
            let place =
                first.map_or(String::new(), |e| format!(" at column {} of the expression", e.pos.1 + 1));
            let what = first.map_or_else(|| "it cannot be read".to_owned(), |e| e.msg.clone());
            format!("this is no CEL expression: {what}{place}")
        })?;
        Ok(Self { source: source.to_owned(), program: Arc::new(program) })
    }

    /// The text.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The value in an environment.
    ///
    /// # Errors
    /// Says what went wrong and in which expression.
    pub fn evaluate(&self, env: &Env<'_>) -> Result<Value, String> {
        let mut context = Context::with_env(STANDARD.clone());
        context.add_variable_from_value("case", env.case.clone());
        context.add_variable_from_value("steps", env.steps.clone());
        self.program.execute(&context).map_err(|e| format!("{}: {e}", self.source))
    }

    /// The value as a truth value.
    ///
    /// # Errors
    /// As [`Expr::evaluate`], and when it is something else.
    pub fn evaluate_bool(&self, env: &Env<'_>) -> Result<bool, String> {
        match self.evaluate(env)? {
            Value::Bool(value) => Ok(value),
            other => Err(format!("{} gave {other:?}, not true or false", self.source)),
        }
    }

    /// The value as a text.
    ///
    /// # Errors
    /// As [`Expr::evaluate`], and when it is something else.
    pub fn evaluate_text(&self, env: &Env<'_>) -> Result<String, String> {
        match self.evaluate(env)? {
            Value::String(value) => Ok(value.to_string()),
            other => Err(format!("{} gave {other:?}, not a text", self.source)),
        }
    }

    /// The steps it refers to as `steps.<id>`.
    #[must_use]
    pub fn steps(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        visit(self.program.expression(), &mut |expr| {
            if let Ast::Select(select) = &expr.expr
                && matches!(&select.operand.expr, Ast::Ident(name) if name == "steps")
            {
                found.insert(select.field.clone());
            }
        });
        found
    }

    /// Checks that it can stand where `wanted` is wanted.
    ///
    /// # Errors
    /// As [`Expr::infer`], and when it certainly gives something else.
    pub fn check(&self, scope: &Scope<'_>, wanted: &Type) -> Result<(), String> {
        let found = self.infer(scope)?;
        if !found.fits(wanted) {
            return Err(format!("this gives {}, but {} is wanted", found.describe(), wanted.describe()));
        }
        infer::check_literal(self.program.expression(), wanted)
    }

    /// The type it gives, as far as it can be told.
    ///
    /// # Errors
    /// Says what is certainly wrong: an unknown variable or field, a comparison
    /// with a value an enum does not have, operands that never fit.
    pub fn infer(&self, scope: &Scope<'_>) -> Result<Type, String> {
        infer::infer(self.program.expression(), scope)
    }
}

/// Parses on a stack of its own: the generated parser takes more than 100 KiB a
/// level of nesting, and callers run on the small stacks of a runtime.
fn parse(source: &str) -> Result<Result<Program, cel::ParseErrors>, String> {
    const STACK: usize = 32 << 20;
    std::thread::scope(|scope| {
        let parser =
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || Program::compile(source));
        let parser = parser.map_err(|e| format!("the expression cannot be parsed now: {e}"))?;
        parser.join().map_err(|_| "the parser gave up on this expression".to_owned())
    })
}

/// How deep the parser may recurse into a source, rather over- than
/// underestimated: brackets, and what makes the grammar recurse without them
/// (`?:` and runs of prefix operators).
fn depth(source: &str) -> usize {
    let (mut open, mut deepest, mut prefixes, mut longest, mut choices) = (0_usize, 0, 0_usize, 0, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b'?' => choices += 1,
            _ => {}
        }
        prefixes = if matches!(byte, b'!' | b'-') { prefixes + 1 } else { 0 };
        deepest = deepest.max(open);
        longest = longest.max(prefixes);
    }
    deepest + choices + longest / 4
}

/// Calls `f` for the expression and everything in it.
fn visit(expr: &IdedExpr, f: &mut impl FnMut(&IdedExpr)) {
    f(expr);
    match &expr.expr {
        Ast::Call(call) => call.target.iter().map(|t| &**t).chain(&call.args).for_each(|e| visit(e, f)),
        Ast::Select(select) => visit(&select.operand, f),
        Ast::List(list) => list.elements.iter().for_each(|e| visit(e, f)),
        Ast::Map(map) => map.entries.iter().for_each(|e| visit_entry(&e.expr, f)),
        Ast::Struct(fields) => fields.entries.iter().for_each(|e| visit_entry(&e.expr, f)),
        Ast::Comprehension(c) => {
            for part in [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result] {
                visit(part, f);
            }
        }
        Ast::Unspecified | Ast::Ident(_) | Ast::Literal(_) => {}
    }
}

fn visit_entry(entry: &EntryExpr, f: &mut impl FnMut(&IdedExpr)) {
    match entry {
        EntryExpr::StructField(field) => visit(&field.value, f),
        EntryExpr::MapEntry(entry) => {
            visit(&entry.key, f);
            visit(&entry.value, f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::to_cel;
    use serde_json::json;

    fn evaluate(source: &str) -> Result<serde_json::Value, String> {
        let case = to_cel(&json!({"kind": "CASE_KIND_TENDER", "documents": ["documents/a"]}));
        let steps = to_cel(&json!({"triage": {"band": "BAND_SPAM", "probability": 0.9, "count": 3}}));
        crate::value::to_json(&Expr::compile(source)?.evaluate(&Env { case: &case, steps })?)
    }

    #[test]
    fn evaluates() {
        let check =
            |source: &str, expect: serde_json::Value| assert_eq!(evaluate(source), Ok(expect), "{source}");
        check("case.kind == 'CASE_KIND_TENDER'", json!(true));
        check("steps.triage.count > 0 && steps.triage.probability > 0.5", json!(true));
        check("has(steps.triage.band) ? 'yes' : 'no'", json!("yes"));
        check("case.documents.map(d, d + '!')", json!(["documents/a!"]));
        check("{'a': size(case.documents)}", json!({"a": 1}));
        check("['x'].exists(r, r == 'x')", json!(true));
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |source: &str, part: &str| {
            let why = evaluate(source).expect_err(source);
            assert!(why.contains(part), "{source}: {why}");
        };
        check("1 +", "column");
        check("steps.nothing.band", "nothing");
        check(&"(".repeat(5_000), "at most");
        check(&"[".repeat(2_000), "nested");
        check(&"!".repeat(2_000), "nested");
        check(&"true?".repeat(500), "nested");
        check(&"[".repeat(MAX_DEPTH), "no CEL expression");
        check(&format!("{}true{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH - 1)), "no CEL expression");
    }

    #[test]
    fn the_deepest_expressions_fit_the_stack() {
        let half = MAX_DEPTH / 2 - 1;
        let check = |source: String| assert_eq!(evaluate(&source), Ok(json!(true)), "{source}");
        let nested = format!("{}1{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        check(format!("{nested} == {nested}"));
        check(format!("{}1{} != []", "[[1].map(x, ".repeat(half), ")]".repeat(half)));
        check(format!("({}1) == 1", "false ? 1 : ".repeat(MAX_DEPTH - 1)));
        check((0..500).map(|_| "true").collect::<Vec<_>>().join("&&"));
    }

    #[test]
    fn finds_the_steps_it_names() {
        let steps = Expr::compile("steps.a.x == 1 || has(steps.b.y) || [1].exists(i, steps.c.z == i)")
            .expect("compiles")
            .steps();
        assert_eq!(steps.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
