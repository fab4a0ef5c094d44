//! The tree of a filter, as it was written and before anybody asked whether its fields exist.

use crate::schema::Op;
use crate::{Error, Predicate, Schema, check, parse};
use std::fmt;

/// Bytes of the source, from `start` up to and without `end`.
///
/// All spans are equal: two trees are the same when they say the same, wherever it stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Span {}

/// A parsed filter. An empty source has no root and selects everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What must hold.
    pub root: Option<Expr>,
    source: String,
}

/// One node of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// All of at least two.
    And(Vec<Expr>),
    /// Any of at least two.
    Or(Vec<Expr>),
    /// Not that.
    Not(Box<Expr>),
    /// A field and what is asked of it.
    Compare {
        /// The name as it was written, such as `error.code`.
        field: String,
        /// Where the name stands.
        at: Span,
        /// How.
        op: Op,
        /// With what.
        value: Literal,
    },
    /// A word or text of its own.
    Search(Literal),
}

/// A value, its escapes resolved. `*` at an end, where it was not escaped, leaves that end open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// The text without stars and quotes.
    pub text: String,
    /// Anything may stand before.
    pub open_start: bool,
    /// Anything may follow.
    pub open_end: bool,
    /// Where it stands.
    pub at: Span,
}

impl Literal {
    /// Whether it is a lone `*`: any value at all.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.text.is_empty() && (self.open_start || self.open_end)
    }

    /// Whether it may stand without quotes after an operator.
    fn is_plain(&self) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.:+-/@".contains(c);
        let keyword = matches!(self.text.as_str(), "AND" | "OR" | "NOT");
        self.is_any() || (!self.text.is_empty() && !keyword && self.text.chars().all(plain))
    }

    fn quoted(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.open_start { "\"*" } else { "\"" })?;
        for c in self.text.chars() {
            match c {
                '"' | '\\' | '*' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str(if self.open_end { "*\"" } else { "\"" })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("*");
        }
        if !self.is_plain() {
            return self.quoted(f);
        }
        let star = |open: bool| if open { "*" } else { "" };
        write!(f, "{}{}{}", star(self.open_start), self.text, star(self.open_end))
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// When it is longer than [`MAX_LENGTH`](crate::MAX_LENGTH), nested deeper than
    /// [`MAX_DEPTH`](crate::MAX_DEPTH), has more than [`MAX_TERMS`](crate::MAX_TERMS) terms, or
    /// is not a filter; with the place.
    pub fn parse(source: &str) -> Result<Self, Error> {
        Ok(Self { root: parse::parse(source)?, source: source.to_owned() })
    }

    /// Resolves its fields and values over a schema.
    ///
    /// # Errors
    /// The first field, operator or value the schema does not know, with the place, what there
    /// is, and the nearest name.
    pub fn check<'s>(&self, schema: &'s Schema) -> Result<Predicate<'s>, Error> {
        check::check(self.root.as_ref(), &self.source, schema)
    }
}

/// One way of writing it: a reader that parses it gets the same tree.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.as_ref().map_or(Ok(()), |root| root.fmt(f))
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => joined(f, parts, " AND "),
            Self::Or(parts) => joined(f, parts, " OR "),
            Self::Not(inner) => {
                f.write_str("NOT ")?;
                inner.grouped(f)
            }
            Self::Compare { field, op: Op::Has, value, .. } => write!(f, "{field}:{value}"),
            Self::Compare { field, op, value, .. } => write!(f, "{field} {op} {value}"),
            Self::Search(word) => word.quoted(f),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Expr], word: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { word })?;
        part.grouped(f)?;
    }
    Ok(())
}

impl Expr {
    /// In parentheses when it is made of several. OR binds tighter than AND in this language;
    /// whoever reads the output need not know.
    fn grouped(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(_) | Self::Or(_) => write!(f, "({self})"),
            Self::Not(_) | Self::Compare { .. } | Self::Search(_) => write!(f, "{self}"),
        }
    }

    /// How deep groups and negations are nested in it.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::And(parts) | Self::Or(parts) => 1 + parts.iter().map(Self::depth).max().unwrap_or(0),
            Self::Not(inner) => 1 + inner.depth(),
            Self::Compare { .. } | Self::Search(_) => 0,
        }
    }
}
