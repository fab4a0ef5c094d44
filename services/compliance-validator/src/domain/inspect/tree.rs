//! Reads the interpreter's syntax tree, which it gives as JSON: each expression
//! is an object with one key, the sort of the expression.

use super::super::PolicyError;
use serde_json::Value;
use std::collections::BTreeSet;

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    line: u32,
    column: u32,
}

impl Place {
    /// Where a node begins.
    pub(super) fn of(node: &Value) -> Self {
        let body = sort(node).map_or(node, |(_, body)| body);
        let number = |key: &str| u32::try_from(body["span"][key].as_u64().unwrap_or(0)).unwrap_or(0);
        Self { line: number("line"), column: number("col") }
    }

    pub(super) fn refuse(self, reason: impl Into<String>) -> PolicyError {
        PolicyError::at(self.line, self.column, reason)
    }
}

/// `a.b["c"]` as its parts; not whole when it goes on with something that is
/// known only at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) parts: Vec<String>,
    pub(super) whole: bool,
}

impl Path {
    pub(super) fn root(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }
}

/// The form of a rule's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// `name := …`.
    Value,
    /// `name contains …`.
    Set,
    /// `name(…) := …`.
    Function,
    /// `default name := …`.
    Default,
}

/// A rule and what it uses.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    /// How many parts its name has, `a.b` two.
    pub(super) parts: usize,
    pub(super) head: Head,
    pub(super) place: Place,
    pub(super) uses: Vec<Use>,
    /// The variables it binds somewhere.
    pub(super) bound: BTreeSet<String>,
    /// Levels of its deepest expression.
    pub(super) depth: usize,
}

/// Something a rule uses.
#[derive(Debug)]
pub(super) enum Use {
    /// A function is called.
    Call { path: Path, place: Place },
    /// A name is read.
    Reference { path: Path, place: Place },
    /// A name is replaced for one expression.
    With { path: Path, place: Place },
}

impl Use {
    pub(super) const fn path(&self) -> &Path {
        match self {
            Self::Call { path, .. } | Self::Reference { path, .. } | Self::With { path, .. } => path,
        }
    }
}

/// An import.
pub(super) struct Import {
    pub(super) path: Path,
    pub(super) alias: String,
    pub(super) place: Place,
}

/// The sort and the body of a node.
fn sort(node: &Value) -> Option<(&str, &Value)> {
    let object = node.as_object().filter(|object| object.len() == 1)?;
    object.iter().next().map(|(sort, body)| (sort.as_str(), body))
}

/// The path an expression spells; nothing when it does not begin with a name.
pub(super) fn path(node: &Value) -> Option<Path> {
    let (sort, body) = sort(node)?;
    match sort {
        "Var" => Some(Path { parts: vec![text(&body["value"])?], whole: true }),
        "RefDot" => Some(longer(path(&body["refr"])?, text(&body["field"][1]))),
        "RefBrack" => Some(longer(path(&body["refr"])?, literal(&body["index"]))),
        _ => None,
    }
}

fn longer(mut path: Path, part: Option<String>) -> Path {
    match part {
        Some(part) if path.whole => path.parts.push(part),
        _ => path.whole = false,
    }
    path
}

fn literal(node: &Value) -> Option<String> {
    match sort(node)? {
        ("String" | "RawString", body) => text(&body["value"]),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(ToOwned::to_owned)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The imports of a module.
pub(super) fn imports(module: &Value) -> Result<Vec<Import>, PolicyError> {
    list(&module["imports"]).iter().map(import).collect()
}

fn import(node: &Value) -> Result<Import, PolicyError> {
    let place = Place::of(node);
    let path = path(&node["refr"]).filter(|path| path.whole);
    let path = path.ok_or_else(|| place.refuse("an import names a path with dots between"))?;
    // The name after `as` is given as a place in the text alone; the parser
    // refuses an import whose last part is no identifier without it.
    let last = path.parts.last().cloned().unwrap_or_default();
    match &node["as"] {
        Value::Null => Ok(Import { path, alias: last, place }),
        _ => Err(place.refuse("import without `as`: the last part is the name")),
    }
}

/// The rules of a module. Some names are in the tree as places in the source
/// alone.
pub(super) fn rules(module: &Value, source: &str) -> Result<Vec<Rule>, PolicyError> {
    list(&module["rules"]).iter().map(|node| rule(node, source)).collect()
}

fn rule(node: &Value, source: &str) -> Result<Rule, PolicyError> {
    let place = Place::of(node);
    let (form, body) = sort(node).ok_or_else(|| place.refuse("this rule cannot be read"))?;
    let (head, refr) = match (form, sort(&body["head"])) {
        ("Spec", Some(("Compr", head))) => (Head::Value, &head["refr"]),
        ("Spec", Some(("Set", head))) => (Head::Set, &head["refr"]),
        ("Spec", Some(("Func", head))) => (Head::Function, &head["refr"]),
        ("Default", _) => (Head::Default, &body["refr"]),
        _ => return Err(place.refuse("this rule cannot be read")),
    };
    let name = path(refr).ok_or_else(|| place.refuse("a rule's name begins with an identifier"))?;
    let parts = name.parts.len() + usize::from(!name.whole);
    let mut walk = Walk { uses: Vec::new(), bound: BTreeSet::new(), deepest: 0, head: refr, source };
    walk.bind(&body["head"]["Func"]["args"]);
    walk.bind(&body["args"]);
    walk.node(body, 0);
    let (uses, bound, depth) = (walk.uses, walk.bound, walk.deepest);
    Ok(Rule { name: name.root().to_owned(), parts, head, place, uses, bound, depth })
}

/// Collects what a rule uses.
struct Walk<'a> {
    uses: Vec<Use>,
    bound: BTreeSet<String>,
    deepest: usize,
    head: &'a Value,
    source: &'a str,
}

impl<'a> Walk<'a> {
    fn node(&mut self, node: &'a Value, depth: usize) {
        self.deepest = self.deepest.max(depth);
        match node {
            Value::Array(items) => items.iter().for_each(|item| self.node(item, depth)),
            Value::Object(_) if std::ptr::eq(node, self.head) => self.indexes(node, depth),
            Value::Object(fields) => match sort(node) {
                Some(("Call", body)) => self.call(body, depth + 1),
                Some(("Var" | "RefDot" | "RefBrack", _)) => self.reference(node, depth + 1),
                Some((sort, body)) => {
                    self.binder(sort, body);
                    self.node(body, depth + 1);
                }
                None if fields.contains_key("refr") && fields.contains_key("as") => self.with(node, depth),
                None => fields.values().for_each(|value| self.node(value, depth)),
            },
            _ => {}
        }
    }

    fn call(&mut self, body: &'a Value, depth: usize) {
        let fcn = &body["fcn"];
        // The parser lets nothing but a whole path be called.
        let path = path(fcn).unwrap_or(Path { parts: vec![String::new()], whole: false });
        self.uses.push(Use::Call { path, place: Place::of(fcn) });
        self.node(&body["params"], depth);
    }

    fn reference(&mut self, node: &'a Value, depth: usize) {
        if let Some(path) = path(node) {
            self.uses.push(Use::Reference { path, place: Place::of(node) });
        }
        self.indexes(node, depth);
    }

    /// What is inside the brackets of `a[b][c]`, and what it begins with when
    /// that is no name.
    fn indexes(&mut self, node: &'a Value, depth: usize) {
        match sort(node) {
            Some(("RefDot", body)) => self.indexes(&body["refr"], depth),
            Some(("RefBrack", body)) => {
                self.bind(&body["index"]);
                self.node(&body["index"], depth);
                self.indexes(&body["refr"], depth);
            }
            Some(("Var", _)) => {}
            _ => self.node(node, depth),
        }
    }

    /// Notes the variables an expression of some sort gives a value to.
    fn binder(&mut self, sort: &str, body: &'a Value) {
        match sort {
            "AssignExpr" => {
                self.bind(&body["lhs"]);
                if body["op"] == "Eq" {
                    self.bind(&body["rhs"]);
                }
            }
            "SomeIn" | "Every" => {
                self.bind(&body["key"]);
                self.bind(&body["value"]);
            }
            "SomeVars" => self.bind(&body["vars"]),
            _ => {}
        }
    }

    /// Every variable of a pattern, and a name that is there as a place alone.
    fn bind(&mut self, pattern: &Value) {
        match pattern {
            Value::Array(items) => items.iter().for_each(|item| self.bind(item)),
            Value::Object(fields) => match (sort(pattern), &pattern["start"], &pattern["end"]) {
                (Some(("Var", body)), ..) => self.bound.extend(text(&body["value"])),
                (_, Value::Number(start), Value::Number(end)) => {
                    let place = |n: &serde_json::Number| n.as_u64().and_then(|n| usize::try_from(n).ok());
                    let name =
                        place(start).zip(place(end)).and_then(|(start, end)| self.source.get(start..end));
                    self.bound.extend(name.map(ToOwned::to_owned));
                }
                _ => fields.values().for_each(|value| self.bind(value)),
            },
            _ => {}
        }
    }

    fn with(&mut self, node: &'a Value, depth: usize) {
        let path = path(&node["refr"]).unwrap_or(Path { parts: Vec::new(), whole: false });
        self.uses.push(Use::With { path, place: Place::of(&node["refr"]) });
        self.node(&node["as"], depth);
    }
}
