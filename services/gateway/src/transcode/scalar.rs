//! Scalar values out of text and JSON numbers, each within its range.

use super::fault::quote;
use super::scan;
use super::schema::Scalar;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{EnumDescriptor, MapKey, Value};
use serde_json::value::RawValue;

/// The largest integer up to which every integer is a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// How deep JSON in a URL may be nested.
const MAX_DEPTH: usize = 64;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

impl Scalar {
    /// What is expected, for people.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::I32 => "an integer from -2147483648 to 2147483647".to_owned(),
            Self::I64 => "a 64-bit integer".to_owned(),
            Self::U32 => "an integer from 0 to 4294967295".to_owned(),
            Self::U64 => "a 64-bit integer, not negative".to_owned(),
            Self::F32 | Self::F64 => "a number".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Text => "a string".to_owned(),
            Self::Bytes => "bytes in base64".to_owned(),
            Self::Json => format!("JSON nested at most {MAX_DEPTH} deep"),
            Self::Enum(values) => format!("one of {}", names(values)),
        }
    }

    /// A value from a piece of text: a query parameter, a path variable or a
    /// JSON string.
    ///
    /// # Errors
    /// Says what was expected.
    pub(super) fn parse(&self, text: &str) -> Result<Value, String> {
        let value = match self {
            Self::Text => Some(Value::String(text.to_owned())),
            Self::Bool => match text {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
            Self::Bytes => bytes(text),
            Self::Json => json(text),
            Self::Enum(values) => return enumerator(values, text).ok_or_else(|| self.not(&quote(text))),
            Self::F32 | Self::F64 => float_text(text).and_then(|number| self.float(number)),
            Self::I32 | Self::I64 | Self::U32 | Self::U64 => {
                integer_text(text).and_then(|number| self.integer(number))
            }
        };
        value.ok_or_else(|| self.not(&quote(text)))
    }

    /// A value from a JSON integer.
    ///
    /// # Errors
    /// As [`Scalar::parse`].
    pub(super) fn read_integer(&self, number: i128) -> Result<Value, String> {
        self.integer(number).ok_or_else(|| self.not(&number.to_string()))
    }

    /// A value from any other JSON number.
    ///
    /// # Errors
    /// As [`Scalar::parse`].
    pub(super) fn read_float(&self, number: f64) -> Result<Value, String> {
        self.float(number).ok_or_else(|| self.not(&number.to_string()))
    }

    /// A value from a JSON boolean.
    ///
    /// # Errors
    /// As [`Scalar::parse`].
    pub(super) fn read_bool(&self, value: bool) -> Result<Value, String> {
        match self {
            Self::Bool => Ok(Value::Bool(value)),
            _ => Err(self.not(&value.to_string())),
        }
    }

    /// The key of a map entry.
    ///
    /// # Errors
    /// As [`Scalar::parse`].
    pub(super) fn key(&self, text: &str) -> Result<MapKey, String> {
        self.parse(text)?.into_map_key().ok_or_else(|| "this map cannot be keyed".to_owned())
    }

    fn not(&self, got: &str) -> String {
        format!("{got} is not {}", self.expected())
    }

    #[allow(clippy::cast_precision_loss)] // a number field takes the nearest double, as JSON does
    fn integer(&self, number: i128) -> Option<Value> {
        match self {
            Self::I32 => i32::try_from(number).ok().map(Value::I32),
            Self::I64 => i64::try_from(number).ok().map(Value::I64),
            Self::U32 => u32::try_from(number).ok().map(Value::U32),
            Self::U64 => u64::try_from(number).ok().map(Value::U64),
            Self::F32 | Self::F64 => self.float(number as f64),
            Self::Enum(values) => {
                let number = i32::try_from(number).ok()?;
                values.get_value(number).map(|_| Value::EnumNumber(number))
            }
            Self::Bool | Self::Text | Self::Bytes | Self::Json => None,
        }
    }

    #[allow(clippy::cast_possible_truncation)] // range and integrality are checked first
    fn float(&self, number: f64) -> Option<Value> {
        match self {
            Self::F64 => Some(Value::F64(number)),
            Self::F32 if !number.is_finite() || number.abs() <= f64::from(f32::MAX) => {
                Some(Value::F32(number as f32))
            }
            Self::I32 | Self::I64 | Self::U32 | Self::U64
                if number.fract() == 0.0 && number.abs() <= EXACT =>
            {
                self.integer(number as i128)
            }
            _ => None,
        }
    }
}

/// Decimal digits with an optional minus, nothing else.
fn integer_text(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// A JSON number, or one of the three names JSON has no number for.
fn float_text(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => {
            let plain = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            plain.then(|| text.parse().ok())?.filter(|number: &f64| number.is_finite())
        }
    }
}

/// Both alphabets, padded or not, as the proto3 mapping asks readers to take.
fn bytes(text: &str) -> Option<Value> {
    let url_safe = text.bytes().any(|b| matches!(b, b'-' | b'_'));
    let decoded = if url_safe { URL_SAFE.decode(text) } else { STANDARD.decode(text) };
    decoded.ok().map(|bytes| Value::Bytes(bytes.into()))
}

/// The text itself, without the blanks around it.
fn json(text: &str) -> Option<Value> {
    let text = scan::text(text.as_bytes(), MAX_DEPTH).ok()?;
    let value: &RawValue = serde_json::from_str(text).ok()?;
    Some(Value::Bytes(value.get().to_owned().into()))
}

/// By name, or by a number the enum knows.
fn enumerator(values: &EnumDescriptor, text: &str) -> Option<Value> {
    if let Some(value) = values.get_value_by_name(text) {
        return Some(Value::EnumNumber(value.number()));
    }
    let number = integer_text(text).and_then(|n| i32::try_from(n).ok())?;
    values.get_value(number).map(|_| Value::EnumNumber(number))
}

fn names(values: &EnumDescriptor) -> String {
    let names: Vec<_> = values.values().map(|value| value.name().to_owned()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind() -> Scalar {
        let kinds = probity_proto::pool().get_enum_by_name("probity.common.v1.CaseKind").expect("enum");
        Scalar::Enum(kinds)
    }

    #[test]
    fn reads_text_within_its_range() {
        let check = |scalar: &Scalar, text: &str, expect: Option<Value>| {
            assert_eq!(scalar.parse(text).ok(), expect, "{scalar:?} {text}");
        };
        check(&Scalar::I32, "-2147483648", Some(Value::I32(i32::MIN)));
        check(&Scalar::I32, "2147483648", None);
        check(&Scalar::I64, "9223372036854775807", Some(Value::I64(i64::MAX)));
        check(&Scalar::I64, "9223372036854775808", None);
        check(&Scalar::U64, "18446744073709551615", Some(Value::U64(u64::MAX)));
        check(&Scalar::U32, "-1", None);
        for bad in ["", " 1", "1 ", "+1", "0x1", "1e3", "1.0", "١", "--1", "-", &"9".repeat(400)] {
            check(&Scalar::I64, bad, None);
        }
        check(&Scalar::F64, "1.5e3", Some(Value::F64(1500.0)));
        check(&Scalar::F64, "Infinity", Some(Value::F64(f64::INFINITY)));
        check(&Scalar::F64, "inf", None);
        check(&Scalar::F64, "1e999", None);
        check(&Scalar::F32, "1e39", None);
        check(&Scalar::Bool, "true", Some(Value::Bool(true)));
        check(&Scalar::Bool, "1", None);
        check(&Scalar::Bool, "TRUE", None);
        check(&Scalar::Text, "é", Some(Value::String("é".into())));
        check(&Scalar::Bytes, "AP8=", Some(Value::Bytes(vec![0, 255].into())));
        check(&Scalar::Bytes, "AP8", Some(Value::Bytes(vec![0, 255].into())));
        check(&Scalar::Bytes, "-_8", Some(Value::Bytes(vec![251, 255].into())));
        check(&Scalar::Bytes, "A", None);
        check(&Scalar::Bytes, "A P8", None);
        check(&Scalar::Json, r#" {"a":1e400} "#, Some(Value::Bytes(r#"{"a":1e400}"#.into())));
        check(&Scalar::Json, "null", Some(Value::Bytes("null".into())));
        check(&Scalar::Json, "", None);
        check(&Scalar::Json, "{a:1}", None);
        check(&Scalar::Json, "1 2", None);
        check(&Scalar::Json, &"[".repeat(5_000), None);
        check(&kind(), "CASE_KIND_TENDER", Some(Value::EnumNumber(1)));
        check(&kind(), "2", Some(Value::EnumNumber(2)));
        check(&kind(), "tender", None);
        check(&kind(), "99", None);
    }

    #[test]
    fn reads_json_numbers_within_their_range() {
        let check = |scalar: &Scalar, number: f64, expect: Option<Value>| {
            assert_eq!(scalar.read_float(number).ok(), expect, "{scalar:?} {number}");
        };
        check(&Scalar::I32, 5.0, Some(Value::I32(5)));
        check(&Scalar::I32, 5.5, None);
        check(&Scalar::I64, 1e15, Some(Value::I64(1_000_000_000_000_000)));
        check(&Scalar::I64, 1e18, None);
        check(&Scalar::U32, -1.0, None);
        check(&Scalar::Text, 5.0, None);
        assert_eq!(kind().read_integer(1).ok(), Some(Value::EnumNumber(1)));
        assert_eq!(kind().read_integer(77).ok(), None);
        assert!(Scalar::Bool.read_integer(1).is_err());
        assert!(Scalar::Text.read_bool(true).is_err());
    }

    #[test]
    fn an_error_says_what_is_expected_and_stays_short() {
        let text = kind().parse(&"x".repeat(10_000)).expect_err("refused");
        assert!(text.contains("CASE_KIND_TENDER"), "{text}");
        assert!(text.len() < 400, "{}", text.len());
        let text = Scalar::I32.parse("a\u{202e}\r\nb").expect_err("refused");
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text}");
    }
}
