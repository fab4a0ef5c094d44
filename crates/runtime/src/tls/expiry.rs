//! When a certificate ends: the one field of X.509 that nobody else reads for us.
//!
//! `Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version, serial, algorithm,
//! issuer, validity SEQUENCE { notBefore, notAfter }, … } … }` (RFC 5280, 4.1).

use probity_types::Micros;
use time::{Date, Month, OffsetDateTime, Time};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// One value of DER: its tag, its content, and what comes after it.
fn value(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn inside(input: &[u8], expect: u8) -> Option<&[u8]> {
    value(input).filter(|(tag, ..)| *tag == expect).map(|(_, content, _)| content)
}

/// When a certificate in DER ends; `None` when it is none.
pub(super) fn not_after(certificate: &[u8]) -> Option<Micros> {
    let mut rest = inside(inside(certificate, SEQUENCE)?, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = value(rest)?.2;
    }
    for _ in ["serial", "algorithm", "issuer"] {
        rest = value(rest)?.2;
    }
    let validity = inside(rest, SEQUENCE)?;
    let (tag, text, _) = value(value(validity)?.2)?;
    time_of(tag, std::str::from_utf8(text).ok()?)
}

/// `YYMMDDHHMMSSZ`, with 50 to 99 in the last century, or `YYYYMMDDHHMMSSZ`.
fn time_of(tag: u8, text: &str) -> Option<Micros> {
    let digits = text.strip_suffix('Z').filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i32 = digits.get(..2)?.parse().ok()?;
            (if year < 50 { 2_000 + year } else { 1_900 + year }, digits.get(2..)?)
        }
        (GENERALIZED_TIME, 14) => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let month = Month::try_from(part(0)?).ok()?;
    let date = Date::from_calendar_date(year, month, part(2)?).ok()?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some(Micros(OffsetDateTime::new_utc(date, time).unix_timestamp() * 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_or_refused() {
        let check = |tag: u8, text: &str, expect: Option<i64>| {
            assert_eq!(time_of(tag, text), expect.map(|s| Micros(s * 1_000_000)), "{text}");
        };
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000));
        check(UTC_TIME, "20500101000000Z", None);
        check(UTC_TIME, "700101000000", None);
        check(UTC_TIME, "701301000000Z", None);
        check(GENERALIZED_TIME, "2050010100000xZ", None);
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for bytes in
            [&b""[..], b"\x30", b"\x30\x03\x02\x01", b"\x30\x80\x00\x00", b"\x30\x84\xff\xff\xff\xff"]
        {
            assert_eq!(not_after(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn every_cut_certificate_is_refused_without_a_panic() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2051, 2, 3);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        assert_eq!(not_after(&der).unwrap().to_string(), "2051-02-03T00:00:00.000000Z");
        assert!((0..der.len()).all(|cut| not_after(&der[..cut]).is_none()));
    }
}
