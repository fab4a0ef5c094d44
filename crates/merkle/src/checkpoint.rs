//! Tree heads (C2SP tlog-checkpoint): origin, size and root as the text of a
//! signed note.

use crate::hash::Hash;
use crate::note::{NoteError, NoteSigner, SignedNote, VerifierKey};

/// The head of a tree. Only [`Checkpoint::open`] tells that somebody signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// How many entries the tree has.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
    /// Further lines, which are signed too but mean nothing here.
    pub extensions: Vec<String>,
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is no checkpoint.
    #[error("line {line} of the checkpoint: {what}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Signed by the right key over the head of another log.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    Origin {
        /// The log expected.
        expected: String,
        /// The log it is of.
        found: String,
    },
}

impl Checkpoint {
    /// A head without extension lines.
    #[must_use]
    pub fn new(origin: &str, size: u64, root: Hash) -> Self {
        Self { origin: origin.to_owned(), size, root, extensions: Vec::new() }
    }

    /// Reads and verifies a signed checkpoint. Its origin must be the name of the
    /// key.
    ///
    /// # Errors
    /// When the note cannot be read, is not signed by the key, or is no
    /// checkpoint of that log.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = SignedNote::parse(note)?;
        let checkpoint = Self::parse(note.verified_text(key)?)?;
        if checkpoint.origin == key.name() {
            return Ok(checkpoint);
        }
        Err(CheckpointError::Origin { expected: key.name().to_owned(), found: checkpoint.origin })
    }

    /// The signed note of this head.
    ///
    /// # Errors
    /// When the origin or an extension line cannot stand in a note.
    pub fn sign(&self, signer: &NoteSigner) -> Result<String, CheckpointError> {
        let text = self.to_text();
        // What would be read differently must not be signed.
        if Self::parse(&text)? == *self {
            return Ok(signer.sign(&text)?);
        }
        Err(CheckpointError::Malformed { line: 1, what: "holds a line break" })
    }

    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64());
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads the text of a checkpoint.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let bad = |line, what| CheckpointError::Malformed { line, what };
        let body = text.strip_suffix('\n').ok_or(bad(1, "the text must end in a newline"))?;
        let mut lines = body.split('\n');
        let origin = lines.next().filter(|l| !l.is_empty()).ok_or(bad(1, "the origin is missing"))?;
        let size = lines.next().and_then(read_size).ok_or(bad(2, "the size is no decimal number"))?;
        let root = lines.next().and_then(|l| Hash::from_base64(l).ok());
        let root = root.ok_or(bad(3, "the root is not the base64 of 32 bytes"))?;
        let extensions: Vec<_> = lines.map(ToOwned::to_owned).collect();
        if let Some(at) = extensions.iter().position(String::is_empty) {
            return Err(bad(4 + at, "an extension line is empty"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }
}

/// One number has one text: no sign, no leading zeros.
fn read_size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok()?;
    (size.to_string() == text).then_some(size)
}
