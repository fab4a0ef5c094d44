//! What a policy may do, checked on its syntax tree before it ever runs.
//!
//! The interpreter looks functions up while it runs and does not notice a
//! function that calls itself until the stack, and with it the process, is gone.
//! So a policy is refused here when it calls what does not exist or is not
//! allowed, when functions call each other in a circle, when rules lean on each
//! other too deeply, when it reads data nobody has loaded or a field of `input`
//! that does not exist, and when an output is written in a form that could never
//! be read.

mod graph;
mod tree;

use super::PolicyError;
use super::builtins;
use super::case::INPUT_FIELDS;
use super::compile::Output;
use graph::Graph;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tree::{Head, Path, Place, Rule, Use};

/// What is worth knowing about a policy that passed.
#[derive(Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Its package, such as `probity.policy`.
    pub package: String,
    /// The outputs it declares.
    pub outputs: Vec<Output>,
}

/// Checks the syntax tree of one module.
///
/// # Errors
/// The first thing that is not allowed, with its place.
pub fn inspect(ast: &Value, source: &str) -> Result<Inspection, PolicyError> {
    let module = &ast[0]["ast"];
    let package = package(module)?;
    let rules = tree::rules(module, source)?;
    let scope = Scope::new(module, &package, &rules)?;
    let mut graph = Graph::new(&rules);
    for rule in &rules {
        check_head(rule)?;
        for used in &rule.uses {
            scope.check(rule, used, &mut graph)?;
        }
    }
    graph.check()?;
    let outputs: Vec<_> =
        Output::ALL.into_iter().filter(|o| rules.iter().any(|rule| rule.name == o.as_str())).collect();
    if !outputs.iter().any(|output| matches!(output, Output::Deny | Output::Review)) {
        return Err(PolicyError::whole(
            "it has neither `deny` nor `review`, so it would let every case pass; write `deny contains {\"rule\": …, \"message\": …} if { … }`",
        ));
    }
    Ok(Inspection { package: package.join("."), outputs })
}

fn package(module: &Value) -> Result<Vec<String>, PolicyError> {
    let refr = &module["package"]["refr"];
    let path = tree::path(refr).filter(|path| path.whole);
    let path = path.filter(|path| path.parts.iter().all(|part| is_identifier(part)));
    path.map(|path| path.parts).ok_or_else(|| {
        Place::of(refr).refuse("a package is identifiers with dots between, such as `probity.policy`")
    })
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Outputs must have the form they are read in.
fn check_head(rule: &Rule) -> Result<(), PolicyError> {
    let output = Output::ALL.into_iter().find(|output| output.as_str() == rule.name);
    if rule.head == Head::Function && rule.parts > 1 {
        return Err(rule.place.refuse("name a function with one identifier"));
    }
    let Some(output) = output else { return Ok(()) };
    let name = output.as_str();
    let fits = match rule.head {
        Head::Set => output.is_set(),
        Head::Value => !output.is_set(),
        Head::Function => false,
        Head::Default => true,
    };
    if fits && rule.parts == 1 {
        return Ok(());
    }
    Err(rule.place.refuse(match output {
        Output::FourEyes => "write `four_eyes if { … }`".to_owned(),
        Output::Actions => "write `actions contains \"notify\" if { … }`".to_owned(),
        _ => format!("write `{name} contains {{\"rule\": \"…\", \"message\": \"…\"}} if {{ … }}`"),
    }))
}

/// What names mean in the module.
struct Scope<'m> {
    package: &'m [String],
    rules: BTreeSet<&'m str>,
    aliases: BTreeMap<String, Vec<String>>,
}

impl<'m> Scope<'m> {
    fn new(module: &Value, package: &'m [String], rules: &'m [Rule]) -> Result<Self, PolicyError> {
        let names = rules.iter().map(|rule| rule.name.as_str()).collect();
        let mut scope = Self { package, rules: names, aliases: BTreeMap::new() };
        for import in tree::imports(module)? {
            let keyword = matches!(import.path.root(), "rego" | "future");
            if keyword {
                continue;
            }
            if import.path.root() != "input" {
                return Err(import
                    .place
                    .refuse("a policy imports `rego.v1` or a part of `input`, nothing else"));
            }
            if scope.rules.contains(import.alias.as_str()) {
                return Err(import
                    .place
                    .refuse(format!("`{}` is a rule of this policy as well", import.alias)));
            }
            scope.check_root(&import.path, import.place)?;
            scope.aliases.insert(import.alias, import.path.parts);
        }
        Ok(scope)
    }

    fn check(&self, rule: &Rule, used: &Use, graph: &mut Graph) -> Result<(), PolicyError> {
        let path = self.spelt_out(used.path());
        match used {
            Use::Call { place, .. } => self.check_call(rule, &path, *place, graph),
            Use::Reference { place, .. } => {
                self.check_root(&path, *place)?;
                self.check_bound(rule, &path, *place)?;
                if let Some(name) = self.own(&path) {
                    graph.leans_on(&rule.name, name);
                }
                Ok(())
            }
            Use::With { place, .. } if path.root() == "input" && path.whole => self.check_root(&path, *place),
            Use::With { place, .. } => {
                Err(place.refuse("`with` may replace parts of `input` only, not functions and not `data`"))
            }
        }
    }

    fn check_call(
        &self,
        rule: &Rule,
        path: &Path,
        place: Place,
        graph: &mut Graph,
    ) -> Result<(), PolicyError> {
        if let Some(name) = self.own(path)
            && graph.calls(&rule.name, name)
        {
            return Ok(());
        }
        let name = path.parts.join(".");
        match builtins::why_not(&name) {
            None => Ok(()),
            Some(why) => Err(place.refuse(format!("`{name}` {why}"))),
        }
    }

    /// A slip in a variable's name would be an error when the rule is evaluated;
    /// the interpreter does not look for it before.
    fn check_bound(&self, rule: &Rule, path: &Path, place: Place) -> Result<(), PolicyError> {
        let name = path.root();
        let known =
            matches!(name, "input" | "data" | "_") || self.rules.contains(name) || rule.bound.contains(name);
        if known {
            Ok(())
        } else {
            Err(place.refuse(format!("`{name}` is neither a rule nor given a value anywhere in this rule")))
        }
    }

    /// `data` holds this policy alone, and `input` has fixed fields.
    fn check_root(&self, path: &Path, place: Place) -> Result<(), PolicyError> {
        match path.root() {
            "data" if self.own(path).is_none() => Err(place.refuse(format!(
                "there is no data but this policy's own rules, `data.{}.<rule>`",
                self.package.join(".")
            ))),
            "input" => check_input(path, place),
            _ => Ok(()),
        }
    }

    /// The rule of this policy a path begins with, if it does.
    fn own<'p>(&self, path: &'p Path) -> Option<&'p str> {
        if path.root() != "data" {
            return path.parts.first().map(String::as_str);
        }
        let rest = path.parts[1..].strip_prefix(self.package)?;
        rest.first().map(String::as_str)
    }

    /// The path with an import's name replaced by what it stands for.
    fn spelt_out(&self, path: &Path) -> Path {
        match self.aliases.get(path.root()) {
            Some(target) => {
                let parts = target.iter().chain(&path.parts[1..]).cloned().collect();
                Path { parts, whole: path.whole }
            }
            None => path.clone(),
        }
    }
}

fn check_input(path: &Path, place: Place) -> Result<(), PolicyError> {
    let Some(field) = path.parts.get(1) else { return Ok(()) };
    let Some((_, below)) = INPUT_FIELDS.iter().find(|(name, _)| name == field) else {
        let known: Vec<_> = INPUT_FIELDS.iter().map(|(name, _)| *name).collect();
        return Err(place.refuse(format!("`input` has no field `{field}`; it has {}", known.join(", "))));
    };
    match path.parts.get(2) {
        Some(name) if !below.is_empty() && !below.contains(&name.as_str()) => {
            Err(place.refuse(format!("`input.{field}` has no field `{name}`; it has {}", below.join(", "))))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
