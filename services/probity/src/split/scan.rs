//! Takes one JSON value out of a stream by counting brackets outside strings.
//!
//! It never recurses, so no nesting can exhaust the stack, and keeps at most a
//! given number of bytes. Whether what it took is valid JSON is for
//! [`super::check`] to say.

use super::source::Source;
use std::io;

/// How a value ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its last bracket or quote was read.
    Complete,
    /// The file ended first.
    CutOff,
    /// It has more bytes than were to be kept.
    TooLong,
}

/// A value, or as much of it as was to be kept.
#[derive(Debug)]
pub(crate) struct Captured {
    /// Line on which it begins.
    pub(crate) line: u64,
    /// Its bytes; when it is too long, only the first of them or none.
    pub(crate) bytes: Vec<u8>,
    /// How many bytes it has in the file, kept or not.
    pub(crate) size: u64,
    /// How it ended.
    pub(crate) end: End,
    tracker: Tracker,
    /// Nothing is left of it in the file.
    read: bool,
}

impl Captured {
    /// Deepest level of brackets in it.
    pub(crate) const fn deepest(&self) -> u64 {
        self.tracker.deepest
    }
}

/// Where in a value the reader stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tracker {
    depth: u64,
    deepest: u64,
    in_string: bool,
    escaped: bool,
}

impl Tracker {
    /// Reads one byte; true when the value ends with it.
    ///
    /// A line end inside a string is not JSON. The string counts as closed
    /// there, so that one lost quote spoils one item and not the whole file.
    pub(crate) const fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            self.step_string(byte);
            return !self.in_string && self.depth == 0;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth > self.deepest {
                    self.deepest = self.depth;
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    const fn step_string(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.in_string = false;
                self.escaped = false;
            }
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }
}

/// The value at the next byte, whole. One of more than `most` bytes is read to
/// its end but not kept.
pub(crate) fn value(source: &mut Source<'_>, most: usize) -> io::Result<Captured> {
    let head = head(source, most)?;
    rest(source, head)
}

/// The value at the next byte, or its first `most` bytes and a few more; the
/// source then stands behind what was kept.
pub(crate) fn head(source: &mut Source<'_>, most: usize) -> io::Result<Captured> {
    let mut taken = Captured {
        line: source.line(),
        bytes: Vec::new(),
        size: 0,
        end: End::TooLong,
        tracker: Tracker::default(),
        read: false,
    };
    read_on(source, &mut taken, Some(most))?;
    Ok(taken)
}

/// Reads a value that [`head`] began to its end; a long one is dropped.
pub(crate) fn rest(source: &mut Source<'_>, mut head: Captured) -> io::Result<Captured> {
    if head.end == End::TooLong {
        head.bytes = Vec::new();
        if !head.read {
            read_on(source, &mut head, None)?;
        }
        head.end = End::TooLong;
    }
    Ok(head)
}

/// Steps over the value at the next byte, however long it is.
pub(crate) fn skip(source: &mut Source<'_>) -> io::Result<End> {
    let mut taken = head(source, 0)?;
    if !taken.read {
        read_on(source, &mut taken, None)?;
    }
    Ok(if taken.end == End::CutOff { End::CutOff } else { End::Complete })
}

/// Reads on until the value ends, the file ends, or more than `most` bytes are
/// kept. Without `most` nothing is kept and nothing is too long.
fn read_on(source: &mut Source<'_>, taken: &mut Captured, most: Option<usize>) -> io::Result<()> {
    loop {
        let chunk = source.head()?;
        if chunk.is_empty() {
            // A number or a word needs no closing: the end of the file ends it.
            let bare = taken.tracker.depth == 0 && !taken.tracker.in_string && taken.size > 0;
            taken.end = if bare { End::Complete } else { End::CutOff };
            taken.read = true;
            return Ok(());
        }
        let (used, done) = advance(&mut taken.tracker, chunk, taken.size == 0);
        if most.is_some() {
            taken.bytes.extend_from_slice(chunk.get(..used).unwrap_or_default());
        }
        source.consume(used);
        taken.size += used as u64;
        taken.read = done;
        let full = most.is_some_and(|most| taken.bytes.len() > most);
        if done || full {
            taken.end = if full { End::TooLong } else { End::Complete };
            return Ok(());
        }
    }
}

/// How many bytes of the chunk belong to the value, and whether it ends there.
fn advance(tracker: &mut Tracker, chunk: &[u8], first: bool) -> (usize, bool) {
    for (at, byte) in chunk.iter().enumerate() {
        let outside = tracker.depth == 0 && !tracker.in_string && !(first && at == 0);
        if outside && matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\r' | b'\n') {
            return (at, true); // behind a number or a word
        }
        if tracker.step(*byte) {
            return (at + 1, true);
        }
    }
    (chunk.len(), false)
}
