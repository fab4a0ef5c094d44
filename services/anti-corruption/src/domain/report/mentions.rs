//! Amounts and dates that a text mentions, as they are written.

use crate::domain::payments::is_date;
use crate::domain::text;
use std::collections::BTreeMap;

/// Most amounts or dates that are noted.
const MAX_NOTED: usize = 10;
/// Words and signs for money, in lower case.
const UNITS: [&str; 20] = [
    "€", "$", "£", "¥", "eur", "usd", "gbp", "chf", "jpy", "cny", "inr", "brl", "mxn", "zar", "euro",
    "euros", "dollars", "pounds", "francs", "pesos",
];

/// What policies are told about texts.
pub(super) fn facts(texts: &[&str]) -> BTreeMap<String, String> {
    let characters: usize = texts.iter().map(|text| text.chars().count()).sum();
    let mut facts = BTreeMap::from([
        ("texts".to_owned(), texts.len().to_string()),
        ("characters".to_owned(), characters.to_string()),
    ]);
    let amounts: Vec<_> = texts.iter().flat_map(|text| amounts(text)).take(MAX_NOTED).collect();
    let dates: Vec<_> = texts.iter().flat_map(|text| dates(text)).take(MAX_NOTED).collect();
    for (name, list) in [("amounts_mentioned", amounts), ("dates_mentioned", dates)] {
        if !list.is_empty() {
            facts.insert(name.to_owned(), text::clean(&list.join("; "), 300));
        }
    }
    facts
}

/// Numbers that stand beside a unit of money.
fn amounts(text: &str) -> impl Iterator<Item = String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let found = (0..words.len()).filter_map(move |at| {
        let word = words[at].trim_matches(|c: char| matches!(c, '(' | ')' | '"' | ';' | ':' | '?' | '!'));
        let word = word.trim_end_matches(['.', ',']);
        let number = word.trim_start_matches(['€', '$', '£', '¥']).trim_end_matches(['€', '$', '£', '¥']);
        let is_number = number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '\''));
        if !is_number {
            return None;
        }
        if number.len() < word.len() {
            return Some(word.to_owned());
        }
        let before = at.checked_sub(1).map(|before| words[before]).filter(|unit| is_unit(unit));
        let after = words.get(at + 1).copied().filter(|unit| is_unit(unit));
        match (before, after) {
            (_, Some(unit)) => {
                Some(format!("{word} {}", unit.trim_matches(|c: char| c.is_ascii_punctuation() && c != '$')))
            }
            (Some(unit), None) => Some(format!("{unit} {word}")),
            (None, None) => None,
        }
    });
    found.collect::<Vec<_>>().into_iter()
}

fn is_unit(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '$').to_lowercase();
    UNITS.contains(&bare.as_str())
}

fn dates(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().filter_map(|word| {
        let word = word.trim_matches(|c: char| !c.is_ascii_digit());
        let separated = word.contains(['-', '/', '.']);
        (separated && word.len() >= 8 && is_date(word)).then(|| word.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_dates_as_written() {
        let check = |text: &str, amounts: Option<&str>, dates: Option<&str>| {
            let facts = facts(&[text]);
            assert_eq!(facts.get("amounts_mentioned").map(String::as_str), amounts, "{text}");
            assert_eq!(facts.get("dates_mentioned").map(String::as_str), dates, "{text}");
        };
        check("He got 5,000 EUR on 2024-03-01.", Some("5,000 EUR"), Some("2024-03-01"));
        check("paid €5.000 (and $20) to him", Some("€5.000; $20"), None);
        check("USD 10000, on 01.03.2024", Some("USD 10000"), Some("01.03.2024"));
        check("20 euros, or 3 boxes", Some("20 euros"), None);
        check("call 555-1234", None, None);
        check("", None, None);
    }
}
