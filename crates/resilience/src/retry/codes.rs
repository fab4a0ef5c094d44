//! A set of gRPC codes, written by name.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tonic::Code;

/// Names by number, as the gRPC documentation writes them.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Codes that are worth another try even when the server does not say so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Codes(u32);

impl Codes {
    /// UNAVAILABLE alone.
    pub const UNAVAILABLE: Self = Self::of(&[Code::Unavailable]);

    /// A set of codes; OK is never in it.
    #[must_use]
    pub const fn of(codes: &[Code]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < codes.len() {
            set |= 1 << codes[at] as u32;
            at += 1;
        }
        Self(set & !1)
    }

    /// Reads names such as `UNAVAILABLE`, in upper or lower case.
    ///
    /// # Errors
    /// The name that is none of a failure.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut set = 0;
        for name in names {
            let number = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
            let number = number.filter(|number| *number > 0);
            set |= 1 << number.ok_or_else(|| format!("{name:?} is no gRPC code of a failure"))?;
        }
        Ok(Self(set))
    }

    /// Whether a code is in the set.
    #[must_use]
    pub const fn contains(self, code: Code) -> bool {
        self.0 & (1 << code as u32) != 0
    }

    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().enumerate().filter(move |(number, _)| self.0 & (1 << number) != 0).map(|(_, n)| n)
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self::UNAVAILABLE
    }
}

impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Serialize for Codes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Self::parse(names.iter().map(String::as_str)).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_codes_of_grpc() {
        for (number, name) in NAMES.iter().enumerate().skip(1) {
            let codes = Codes::parse([*name]).unwrap();
            for other in 0..=16 {
                assert_eq!(
                    codes.contains(Code::from_i32(other)),
                    usize::try_from(other) == Ok(number),
                    "{name}"
                );
            }
            let lower = Codes::parse([name.to_lowercase().as_str()]);
            assert_eq!(lower, Ok(codes));
        }
        assert_eq!(format!("{:?}", Codes::of(&[Code::Aborted, Code::Ok])), r#"{"ABORTED"}"#);
        assert_eq!(Codes::parse(["OK"]), Err("\"OK\" is no gRPC code of a failure".to_owned()));
        assert_eq!(Codes::parse(["BUSY"]), Err("\"BUSY\" is no gRPC code of a failure".to_owned()));
        assert!(Codes::parse([]).unwrap().is_empty());
    }
}
