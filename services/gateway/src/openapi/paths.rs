//! Routes as OpenAPI spells them: `/v1/{name=cases/*}:close` is
//! `/v1/cases/{case}:close`, and `name` is put together again by the reader.

use crate::transcode::template::{Segment, Template};

/// A path with what fills its holes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// `/v1/cases/{case}:close`.
    pub(super) text: String,
    /// The holes from left to right.
    pub(super) holes: Vec<Hole>,
}

/// A part of a path that the caller fills.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// `case`.
    pub(super) name: String,
    /// The collection before it, `cases`; empty where there is none.
    pub(super) collection: String,
    /// The field of the request it is part of.
    pub(super) field: String,
    /// Which segment of that field it is.
    pub(super) at: usize,
}

impl Path {
    pub(super) fn of(template: &Template) -> Self {
        let mut path = Self { text: String::new(), holes: Vec::new() };
        let mut before = "";
        for (at, segment) in template.segments.iter().enumerate() {
            path.text.push('/');
            if let Segment::Literal(text) = segment {
                path.text.push_str(text);
                before = text;
                continue;
            }
            let variable = template.variables.iter().find(|v| (v.start..v.start + v.len).contains(&at));
            let field = variable.map_or("", |v| v.field.as_str());
            let inside = variable.map_or(0, |v| at - v.start);
            let collection = if inside > 0 { before } else { "" };
            let name = if collection.is_empty() { field.replace('.', "_") } else { singular(collection) };
            path.text.push_str(&format!("{{{name}}}"));
            path.holes.push(Hole {
                name,
                collection: collection.to_owned(),
                field: field.to_owned(),
                at: inside,
            });
        }
        if let Some(verb) = &template.verb {
            path.text.push(':');
            path.text.push_str(verb);
        }
        path
    }

    /// The path with its holes filled from the fields of a request.
    pub(super) fn fill(&self, value: impl Fn(&str) -> String) -> String {
        self.holes.iter().fold(self.text.clone(), |text, hole| {
            let whole = value(&hole.field);
            let part = if hole.collection.is_empty() {
                whole
            } else {
                whole.split('/').nth(hole.at).unwrap_or_default().to_owned()
            };
            text.replace(&format!("{{{}}}", hole.name), &part)
        })
    }
}

/// One of a collection.
pub(super) fn singular(collection: &str) -> String {
    match collection.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => collection.strip_suffix('s').unwrap_or(collection).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_become_paths_with_named_holes() {
        let check = |template: &str, expect: &str, filled: &str| {
            let path = Path::of(&Template::parse(template).expect(template));
            assert_eq!(path.text, expect);
            let value = |field: &str| match field {
                "id" => "exec_1".to_owned(),
                _ => "cases/c1/findings/f1".to_owned(),
            };
            assert_eq!(path.fill(value), filled);
        };
        check("/v1/cases", "/v1/cases", "/v1/cases");
        check("/v1/{name=cases/*}:close", "/v1/cases/{case}:close", "/v1/cases/c1:close");
        check(
            "/v1/{name=cases/*/findings/*}",
            "/v1/cases/{case}/findings/{finding}",
            "/v1/cases/c1/findings/f1",
        );
        check("/v1/{parent=policies/*}/x", "/v1/policies/{policy}/x", "/v1/policies/c1/x");
        check("/workflows/{id}/execute", "/workflows/{id}/execute", "/workflows/exec_1/execute");
    }
}
