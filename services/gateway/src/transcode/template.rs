//! Path templates of `google.api.http` (AIP-127):
//! `/v1/{name=cases/*/findings/*}:setDisposition`.

/// A segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// This text.
    Literal(String),
    /// `*`: any one segment.
    One,
    /// `**`: all that is left, at least one segment; only at the end.
    Rest,
}

/// A field that is filled from the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// The path of the field, such as `name` or `case.name`.
    pub(crate) field: String,
    /// Its first segment.
    pub(crate) start: usize,
    /// How many segments of the template it has.
    pub(crate) len: usize,
    /// More than one segment may be in it, so `%2F` is not decoded.
    pub(super) multi: bool,
}

/// A parsed template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) verb: Option<String>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rest =
            text.strip_prefix('/').ok_or_else(|| format!("{text:?} does not begin with a slash"))?;
        let mut template = Self::default();
        loop {
            rest = match rest.strip_prefix('{') {
                Some(inside) => template.variable(inside)?,
                None => template.segment(rest)?,
            };
            match rest.split_at_checked(1) {
                None => break,
                Some(("/", tail)) => rest = tail,
                Some((":", verb)) => {
                    template.verb = Some(literal(verb)?);
                    break;
                }
                Some(_) => return Err(format!("{rest:?} cannot follow a segment")),
            }
        }
        template.check(text)
    }

    fn variable<'t>(&mut self, inside: &'t str) -> Result<&'t str, String> {
        let (inner, after) = inside.split_once('}').ok_or("a { has no }")?;
        let (field, pattern) = inner.split_once('=').unwrap_or((inner, "*"));
        let start = self.segments.len();
        for segment in pattern.split('/') {
            let left = self.segment(segment)?;
            if !left.is_empty() {
                return Err(format!("{left:?} cannot stand inside a variable"));
            }
        }
        for name in field.split('.') {
            literal(name)?;
        }
        let len = self.segments.len() - start;
        let multi = len > 1 || self.segments.last() == Some(&Segment::Rest);
        self.variables.push(Variable { field: field.to_owned(), start, len, multi });
        Ok(after)
    }

    /// Takes one segment off the front and gives what is left.
    fn segment<'t>(&mut self, text: &'t str) -> Result<&'t str, String> {
        let end = text.find(['/', ':']).unwrap_or(text.len());
        let (segment, rest) = text.split_at(end);
        self.segments.push(match segment {
            "*" => Segment::One,
            "**" => Segment::Rest,
            other => Segment::Literal(literal(other)?),
        });
        Ok(rest)
    }

    fn check(self, text: &str) -> Result<Self, String> {
        let before_end = self.segments.len().saturating_sub(1);
        if self.segments.iter().take(before_end).any(|s| *s == Segment::Rest) {
            return Err(format!("{text:?}: ** is only understood as the last segment"));
        }
        Ok(self)
    }
}

/// A name of letters, digits, `-`, `_`, `.` and `~`, at least one.
fn literal(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    if text.is_empty() || !text.bytes().all(plain) {
        return Err(format!("{text:?} is no name: letters, digits, -, _, . and ~"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(template: &Template) -> String {
        let segments: Vec<_> = template
            .segments
            .iter()
            .map(|s| match s {
                Segment::Literal(text) => text.as_str(),
                Segment::One => "*",
                Segment::Rest => "**",
            })
            .collect();
        let variables: Vec<_> =
            template.variables.iter().map(|v| format!("{}@{}+{}", v.field, v.start, v.len)).collect();
        format!("{} {} {}", segments.join("/"), variables.join(","), template.verb.as_deref().unwrap_or("-"))
    }

    #[test]
    fn reads_templates() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(Template::parse(text).ok().map(|t| print(&t)).as_deref(), expect, "{text}");
        };
        check("/v1/cases", Some("v1/cases  -"));
        check("/v1/{name=cases/*}", Some("v1/cases/* name@1+2 -"));
        check("/v1/{name=cases/*}:close", Some("v1/cases/* name@1+2 close"));
        check("/v1/{parent=cases/*}/findings", Some("v1/cases/*/findings parent@1+2 -"));
        check(
            "/v1/{name=cases/*/findings/*}:setDisposition",
            Some("v1/cases/*/findings/* name@1+4 setDisposition"),
        );
        check("/v1/policies:try", Some("v1/policies  try"));
        check("/v1/{id}", Some("v1/* id@1+1 -"));
        check("/v1/{a}/{b.c}", Some("v1/*/* a@1+1,b.c@2+1 -"));
        check("/v1/{path=**}", Some("v1/** path@1+1 -"));
        check("/v1/{path=files/**}:read", Some("v1/files/** path@1+2 read"));
        check("v1/cases", None);
        check("", None);
        check("/", None);
        check("/v1//cases", None);
        check("/v1/{name", None);
        check("/v1/{name=cases/*", None);
        check("/v1/{=cases/*}", None);
        check("/v1/{na me}", None);
        check("/v1/{name}x", None);
        check("/v1/**/x", None);
        check("/v1/cases:", None);
        check("/v1/cases:a/b", None);
        check("/v1/ca ses", None);
        check("/v1/{a={b}}", None);
    }
}
