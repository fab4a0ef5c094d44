//! Splits a file of tenders into single items in constant memory.
//!
//! Read are OCDS release and record packages, single releases and records, JSON
//! arrays of any of them, JSON Lines, and JSON documents one after another. An
//! item is handed on byte for byte as it stands in the file, so no number loses
//! a digit. What cannot be used is refused by itself, with line and reason, and
//! the rest goes on.
//!
//! At most one item (or the first [`Limits::item_bytes`] of a package) is in
//! memory at a time, whatever the size of the file. Deliberately absent:
//! knowledge of what a release means. The platform judges that.

mod check;
mod lines;
mod package;
mod scan;
mod sniff;
mod source;

use package::{Shape, shape};
use source::Source;
use std::io::{self, BufRead, Read as _};
use std::ops::ControlFlow;

pub use sniff::Form;

/// What an item may be at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one item.
    pub item_bytes: usize,
    /// Levels of objects and lists inside each other.
    pub depth: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { item_bytes: 16 * 1024 * 1024, depth: 64 }
    }
}

/// One usable item of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Line on which it begins, counted from 1.
    pub line: u64,
    /// Its bytes as they stand in the file: one JSON object.
    pub bytes: Vec<u8>,
}

/// Something in a file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Line to look at, counted from 1.
    pub line: u64,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

/// What became of one item of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It can be used.
    Item(Item),
    /// It cannot.
    Refused(Refusal),
}

/// Why splitting ended before the end of the file.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The file cannot be read any further.
    Io(io::Error),
    /// The receiver wants no more.
    Enough,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Hands every item of `input` to `each`, in order, until the end or until
/// `each` breaks off.
///
/// # Errors
/// Only when `input` itself cannot be read; bad content is an [`Outcome`].
pub fn split(
    input: &mut dyn BufRead,
    form: Form,
    limits: Limits,
    each: &mut dyn FnMut(Outcome) -> ControlFlow<()>,
) -> io::Result<()> {
    match (Splitter { limits, each, handed: 0, refused: 0 }).run(input, form) {
        Ok(()) | Err(Stop::Enough) => Ok(()),
        Err(Stop::Io(error)) => Err(error),
    }
}

/// The limits and the receiver, passed down to every level.
pub(crate) struct Splitter<'a> {
    limits: Limits,
    each: &'a mut dyn FnMut(Outcome) -> ControlFlow<()>,
    /// Outcomes so far, and how many of them were refusals.
    handed: u64,
    refused: u64,
}

impl Splitter<'_> {
    fn run(&mut self, input: &mut dyn BufRead, form: Form) -> Result<(), Stop> {
        let mut head = Vec::new();
        input.take(sniff::HEAD_BYTES).read_to_end(&mut head)?;
        if let Some(reason) = sniff::unreadable(&head) {
            return self.refuse(1, reason);
        }
        let text = head.strip_prefix(sniff::UTF8_BOM).unwrap_or(&head);
        let form = form.or_sniffed(text);
        let mut whole = text.chain(input);
        let mut source = Source::new(&mut whole, 1);
        match form {
            Form::Lines => lines::split(self, &mut source),
            Form::Auto | Form::Document => self.documents(&mut source),
        }
    }

    /// One JSON document, or several one after another.
    fn documents(&mut self, source: &mut Source<'_>) -> Result<(), Stop> {
        while let Some(first) = source.skip_space()? {
            match first {
                b'{' => self.object(source)?,
                b'[' => self.list(source, true)?,
                // A bracket too many behind something broken is a part of it.
                b'}' | b']' | b',' if self.refused > 0 => {
                    source.skip_until(b"{[")?;
                }
                _ => self.no_json(source, first)?,
            }
        }
        if self.handed == 0 { self.refuse(1, "the file is empty".to_owned()) } else { Ok(()) }
    }

    /// An object at the top: a package, or an item by itself. A package larger
    /// than an item is read on from the file while its items are taken out.
    fn object(&mut self, source: &mut Source<'_>) -> Result<(), Stop> {
        let line = source.line();
        let head = scan::head(source, self.limits.item_bytes)?;
        if shape(&head.bytes) == Shape::Package {
            let mut bytes = head.bytes.as_slice();
            if head.end == scan::End::TooLong {
                let mut joined = bytes.chain(source.input());
                let mut joined = Source::new(&mut joined, line);
                let walked = package::walk(self, &mut joined);
                let line = joined.line();
                source.set_line(line);
                return walked;
            }
            return package::walk(self, &mut Source::new(&mut bytes, line));
        }
        let captured = scan::rest(source, head)?;
        self.lone(captured)
    }

    /// The elements of a list. `open` says that an element may be a package.
    fn list(&mut self, source: &mut Source<'_>, open: bool) -> Result<(), Stop> {
        let begin = source.line();
        source.consume(1);
        // What follows a refused item directly is a part of it, not one more.
        let mut broken = false;
        loop {
            match source.skip_space()? {
                None if broken => return Ok(()),
                None => {
                    let reason = format!("the file ends before the list of line {begin} is closed");
                    return self.refuse(source.line(), reason);
                }
                Some(b']') => {
                    source.consume(1);
                    return Ok(());
                }
                Some(b',') => source.consume(1),
                Some(b'}' | b':') => {
                    broken = self.stray(source, broken)?;
                }
                Some(_) => broken = !self.element(source, open)?,
            }
        }
    }

    /// One element of a list; answers whether it could be used.
    fn element(&mut self, source: &mut Source<'_>, open: bool) -> Result<bool, Stop> {
        let captured = scan::value(source, self.limits.item_bytes)?;
        if open && captured.end == scan::End::Complete && shape(&captured.bytes) == Shape::Package {
            let mut bytes = captured.bytes.as_slice();
            package::walk(self, &mut Source::new(&mut bytes, captured.line))?;
            return Ok(true);
        }
        if open {
            return self.lone_usable(captured);
        }
        self.offer(captured)
    }

    fn stray(&mut self, source: &mut Source<'_>, broken: bool) -> Result<bool, Stop> {
        let line = source.line();
        source.skip_until(b"{[],\"")?;
        if !broken {
            self.refuse(line, "a closing bracket or a comma is out of place here".to_owned())?;
        }
        Ok(true)
    }

    fn no_json(&mut self, source: &mut Source<'_>, first: u8) -> Result<(), Stop> {
        let line = source.line();
        let shown = if first.is_ascii_graphic() {
            format!("`{}`", first as char)
        } else {
            format!("byte 0x{first:02x}")
        };
        loop {
            source.skip_line()?;
            match source.skip_space()? {
                None | Some(b'{' | b'[') => break,
                Some(_) => {}
            }
        }
        self.refuse(line, format!("this is no JSON: {shown} where `{{` or `[` should be"))
    }

    /// An object that stands by itself and must say that it is OCDS.
    fn lone(&mut self, captured: scan::Captured) -> Result<(), Stop> {
        self.lone_usable(captured).map(|_| ())
    }

    fn lone_usable(&mut self, captured: scan::Captured) -> Result<bool, Stop> {
        let line = captured.line;
        if captured.end == scan::End::Complete
            && captured.bytes.first() == Some(&b'{')
            && shape(&captured.bytes) == Shape::Other
            && check::item(&captured, self.limits).is_ok()
        {
            let reason = "this is no OCDS: the object has neither `ocid` nor a list `releases` or `records`";
            self.refuse(line, reason.to_owned())?;
            return Ok(false);
        }
        self.offer(captured)
    }

    /// Hands on what was captured, or says why not.
    fn offer(&mut self, captured: scan::Captured) -> Result<bool, Stop> {
        match check::item(&captured, self.limits) {
            Ok(()) => {
                let item = Item { line: captured.line, bytes: captured.bytes };
                self.hand(Outcome::Item(item))?;
                Ok(true)
            }
            Err(refusal) => {
                self.hand(Outcome::Refused(refusal))?;
                Ok(false)
            }
        }
    }

    fn refuse(&mut self, line: u64, reason: String) -> Result<(), Stop> {
        self.hand(Outcome::Refused(Refusal { line, reason }))
    }

    fn hand(&mut self, outcome: Outcome) -> Result<(), Stop> {
        self.handed += 1;
        self.refused += u64::from(matches!(outcome, Outcome::Refused(_)));
        match (self.each)(outcome) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Enough),
        }
    }
}
