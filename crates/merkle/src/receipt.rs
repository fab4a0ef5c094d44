//! Receipts: log entries with their inclusion proofs and one signed checkpoint,
//! in a file that verifies without the log. The format is in the README.
//!
//! Whether an entry speaks of the receipt's subject is not checked here: leaves
//! are opaque to this crate. Who knows the leaf format must check it.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::{Hash, leaf_hash};
use crate::note::{NoteError, VerifierKey};
use crate::proof::{ProofError, verify_inclusion};
use serde::{Deserialize, Serialize};

/// The `format` of receipts that are written and read here.
pub const FORMAT: &str = "probity-receipt/v1";
/// Largest receipt in bytes.
pub const MAX_RECEIPT_LEN: usize = 64 * 1024 * 1024;
/// Most entries in a receipt.
pub const MAX_ENTRIES: usize = 10_000;
/// Largest leaf in bytes.
pub const MAX_LEAF_LEN: usize = 64 * 1024;

/// A receipt as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`FORMAT`].
    pub format: String,
    /// What it is of, such as `cases/case_…`. A claim, covered by no signature.
    pub subject: String,
    /// How many entries of the subject the log held when the receipt was made;
    /// more than [`Receipt::entries`] when the receipt had to be cut. A claim.
    pub total_entries: u64,
    /// The entries in the order of the log.
    pub entries: Vec<ProvedEntry>,
    /// The signed note all proofs lead to.
    pub checkpoint: String,
    /// The key of the log, for convenience: whoever made up a receipt could put
    /// in a key as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier_key: Option<String>,
}

/// An entry and the way from it to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvedEntry {
    /// Index in the log.
    pub index: u64,
    /// The bytes of the leaf, in base64.
    #[serde(with = "base64_bytes")]
    pub leaf: Vec<u8>,
    /// The inclusion proof, from the leaf up.
    pub inclusion: Vec<Hash>,
}

/// Where the key that verified a receipt came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySource {
    /// From the caller: the receipt is proved against a key the caller trusts.
    Pinned,
    /// From the receipt: it is consistent in itself, which says nothing about who
    /// made it until the key is compared with one from another source.
    Receipt,
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pinned => "pinned key",
            Self::Receipt => "key from the receipt itself",
        })
    }
}

/// A receipt that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the receipt says it is of.
    pub claimed_subject: String,
    /// How many entries it says there are of it.
    pub claimed_total: u64,
    /// The entries, each proved: index and leaf.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// The tree head they are proved against.
    pub checkpoint: Checkpoint,
    /// The key that signed the tree head.
    pub key: VerifierKey,
    /// Where that key came from.
    pub key_source: KeySource,
}

/// Why a receipt does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Larger than any receipt of ours.
    #[error("the receipt has {0} bytes; at most {MAX_RECEIPT_LEN} are read")]
    TooLong(usize),
    /// Not the JSON of a receipt.
    #[error("the receipt cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Another format or version.
    #[error("the format is {0:?}; this program reads {FORMAT}")]
    Format(String),
    /// Nothing to prove, or too much.
    #[error("the receipt has {0} entries; 1 to {MAX_ENTRIES} are read")]
    Entries(usize),
    /// No key to verify with.
    #[error("the receipt carries no key and none was given: verifying needs the key of the log")]
    NoKey,
    /// The key in the receipt is none.
    #[error("verifier_key: {0}")]
    Key(NoteError),
    /// The checkpoint does not hold.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Entries are repeated or not in order.
    #[error("entries[{position}]: index {index} does not follow the one before it")]
    Order {
        /// Place in the receipt.
        position: usize,
        /// Index in the log.
        index: u64,
    },
    /// A leaf is larger than any of ours.
    #[error("entries[{position}]: the leaf has {len} bytes; at most {MAX_LEAF_LEN} are read")]
    Leaf {
        /// Place in the receipt.
        position: usize,
        /// Its length.
        len: usize,
    },
    /// An entry is not in the tree that was signed.
    #[error("entries[{position}]: entry {index} is not what the log signed: {error}")]
    NotIncluded {
        /// Place in the receipt.
        position: usize,
        /// Index in the log.
        index: u64,
        /// Why the proof does not hold.
        error: ProofError,
    },
}

impl Receipt {
    /// A receipt of the current format.
    #[must_use]
    pub fn new(subject: &str, total_entries: u64, entries: Vec<ProvedEntry>, checkpoint: String) -> Self {
        let (format, subject) = (FORMAT.to_owned(), subject.to_owned());
        Self { format, subject, total_entries, entries, checkpoint, verifier_key: None }
    }

    /// The receipt as JSON.
    ///
    /// # Errors
    /// Never for values that fit in memory.
    pub fn to_json(&self) -> Result<String, ReceiptError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads a receipt without verifying it.
    ///
    /// # Errors
    /// When it is too large, no receipt, or of another version.
    pub fn from_json(json: &[u8]) -> Result<Self, ReceiptError> {
        if json.len() > MAX_RECEIPT_LEN {
            return Err(ReceiptError::TooLong(json.len()));
        }
        // The version first: fields of another one would only confuse.
        #[derive(Deserialize)]
        struct Version {
            format: String,
        }
        let Version { format } = serde_json::from_slice(json)?;
        if format != FORMAT {
            return Err(ReceiptError::Format(format.chars().take(80).collect()));
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// Verifies the receipt with the pinned key or, without one, with the key it
    /// carries; the answer says which.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn verify(self, pinned: Option<&VerifierKey>) -> Result<Verified, ReceiptError> {
        let (key, key_source) = match (pinned, &self.verifier_key) {
            (Some(key), _) => (key.clone(), KeySource::Pinned),
            (None, Some(text)) => (text.parse().map_err(ReceiptError::Key)?, KeySource::Receipt),
            (None, None) => return Err(ReceiptError::NoKey),
        };
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), &key)?;
        self.check_order()?;
        for (position, entry) in self.entries.iter().enumerate() {
            entry.check(position, &checkpoint)?;
        }
        Ok(Verified {
            claimed_subject: self.subject,
            claimed_total: self.total_entries,
            entries: self.entries.into_iter().map(|entry| (entry.index, entry.leaf)).collect(),
            checkpoint,
            key,
            key_source,
        })
    }

    fn check_order(&self) -> Result<(), ReceiptError> {
        if self.entries.is_empty() || self.entries.len() > MAX_ENTRIES {
            return Err(ReceiptError::Entries(self.entries.len()));
        }
        let unordered = self.entries.windows(2).position(|pair| pair[0].index >= pair[1].index);
        unordered.map_or(Ok(()), |at| {
            Err(ReceiptError::Order { position: at + 1, index: self.entries[at + 1].index })
        })
    }
}

impl ProvedEntry {
    fn check(&self, position: usize, head: &Checkpoint) -> Result<(), ReceiptError> {
        if self.leaf.len() > MAX_LEAF_LEN {
            return Err(ReceiptError::Leaf { position, len: self.leaf.len() });
        }
        verify_inclusion(self.index, head.size, &leaf_hash(&self.leaf), &self.inclusion, &head.root)
            .map_err(|error| ReceiptError::NotIncluded { position, index: self.index, error })
    }
}

/// Verifies the JSON of a receipt; see [`Receipt::verify`].
///
/// # Errors
/// The first thing that does not hold.
pub fn verify(json: &[u8], pinned: Option<&VerifierKey>) -> Result<Verified, ReceiptError> {
    Receipt::from_json(json)?.verify(pinned)
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}
