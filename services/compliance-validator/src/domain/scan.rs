//! The first look at a policy's text, before the parser sees it.
//!
//! The parser builds one level of its tree for each operator of a chain and each
//! bracket, tries a bracketed list as a comprehension first and then again as a
//! list, and has no limit on either. A text that would exhaust the stack or the
//! processor is refused here, with its place. Nothing is understood here beyond
//! brackets, operators and strings; a text that is wrong in other ways passes.

use super::PolicyError;

/// Deepest nesting of brackets of all sorts.
const MAX_NESTING: usize = 24;
/// Deepest nesting of `[` and `{`: the parser's work doubles with each.
const MAX_COLLECTIONS: usize = 8;
/// Most operators, dots and calls in one expression.
const MAX_CHAIN: usize = 64;

/// Refuses a text that the parser cannot take without harm.
///
/// # Errors
/// The first place that goes too far.
pub fn scan(source: &str) -> Result<(), PolicyError> {
    let mut lexer = Lexer::new(source);
    let mut levels = Levels::default();
    while let Some(token) = lexer.next()? {
        levels.take(&token)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Term,
    Keyword,
    Operator,
    Separator,
    Dot,
    Open(char),
    Close,
}

#[derive(Debug, Clone, Copy)]
struct Token {
    kind: Kind,
    line: u32,
    column: u32,
}

impl Token {
    fn refuse(&self, reason: String) -> PolicyError {
        PolicyError::at(self.line, self.column, reason)
    }
}

/// How deep the text is, and how long the chain on each level.
#[derive(Default)]
struct Levels {
    open: Vec<Level>,
    now: Level,
    line: u32,
}

#[derive(Default, Clone, Copy)]
struct Level {
    collection: bool,
    chain: usize,
    after_term: bool,
}

impl Levels {
    fn take(&mut self, token: &Token) -> Result<(), PolicyError> {
        let new_line = token.line != self.line;
        self.line = token.line;
        match token.kind {
            Kind::Term => self.term(),
            Kind::Separator | Kind::Keyword => self.now = Level { chain: 0, after_term: false, ..self.now },
            Kind::Operator | Kind::Dot => self.longer(token)?,
            Kind::Open(bracket) => self.open(token, bracket, new_line)?,
            Kind::Close => {
                self.now = self.open.pop().unwrap_or_default();
                self.now.after_term = true;
            }
        }
        Ok(())
    }

    /// Two terms side by side are two expressions.
    const fn term(&mut self) {
        if self.now.after_term {
            self.now.chain = 0;
        }
        self.now.after_term = true;
    }

    fn longer(&mut self, token: &Token) -> Result<(), PolicyError> {
        self.now.chain += 1;
        self.now.after_term = false;
        if self.now.chain > MAX_CHAIN {
            return Err(
                token.refuse(format!("more than {MAX_CHAIN} operators in one expression; use several rules"))
            );
        }
        Ok(())
    }

    fn open(&mut self, token: &Token, bracket: char, new_line: bool) -> Result<(), PolicyError> {
        if self.now.after_term && !new_line {
            self.longer(token)?;
        } else {
            self.term();
        }
        self.open.push(self.now);
        self.now = Level { collection: bracket != '(', ..Level::default() };
        let collections =
            self.open.iter().filter(|level| level.collection).count() + usize::from(self.now.collection);
        if self.open.len() > MAX_NESTING || collections > MAX_COLLECTIONS {
            let reason = format!(
                "brackets nested too deeply: at most {MAX_NESTING} in all, {MAX_COLLECTIONS} of them [ and {{; use several rules"
            );
            return Err(token.refuse(reason));
        }
        Ok(())
    }
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: u32,
    column: u32,
}

impl<'a> Lexer<'a> {
    fn new(source: &'a str) -> Self {
        Self { rest: source.chars().peekable(), line: 1, column: 1 }
    }

    fn next(&mut self) -> Result<Option<Token>, PolicyError> {
        loop {
            let (line, column) = (self.line, self.column);
            let Some(c) = self.bump()? else { return Ok(None) };
            let kind = match c {
                ' ' | '\t' | '\r' | '\n' => continue,
                '#' => {
                    while self.rest.peek().is_some_and(|c| *c != '\n') {
                        self.bump()?;
                    }
                    continue;
                }
                '"' | '`' => self.string(c)?,
                '(' | '[' | '{' => Kind::Open(c),
                ')' | ']' | '}' => Kind::Close,
                ',' | ';' => Kind::Separator,
                '.' => Kind::Dot,
                _ if c.is_alphanumeric() || c == '_' => self.word(c)?,
                _ => self.operator(c)?,
            };
            return Ok(Some(Token { kind, line, column }));
        }
    }

    fn bump(&mut self) -> Result<Option<char>, PolicyError> {
        let Some(c) = self.rest.next() else { return Ok(None) };
        if c.is_control() && !matches!(c, '\n' | '\r' | '\t') {
            // The parser takes U+0000 for the end of the text.
            let reason = format!("the character U+{:04X} must not be in a policy", u32::from(c));
            return Err(PolicyError::at(self.line, self.column, reason));
        }
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Ok(Some(c))
    }

    fn string(&mut self, quote: char) -> Result<Kind, PolicyError> {
        while let Some(c) = self.bump()? {
            if c == '\\' && quote == '"' {
                self.bump()?;
            } else if c == quote {
                break;
            }
        }
        Ok(Kind::Term)
    }

    fn word(&mut self, first: char) -> Result<Kind, PolicyError> {
        let mut word = String::from(first);
        let number = first.is_ascii_digit();
        while let Some(c) = self.rest.peek().copied() {
            if !(c.is_alphanumeric() || c == '_' || (number && c == '.')) {
                break;
            }
            word.push(c);
            self.bump()?;
        }
        Ok(match word.as_str() {
            "in" => Kind::Operator,
            "if" | "contains" | "not" | "some" | "every" | "as" | "with" | "else" | "default" | "import"
            | "package" => Kind::Keyword,
            _ => Kind::Term,
        })
    }

    fn operator(&mut self, first: char) -> Result<Kind, PolicyError> {
        let double = matches!((first, self.rest.peek()), (':' | '=' | '!' | '<' | '>', Some('=')));
        if double {
            self.bump()?;
        }
        Ok(if first == ':' && !double { Kind::Separator } else { Kind::Operator })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expect: Option<(u32, &str)>) {
        let got = scan(source).err();
        let short: String = source.chars().take(60).collect();
        match (got, expect) {
            (None, None) => {}
            (Some(error), Some((line, part))) => {
                assert_eq!(error.line, line, "{short}: {error}");
                assert!(error.reason.contains(part), "{short}: {error}");
            }
            (got, expect) => panic!("{short}: {got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn takes_ordinary_policies() {
        check("", None);
        check(
            "package p\n\ndeny contains {\"rule\": \"a\", \"message\": sprintf(\"%s\", [x.y[0].z])} if {\n\tsome x in input.findings\n}",
            None,
        );
        check(&"x := 1\n".repeat(1_000), None);
        check(&"x if { a == b; c != d }\n".repeat(1_000), None);
        check(
            "# ((((((((((((((((((((((((((((((((((((((((\nx := \"((((((((((((((((((((((((((((((((((\\\"(((\"",
            None,
        );
        check(&format!("x if {{\n{}}}", "[a, b] == c\n".repeat(200)), None);
        check(&format!("x := {}1", "1 + ".repeat(63)), None);
        check("unbalanced )))]]]}}}", None);
        check(&format!("x := `{}`", "[".repeat(200)), None);
    }

    #[test]
    fn refuses_what_would_exhaust_the_parser() {
        check(
            &format!("package p\nx := {}1{}", "[".repeat(9), "]".repeat(9)),
            Some((2, "nested too deeply")),
        );
        check(&format!("x := {}1{}", "(".repeat(25), ")".repeat(25)), Some((1, "nested too deeply")));
        check(&format!("\n\nx := {}1", "1 + ".repeat(65)), Some((3, "operators")));
        check(&format!("x := {}1", "- ".repeat(70)), Some((1, "operators")));
        check(&format!("x := a{}", ".b".repeat(70)), Some((1, "operators")));
        check(&format!("x := a{}", "[0]".repeat(70)), Some((1, "operators")));
        check(&format!("x := {}1", "1 +\n".repeat(70)), Some((64, "operators")));
        check(&format!("x := {}", "1 in ".repeat(70)), Some((1, "operators")));
        check("x := 1\n\0", Some((2, "U+0000")));
    }
}
