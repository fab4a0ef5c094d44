//! Release and record packages: objects whose lists hold the items.

use super::scan::{self, End};
use super::source::Source;
use super::{Splitter, Stop};
use std::io;

/// What an object is, told from the keys at its first level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// It has an `ocid`: a release or a record. (A record has a list
    /// `releases` too.)
    Item,
    /// It has a list of releases or records and no `ocid`.
    Package,
    /// Neither.
    Other,
}

const LISTS: [&[u8]; 2] = [b"releases", b"records"];

/// Tells the shape of an object, or of the beginning of one.
pub(crate) fn shape(mut bytes: &[u8]) -> Shape {
    let mut source = Source::new(&mut bytes, 1);
    let mut found = Shape::Other;
    if source.skip_space().ok().flatten() != Some(b'{') {
        return found;
    }
    source.consume(1);
    while let Ok(Next::Key(key)) = next(&mut source) {
        if key == b"ocid" {
            return Shape::Item;
        }
        if is_list(&mut source, &key) {
            found = Shape::Package;
        }
        if scan::skip(&mut source).is_err() {
            break;
        }
    }
    found
}

fn is_list(source: &mut Source<'_>, key: &[u8]) -> bool {
    LISTS.contains(&key) && source.skip_space().ok().flatten() == Some(b'[')
}

/// What comes next inside an object.
enum Next {
    /// A key; the source stands before its value.
    Key(Vec<u8>),
    /// The closing bracket, read.
    Close,
    /// Something that has no place there, not read.
    Stray,
    /// The end of the file.
    Eof,
}

fn next(source: &mut Source<'_>) -> io::Result<Next> {
    loop {
        match source.skip_space()? {
            None => return Ok(Next::Eof),
            Some(b',') => source.consume(1),
            Some(b'}') => {
                source.consume(1);
                return Ok(Next::Close);
            }
            Some(b'"') => return key(source),
            Some(_) => return Ok(Next::Stray),
        }
    }
}

fn key(source: &mut Source<'_>) -> io::Result<Next> {
    const LONGEST: usize = 1_024;
    let key = scan::value(source, LONGEST)?;
    if key.end == End::CutOff {
        return Ok(Next::Eof);
    }
    match source.skip_space()? {
        Some(b':') => source.consume(1),
        Some(_) => return Ok(Next::Stray),
        None => return Ok(Next::Eof),
    }
    source.skip_space()?;
    let inner = key.bytes.get(1..key.bytes.len().saturating_sub(1)).unwrap_or_default();
    Ok(Next::Key(inner.to_vec()))
}

/// Hands on the items of the package at the next byte.
pub(crate) fn walk(splitter: &mut Splitter<'_>, source: &mut Source<'_>) -> Result<(), Stop> {
    let begin = source.line();
    let (handed, refused) = (splitter.handed, splitter.refused);
    source.skip_space()?;
    source.consume(1);
    loop {
        // A refused item explains what does not fit behind it.
        let broken = splitter.refused > refused;
        match next(source)? {
            Next::Key(key) if is_list(source, &key) => splitter.list(source, false)?,
            Next::Key(_) => {
                scan::skip(source)?;
            }
            Next::Close => break,
            Next::Stray => stray(splitter, source, broken)?,
            Next::Eof if broken => return Ok(()),
            Next::Eof => {
                let reason = format!("the file ends before the package of line {begin} is closed");
                return splitter.refuse(source.line(), reason);
            }
        }
    }
    if splitter.handed == handed {
        splitter.refuse(begin, "the package holds no releases or records".to_owned())?;
    }
    Ok(())
}

fn stray(splitter: &mut Splitter<'_>, source: &mut Source<'_>, broken: bool) -> Result<(), Stop> {
    let line = source.line();
    source.skip_until(b"\"}")?;
    if broken {
        return Ok(());
    }
    splitter.refuse(line, "a key in double quotes should stand here".to_owned())
}
