//! Is this JSON (RFC 8259)? Answered byte by byte, in constant memory.
//!
//! What is written here is what readers after us need: UTF-8, no lone
//! surrogates, and no deeper than [`MAX_DEPTH`], so that no reader can be made to
//! run out of stack. Values are not kept.

use super::utf8::{Byte, Utf8};

/// Deepest nesting of arrays and objects.
pub(super) const MAX_DEPTH: u32 = 64;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value.
    Value,
    /// A value or the end of an array that was just opened.
    FirstItem,
    /// A key or the end of an object that was just opened.
    FirstKey,
    /// A key.
    Key,
    /// The colon after a key.
    Colon,
    /// A comma or the end of what we are in.
    After,
    /// The rest of a string.
    Text,
    /// The character after a backslash.
    Escape,
    /// Digits of `\uXXXX`: how many are left and their value so far.
    Hex(u8, u16),
    /// The backslash of the low half of a pair.
    LowSlash,
    /// Its `u`.
    LowU,
    /// Its digits.
    LowHex(u8, u16),
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8]),
    /// The first digit of a number that has a minus.
    Minus,
    /// After a leading zero: no more digits.
    Zero,
    /// Digits before the point.
    Integer,
    /// The first digit after the point.
    Point,
    /// More of them.
    Fraction,
    /// The sign or first digit of an exponent.
    Exponent,
    /// Its first digit after a sign.
    ExponentSign,
    /// More of them.
    ExponentDigits,
    /// The value is complete.
    Done,
}

/// What the top value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Top {
    /// Only white space so far.
    Nothing,
    /// `{…}`
    Object,
    /// Anything else.
    Other,
}

/// Reads one value.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    top: Top,
    depth: u32,
    /// A bit a level: 1 in an object, 0 in an array.
    objects: u64,
    key: bool,
    utf8: Utf8,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Value,
            top: Top::Nothing,
            depth: 0,
            objects: 0,
            key: false,
            utf8: Utf8::default(),
        }
    }
}

type Step = Result<State, String>;

impl Scanner {
    /// What the top value is.
    pub(super) const fn top(&self) -> Top {
        self.top
    }

    /// True when the top value is complete.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes the next byte.
    ///
    /// # Errors
    /// Says why it cannot stand here.
    pub(super) fn push(&mut self, byte: u8) -> Result<(), String> {
        self.state = match self.state {
            State::Text => self.text(byte)?,
            State::Value
            | State::FirstItem
            | State::FirstKey
            | State::Key
            | State::Colon
            | State::After
            | State::Done
                if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') =>
            {
                self.state
            }
            State::Value => self.value(byte)?,
            State::FirstItem if byte == b']' => self.close(),
            State::FirstItem => self.value(byte)?,
            State::FirstKey if byte == b'}' => self.close(),
            State::FirstKey | State::Key => self.begin_key(byte)?,
            State::Colon => expect(byte, b':', "a colon after the key", State::Value)?,
            State::After => self.after(byte)?,
            State::Done => return Err("something follows after the end of the value".to_owned()),
            State::Escape => escape(byte)?,
            State::Hex(left, value) => hex(byte, left, value, State::Hex, high_or_text)?,
            State::LowSlash => expect(byte, b'\\', LONE, State::LowU)?,
            State::LowU => expect(byte, b'u', LONE, State::LowHex(4, 0))?,
            State::LowHex(left, value) => hex(byte, left, value, State::LowHex, low)?,
            State::Word(rest) => self.word(byte, rest)?,
            number => self.number(number, byte)?,
        };
        Ok(())
    }

    /// The text ends here.
    ///
    /// # Errors
    /// When the value is not complete.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        if matches!(self.state, State::Zero | State::Integer | State::Fraction | State::ExponentDigits) {
            self.state = self.ended();
        }
        match self.state {
            State::Done => Ok(()),
            State::Text | State::Escape | State::Hex(..) => {
                Err("the JSON breaks off within a string".to_owned())
            }
            _ if self.depth > 0 && self.objects & 1 == 1 => {
                Err("the JSON breaks off within an object".to_owned())
            }
            _ if self.depth > 0 => Err("the JSON breaks off within an array".to_owned()),
            _ => Err("the JSON breaks off".to_owned()),
        }
    }

    fn value(&mut self, byte: u8) -> Step {
        if self.depth == 0 {
            self.top = if byte == b'{' { Top::Object } else { Top::Other };
        }
        match byte {
            b'{' => self.open(1, State::FirstKey),
            b'[' => self.open(0, State::FirstItem),
            b'"' => {
                self.key = false;
                Ok(State::Text)
            }
            b't' => Ok(State::Word(b"rue")),
            b'f' => Ok(State::Word(b"alse")),
            b'n' => Ok(State::Word(b"ull")),
            b'-' => Ok(State::Minus),
            b'0' => Ok(State::Zero),
            b'1'..=b'9' => Ok(State::Integer),
            _ => Err(wanted("a value", byte)),
        }
    }

    fn open(&mut self, object: u64, inside: State) -> Step {
        if self.depth == MAX_DEPTH {
            return Err(format!("arrays and objects are nested deeper than {MAX_DEPTH}"));
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | object;
        Ok(inside)
    }

    const fn close(&mut self) -> State {
        self.depth -= 1;
        self.objects >>= 1;
        self.ended()
    }

    /// A value has ended.
    const fn ended(&self) -> State {
        if self.depth == 0 { State::Done } else { State::After }
    }

    fn begin_key(&mut self, byte: u8) -> Step {
        self.key = true;
        expect(byte, b'"', "a key in quotes", State::Text)
    }

    fn after(&mut self, byte: u8) -> Step {
        let in_object = self.objects & 1 == 1;
        match byte {
            b',' if in_object => Ok(State::Key),
            b',' => Ok(State::Value),
            b'}' if in_object => Ok(self.close()),
            b']' if !in_object => Ok(self.close()),
            _ if in_object => Err(wanted("a comma or the end of the object", byte)),
            _ => Err(wanted("a comma or the end of the array", byte)),
        }
    }

    fn text(&mut self, byte: u8) -> Step {
        match (self.utf8.push(byte), byte) {
            (Byte::Wrong, _) => Err(format!("the byte 0x{byte:02X} is not UTF-8")),
            (_, b'"') if self.key => Ok(State::Colon),
            (_, b'"') => Ok(self.ended()),
            (_, b'\\') => Ok(State::Escape),
            (_, 0..=0x1F) => Err(format!("the control character 0x{byte:02X} must be written as an escape")),
            _ => Ok(State::Text),
        }
    }

    fn word(&self, byte: u8, rest: &'static [u8]) -> Step {
        match rest.split_first() {
            Some((first, rest)) if *first == byte => {
                Ok(if rest.is_empty() { self.ended() } else { State::Word(rest) })
            }
            _ => Err("there is an unknown word: only true, false and null are values".to_owned()),
        }
    }

    fn number(&mut self, state: State, byte: u8) -> Step {
        let digit = byte.is_ascii_digit();
        match (state, byte) {
            (State::Minus, b'0') => Ok(State::Zero),
            (State::Minus | State::Integer, _) if digit => Ok(State::Integer),
            (State::Point | State::Fraction, _) if digit => Ok(State::Fraction),
            (State::Exponent | State::ExponentSign | State::ExponentDigits, _) if digit => {
                Ok(State::ExponentDigits)
            }
            (State::Exponent, b'+' | b'-') => Ok(State::ExponentSign),
            (State::Zero | State::Integer, b'.') => Ok(State::Point),
            (State::Zero | State::Integer | State::Fraction, b'e' | b'E') => Ok(State::Exponent),
            (State::Zero, _) if digit => Err("a number must not begin with a zero".to_owned()),
            (State::Zero | State::Integer | State::Fraction | State::ExponentDigits, _) => {
                self.state = self.ended();
                self.push(byte).map(|()| self.state)
            }
            _ => Err(wanted("a digit", byte)),
        }
    }
}

const LONE: &str = "the second half of a surrogate pair";

fn wanted(what: &str, byte: u8) -> String {
    match byte {
        b' '..=b'~' => format!("{what} is expected, not `{}`", char::from(byte)),
        b'\n' | b'\r' => format!("{what} is expected, not the end of the line"),
        _ => format!("{what} is expected, not the byte 0x{byte:02X}"),
    }
}

fn expect(byte: u8, expected: u8, what: &str, next: State) -> Step {
    if byte == expected { Ok(next) } else { Err(wanted(what, byte)) }
}

fn escape(byte: u8) -> Step {
    match byte {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(State::Text),
        b'u' => Ok(State::Hex(4, 0)),
        _ => Err(wanted("one of \"\\/bfnrtu after a backslash", byte)),
    }
}

fn hex(byte: u8, left: u8, value: u16, more: fn(u8, u16) -> State, whole: fn(u16) -> Step) -> Step {
    let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
    let value = (value << 4) | digit.ok_or_else(|| wanted("a hexadecimal digit", byte))?;
    if left == 1 { whole(value) } else { Ok(more(left - 1, value)) }
}

fn high_or_text(value: u16) -> Step {
    match value {
        0xD800..=0xDBFF => Ok(State::LowSlash),
        0xDC00..=0xDFFF => Err("the first half of a surrogate pair is missing".to_owned()),
        _ => Ok(State::Text),
    }
}

fn low(value: u16) -> Step {
    match value {
        0xDC00..=0xDFFF => Ok(State::Text),
        _ => Err(format!("{LONE} is missing")),
    }
}

#[cfg(test)]
mod tests;
