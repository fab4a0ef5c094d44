//! Types of expressions, as far as the descriptors tell them.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr as Ast, IdedExpr, LiteralValue, SelectExpr, operators,
};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use std::collections::HashMap;

/// What an expression gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Cannot be told; fits everything.
    Unknown,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Double,
    /// A text.
    Text,
    /// Bytes (base64 text once stored).
    Bytes,
    /// One of the names of an enum, as text.
    Enum(EnumDescriptor),
    /// A list.
    List(Box<Type>),
    /// A map with text keys.
    Map(Box<Type>),
    /// A message.
    Message(MessageDescriptor),
    /// What a step gives that may have failed: itself, and `error`.
    Fallible(Box<Type>),
    /// Named fields of known types.
    Record {
        /// The fields.
        fields: Vec<(String, Type)>,
        /// Whether there may be others.
        open: bool,
    },
}

impl Type {
    /// A record of these fields and no others.
    #[must_use]
    pub fn record(fields: &[(&str, Self)]) -> Self {
        let fields = fields.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect();
        Self::Record { fields, open: false }
    }

    /// The type of a field of a message, as it is stored.
    #[must_use]
    pub fn of_field(field: &FieldDescriptor) -> Self {
        if let Kind::Message(entry) = field.kind()
            && field.is_map()
        {
            let value = entry.get_field_by_name("value").map_or(Self::Unknown, |v| Self::of_kind(v.kind()));
            return Self::Map(Box::new(value));
        }
        let one = Self::of_kind(field.kind());
        if field.is_list() { Self::List(Box::new(one)) } else { one }
    }

    fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool,
            Kind::Double | Kind::Float => Self::Double,
            Kind::String => Self::Text,
            Kind::Bytes => Self::Bytes,
            Kind::Enum(e) => Self::Enum(e),
            Kind::Message(m) if m.full_name().starts_with("google.protobuf.") => Self::Unknown,
            Kind::Message(m) => Self::Message(m),
            _ => Self::Int,
        }
    }

    /// Whether a value of this type may stand where `wanted` is wanted.
    #[must_use]
    pub fn fits(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Fallible(of), wanted) => of.fits(wanted),
            (of, Self::Fallible(wanted)) => of.fits(wanted),
            (Self::Unknown, _) | (_, Self::Unknown) => true,
            (Self::List(a), Self::List(b)) | (Self::Map(a), Self::Map(b)) => a.fits(b),
            (Self::Enum(_) | Self::Text, Self::Enum(_) | Self::Text) | (Self::Text, Self::Bytes) => true,
            (Self::Int, Self::Double) => true,
            (Self::Message(a), Self::Message(b)) => a == b,
            (Self::Map(_) | Self::Record { .. }, Self::Message(_)) => true,
            (Self::Record { .. } | Self::Message(_) | Self::Map(_), Self::Record { .. } | Self::Map(_)) => {
                true
            }
            (a, b) => a == b,
        }
    }

    /// In words, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Unknown => "something".to_owned(),
            Self::Fallible(of) => of.describe(),
            Self::Bool => "true or false".to_owned(),
            Self::Int => "a whole number".to_owned(),
            Self::Double => "a number".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Enum(e) => format!("a name of {}", e.name()),
            Self::List(of) => format!("a list of {}", of.describe()),
            Self::Map(of) => format!("a map to {}", of.describe()),
            Self::Message(m) => format!("a {}", m.name()),
            Self::Record { .. } => "a record".to_owned(),
        }
    }
}

/// The variables an expression can see, with their types.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// Types of `steps.<id>`.
    pub steps: &'a HashMap<String, Type>,
    /// Types of the other variables.
    pub variables: &'a [(&'static str, Type)],
    locals: Vec<(String, Type)>,
}

impl<'a> Scope<'a> {
    /// A scope with `steps` and other variables.
    #[must_use]
    pub const fn new(steps: &'a HashMap<String, Type>, variables: &'a [(&'static str, Type)]) -> Self {
        Self { steps, variables, locals: Vec::new() }
    }

    /// The scope with one more variable.
    #[must_use]
    pub fn and(&self, name: &str, of: Type) -> Self {
        self.with(name, of)
    }

    fn with(&self, name: &str, of: Type) -> Self {
        let mut inner = self.clone();
        inner.locals.push((name.to_owned(), of));
        inner
    }

    fn lookup(&self, name: &str) -> Result<Type, String> {
        if let Some((_, of)) = self.locals.iter().rev().find(|(n, _)| n == name) {
            return Ok(of.clone());
        }
        if name == "steps" {
            return Ok(Type::Unknown);
        }
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, of)| of.clone()).ok_or_else(|| {
            let known: Vec<_> = self.variables.iter().map(|(name, _)| format!("`{name}`")).collect();
            format!("{name:?} is not known here; there are {} and `steps`", known.join(", "))
        })
    }
}

pub(super) fn infer(expr: &IdedExpr, scope: &Scope<'_>) -> Result<Type, String> {
    match &expr.expr {
        Ast::Literal(literal) => Ok(of_literal(literal)),
        Ast::Ident(name) => scope.lookup(name),
        Ast::Select(select) => of_select(select, scope),
        Ast::Call(call) => of_call(call, scope),
        Ast::List(list) => {
            let items = list.elements.iter().map(|e| infer(e, scope)).collect::<Result<Vec<_>, _>>()?;
            Ok(Type::List(Box::new(common(items))))
        }
        Ast::Map(map) => {
            let mut values = Vec::new();
            for entry in &map.entries {
                if let cel::common::ast::EntryExpr::MapEntry(entry) = &entry.expr {
                    infer(&entry.key, scope)?;
                    values.push(infer(&entry.value, scope)?);
                }
            }
            Ok(Type::Map(Box::new(common(values))))
        }
        Ast::Comprehension(c) => of_comprehension(c, scope),
        Ast::Struct(_) | Ast::Unspecified => Ok(Type::Unknown),
    }
}

const fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Int,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::Null => Type::Unknown,
    }
}

/// The one type of all, or unknown.
fn common(types: Vec<Type>) -> Type {
    let mut types = types.into_iter();
    let Some(first) = types.next() else { return Type::Unknown };
    if types.all(|t| t == first) { first } else { Type::Unknown }
}

fn of_select(select: &SelectExpr, scope: &Scope<'_>) -> Result<Type, String> {
    let found = field_of(select, scope)?;
    Ok(if select.test { Type::Bool } else { found })
}

fn field_of(select: &SelectExpr, scope: &Scope<'_>) -> Result<Type, String> {
    let field = &select.field;
    if is_steps(&select.operand.expr) {
        return scope.steps.get(field).cloned().ok_or_else(|| {
            format!("steps.{field} is not upstream of this step; name it in `needs`, directly or through another step")
        });
    }
    field_in(infer(&select.operand, scope)?, field)
}

fn field_in(of: Type, field: &String) -> Result<Type, String> {
    match of {
        Type::Fallible(_) if field == "error" => {
            Ok(Type::record(&[("code", Type::Text), ("message", Type::Text)]))
        }
        Type::Fallible(of) => field_in(*of, field),
        Type::Message(message) => match message.get_field_by_name(field) {
            Some(found) => Ok(Type::of_field(&found)),
            None => {
                let names: Vec<_> = message.fields().map(|f| f.name().to_owned()).collect();
                Err(format!("{} has no field {field:?}; it has {}", message.name(), names.join(", ")))
            }
        },
        Type::Record { fields, open } => match fields.iter().find(|(name, _)| name == field) {
            Some((_, of)) => Ok(of.clone()),
            None if open => Ok(Type::Unknown),
            None => {
                let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
                Err(format!("there is no field {field:?}; there are {}", names.join(", ")))
            }
        },
        Type::Map(of) => Ok(*of),
        Type::Unknown => Ok(Type::Unknown),
        other => Err(format!("{} has no field {field:?}", other.describe())),
    }
}

fn of_call(call: &CallExpr, scope: &Scope<'_>) -> Result<Type, String> {
    if call.func_name == operators::INDEX && call.args.first().is_some_and(|a| is_steps(&a.expr)) {
        return Err("write a step as steps.name, so that it can be seen which one is meant".to_owned());
    }
    let target = call.target.as_ref().map(|t| infer(t, scope)).transpose()?;
    let args = call.args.iter().map(|a| infer(a, scope)).collect::<Result<Vec<_>, _>>()?;
    match call.func_name.as_str() {
        operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => {
            args.iter().try_for_each(|a| want(a, &Type::Bool))?;
            Ok(Type::Bool)
        }
        operators::EQUALS | operators::NOT_EQUALS => {
            compare(call, &args)?;
            Ok(Type::Bool)
        }
        operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS => {
            compare(call, &args)?;
            Ok(Type::Bool)
        }
        operators::CONDITIONAL => {
            args.first().map_or(Ok(()), |a| want(a, &Type::Bool))?;
            Ok(common(args.into_iter().skip(1).collect()))
        }
        operators::INDEX => Ok(match args.into_iter().next() {
            Some(Type::List(of) | Type::Map(of)) => *of,
            _ => Type::Unknown,
        }),
        operators::IN | "contains" | "startsWith" | "endsWith" | "matches" => Ok(Type::Bool),
        "size" | "int" => Ok(Type::Int),
        "string" => Ok(Type::Text),
        "double" => Ok(Type::Double),
        operators::ADD => Ok(common(args)),
        _ => {
            drop(target);
            Ok(Type::Unknown)
        }
    }
}

fn is_steps(expr: &Ast) -> bool {
    matches!(expr, Ast::Ident(name) if name == "steps")
}

/// A literal text that stands for an enum must be one of its names.
pub(super) fn check_literal(expr: &IdedExpr, wanted: &Type) -> Result<(), String> {
    match (&expr.expr, wanted) {
        (Ast::Literal(LiteralValue::String(text)), Type::Enum(names)) => known_name(names, text.inner()),
        _ => Ok(()),
    }
}

fn want(found: &Type, wanted: &Type) -> Result<(), String> {
    if found.fits(wanted) {
        return Ok(());
    }
    Err(format!("{} stands where {} is wanted", found.describe(), wanted.describe()))
}

/// Both sides must be able to be equal; a text compared with an enum must be one
/// of its names.
fn compare(call: &CallExpr, args: &[Type]) -> Result<(), String> {
    let [left, right] = args else { return Ok(()) };
    if !left.fits(right) && !right.fits(left) {
        return Err(format!("{} is compared with {}", left.describe(), right.describe()));
    }
    for (of, other) in [(left, call.args.get(1)), (right, call.args.first())] {
        if let (Type::Enum(names), Some(Ast::Literal(LiteralValue::String(text)))) =
            (of, other.map(|o| &o.expr))
        {
            known_name(names, text.inner())?;
        }
    }
    Ok(())
}

fn known_name(names: &EnumDescriptor, text: &str) -> Result<(), String> {
    if names.get_value_by_name(text).is_some() {
        return Ok(());
    }
    let known: Vec<_> = names.values().map(|v| v.name().to_owned()).collect();
    Err(format!("{text:?} is no {}; one of {}", names.name(), known.join(", ")))
}

fn of_comprehension(c: &ComprehensionExpr, scope: &Scope<'_>) -> Result<Type, String> {
    let item = match infer(&c.iter_range, scope)? {
        Type::List(of) => *of,
        Type::Map(_) => Type::Text,
        _ => Type::Unknown,
    };
    let accumulator = infer(&c.accu_init, scope)?;
    // The accumulator of a list macro starts as an empty list of anything.
    let mut inner = scope.with(&c.iter_var, item).with(&c.accu_var, Type::Unknown);
    if let Some(second) = &c.iter_var2 {
        inner = inner.with(second, Type::Unknown);
    }
    infer(&c.loop_cond, &inner)?;
    let stepped = infer(&c.loop_step, &inner)?;
    let outer = scope.with(&c.accu_var, if stepped == Type::Unknown { accumulator } else { stepped });
    infer(&c.result, &outer)
}
