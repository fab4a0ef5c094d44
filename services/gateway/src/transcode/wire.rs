//! The protobuf wire format as it is read: field after field, nothing copied.

use std::fmt;

/// The value of a field as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Raw<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
    Fixed32(u32),
}

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are no protobuf message")
    }
}

/// The fields of a message in the order of the wire: number and value. Ends
/// after the first thing that cannot be read.
pub(super) struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    pub(super) const fn of(message: &'b [u8]) -> Self {
        Self(message)
    }

    fn field(&mut self) -> Option<(u32, Raw<'b>)> {
        let tag = u32::try_from(varint(&mut self.0)?).ok()?;
        let raw = match tag & 7 {
            0 => Raw::Varint(varint(&mut self.0)?),
            1 => Raw::Fixed64(fixed64(&mut self.0)?),
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).ok()?;
                Raw::Bytes(take(&mut self.0, length)?)
            }
            5 => Raw::Fixed32(fixed32(&mut self.0)?),
            _ => return None, // groups went out of use with proto2
        };
        (tag >> 3 != 0).then_some((tag >> 3, raw))
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u32, Raw<'b>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Broken))
    }
}

/// Reads seven bits a byte, the least significant first, ten bytes at most.
pub(super) fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (at, byte) in from.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *from = &from[at + 1..];
            return (at < 9 || *byte == 1).then_some(value);
        }
    }
    None
}

pub(super) fn fixed64(from: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u64::from_le_bytes(*bytes))
}

pub(super) fn fixed32(from: &mut &[u8]) -> Option<u32> {
    let (bytes, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u32::from_le_bytes(*bytes))
}

fn take<'b>(from: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_fields_until_the_first_broken_one() {
        let check = |message: &[u8], expect: &[Result<(u32, Raw<'_>), Broken>]| {
            let got: Vec<_> = Fields::of(message).collect();
            assert_eq!(got, expect, "{message:?}");
        };
        check(&[], &[]);
        check(&[0x08, 0x96, 0x01], &[Ok((1, Raw::Varint(150)))]);
        check(&[0x12, 2, b'h', b'i'], &[Ok((2, Raw::Bytes(b"hi")))]);
        check(&[0x1d, 1, 0, 0, 0], &[Ok((3, Raw::Fixed32(1)))]);
        check(&[0x21, 1, 0, 0, 0, 0, 0, 0, 1], &[Ok((4, Raw::Fixed64(0x0100_0000_0000_0001)))]);
        check(&[0x08, 1, 0x08], &[Ok((1, Raw::Varint(1))), Err(Broken)]);
        check(&[0x12, 3, b'h', b'i'], &[Err(Broken)]);
        check(&[0x0b, 0x0c], &[Err(Broken)]);
        check(&[0x00, 1], &[Err(Broken)]);
        check(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], &[Ok((1, Raw::Varint(u64::MAX)))]);
        check(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], &[Err(Broken)]);
        check(&[0x80; 20], &[Err(Broken)]);
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let read = Fields::of(&bytes).count();
            prop_assert!(read <= bytes.len());
        }
    }
}
