//! JSON Lines: an item a line. A line end always begins a new item, so one
//! broken line never spoils the next.

use super::package::{Shape, shape, walk};
use super::scan::{self, Captured};
use super::source::Source;
use super::{Limits, Refusal, Splitter, Stop, check};
use std::io;

/// Hands on the items of all lines.
pub(crate) fn split(splitter: &mut Splitter<'_>, source: &mut Source<'_>) -> Result<(), Stop> {
    let mut empty = true;
    loop {
        let line = source.line();
        match read(source, splitter.limits)? {
            Line::End => break,
            Line::Blank => {}
            Line::TooLong(size) => {
                empty = false;
                splitter.refuse(line, too_long(size, splitter.limits))?;
            }
            Line::Text(bytes) => {
                empty = false;
                one(splitter, &bytes, line)?;
            }
        }
    }
    if empty { splitter.refuse(1, "the file is empty".to_owned()) } else { Ok(()) }
}

fn too_long(size: u64, limits: Limits) -> String {
    format!("the line {}", check::too_long(size, limits))
}

fn one(splitter: &mut Splitter<'_>, bytes: &[u8], line: u64) -> Result<(), Stop> {
    let mut rest = bytes;
    let mut source = Source::new(&mut rest, line);
    let captured = scan::value(&mut source, splitter.limits.item_bytes)?;
    if source.skip_space()?.is_some() {
        // More than one value on a line: something closed too early.
        return splitter.refuse(line, garbled(&captured, splitter.limits));
    }
    if captured.end == scan::End::CutOff {
        return splitter.refuse(line, "the line ends in the middle of its JSON object".to_owned());
    }
    if shape(&captured.bytes) == Shape::Package && check::item(&captured, splitter.limits).is_ok() {
        return walk(splitter, &mut Source::new(&mut captured.bytes.as_slice(), line));
    }
    splitter.lone(captured)
}

fn garbled(captured: &Captured, limits: Limits) -> String {
    match check::item(captured, limits) {
        Ok(()) => format!("the line goes on after the JSON value that ends at byte {}", captured.size),
        Err(Refusal { reason, .. }) => reason,
    }
}

/// A line as it was read.
enum Line {
    /// Nothing but white space.
    Blank,
    /// Its bytes without the line end.
    Text(Vec<u8>),
    /// It has this many bytes, over the limit; they were not kept.
    TooLong(u64),
    /// The file is over.
    End,
}

fn read(source: &mut Source<'_>, limits: Limits) -> io::Result<Line> {
    let mut bytes = Vec::new();
    let mut size = 0_u64;
    loop {
        let chunk = source.head()?;
        if chunk.is_empty() {
            return Ok(if size == 0 { Line::End } else { finish(bytes, size, limits) });
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        let used = end.unwrap_or(chunk.len());
        size += used as u64;
        if bytes.len() <= limits.item_bytes {
            bytes.extend_from_slice(chunk.get(..used).unwrap_or_default());
        }
        source.consume(used + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(finish(bytes, size, limits));
        }
    }
}

fn finish(bytes: Vec<u8>, size: u64, limits: Limits) -> Line {
    if size > limits.item_bytes as u64 {
        return Line::TooLong(size);
    }
    let begin = bytes.iter().position(|b| !b.is_ascii_whitespace());
    begin.map_or(Line::Blank, |_| Line::Text(bytes))
}
