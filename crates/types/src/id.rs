//! Identifiers: a UUIDv7 each, with a prefix in their text form.

use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Declares an identifier type with its text prefix.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The prefix of its text form.
            pub const PREFIX: &'static str = $prefix;

            /// A new one; later ones sort after earlier ones.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The 16 bytes, as stores keep them.
            #[must_use]
            pub fn to_bytes(self) -> Vec<u8> {
                self.0.as_bytes().to_vec()
            }

            /// Reads the 16 bytes a store kept.
            ///
            /// # Errors
            /// When there are not 16 bytes.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadId> {
                Uuid::from_slice(bytes).map(Self).map_err(|_| BadId { text: format!("{} bytes", bytes.len()), prefix: $prefix })
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.as_simple())
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse(text, concat!($prefix, "_")).map(Self).ok_or_else(|| BadId { text: text.chars().take(80).collect(), prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

/// Only the 32 lower-case hex digits are read, so that one id has one text.
fn parse(text: &str, prefix: &str) -> Option<Uuid> {
    let hex = text.strip_prefix(prefix)?;
    let plain = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    plain.then(|| Uuid::try_parse(hex).ok())?
}

/// A text that is no identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no identifier: expected `{prefix}_` and 32 lower-case hex digits")]
pub struct BadId {
    text: String,
    prefix: &'static str,
}

ids! {
    /// A case.
    CaseId = "case";
    /// An execution of a definition.
    ExecutionId = "exec";
    /// A finding.
    FindingId = "find";
    /// An evaluation of policies.
    EvaluationId = "eval";
    /// An action taken for a case.
    ActionId = "act";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_nothing_else_is_read() {
        let id = CaseId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(CaseId::from_bytes(&id.to_bytes()), Ok(id));
        let hex = id.0.as_simple().to_string();
        for bad in [
            "",
            "case_",
            &hex,
            &format!("exec_{hex}"),
            &format!("case_{}", hex.to_uppercase()),
            &format!("case_{}", id.0),
        ] {
            if bad != format!("case_{hex}") {
                assert!(bad.parse::<CaseId>().is_err(), "{bad}");
            }
        }
        assert!(CaseId::from_bytes(&[1, 2, 3]).is_err());
    }
}
