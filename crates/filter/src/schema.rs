//! What a list can be filtered and ordered by.
//!
//! Deliberately absent: names that are only known at run time. A column is `&'static str`,
//! so nothing a caller sends can become one.

use crate::sql::Bind;
use std::fmt;

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `=`; a text may end or begin with `*`.
    Eq,
    /// `!=`: the opposite of `=`, so it also holds when the field has no value.
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `:` is part of a text, `=` for everything else; `field:*` asks for any value.
    Has,
}

impl Op {
    /// Every operator as it is written, the longer ones first.
    pub(crate) const WRITTEN: [(&'static str, Self); 7] = [
        ("!=", Self::Ne),
        ("<=", Self::Le),
        (">=", Self::Ge),
        ("=", Self::Eq),
        ("<", Self::Lt),
        (">", Self::Gt),
        (":", Self::Has),
    ];
    const ALL: [Self; 7] = [Self::Eq, Self::Ne, Self::Lt, Self::Le, Self::Gt, Self::Ge, Self::Has];
    const PLAIN: [Self; 3] = [Self::Eq, Self::Ne, Self::Has];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Has => ":",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the values of a field are.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A `TEXT` column.
    Text,
    /// A `BIGINT` column.
    Int,
    /// A `BIGINT` column that holds 0 or 1.
    Bool,
    /// A `BIGINT` column of microseconds since 1970 in UTC.
    Time,
    /// A `BIGINT` column of microseconds.
    Duration,
    /// One of these names, and what each is stored as.
    Names(Vec<(&'static str, Bind)>),
}

/// One field of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name in filters, such as `create_time` or `error.code`.
    pub name: &'static str,
    /// The column, or any expression over columns that both databases have.
    pub column: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether the column may be `NULL`.
    pub nullable: bool,
    /// Whether a list can be ordered by it.
    pub sortable: bool,
    /// The operators it may be compared with.
    pub ops: Vec<Op>,
}

impl Field {
    /// Texts: `=` (with `*` at an end), `!=`, `:`. They have no `<` and, unless
    /// [`Self::sortable`] says otherwise, no order: which text is the lesser depends on the
    /// database.
    #[must_use]
    pub fn text(name: &'static str, column: &'static str) -> Self {
        Self::of(name, column, Kind::Text, &Op::PLAIN)
    }

    /// Whole numbers.
    #[must_use]
    pub fn int(name: &'static str, column: &'static str) -> Self {
        Self::of(name, column, Kind::Int, &Op::ALL).sortable()
    }

    /// `true` and `false`.
    #[must_use]
    pub fn bool(name: &'static str, column: &'static str) -> Self {
        Self::of(name, column, Kind::Bool, &Op::PLAIN).sortable()
    }

    /// Points in time.
    #[must_use]
    pub fn time(name: &'static str, column: &'static str) -> Self {
        Self::of(name, column, Kind::Time, &Op::ALL).sortable()
    }

    /// Lengths of time.
    #[must_use]
    pub fn duration(name: &'static str, column: &'static str) -> Self {
        Self::of(name, column, Kind::Duration, &Op::ALL).sortable()
    }

    /// Names that are stored as they are.
    #[must_use]
    pub fn names(name: &'static str, column: &'static str, names: &[&'static str]) -> Self {
        let stored = names.iter().map(|name| (*name, Bind::from(*name))).collect();
        Self::of(name, column, Kind::Names(stored), &Op::PLAIN)
    }

    /// Names that are stored as numbers; `<` and its like go by the order given here.
    #[must_use]
    pub fn ranks(name: &'static str, column: &'static str, names: &[(&'static str, i64)]) -> Self {
        let stored = names.iter().map(|(name, rank)| (*name, Bind::Int(*rank))).collect();
        Self::of(name, column, Kind::Names(stored), &Op::ALL).sortable()
    }

    fn of(name: &'static str, column: &'static str, kind: Kind, ops: &[Op]) -> Self {
        Self { name, column, kind, nullable: false, sortable: false, ops: ops.to_vec() }
    }

    /// The column may be `NULL`.
    #[must_use]
    pub fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// A list can be ordered by it. For a text, give the column a fixed collation.
    #[must_use]
    pub fn sortable(mut self) -> Self {
        self.sortable = true;
        self
    }

    /// Only these operators, for columns where others would be slow.
    #[must_use]
    pub fn only(mut self, ops: &[Op]) -> Self {
        self.ops = ops.to_vec();
        self
    }
}

/// The fields of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// What the list is of, in the plural: errors say "executions have no field".
    pub of: &'static str,
    fields: Vec<Field>,
    searched: Vec<Field>,
}

impl Schema {
    /// A schema without fields.
    #[must_use]
    pub const fn new(of: &'static str) -> Self {
        Self { of, fields: Vec::new(), searched: Vec::new() }
    }

    /// With one more field; it replaces one of the same name.
    #[must_use]
    pub fn with(mut self, field: Field) -> Self {
        self.fields.retain(|known| known.name != field.name);
        self.fields.push(field);
        self
    }

    /// With one more text that a word of its own is looked for in. Without any, such words are
    /// refused.
    #[must_use]
    pub fn searching(mut self, field: Field) -> Self {
        self.searched.push(field);
        self
    }

    /// Its fields in the order they were given.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The texts that a word of its own is looked for in.
    #[must_use]
    pub fn searched(&self) -> &[Field] {
        &self.searched
    }

    /// The field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}
