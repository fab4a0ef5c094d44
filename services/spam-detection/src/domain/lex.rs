//! Folded text → a sequence of words and shapes.
//!
//! A shape stands for what must not be learned by value: links, addresses,
//! amounts, numbers, dates. Which site a link names or which year a mail quotes
//! tells the corpus, not the kind of message.

mod shape;

pub use shape::Shape;

use std::borrow::Cow;

/// Longer runs of letters are no words.
const MAX_WORD_CHARS: usize = 24;
/// So many single letters in a row are a word spelled out.
const MIN_SPACED_LETTERS: usize = 4;

/// What stands at one place of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'a> {
    /// A word in lower case.
    Word(Cow<'a, str>),
    /// Something that is not learned by value.
    Shape(Shape),
    /// A paragraph ends: nothing is paired across it.
    Break,
}

/// What lexing also noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Letters that have two cases, and those in the upper one.
    pub cased: usize,
    /// Upper-case letters.
    pub upper: usize,
    /// Words of three letters or more in capitals.
    pub capital_words: usize,
    /// Words in all.
    pub words: usize,
    /// Words spelled out with blanks or dots between the letters.
    pub spaced: usize,
}

/// Reads a text and hands each token to `each`, in order.
pub fn tokens<'a>(text: &'a str, mut each: impl FnMut(Token<'a>)) -> Counts {
    let mut lexer =
        Lexer { each: &mut each, counts: Counts::default(), letters: String::new(), run: 0, currency: false };
    for line in text.split('\n') {
        lexer.line(line);
    }
    lexer.end_run();
    lexer.counts
}

struct Lexer<'e, E> {
    each: &'e mut E,
    counts: Counts,
    /// The single letters of a word that may be spelled out.
    letters: String,
    run: usize,
    /// A currency sign was the last thing seen.
    currency: bool,
}

impl<'a, E: FnMut(Token<'a>)> Lexer<'_, E> {
    fn line(&mut self, line: &'a str) {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            self.end_run();
            (self.each)(Token::Break);
            return;
        }
        if trimmed.starts_with('>') {
            self.shape(Shape::Quote);
        }
        for chunk in trimmed.split_whitespace() {
            self.chunk(chunk);
        }
    }

    /// One run of characters without blanks.
    fn chunk(&mut self, chunk: &'a str) {
        if is_plain_word(chunk) {
            return self.word(chunk);
        }
        match chunk_shape(chunk) {
            Some(shape) => self.shape(shape),
            None => self.pieces(chunk),
        }
    }

    fn shape(&mut self, shape: Shape) {
        self.end_run();
        self.currency = false;
        (self.each)(Token::Shape(shape));
    }

    /// Words, numbers and marks inside a chunk.
    fn pieces(&mut self, chunk: &'a str) {
        let mut rest = chunk;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                c if c.is_alphanumeric() => self.alphanumeric(rest),
                '!' | '?' => self.marks(rest, first),
                _ => {
                    self.mark(first);
                    first.len_utf8()
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
    }

    /// A run that begins with a letter or digit; answers its length.
    fn alphanumeric(&mut self, rest: &'a str) -> usize {
        let number = number_length(rest);
        if number > 0 {
            let (digits, tail) = rest.split_at(number);
            self.number(digits, tail);
            return number;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let run = rest.get(..end).unwrap_or(rest);
        if run.bytes().any(|b| b.is_ascii_digit()) {
            self.mixed(run);
        } else {
            self.word(run);
        }
        end
    }

    fn number(&mut self, number: &str, tail: &str) {
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        let shape = if self.currency || tail.starts_with(['$', '£', '€', '¥']) {
            Shape::Money
        } else if tail.starts_with('%') {
            Shape::Percent
        } else if number.contains(':') || is_year(number) {
            Shape::When
        } else {
            match digits {
                0..=2 => Shape::Small,
                3..=4 => Shape::Medium,
                5..=6 => Shape::Code,
                _ => Shape::Phone,
            }
        };
        self.shape(shape);
    }

    /// Digits among letters: a code, or letters replaced by what looks alike.
    fn mixed(&mut self, run: &'a str) {
        self.shape(Shape::Mixed);
        if let Some(word) = undisguised(run) {
            self.counts.words += 1;
            (self.each)(Token::Word(Cow::Owned(word)));
        }
    }

    fn word(&mut self, word: &'a str) {
        self.currency = false;
        let (cased, upper, chars) = cases(word);
        self.counts.cased += cased;
        self.counts.upper += upper;
        self.counts.capital_words += usize::from(upper >= 3 && upper == cased);
        if chars == 1 {
            self.letters.push_str(word);
            self.run += 1;
        } else {
            self.end_run();
        }
        if chars > MAX_WORD_CHARS {
            return self.shape(Shape::LongRun);
        }
        self.counts.words += 1;
        let word = if upper == 0 { Cow::Borrowed(word) } else { Cow::Owned(word.to_lowercase()) };
        (self.each)(match word.as_ref() {
            // An address that was taken apart is an address all the same.
            "http" | "https" | "www" => Token::Shape(Shape::Link),
            date if is_date_word(date) => Token::Shape(Shape::When),
            _ => Token::Word(word),
        });
    }

    fn marks(&mut self, rest: &str, mark: char) -> usize {
        self.end_run();
        let length = rest.chars().take_while(|c| *c == mark).count();
        let shape = match (mark, length) {
            ('?', _) => Shape::Question,
            (_, 1) => Shape::Exclaim,
            _ => Shape::ExclaimRun,
        };
        self.shape(shape);
        length
    }

    fn mark(&mut self, mark: char) {
        match mark {
            '$' | '£' | '€' | '¥' => self.currency = true,
            // These may stand between the letters of a word spelled out.
            '.' | '-' | '_' | '*' | '\'' => {}
            _ => self.end_run(),
        }
    }

    /// Single letters in a row end: when there were enough they were one word.
    fn end_run(&mut self) {
        if self.run >= MIN_SPACED_LETTERS && self.run <= MAX_WORD_CHARS {
            self.counts.spaced += 1;
            (self.each)(Token::Word(Cow::Owned(self.letters.to_lowercase())));
        }
        self.letters.clear();
        self.run = 0;
    }
}

/// The commonest case, decided without looking for anything else.
fn is_plain_word(chunk: &str) -> bool {
    chunk.bytes().all(|b| b.is_ascii_alphabetic())
}

/// Letters with a case, upper-case letters, characters.
fn cases(word: &str) -> (usize, usize, usize) {
    if word.is_ascii() {
        let upper = word.bytes().filter(u8::is_ascii_uppercase).count();
        return (word.len(), upper, word.len());
    }
    word.chars().fold((0, 0, 0), |(cased, upper, chars), c| {
        let is_upper = c.is_uppercase();
        (cased + usize::from(is_upper || c.is_lowercase()), upper + usize::from(is_upper), chars + 1)
    })
}

/// What a chunk is as a whole, if it is one thing.
fn chunk_shape(chunk: &str) -> Option<Shape> {
    if is_link(chunk) {
        Some(Shape::Link)
    } else if is_mail(chunk) {
        Some(Shape::Mail)
    } else if is_smiley(chunk) {
        Some(Shape::Smiley)
    } else if chunk.len() >= 5 && chunk.chars().all(|c| !c.is_alphanumeric() && !matches!(c, '!' | '?' | '$'))
    {
        Some(Shape::Ornament)
    } else {
        None
    }
}

fn is_link(chunk: &str) -> bool {
    let bare = chunk.trim_start_matches(['<', '(', '[', '"', '\'']);
    let begins = |with: &str| bare.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    begins("http:") || begins("https:") || begins("www.") || chunk.contains("://") || is_bare_host(bare)
}

/// `example.com` or `example.com/path`, by the endings that occur most.
fn is_bare_host(chunk: &str) -> bool {
    const ENDINGS: [&str; 12] =
        ["com", "net", "org", "info", "biz", "co", "uk", "de", "ru", "io", "xyz", "top"];
    let host = chunk.split('/').next().unwrap_or_default().trim_end_matches(|c: char| !c.is_alphanumeric());
    let Some((name, ending)) = host.rsplit_once('.') else { return false };
    let sound = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    sound
        && name.bytes().any(|b| b.is_ascii_alphabetic())
        && ENDINGS.iter().any(|e| e.eq_ignore_ascii_case(ending))
}

fn is_mail(chunk: &str) -> bool {
    chunk.split_once('@').is_some_and(|(local, host)| {
        local.ends_with(|c: char| c.is_alphanumeric()) && host.starts_with(|c: char| c.is_alphanumeric())
    })
}

fn is_smiley(chunk: &str) -> bool {
    matches!(chunk, ":)" | ":-)" | ";)" | ";-)" | ":(" | ":-(" | ":D" | ":-D" | ":P" | ":p" | ":-P" | ":-p")
}

/// Length of the number at the beginning: digits with separators inside. Zero
/// when letters follow directly, a unit of time or count excepted.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut end = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let inside = matches!(byte, b'.' | b',' | b':' | b'-' | b'/')
            && at > 0
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        if byte.is_ascii_digit() || inside {
            end = at + 1;
        } else {
            break;
        }
    }
    let tail = rest.get(end..).unwrap_or_default();
    let unit_end = tail.find(|c: char| !c.is_alphanumeric()).unwrap_or(tail.len());
    let unit = tail.get(..unit_end).unwrap_or_default();
    const UNITS: [&str; 16] =
        ["p", "am", "pm", "k", "m", "st", "nd", "rd", "th", "s", "h", "min", "kb", "mb", "gb", "x"];
    if end > 0 && (unit.is_empty() || UNITS.iter().any(|u| u.eq_ignore_ascii_case(unit))) { end } else { 0 }
}

fn is_year(number: &str) -> bool {
    number.len() == 4 && (number.starts_with("19") || number.starts_with("20"))
}

fn is_date_word(word: &str) -> bool {
    const WORDS: [&str; 40] = [
        "mon",
        "tue",
        "tues",
        "wed",
        "thu",
        "thur",
        "thurs",
        "fri",
        "sat",
        "sun",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "january",
        "february",
        "april",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
        "pm",
    ];
    WORDS.contains(&word)
}

/// The word behind digits and signs that stand for letters: `v1agra`. Only
/// digits with letters on both sides count, so that codes stay codes.
fn undisguised(run: &str) -> Option<String> {
    let inner = run.trim_matches(|c: char| c.is_ascii_digit());
    if inner.len() != run.len() || run.len() < 4 || run.len() > MAX_WORD_CHARS {
        return None;
    }
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    let word: Option<String> = run.chars().map(letter_for).collect();
    word.filter(|_| digits * 2 < run.len())
}

const fn letter_for(c: char) -> Option<char> {
    Some(match c {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        '8' => 'b',
        c if c.is_ascii_alphabetic() => c.to_ascii_lowercase(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        let mut out = Vec::new();
        tokens(text, |token| {
            out.push(match token {
                Token::Word(word) => word.into_owned(),
                Token::Shape(shape) => format!("<{}>", shape.name()),
                Token::Break => "|".to_owned(),
            });
        });
        out.join(" ")
    }

    #[test]
    fn words_and_shapes() {
        let check = |text: &str, expect: &str| assert_eq!(shown(text), expect, "{text}");
        check("Hello, World", "hello world");
        check("don't stop", "don t stop");
        check("one\ntwo\n\nthree", "one two | three");
        check("see http://a.example/x?y=1 or www.b.example.", "see <link> or <link>");
        check("visit shop.com/deal, or Mr.Smith", "visit <link> or mr smith");
        check("write to ann.o@b.example now", "write to <mail-address> now");
        check("win £1,000 or $ 50 or 20€", "win <money> or <money> or <money>");
        check("save 50% today", "save <percent> today");
        check("call 08712345678 or text 87121", "call <number:phone-length> or text <number:5-6-digits>");
        check("at 10:30am on Friday 12 June 2019", "at <time> am on <time> <number> <time> <time>");
        check("buy v1agra code KL341", "buy <letters-and-digits> viagra code <letters-and-digits>");
        check("NOW!!! really?!", "now <exclamation-run> really <question> <exclamation>");
        check("F R E E cash", "f r e e free cash");
        check("v.i.a.g.r.a", "v i a g r a viagra");
        check("ok :) -------", "ok <smiley> <ornament>");
        check("> quoted", "<quoted-line> quoted");
        check("http : / / a", "<link> a");
        check(&"x".repeat(30), "<very-long-word>");
        check("Größe in MÜNCHEN", "größe in münchen");
        check("", "|");
    }

    #[test]
    fn capitals_are_counted() {
        let counts = tokens("FREE Entry now\nW I N N E R", |_| {});
        assert_eq!((counts.capital_words, counts.spaced), (1, 1));
        assert_eq!((counts.upper, counts.cased), (11, 18));
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\\PC|[ \n.:/@!?$€0-9a-zA-Zéß]){0,120}") {
            let _ = shown(&text);
        }
    }
}
