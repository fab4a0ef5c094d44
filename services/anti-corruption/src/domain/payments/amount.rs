//! Amounts as people write them in tables. What could be two numbers is
//! refused, never guessed.

use probity_types::money;
use rust_decimal::Decimal;

/// Reads an amount, and the currency when it stands in the same cell. In
/// `european` files (columns separated by `;` or tabs) one point before three
/// digits may be a thousands separator too.
///
/// # Errors
/// Says why it is no amount, or what the two readings are.
pub(super) fn parse(text: &str, european: bool) -> Result<(Decimal, Option<String>), String> {
    let (number, currency) = split_currency(text.trim());
    let (digits, negative) = sign(number);
    let plain = plain(digits, european).map_err(|why| format!("{:?} {why}", shown(text)))?;
    let amount =
        money::parse_amount(&plain).map_err(|_| format!("{:?} is no amount such as 1250.00", shown(text)))?;
    Ok((if negative { -amount } else { amount }, currency))
}

fn shown(text: &str) -> String {
    crate::domain::text::clean(text, 40)
}

/// Takes a currency code or sign off either end.
fn split_currency(text: &str) -> (&str, Option<String>) {
    for (sign, code) in [("€", "EUR"), ("£", "GBP"), ("¥", "JPY"), ("$", "USD")] {
        // A dollar sign is many currencies: it is taken off and says nothing.
        let code = (sign != "$" && sign != "¥").then(|| code.to_owned());
        if let Some(rest) = text.strip_prefix(sign).or_else(|| text.strip_suffix(sign)) {
            return (rest.trim(), code);
        }
    }
    let is_code = |code: &str| code.bytes().all(|b| b.is_ascii_alphabetic());
    if let Some((code, rest)) = text.split_at_checked(3).filter(|(code, _)| is_code(code)) {
        return (rest.trim(), Some(code.to_ascii_uppercase()));
    }
    let tail = text.len().checked_sub(3).and_then(|at| text.split_at_checked(at));
    match tail {
        Some((rest, code)) if is_code(code) => (rest.trim(), Some(code.to_ascii_uppercase())),
        _ => (text, None),
    }
}

/// Takes a sign, or the brackets of bookkeeping, off.
fn sign(text: &str) -> (&str, bool) {
    if let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        return (inner.trim(), true);
    }
    let minus = |c: char| matches!(c, '-' | '−');
    if let Some(rest) = text.strip_prefix(minus).or_else(|| text.strip_suffix(minus)) {
        return (rest.trim(), true);
    }
    (text.strip_prefix('+').unwrap_or(text), false)
}

/// The number with a point and without thousands separators.
fn plain(text: &str, european: bool) -> Result<String, &'static str> {
    const NONE: &str = "is no amount such as 1250.00";
    if text.contains(['e', 'E']) {
        return Ok(text.to_owned());
    }
    let allowed =
        |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | ' ' | '\u{a0}' | '\u{202f}' | '\'' | '’');
    if text.is_empty() || !text.chars().all(allowed) || !text.contains(|c: char| c.is_ascii_digit()) {
        return Err(NONE);
    }
    let last = text.rfind(['.', ',']);
    let Some(last) = last else { return ungroup(text).ok_or(NONE) };
    let separator = text.as_bytes()[last];
    let (whole, fraction) = (&text[..last], &text[last + 1..]);
    let again = whole.bytes().filter(|b| *b == separator).count();
    let others = whole.chars().any(|c| !c.is_ascii_digit());
    if again > 0 {
        // The same separator more than once separates thousands.
        return ungroup(text).ok_or(NONE);
    }
    let ambiguous = fraction.len() == 3 && !others && (separator == b',' || european) && whole.len() <= 3;
    if ambiguous && whole.trim_start_matches('0') == whole && !whole.is_empty() {
        return Err("can be read with or without a thousands separator: write it as 1250.00");
    }
    let whole = if whole.is_empty() { "0".to_owned() } else { ungroup(whole).ok_or(NONE)? };
    if fraction.bytes().all(|b| b.is_ascii_digit()) { Ok(format!("{whole}.{fraction}")) } else { Err(NONE) }
}

/// Digits without their thousands separators, which must be all the same and
/// stand before groups of three.
fn ungroup(text: &str) -> Option<String> {
    let separator = text.chars().find(|c| !c.is_ascii_digit());
    let Some(separator) = separator else { return Some(text.to_owned()) };
    let mut groups = text.split(separator);
    let first = groups.next().filter(|first| (1..=3).contains(&first.len()))?;
    let mut digits = first.to_owned();
    for group in groups {
        if group.len() != 3 {
            return None;
        }
        digits.push_str(group);
    }
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts() {
        let check = |text: &str, european: bool, expect: Option<&str>| {
            let got = parse(text, european).ok().map(|(amount, _)| amount.normalize().to_string());
            assert_eq!(got.as_deref(), expect, "{text}");
        };
        for european in [false, true] {
            check("1250.00", european, Some("1250"));
            check("1250,00", european, Some("1250"));
            check("1,250.00", european, Some("1250"));
            check("1.250,00", european, Some("1250"));
            check("1,250,000", european, Some("1250000"));
            check("1.250.000", european, Some("1250000"));
            check("1 250,5", european, Some("1250.5"));
            check("1\u{a0}250", european, Some("1250"));
            check("1'250.75", european, Some("1250.75"));
            check("-12.5", european, Some("-12.5"));
            check("(12.50)", european, Some("-12.5"));
            check("12.50-", european, Some("-12.5"));
            check("EUR 9,900.00", european, Some("9900"));
            check("9900.00 usd", european, Some("9900"));
            check("€ 5", european, Some("5"));
            check("$5.00", european, Some("5"));
            check("1.25e3", european, Some("1250"));
            check(".5", european, Some("0.5"));
            check("0,125", european, Some("0.125"));
            check("1,250", european, None);
            check("1,25,000.00", european, None);
            check("12.34.56", european, None);
            check("", european, None);
            check("abc", european, None);
            check("NaN", european, None);
            check("12x", european, None);
            check(".", european, None);
            check("1..2", european, None);
            check("79228162514264337593543950336", european, None);
        }
        check("1.250", false, Some("1.25"));
        check("1.250", true, None);
        check("1250.125", true, Some("1250.125"));
    }

    #[test]
    fn currencies_in_the_cell() {
        let check = |text: &str, code: Option<&str>| {
            assert_eq!(parse(text, false).unwrap().1.as_deref(), code, "{text}");
        };
        check("EUR 5", Some("EUR"));
        check("5 chf", Some("CHF"));
        check("£5", Some("GBP"));
        check("$5", None);
        check("5", None);
    }

    proptest! {
        #[test]
        fn plain_numbers_are_read_exactly(cents in -1_000_000_000i64..1_000_000_000) {
            let amount = Decimal::new(cents, 2);
            prop_assert_eq!(parse(&amount.to_string(), false).map(|(a, _)| a), Ok(amount));
            prop_assert_eq!(parse(&amount.to_string().replace('.', ","), true).map(|(a, _)| a), Ok(amount));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,20}") {
            let _ = parse(&text, true);
        }
    }
}
