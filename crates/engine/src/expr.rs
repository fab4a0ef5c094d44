//! CEL expressions: compiled once, with what they refer to and what they give.
//!
//! The rest of the crate knows nothing of the `cel` crate; its API changes with
//! each minor version and stays behind this file and `value`. `cel` has no type
//! checker; ours walks the tree over the descriptors of the called methods and the
//! schemas, and refuses what is certainly wrong, leaving to run time what it
//! cannot tell.

mod env;
mod infer;

pub use env::Variables;
pub use infer::{Scope, Type};

use crate::value::to_json;
use cel::common::ast::{EntryExpr, Expr as Ast, IdedExpr, LiteralValue};
use cel::{Context, Program};
use env::{Resolver, follow};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// Longest expression.
pub const MAX_LEN: usize = 4_096;
/// Deepest nesting of an expression: the parser recurses, and its stack must do.
pub const MAX_DEPTH: usize = 16;

/// The functions of CEL, gathered once: doing it for each evaluation would cost
/// more than most expressions do.
static STANDARD: LazyLock<Arc<cel::Env>> = LazyLock::new(|| Arc::new(cel::Env::stdlib()));

/// A compiled expression. Cheap to clone.
#[derive(Clone)]
pub struct Expr {
    source: Arc<str>,
    program: Arc<Program>,
    short: Short,
}

/// Most expressions of a definition are a path or a text; these are answered
/// without the interpreter.
#[derive(Clone)]
enum Short {
    No,
    Path(Arc<[String]>),
    Value(Json),
}

impl std::fmt::Debug for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expr({})", self.source)
    }
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
        let short = short(&program.expression().expr);
        Ok(Self { source: source.into(), program: Arc::new(program), short })
    }

    /// The text.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The value, as JSON.
    ///
    /// # Errors
    /// Says what went wrong and in which expression.
    pub fn evaluate(&self, variables: &dyn Variables) -> Result<Json, String> {
        match &self.short {
            Short::Value(value) => return Ok(value.clone()),
            Short::Path(path) => {
                if let Some(found) = follow(variables, path.iter().map(String::as_str)) {
                    return Ok(found.clone());
                }
            }
            Short::No => {}
        }
        let failed = |e: String| format!("{}: {e}", self.source);
        let resolver = Resolver(variables);
        let mut context = Context::with_env(STANDARD.clone());
        context.set_variable_resolver(&resolver);
        let value = cel::Value::resolve_val(self.program.expression(), &context)
            .map_err(|e| failed(e.to_string()))?;
        to_json(&*value).map_err(failed)
    }

    /// The value as a truth value.
    ///
    /// # Errors
    /// As [`Expr::evaluate`], and when it is something else.
    pub fn evaluate_bool(&self, variables: &dyn Variables) -> Result<bool, String> {
        match self.evaluate(variables)? {
            Json::Bool(value) => Ok(value),
            other => Err(format!("{} gave {other}, not true or false", self.source)),
        }
    }

    /// The value as a text.
    ///
    /// # Errors
    /// As [`Expr::evaluate`], and when it is something else.
    pub fn evaluate_text(&self, variables: &dyn Variables) -> Result<String, String> {
        match self.evaluate(variables)? {
            Json::String(value) => Ok(value),
            other => Err(format!("{} gave {other}, not a text", self.source)),
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

fn short(expr: &Ast) -> Short {
    match expr {
        Ast::Literal(LiteralValue::String(text)) => Short::Value(Json::String(text.inner().to_owned())),
        Ast::Literal(LiteralValue::Boolean(value)) => Short::Value(Json::Bool(*value.inner())),
        Ast::Literal(LiteralValue::Int(value)) => Short::Value((*value.inner()).into()),
        _ => path(expr).map_or(Short::No, |path| Short::Path(path.into())),
    }
}

fn path(expr: &Ast) -> Option<Vec<String>> {
    match expr {
        Ast::Ident(name) => Some(vec![name.clone()]),
        Ast::Select(select) if !select.test => {
            let mut path = path(&select.operand.expr)?;
            path.push(select.field.clone());
            Some(path)
        }
        _ => None,
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
    use serde_json::json;

    struct World {
        case: Json,
        triage: Json,
    }

    impl Variables for World {
        fn variable(&self, name: &str) -> Option<&Json> {
            (name == "case").then_some(&self.case)
        }
        fn step(&self, id: &str) -> Option<&Json> {
            (id == "triage").then_some(&self.triage)
        }
        fn steps(&self) -> Vec<(&str, &Json)> {
            vec![("triage", &self.triage)]
        }
    }

    fn evaluate(source: &str) -> Result<Json, String> {
        let world = World {
            case: json!({"kind": "CASE_KIND_TENDER", "documents": ["documents/a"]}),
            triage: json!({"band": "BAND_SPAM", "probability": 0.9, "count": 3, "deep": {"er": [1, {"x": null}]}}),
        };
        Expr::compile(source)?.evaluate(&world)
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
        check("steps.triage.deep.er", json!([1, {"x": null}]));
        check("steps.triage.deep.er[1].x == null", json!(true));
        check("has(steps.triage.deep.or) || has(steps.nothing)", json!(false));
        check("size(steps)", json!(1));
        check("case.documents.all(case, case.startsWith('documents/'))", json!(true));
        check("-3 + size('a')", json!(-2));
        check("'text'", json!("text"));
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |source: &str, part: &str| {
            let why = evaluate(source).expect_err(source);
            assert!(why.contains(part), "{source}: {why}");
        };
        check("1 +", "column");
        check("steps.nothing.band", "nothing");
        check("steps.triage.bands", "bands");
        check("unknown", "unknown");
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
