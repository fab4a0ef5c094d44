//! The bytes of a file with the line they stand on.

use std::io::{self, BufRead};

/// A reader that counts lines. It looks one byte ahead and hands out chunks.
pub(crate) struct Source<'a> {
    input: &'a mut dyn BufRead,
    line: u64,
}

impl<'a> Source<'a> {
    /// Reads `input`, whose first byte stands on `line`.
    pub(crate) fn new(input: &'a mut dyn BufRead, line: u64) -> Self {
        Self { input, line }
    }

    /// The line of the next byte, counted from 1.
    pub(crate) const fn line(&self) -> u64 {
        self.line
    }

    /// Says on which line the next byte stands, after somebody else read on.
    pub(crate) const fn set_line(&mut self, line: u64) {
        self.line = line;
    }

    /// What is read from, for somebody who reads on.
    pub(crate) fn input(&mut self) -> &mut dyn BufRead {
        &mut *self.input
    }

    /// The bytes that are there without waiting for more; empty at the end.
    pub(crate) fn head(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.input.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.input.fill_buf()
    }

    /// Steps over bytes of [`Source::head`]; over none at the end of the file.
    pub(crate) fn consume(&mut self, bytes: usize) {
        let Ok(head) = self.input.fill_buf() else { return };
        let bytes = bytes.min(head.len());
        let newlines = head.iter().take(bytes).filter(|b| **b == b'\n').count();
        self.line += newlines as u64;
        self.input.consume(bytes);
    }

    /// The next byte that is no white space, without stepping over it.
    pub(crate) fn skip_space(&mut self) -> io::Result<Option<u8>> {
        self.find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
    }

    /// Steps up to the next of the given bytes; at least over one byte.
    pub(crate) fn skip_until(&mut self, stops: &[u8]) -> io::Result<Option<u8>> {
        self.consume(1);
        self.find(|byte| stops.contains(&byte))
    }

    /// Steps over the rest of the line, and over its end.
    pub(crate) fn skip_line(&mut self) -> io::Result<()> {
        if self.find(|byte| byte == b'\n')?.is_some() {
            self.consume(1);
        }
        Ok(())
    }

    fn find(&mut self, wanted: impl Fn(u8) -> bool) -> io::Result<Option<u8>> {
        loop {
            let head = self.head()?;
            if head.is_empty() {
                return Ok(None);
            }
            let found = head.iter().position(|byte| wanted(*byte));
            let byte = found.and_then(|at| head.get(at).copied());
            let steps = found.unwrap_or(head.len());
            self.consume(steps);
            if byte.is_some() {
                return Ok(byte);
            }
        }
    }
}
