//! What can be wrong with a log, in words for people.

use probity_merkle::TileId;

/// Who is wrong when a row and its leaf hash differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// With the leaf hash the signed root is reached.
    Entry,
    /// With the entry the signed root is reached.
    Hash,
    /// With neither, or no checkpoint follows.
    Unclear,
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A row is gone.
    #[error("entry {index} is missing: {}, but the checkpoint covers {covered} entries", follows(*next))]
    Missing {
        /// Its index.
        index: u64,
        /// The next index there is.
        next: Option<i64>,
        /// Size of the checkpoint.
        covered: u64,
    },
    /// An index is there twice.
    #[error("entry {index} is in the store more than once")]
    Repeated {
        /// The index.
        index: u64,
    },
    /// A row and its leaf hash differ.
    #[error("entry {index} does not match its leaf hash: {}", culprit.sentence())]
    Altered {
        /// Its index.
        index: u64,
        /// Which of the two was changed.
        culprit: Culprit,
    },
    /// A row is filed under something its leaf does not say.
    #[error("entry {index} is filed under another {column} than it says itself")]
    Misfiled {
        /// Its index.
        index: u64,
        /// The column.
        column: &'static str,
    },
    /// Rows and leaf hashes were changed together.
    #[error(
        "entries and their leaf hashes were changed together: the checkpoint of size {from} still fits, that of \
         size {to} does not, so the first bad entry is {}", span(*from, *to)
    )]
    Within {
        /// Size of the newest checkpoint that fits: the first entry in question.
        from: u64,
        /// Size of the first checkpoint that does not.
        to: u64,
    },
    /// A row that no checkpoint covers.
    #[error("the store holds an entry with the index {index}, which no checkpoint covers")]
    Uncovered {
        /// Its index.
        index: i64,
    },
    /// The size the writer goes by is not that of the newest checkpoint.
    #[error(
        "the store counts {head} entries, the newest checkpoint covers {newest}: one of the two was changed"
    )]
    Head {
        /// What the writer goes by.
        head: i64,
        /// Size of the newest checkpoint.
        newest: i64,
    },
    /// A stored checkpoint does not hold.
    #[error("the stored checkpoint of size {size} does not hold: {error}")]
    Checkpoint {
        /// The size it is filed under.
        size: u64,
        /// Why.
        error: String,
    },
    /// A tile above the leaves is wrong or a tile is missing: entries are fine,
    /// proofs are not.
    #[error(
        "tile {} of level {} {what}: entries under it cannot be proved, though they may be as they were signed",
        id.index, id.level
    )]
    Tile {
        /// The tile.
        id: TileId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The log is shorter than it was.
    #[error(
        "the log had {witnessed} entries when the given checkpoint was signed; now its newest covers {covered}"
    )]
    RolledBack {
        /// Size of the checkpoint kept elsewhere.
        witnessed: u64,
        /// Size of the newest stored one.
        covered: u64,
    },
    /// The log is another one than it was.
    #[error(
        "the first {size} entries are not those of the given checkpoint: they were changed and signed anew"
    )]
    Rewritten {
        /// Size of the checkpoint kept elsewhere.
        size: u64,
    },
}

fn follows(next: Option<i64>) -> String {
    next.map_or_else(|| "no entry follows".to_owned(), |next| format!("the next entry is {next}"))
}

fn span(from: u64, to: u64) -> String {
    if to - from == 1 { format!("{from}") } else { format!("one of {from} to {}", to - 1) }
}

impl Culprit {
    const fn sentence(self) -> &'static str {
        match self {
            Self::Entry => "the entry was changed, the leaf hash is the signed one",
            Self::Hash => "the leaf hash was changed, the entry is as it was signed",
            Self::Unclear => "no checkpoint confirms either of them",
        }
    }
}

impl Problem {
    /// The first entry that is bad, where the problem lies in one.
    #[must_use]
    pub fn first_bad(&self) -> Option<u64> {
        match self {
            Self::Missing { index, .. }
            | Self::Repeated { index }
            | Self::Altered { index, .. }
            | Self::Misfiled { index, .. } => Some(*index),
            Self::Within { from, .. } => Some(*from),
            Self::Uncovered { index } => u64::try_from(*index).ok(),
            Self::Head { .. }
            | Self::Checkpoint { .. }
            | Self::Tile { .. }
            | Self::RolledBack { .. }
            | Self::Rewritten { .. } => None,
        }
    }
}
