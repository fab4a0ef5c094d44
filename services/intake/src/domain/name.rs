//! Names of documents: `documents/` and the SHA-256 of their bytes.

use std::fmt;

/// What every name begins with.
const COLLECTION: &str = "documents/";

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Reads 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads 64 hexadecimal digits in lower case.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut bytes = [0; 32];
        (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(Self(bytes))
    }

    /// Reads a name such as `documents/e3b0…`.
    ///
    /// # Errors
    /// Says what a name looks like.
    pub fn from_name(name: &str) -> Result<Self, String> {
        name.strip_prefix(COLLECTION).and_then(Self::from_hex).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            format!("{shown:?} is no document name: `documents/` and 64 hexadecimal digits in lower case")
        })
    }

    /// The name of the document with this hash.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{COLLECTION}{self}")
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_no_name() {
        let digits = "0123456789abcdef".repeat(4);
        let check = |name: &str, good: bool| assert_eq!(Hash::from_name(name).is_ok(), good, "{name:?}");
        check(&format!("documents/{digits}"), true);
        check(&digits, false);
        check(&format!("documents/{}", digits.to_uppercase()), false);
        check(&format!("documents/{digits}0"), false);
        check(&format!("documents/{}", &digits[1..]), false);
        check(&format!("documents/{digits}/"), false);
        check(&format!("documents/../{}", &digits[3..]), false);
        check(&format!("Documents/{digits}"), false);
        check(&format!("documents/{}é", &digits[2..]), false);
        check("documents/", false);
        check("", false);
    }

    proptest! {
        #[test]
        fn names_round_trip(bytes: [u8; 32]) {
            let hash = Hash(bytes);
            prop_assert_eq!(Hash::from_name(&hash.name()), Ok(hash));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            if let Ok(hash) = Hash::from_name(&text) {
                prop_assert_eq!(hash.name(), text);
            }
        }
    }
}
