//! Keys and fingerprints.

use sha2::{Digest as _, Sha256};

/// The longest key of a caller.
pub const MAX_KEY: usize = 128;

/// Which request it is: unique within a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Whose.
    pub tenant: String,
    /// The method or operation; the same key in two of them is two requests.
    pub operation: String,
    /// The key itself.
    pub key: String,
}

/// What a request says, as a hash: the same key with another one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The hash of a body.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

/// A key for a request whose caller has none: the same for the same operation,
/// provider, tenant and payload, and different otherwise. 69 letters.
#[must_use]
pub fn key_of(operation: &str, provider: &str, tenant: &str, payload: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [operation.as_bytes(), provider.as_bytes(), tenant.as_bytes(), payload] {
        // With its length, so that no text can move from one part to the next.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("idem_{}", hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_the_same_tomorrow() {
        let key = key_of("open", "ocds", "acme", b"{}");
        assert_eq!(key.len(), 69);
        assert!(key.len() <= MAX_KEY);
        assert_eq!(key, key_of("open", "ocds", "acme", b"{}"));
        assert_ne!(key, key_of("openo", "cds", "acme", b"{}"));
        assert_ne!(key, key_of("open", "ocds", "acme{}", b""));
    }

    proptest! {
        #[test]
        fn different_requests_have_different_keys(a in ".{0,4}", b in ".{0,4}", c in ".{0,4}", d in ".{0,4}",
            e in ".{0,4}", f in ".{0,4}", g in ".{0,4}", h in ".{0,4}") {
            let (one, two) = (key_of(&a, &b, &c, d.as_bytes()), key_of(&e, &f, &g, h.as_bytes()));
            prop_assert_eq!(one == two, (a, b, c, d) == (e, f, g, h));
        }
    }
}
