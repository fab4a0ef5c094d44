//! Where in a document we are.

/// A place: byte, line and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Line, from 1.
    pub(super) line: u64,
    /// Column in characters, from 1.
    pub(super) column: u64,
}

impl Default for Place {
    fn default() -> Self {
        Self { offset: 0, line: 1, column: 1 }
    }
}

impl Place {
    /// Moves past a byte.
    pub(super) const fn pass(&mut self, byte: u8) {
        self.offset += 1;
        match byte {
            b'\n' => {
                self.line += 1;
                self.column = 1;
            }
            // The bytes of a character after its first.
            0x80..=0xBF => {}
            _ => self.column += 1,
        }
    }
}
