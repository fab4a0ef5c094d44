//! Amounts of money: exact decimals with a currency, never floating point.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An amount in a currency.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// The amount.
    pub amount: Decimal,
    /// ISO 4217 code in upper case.
    pub currency: String,
}

impl Money {
    /// Reads an amount and a currency as people and machines write them.
    ///
    /// # Errors
    /// Says which of the two cannot be read.
    pub fn parse(amount: &str, currency: &str) -> Result<Self, String> {
        let amount = parse_amount(amount)?;
        let currency = currency.trim().to_ascii_uppercase();
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(format!("{currency:?} is no ISO 4217 code: three letters such as EUR"));
        }
        Ok(Self { amount, currency })
    }
}

/// Reads a plain or scientific decimal (`1250.00`, `1.25e3`), at most 28 digits.
///
/// # Errors
/// Says what is wrong. Thousands separators are refused rather than guessed.
pub fn parse_amount(text: &str) -> Result<Decimal, String> {
    let text = text.trim();
    Decimal::from_str_exact(text)
        .or_else(|_| Decimal::from_scientific(text))
        .map_err(|_| format!("{text:?} is no decimal amount such as 1250.00"))
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

impl FromStr for Money {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (amount, currency) =
            text.trim().split_once(' ').ok_or_else(|| format!("{text:?} is not like `12.50 EUR`"))?;
        Self::parse(amount, currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_amounts_exactly() {
        let check = |text: &str, expect: Option<&str>| {
            let got = parse_amount(text).ok().map(|d| d.normalize().to_string());
            assert_eq!(got.as_deref(), expect, "{text}");
        };
        check("1250.00", Some("1250"));
        check(" -0.10 ", Some("-0.1"));
        check("1e3", Some("1000"));
        check("0.1", Some("0.1"));
        check("9007199254740993", Some("9007199254740993"));
        check("1,250.00", None);
        check("", None);
        check("NaN", None);
    }

    #[test]
    fn reads_money() {
        assert_eq!("12.50 eur".parse::<Money>().map(|m| m.to_string()), Ok("12.50 EUR".into()));
        assert!("12.50".parse::<Money>().is_err());
        assert!("12.50 EURO".parse::<Money>().is_err());
    }
}
