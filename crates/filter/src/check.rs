//! From what was written to what it means: fields, operators and values over a schema.

use crate::Error;
use crate::error::suggestion;
use crate::literal;
use crate::predicate::{Place, Predicate, Test};
use crate::schema::{Field, Kind, Op, Schema};
use crate::sql::Bind;
use crate::tree::{Expr, Literal, Span};

pub(crate) fn check<'s>(
    root: Option<&Expr>,
    source: &str,
    schema: &'s Schema,
) -> Result<Predicate<'s>, Error> {
    root.map_or(Ok(Predicate::All), |root| Checker { source, schema }.expr(root))
}

/// The error for a field that a schema does not have.
pub(crate) fn unknown_field<'a>(
    of: &str,
    given: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> String {
    let near = suggestion(given, names.clone());
    let (there, mark) = (names.collect::<Vec<_>>().join(", "), if near.is_empty() { "." } else { "" });
    format!("{of} have no field {given:?}{near}{mark} There are: {there}")
}

struct Checker<'a, 's> {
    source: &'a str,
    schema: &'s Schema,
}

impl<'s> Checker<'_, 's> {
    fn expr(&self, expr: &Expr) -> Result<Predicate<'s>, Error> {
        let all = |parts: &[Expr]| parts.iter().map(|part| self.expr(part)).collect::<Result<_, _>>();
        match expr {
            Expr::And(parts) => all(parts).map(Predicate::And),
            Expr::Or(parts) => all(parts).map(Predicate::Or),
            Expr::Not(inner) => Ok(Predicate::Not(Box::new(self.expr(inner)?))),
            Expr::Compare { field, at, op, value } => self.compare(field, *at, *op, value),
            Expr::Search(word) => self.search(word),
        }
    }

    fn search(&self, word: &Literal) -> Result<Predicate<'s>, Error> {
        if self.schema.searched().is_empty() {
            return Err(self.error(word.at, self.lone(word)));
        }
        if word.open_start || word.open_end || word.text.is_empty() {
            return Err(
                self.error(word.at, "a word to look for has no * and is not empty: it is found anywhere")
            );
        }
        let test = |field| Predicate::Test(field, Test::Text(Place::Within, word.text.clone()));
        let mut tests: Vec<_> = self.schema.searched().iter().map(test).collect();
        Ok(if tests.len() == 1 { tests.remove(0) } else { Predicate::Or(tests) })
    }

    fn lone(&self, word: &Literal) -> String {
        let text = &word.text;
        match self.schema.field(text) {
            Some(field) if field.kind == Kind::Bool => format!("write {text} = true"),
            Some(_) => format!("{text} is a field; compare it, such as {text}:* for any value"),
            None => format!(
                "{text:?} stands alone, and {} cannot be searched by words; compare a field, such as {}",
                self.schema.of,
                self.schema.fields().first().map_or("name = value".to_owned(), |f| format!("{} = …", f.name)),
            ),
        }
    }

    fn compare(&self, name: &str, at: Span, op: Op, value: &Literal) -> Result<Predicate<'s>, Error> {
        let Some(field) = self.schema.field(name) else {
            let names = self.schema.fields().iter().map(|field| field.name);
            return Err(self.error(at, unknown_field(self.schema.of, name, names)));
        };
        if !field.ops.contains(&op) {
            return Err(self.error(Span { start: at.start, end: value.at.end }, self.wrong_op(field, op)));
        }
        let test = |test| Ok(Predicate::Test(field, test));
        let found = if value.is_any() && matches!(op, Op::Eq | Op::Ne | Op::Has) {
            test(Test::Present)
        } else {
            test(self.test(field, op, value)?)
        };
        if op == Op::Ne { found.map(|found| Predicate::Not(Box::new(found))) } else { found }
    }

    fn wrong_op(&self, field: &Field, op: Op) -> String {
        let known: Vec<_> = field.ops.iter().map(|op| op.as_str()).collect();
        let why = match field.kind {
            Kind::Text => "; a text has no order, but name = \"abc*\" asks for its beginning",
            _ => "",
        };
        format!("{} cannot be compared with {op}; it can with {}{why}", field.name, known.join(" "))
    }

    fn test(&self, field: &Field, op: Op, value: &Literal) -> Result<Test, Error> {
        if field.kind == Kind::Text {
            return self.text(field, op, value);
        }
        if value.open_start || value.open_end {
            let text = format!("{} is not a text, so it has no * but alone: {}:*", field.name, field.name);
            return Err(self.error(value.at, text));
        }
        let text = value.text.as_str();
        let number = match &field.kind {
            Kind::Names(names) => return self.named(field, op, value, names),
            Kind::Bool if text == "true" => Ok(1),
            Kind::Bool if text == "false" => Ok(0),
            Kind::Text | Kind::Bool => Err("true or false".to_owned()),
            Kind::Int => literal::int(text),
            Kind::Time => literal::time(text),
            Kind::Duration => literal::duration(text),
        };
        number.map(|number| Test::Number(op, number)).map_err(|wanted| {
            self.error(value.at, format!("{} is compared with {wanted}, not {text:?}", field.name))
        })
    }

    fn text(&self, field: &Field, op: Op, value: &Literal) -> Result<Test, Error> {
        let place = match (op, value.open_start, value.open_end) {
            (Op::Has, false, false) | (_, true, true) => Place::Within,
            (_, false, false) => Place::Whole,
            (_, false, true) => Place::Start,
            (_, true, false) => Place::End,
        };
        if value.text.is_empty() && place == Place::Within {
            let text = format!("nothing is in every text; {}:* asks for any value", field.name);
            return Err(self.error(value.at, text));
        }
        Ok(Test::Text(place, value.text.clone()))
    }

    fn named(
        &self,
        field: &Field,
        op: Op,
        value: &Literal,
        names: &[(&'static str, Bind)],
    ) -> Result<Test, Error> {
        let Some(rank) = names.iter().position(|(name, _)| *name == value.text) else {
            let near = suggestion(&value.text, names.iter().map(|(name, _)| *name));
            let all: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            let text = format!("{} is one of {}, not {:?}{near}", field.name, all.join(", "), value.text);
            return Err(self.error(value.at, text));
        };
        let chosen = match op {
            Op::Eq | Op::Ne | Op::Has => &names[rank..=rank],
            Op::Lt => &names[..rank],
            Op::Le => &names[..=rank],
            Op::Gt => &names[rank + 1..],
            Op::Ge => &names[rank..],
        };
        Ok(Test::OneOf(chosen.iter().map(|(_, stored)| stored.clone()).collect()))
    }

    fn error(&self, at: Span, message: impl Into<String>) -> Error {
        Error::new(self.source, at, message)
    }
}
