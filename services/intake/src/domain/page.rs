//! Tokens that continue a list of documents, newest first.

use crate::domain::name::Hash;
use probity_types::Micros;

/// The last document of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When it was stored.
    pub created: Micros,
    /// Its hash.
    pub hash: Hash,
}

impl Cursor {
    /// Before the first document of every list.
    pub const START: Self = Self { created: Micros(i64::MAX), hash: Hash([0xff; 32]) };

    /// The token of the page after this document.
    #[must_use]
    pub fn token(&self) -> String {
        let mut bytes = self.created.0.to_be_bytes().to_vec();
        bytes.extend(self.hash.0);
        hex::encode(bytes)
    }

    /// Reads a token; an empty one is the start.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        if token.is_empty() {
            return Some(Self::START);
        }
        let mut bytes = [0; 40];
        hex::decode_to_slice(token, &mut bytes).ok()?;
        let (created, hash) = bytes.split_at(8);
        let created = i64::from_be_bytes(created.try_into().ok()?);
        Some(Self { created: Micros(created), hash: Hash::from_slice(hash)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_it_did_not_make() {
        for bad in ["x", "00", &"0".repeat(79), &"0".repeat(81), &"é".repeat(40)] {
            assert_eq!(Cursor::from_token(bad), None, "{bad}");
        }
        assert_eq!(Cursor::from_token(""), Some(Cursor::START));
    }

    proptest! {
        #[test]
        fn tokens_round_trip(created: i64, hash: [u8; 32]) {
            let cursor = Cursor { created: Micros(created), hash: Hash(hash) };
            prop_assert_eq!(Cursor::from_token(&cursor.token()), Some(cursor));
        }
    }
}
