//! UTF-8, byte by byte (table 3-7 of the Unicode standard).

/// What a byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Byte {
    /// The last or only byte of a character.
    Last,
    /// More bytes of this character follow.
    More,
    /// It cannot stand here.
    Wrong,
}

/// Follows a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Utf8 {
    left: u8,
    low: u8,
    high: u8,
}

impl Default for Utf8 {
    fn default() -> Self {
        Self { left: 0, low: 0x80, high: 0xBF }
    }
}

impl Utf8 {
    /// True between characters.
    pub(super) const fn is_whole(self) -> bool {
        self.left == 0
    }

    /// Takes the next byte.
    pub(super) fn push(&mut self, byte: u8) -> Byte {
        if self.left > 0 {
            return self.continued(byte);
        }
        let (left, low, high) = match byte {
            0x00..=0x7F => return Byte::Last,
            0xC2..=0xDF => (1, 0x80, 0xBF),
            0xE0 => (2, 0xA0, 0xBF),
            0xE1..=0xEC | 0xEE..=0xEF => (2, 0x80, 0xBF),
            0xED => (2, 0x80, 0x9F),
            0xF0 => (3, 0x90, 0xBF),
            0xF1..=0xF3 => (3, 0x80, 0xBF),
            0xF4 => (3, 0x80, 0x8F),
            _ => return Byte::Wrong,
        };
        *self = Self { left, low, high };
        Byte::More
    }

    fn continued(&mut self, byte: u8) -> Byte {
        if byte < self.low || byte > self.high {
            *self = Self::default();
            return Byte::Wrong;
        }
        *self = Self { left: self.left - 1, ..Self::default() };
        if self.left == 0 { Byte::Last } else { Byte::More }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The first byte that is wrong, as this module and the standard library see it.
    fn first_wrong(bytes: &[u8]) -> bool {
        let mut utf8 = Utf8::default();
        bytes.iter().any(|b| utf8.push(*b) == Byte::Wrong) || !utf8.is_whole()
    }

    #[test]
    fn knows_the_edges() {
        for bytes in [
            &b"\xC0\x80"[..],
            b"\xC1\xBF",
            b"\xE0\x9F\xBF",
            b"\xED\xA0\x80",
            b"\xF0\x8F\xBF\xBF",
            b"\xF4\x90\x80\x80",
            b"\xF5\x80\x80\x80",
            b"\x80",
            b"\xE2\x82",
            b"\xFF",
            b"\xE2\x28\xA1",
        ] {
            assert!(first_wrong(bytes), "{bytes:?}");
        }
        assert!(!first_wrong("aé€\u{10FFFF}\u{D7FF}\u{E000}".as_bytes()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn agrees_with_the_standard_library(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), 0x7E..=0xC3_u8, 0xE0..=0xF5_u8, 0x80..=0xBF_u8], 0..12
        )) {
            prop_assert_eq!(first_wrong(&bytes), std::str::from_utf8(&bytes).is_err());
        }
    }
}
