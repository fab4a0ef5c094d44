//! The two hashes of RFC 6962: SHA-256 with 0x00 before a leaf and 0x01 before a
//! pair of nodes, so that no leaf can pass for a node.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A SHA-256 hash. Its text form is hex; in JSON and in checkpoints it is
/// standard base64 with padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; Self::LEN]);

impl Hash {
    /// Bytes in a hash.
    pub const LEN: usize = 32;

    /// The root of the tree without leaves.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self(Sha256::digest(b"").into())
    }

    /// Reads the 32 bytes of a hash.
    ///
    /// # Errors
    /// When there are fewer or more.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BadHash> {
        bytes.try_into().map(Self).map_err(|_| BadHash::Length(bytes.len()))
    }

    /// Reads base64 with padding.
    ///
    /// # Errors
    /// When it is not the base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, BadHash> {
        // 44 characters hold 32 bytes: longer texts need not be decoded to be refused.
        if text.len() > 44 {
            return Err(BadHash::Length(text.len() / 4 * 3));
        }
        Self::from_slice(&BASE64_STANDARD.decode(text).map_err(|_| BadHash::NotBase64)?)
    }

    /// The hash in base64.
    #[must_use]
    pub fn to_base64(self) -> String {
        BASE64_STANDARD.encode(self.0)
    }
}

/// A text or bytes that are no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHash {
    /// Not as long as a SHA-256 hash.
    #[error("a hash has 32 bytes, this has {0}")]
    Length(usize),
    /// Not standard base64.
    #[error("the hash is not standard base64 with padding")]
    NotBase64,
}

/// The hash of a leaf: `SHA-256(0x00 || data)`.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// The hash of two nodes: `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::from_base64(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_strict() {
        let good = Hash::of_nothing().to_base64();
        assert_eq!(good, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(Hash::from_base64(&good), Ok(Hash::of_nothing()));
        let check = |text: &str, expect: BadHash| assert_eq!(Hash::from_base64(text), Err(expect), "{text}");
        check("", BadHash::Length(0));
        check("AAAA", BadHash::Length(3));
        check(good.trim_end_matches('='), BadHash::NotBase64);
        check(&good.replace('+', "-"), BadHash::NotBase64);
        check(&good.replace("FU=", "FV="), BadHash::NotBase64);
        check(&"A".repeat(4000), BadHash::Length(3000));
    }

    #[test]
    fn a_leaf_is_not_a_node() {
        let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
        let pair = [a.0, b.0].concat();
        assert_ne!(leaf_hash(&pair), node_hash(&a, &b));
    }
}
