//! The reader: recursive descent over the characters of the source.
//!
//! ```text
//! filter     = [ and ]
//! and        = or { [ "AND" ] or }            side by side means AND
//! or         = term { "OR" term }             OR binds tighter than AND, as AIP-160 has it
//! term       = ( "NOT" | "-" ) term | "(" and ")" | comparison | word
//! comparison = name operator ( value | "(" value { "OR" value } ")" | "(" value { "AND" value } ")" )
//! operator   = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":"
//! ```
//!
//! Deliberately absent: whether a field exists and what its values are. That is `check`.

use crate::literal::Scan;
use crate::schema::Op;
use crate::tree::{Expr, Literal, Span};
use crate::{Error, MAX_DEPTH, MAX_LENGTH, MAX_TERMS};

pub(crate) fn parse(source: &str) -> Result<Option<Expr>, Error> {
    let mut parser = Parser { scan: Scan::new(source), depth: 0, terms: 0 };
    let whole = Span { start: 0, end: source.len() };
    if source.len() > MAX_LENGTH {
        let text = format!("a filter has at most {MAX_LENGTH} bytes; this one has {}", source.len());
        return Err(Error::new(source, Span::default(), text));
    }
    if let Some(at) = source.find('\0') {
        return Err(parser.scan.error(
            at,
            at + 1,
            "the character U+0000 cannot be stored, so it cannot be found",
        ));
    }
    parser.scan.skip_space();
    if parser.scan.is_done() {
        return Ok(None);
    }
    let root = parser.and()?;
    if !parser.scan.is_done() {
        return Err(parser.unexpected("AND, OR or the end"));
    }
    if root.depth() > MAX_DEPTH {
        return Err(Error::new(source, whole, too_deep()));
    }
    Ok(Some(root))
}

fn too_deep() -> String {
    format!(
        "groups and negations are nested deeper than {MAX_DEPTH}; take out parentheses that change nothing"
    )
}

struct Parser<'a> {
    scan: Scan<'a>,
    depth: usize,
    terms: usize,
}

impl Parser<'_> {
    fn and(&mut self) -> Result<Expr, Error> {
        let mut parts = vec![self.or()?];
        while self.scan.take_keyword("AND") || self.begins_term() {
            parts.push(self.or()?);
        }
        Ok(join(parts, Expr::And))
    }

    fn or(&mut self) -> Result<Expr, Error> {
        let mut parts = vec![self.term()?];
        while self.scan.take_keyword("OR") {
            parts.push(self.term()?);
        }
        Ok(join(parts, Expr::Or))
    }

    fn begins_term(&self) -> bool {
        let next = self.scan.peek();
        let more = next.is_some_and(|c| c == '(' || c == '-' || c == '"' || c == '\'' || !is_mark(c));
        more && !self.scan.sees_keyword("OR")
    }

    fn term(&mut self) -> Result<Expr, Error> {
        if self.scan.take_keyword("NOT") || self.scan.take('-') {
            return self.nested(|parser| Ok(Expr::Not(Box::new(parser.term()?))));
        }
        if self.scan.take('(') {
            return self.nested(Self::group);
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(self.scan.error_here(format!("a filter has at most {MAX_TERMS} comparisons")));
        }
        if matches!(self.scan.peek(), Some('"' | '\'')) { self.quoted_word() } else { self.comparison() }
    }

    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<Expr, Error>) -> Result<Expr, Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.scan.error_here(too_deep()));
        }
        let found = inner(self);
        self.depth -= 1;
        found
    }

    fn group(&mut self) -> Result<Expr, Error> {
        let opened = self.scan.last();
        let inner = self.and()?;
        if !self.scan.take(')') {
            return Err(self.unclosed(opened));
        }
        Ok(inner)
    }

    fn quoted_word(&mut self) -> Result<Expr, Error> {
        let word = self.scan.literal()?;
        if self.operator()?.is_some() {
            let text = format!("a field stands without quotes: write {}", word.text);
            return Err(self.scan.error(word.at.start, word.at.end, text));
        }
        Ok(Expr::Search(word))
    }

    fn comparison(&mut self) -> Result<Expr, Error> {
        let at = self.scan.word(is_mark);
        let word = self.scan.text(at).to_owned();
        if word.is_empty() {
            return Err(self.unexpected("a comparison such as state = RUNNING"));
        }
        if self.scan.peek() == Some('(') && self.scan.last().end == self.scan.at() {
            let text = format!("{word:?} is called as a function; this language has none");
            return Err(self.scan.error(at.start, at.end, text));
        }
        self.scan.skip_space();
        match self.operator()? {
            Some(_) if is_keyword(&word) => Err(self.reserved(&word, at)),
            Some(op) if is_name(&word) => self.values(&word, at, op),
            Some(_) => {
                let text = format!("{word:?} is not the name of a field: letters, digits, _ and single dots");
                Err(self.scan.error(at.start, at.end, text))
            }
            None => self.search(&word, at),
        }
    }

    fn search(&self, word: &str, at: Span) -> Result<Expr, Error> {
        if is_keyword(&word.to_ascii_uppercase()) {
            return Err(self.reserved(word, at));
        }
        self.scan.bare(at).map(Expr::Search)
    }

    fn reserved(&self, word: &str, at: Span) -> Error {
        let capital = word.to_ascii_uppercase();
        let sides = if word == "NOT" { "right" } else { "left and right" };
        let text = if capital == word {
            format!("{word} needs a comparison on its {sides} side")
        } else {
            format!("write {capital} in capitals, or {word:?} in quotes to search for the word")
        };
        self.scan.error(at.start, at.end, text)
    }

    fn operator(&mut self) -> Result<Option<Op>, Error> {
        let start = self.scan.at();
        for (text, op) in Op::WRITTEN {
            if !self.scan.take_text(text) {
                continue;
            }
            let end = self.scan.last().end;
            let wrong = match (op, self.scan.peek_raw(end)) {
                (Op::Eq, Some('=')) => Some("write = once"),
                (Op::Lt, Some('>')) => Some("write != for \"is not\""),
                (Op::Eq, Some('~')) => Some("there are no patterns but * at an end of a text"),
                _ => None,
            };
            return wrong.map_or(Ok(Some(op)), |text| Err(self.scan.error(start, end + 1, text)));
        }
        Ok(None)
    }

    /// One value, or several in parentheses, which stand for as many comparisons.
    fn values(&mut self, field: &str, at: Span, op: Op) -> Result<Expr, Error> {
        let compare = |value: Literal| Expr::Compare { field: field.to_owned(), at, op, value };
        if !self.scan.take('(') {
            return self.value(field, op).map(compare);
        }
        let opened = self.scan.last();
        let mut parts = vec![compare(self.value(field, op)?)];
        let word = if self.scan.sees_keyword("AND") { "AND" } else { "OR" };
        while self.scan.take_keyword(word) {
            self.terms += 1;
            if self.terms > MAX_TERMS {
                return Err(self.scan.error_here(format!("a filter has at most {MAX_TERMS} comparisons")));
            }
            parts.push(compare(self.value(field, op)?));
        }
        if !self.scan.take(')') {
            let mixed = self.scan.sees_keyword("AND") || self.scan.sees_keyword("OR");
            let text = "values in one pair of parentheses are joined by OR or by AND, not by both";
            return Err(if mixed { self.scan.error_here(text) } else { self.unclosed(opened) });
        }
        Ok(join(parts, if word == "AND" { Expr::And } else { Expr::Or }))
    }

    fn value(&mut self, field: &str, op: Op) -> Result<Literal, Error> {
        let quoted = matches!(self.scan.peek(), Some('"' | '\''));
        let keyword = ["AND", "OR", "NOT"].iter().any(|word| self.scan.sees_keyword(word));
        if !keyword && (quoted || self.scan.peek().is_some_and(|c| !is_end_of_value(c))) {
            return self.scan.literal();
        }
        Err(self.unexpected(&format!("a value after {field} {op}")))
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let (start, end) = self.scan.next_char();
        let found = match self.scan.text(Span { start, end }) {
            "" => "the filter ends".to_owned(),
            "&" => "there is \"&\" (write AND)".to_owned(),
            "|" => "there is \"|\" (write OR)".to_owned(),
            "!" => "there is \"!\" (write NOT)".to_owned(),
            c => format!("there is {c:?}"),
        };
        self.scan.error(start, end, format!("{found} where {wanted} should be"))
    }

    fn unclosed(&self, opened: Span) -> Error {
        if self.scan.is_done() {
            return self.scan.error(opened.start, opened.end, "this parenthesis is never closed");
        }
        self.unexpected("AND, OR or )")
    }
}

fn join(mut parts: Vec<Expr>, make: fn(Vec<Expr>) -> Expr) -> Expr {
    if parts.len() == 1 { parts.remove(0) } else { make(parts) }
}

/// A word that joins or negates, and so can be no field's name: `NOT!=1` would print as `NOT != 1`.
fn is_keyword(word: &str) -> bool {
    matches!(word, "AND" | "OR" | "NOT")
}

/// What ends a word that may be a name.
fn is_mark(c: char) -> bool {
    c.is_whitespace() || "()=<>!:,\"'&|".contains(c)
}

/// What ends a value without quotes. A colon does not: times have some.
pub(crate) fn is_end_of_value(c: char) -> bool {
    c.is_whitespace() || "()=<>!,\"'&|".contains(c)
}

/// `letter { letter | digit | "_" }`, joined by single dots.
pub(crate) fn is_name(text: &str) -> bool {
    text.split('.').all(|part| {
        let first = part.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        first && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
