//! The route table: an HTTP method and a path give the most specific rule.
//!
//! A tree per HTTP method. At every segment a literal goes before `*` and `*`
//! before `**`; a path whose last segment ends in `:verb` is first looked for
//! as that verb, of any method, and only then as an id that holds a colon.
//!
//! A path that is spelled out for one method is no id for another one:
//! `GET /workflows/create` is not the workflow `create`, it is the wrong method.

use super::percent::{Plus, decode};
use super::template::{Segment, Template};
use http::Method;
use std::collections::HashMap;

/// More segments than any template has.
const MAX_SEGMENTS: usize = 64;

/// Rules by method and path.
pub(super) struct Table<T> {
    trees: Vec<(Method, Node)>,
    rules: Vec<(Template, T)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { trees: Vec::new(), rules: Vec::new() }
    }
}

#[derive(Default)]
struct Node {
    literals: HashMap<String, Node>,
    one: Option<Box<Node>>,
    rest: Option<Box<Node>>,
    /// The rules that end here, by verb.
    ends: HashMap<Option<String>, usize>,
}

/// A rule that fits, with the path variables in the order of its template.
#[derive(Debug)]
pub struct Found<'t, T> {
    /// What was registered.
    pub rule: &'t T,
    /// The decoded values of the variables.
    pub variables: Vec<String>,
}

/// Why nothing fits.
#[derive(Debug, PartialEq, Eq)]
pub enum Miss {
    /// No rule has such a path.
    Path,
    /// The path is there, for these methods.
    Method(Vec<Method>),
    /// The path is not well-formed.
    Encoding(String),
}

impl<T> Table<T> {
    /// Adds a rule.
    ///
    /// # Errors
    /// The rule that has the same method, path and verb already.
    pub(super) fn insert(&mut self, method: Method, template: Template, rule: T) -> Result<(), &T> {
        let at = self.rules.len();
        let tree = match self.trees.iter().position(|(m, _)| *m == method) {
            Some(tree) => tree,
            None => {
                self.trees.push((method, Node::default()));
                self.trees.len() - 1
            }
        };
        let ends = &mut self.trees[tree].1.descend(&template.segments).ends;
        if let Some(&taken) = ends.get(&template.verb) {
            return Err(&self.rules[taken].1);
        }
        ends.insert(template.verb.clone(), at);
        self.rules.push((template, rule));
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    /// The most specific rule for a method and a raw path.
    ///
    /// # Errors
    /// See [`Miss`].
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<Found<'_, T>, Miss> {
        let segments = split(path).ok_or(Miss::Path)?;
        if let Some((bare, verb)) = split_verb(&segments) {
            match self.at(method, &bare, Some(verb)) {
                Err(Miss::Path) => {}
                answer => return self.found(answer?, &bare),
            }
        }
        self.found(self.at(method, &segments, None)?, &segments)
    }

    /// The rule of a method for a path, or the methods that have one.
    fn at(&self, method: &Method, segments: &[&str], verb: Option<&str>) -> Result<usize, Miss> {
        let all = self.trees.iter().filter_map(|(m, tree)| Some((m, tree.walk(segments, verb)?)));
        let all: Vec<_> = all.map(|(m, rule)| (m, rule, self.literals(rule))).collect();
        // What is meant is the path that says most: `/workflows/create`, though
        // `/workflows/{id}` fits as well.
        let most = all.iter().map(|(_, _, literals)| *literals).max();
        let meant: Vec<_> = all.into_iter().filter(|(_, _, literals)| Some(*literals) == most).collect();
        if let Some((_, rule, _)) = meant.iter().find(|(m, _, _)| *m == method) {
            return Ok(*rule);
        }
        let mut methods: Vec<_> = meant.into_iter().map(|(m, _, _)| m.clone()).collect();
        methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        Err(if methods.is_empty() { Miss::Path } else { Miss::Method(methods) })
    }

    /// How many segments of a rule are literal.
    fn literals(&self, rule: usize) -> usize {
        self.rules[rule].0.segments.iter().filter(|s| matches!(s, Segment::Literal(_))).count()
    }

    fn found(&self, rule: usize, segments: &[&str]) -> Result<Found<'_, T>, Miss> {
        let (template, rule) = &self.rules[rule];
        let variables = template.variables.iter().map(|variable| {
            let open = template.segments.get(variable.start + variable.len - 1) == Some(&Segment::Rest);
            let end = if open { segments.len() } else { variable.start + variable.len };
            let parts = segments.get(variable.start..end).unwrap_or_default();
            let decoded: Result<Vec<_>, _> =
                parts.iter().map(|part| decode(part, Plus::Literal, variable.multi)).collect();
            decoded.map(|parts| parts.join("/"))
        });
        let variables = variables.collect::<Result<_, _>>().map_err(Miss::Encoding)?;
        Ok(Found { rule, variables })
    }
}

/// The segments of a path; empty ones and dot segments belong to no resource.
fn split(path: &str) -> Option<Vec<&str>> {
    let segments: Vec<_> = path.strip_prefix('/')?.split('/').take(MAX_SEGMENTS + 1).collect();
    let sound = segments.len() <= MAX_SEGMENTS && !segments.iter().any(|s| matches!(*s, "" | "." | ".."));
    sound.then_some(segments)
}

/// The segments without the verb, and the verb, when the last one has a colon.
fn split_verb<'p>(segments: &[&'p str]) -> Option<(Vec<&'p str>, &'p str)> {
    let (last, front) = segments.split_last()?;
    let (id, verb) = last.rsplit_once(':').filter(|(id, _)| !id.is_empty())?;
    let mut bare = front.to_vec();
    bare.push(id);
    Some((bare, verb))
}

impl Node {
    fn descend(&mut self, segments: &[Segment]) -> &mut Self {
        segments.iter().fold(self, |node, segment| match segment {
            Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
            Segment::One => node.one.get_or_insert_default(),
            Segment::Rest => node.rest.get_or_insert_default(),
        })
    }

    /// Depth first, the most specific branch first. Every node has one parent,
    /// so no node is visited twice.
    fn walk(&self, segments: &[&str], verb: Option<&str>) -> Option<usize> {
        let Some((first, rest)) = segments.split_first() else {
            return self.end(verb);
        };
        let literal = self.literals.get(*first).and_then(|node| node.walk(rest, verb));
        literal
            .or_else(|| self.one.as_ref().and_then(|node| node.walk(rest, verb)))
            .or_else(|| self.rest.as_ref().and_then(|node| node.end(verb)))
    }

    fn end(&self, verb: Option<&str>) -> Option<usize> {
        self.ends.iter().find(|(key, _)| key.as_deref() == verb).map(|(_, rule)| *rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<&'static str> {
        let mut table = Table::default();
        for (method, template, name) in [
            (Method::GET, "/v1/cases", "list"),
            (Method::POST, "/v1/cases", "open"),
            (Method::GET, "/v1/{name=cases/*}", "get"),
            (Method::DELETE, "/v1/{name=cases/*}", "delete"),
            (Method::POST, "/v1/{name=cases/*}:close", "close"),
            (Method::GET, "/v1/{name=cases/*}:watch", "watch"),
            (Method::GET, "/v1/{parent=cases/*}/findings", "findings"),
            (Method::GET, "/v1/{name=cases/*/findings/*}", "finding"),
            (Method::GET, "/v1/cases/latest", "latest"),
            (Method::GET, "/v1/log/key", "key"),
            (Method::GET, "/v1/{id}/{part}", "any"),
            (Method::GET, "/v1/{path=files/**}", "file"),
            (Method::POST, "/v1/policies:try", "try"),
        ] {
            table.insert(method, Template::parse(template).expect(template), name).expect("no conflict");
        }
        table
    }

    fn look(table: &Table<&'static str>, method: &str, path: &str) -> String {
        match table.find(&Method::from_bytes(method.as_bytes()).expect("method"), path) {
            Ok(found) => format!("{} {}", found.rule, found.variables.join(",")).trim_end().to_owned(),
            Err(Miss::Path) => "404".to_owned(),
            Err(Miss::Method(allow)) => {
                let names: Vec<_> = allow.iter().map(Method::as_str).collect();
                format!("405 {}", names.join(","))
            }
            Err(Miss::Encoding(_)) => "400".to_owned(),
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let table = table();
        let check = |method: &str, path: &str, expect: &str| {
            assert_eq!(look(&table, method, path), expect, "{method} {path}");
        };
        check("GET", "/v1/cases", "list");
        check("POST", "/v1/cases", "open");
        check("GET", "/v1/cases/c1", "get cases/c1");
        check("GET", "/v1/cases/latest", "latest");
        check("GET", "/v1/cases/c1:watch", "watch cases/c1");
        check("POST", "/v1/cases/c1:close", "close cases/c1");
        check("GET", "/v1/cases/c1/findings", "findings cases/c1");
        check("GET", "/v1/cases/c1/findings/f1", "finding cases/c1/findings/f1");
        check("GET", "/v1/log/key", "key");
        check("GET", "/v1/log/other", "any log,other");
        check("GET", "/v1/files/a/b/c", "file files/a/b/c");
        check("GET", "/v1/files/a", "file files/a");
        check("POST", "/v1/policies:try", "try");
    }

    #[test]
    fn a_colon_is_a_verb_first_and_an_id_second() {
        let table = table();
        let check = |method: &str, path: &str, expect: &str| {
            assert_eq!(look(&table, method, path), expect, "{method} {path}");
        };
        check("GET", "/v1/cases/a:b", "get cases/a:b");
        check("GET", "/v1/cases/a:b:watch", "watch cases/a:b");
        check("GET", "/v1/cases/a%3Awatch", "get cases/a:watch");
        check("GET", "/v1/cases/:watch", "get cases/:watch");
        check("GET", "/v1/cases/c1:close", "405 POST");
    }

    #[test]
    fn what_does_not_fit_is_404_or_405() {
        let table = table();
        let check = |method: &str, path: &str, expect: &str| {
            assert_eq!(look(&table, method, path), expect, "{method} {path}");
        };
        check("DELETE", "/v1/cases", "405 GET,POST");
        check("POST", "/v1/cases/c1", "405 DELETE,GET");
        check("PUT", "/v1/cases/c1:close", "405 POST");
        check("PUT", "/v1/cases/c1:none", "405 DELETE,GET");
        check("PUT", "/v1/cases/latest", "405 GET");
        check("DELETE", "/v1/cases/latest", "405 GET");
        check("BREW", "/v1/log/key", "405 GET");
        check("GET", "/", "404");
        check("GET", "", "404");
        check("GET", "*", "404");
        check("GET", "/v2/cases", "404");
        check("GET", "/v1/cases/", "404");
        check("GET", "/v1//cases", "404");
        check("GET", "/v1/cases/..", "404");
        check("GET", "/v1/cases/./findings", "404");
        check("GET", "/v1/files", "404");
        check("GET", &"/a".repeat(5_000), "404");
    }

    #[test]
    fn values_are_decoded() {
        let table = table();
        let check = |path: &str, expect: &str| assert_eq!(look(&table, "GET", path), expect, "{path}");
        check("/v1/cases/a%20b", "get cases/a b");
        check("/v1/cases/a%2Fb", "get cases/a%2Fb");
        check("/v1/x/a%2Fb", "any x,a/b");
        check("/v1/cases/%zz", "400");
        check("/v1/cases/%ff", "400");
        check("/v1/cases/%", "400");
    }

    #[test]
    fn two_rules_for_one_route_are_a_conflict() {
        let mut table = table();
        let check = |table: &mut Table<_>, method, template: &str, expect: Option<&str>| {
            let template = Template::parse(template).expect("template");
            assert_eq!(table.insert(method, template, "new").err().copied(), expect);
        };
        check(&mut table, Method::GET, "/v1/{other=cases/*}", Some("get"));
        check(&mut table, Method::POST, "/v1/cases/*:close", Some("close"));
        check(&mut table, Method::PUT, "/v1/{name=cases/*}", None);
        check(&mut table, Method::POST, "/v1/{name=cases/*}:open", None);
    }
}
