//! When two names are the same: normalisation for exact screening.
//!
//! Deliberately absent: similarity. Two names match when one of their
//! [`Keys`] is equal, so every hit can be explained by looking at the two names.

use any_ascii::any_ascii_char;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Legal forms that mean nothing for who it is, as they come out of
/// [`tokens`]; taken off the end of a name.
const FORMS_LAST: &[&str] = &[
    "ab",
    "ad",
    "ag",
    "aktiengesellschaft",
    "ao",
    "aps",
    "as",
    "asa",
    "bhd",
    "bv",
    "bvba",
    "cjsc",
    "co",
    "company",
    "corp",
    "corporation",
    "cv",
    "dd",
    "doo",
    "dooel",
    "ead",
    "eirl",
    "eood",
    "est",
    "fze",
    "fzc",
    "fzco",
    "fzllc",
    "gesmbh",
    "gmbh",
    "inc",
    "incorporated",
    "jsc",
    "kft",
    "kg",
    "kgaa",
    "kk",
    "lda",
    "limited",
    "llc",
    "llp",
    "lp",
    "ltd",
    "ltda",
    "mbh",
    "nv",
    "oao",
    "ohg",
    "ojsc",
    "ood",
    "ooo",
    "oy",
    "oyj",
    "pao",
    "pjsc",
    "plc",
    "pllc",
    "psc",
    "pt",
    "pte",
    "pty",
    "pvt",
    "qjsc",
    "rt",
    "sa",
    "sal",
    "sao",
    "sapi",
    "sarl",
    "sas",
    "sasu",
    "sdn",
    "snc",
    "spa",
    "spzoo",
    "srl",
    "sro",
    "tov",
    "ug",
    "vof",
    "wll",
    "zao",
    "zrt",
];

/// Legal forms that stand before the name. Only those that are no word of a
/// name in any language we know of.
const FORMS_FIRST: &[&str] =
    &["cjsc", "fgup", "jsc", "llc", "oao", "ojsc", "ooo", "pao", "pjsc", "pt", "tov", "zao"];

/// Legal forms written as several words, taken off the end.
const PHRASES: &[&[&str]] = &[
    &["limited", "liability", "company"],
    &["public", "joint", "stock", "company"],
    &["open", "joint", "stock", "company"],
    &["closed", "joint", "stock", "company"],
    &["private", "joint", "stock", "company"],
    &["joint", "stock", "company"],
    &["public", "limited", "company"],
    &["private", "limited"],
    &["sociedad", "anonima"],
    &["sociedad", "limitada"],
    &["societe", "anonyme"],
    &["societa", "per", "azioni"],
    &["gesellschaft", "mit", "beschrankter", "haftung"],
    &["sa", "de", "cv"],
    &["sp", "zoo"],
    &["sp", "zo", "o"],
];

/// What names are compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// All words of the name, in order.
    pub full: String,
    /// The words without legal forms: for organisations.
    pub stripped: String,
    /// All words sorted: for people, who are listed as `LAST, First`.
    /// `None` for a single word.
    pub sorted: Option<String>,
}

impl Keys {
    /// The keys of a name; `None` when nothing of it can be compared.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let mut words = tokens(name);
        if words.is_empty() {
            return None;
        }
        let full = words.join(" ");
        let stripped = without_forms(&words).join(" ");
        words.sort_unstable();
        let sorted = (words.len() > 1).then(|| words.join(" "));
        Some(Self { full, stripped, sorted })
    }
}

/// The name as it is shown to have been compared: without legal forms.
#[must_use]
pub fn normalize(name: &str) -> String {
    Keys::of(name).map(|keys| keys.stripped).unwrap_or_default()
}

/// The words of a name: compatibility-decomposed, without marks, in ASCII,
/// lower case; everything but letters and digits separates, apostrophes vanish,
/// and runs of single letters are one word (`S. A.` is `sa`).
#[must_use]
pub fn tokens(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut initials = String::new();
    for word in ascii(name).split(' ').filter(|word| !word.is_empty()) {
        if word.len() == 1 && word.bytes().all(|b| b.is_ascii_lowercase()) {
            initials.push_str(word);
            continue;
        }
        flush(&mut initials, &mut words);
        words.push(word.to_owned());
    }
    flush(&mut initials, &mut words);
    words
}

fn flush(initials: &mut String, words: &mut Vec<String>) {
    if !initials.is_empty() {
        words.push(std::mem::take(initials));
    }
}

/// Lower-case ASCII letters and digits, and spaces for all that separates.
fn ascii(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for c in name.nfkd().filter(|c| !is_combining_mark(*c)) {
        if c == '&' || c == '＆' {
            plain.push_str(" and ");
            continue;
        }
        if is_apostrophe(c) {
            continue;
        }
        push_ascii(c, &mut plain);
    }
    plain
}

fn push_ascii(c: char, plain: &mut String) {
    let text = any_ascii_char(c);
    if text.is_empty() {
        plain.push(' ');
    }
    for ascii in text.chars() {
        if ascii.is_ascii_alphanumeric() {
            plain.push(ascii.to_ascii_lowercase());
        } else if !(is_apostrophe(ascii) && c.is_alphabetic()) {
            // An apostrophe out of a letter is a transliteration, not a break.
            plain.push(' ');
        }
    }
}

const fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | '‘' | '`' | '´' | 'ʼ' | 'ʻ' | 'ʾ' | 'ʿ' | '′')
}

/// The words without legal forms at either end; the words themselves when
/// nothing else would be left.
fn without_forms(words: &[String]) -> &[String] {
    let mut rest = words;
    while let [first, tail @ ..] = rest {
        if !FORMS_FIRST.contains(&first.as_str()) {
            break;
        }
        rest = tail;
    }
    let before = rest.len();
    while let Some(shorter) = shorten(rest, rest.len() < before) {
        rest = shorter;
    }
    if rest.is_empty() { words } else { rest }
}

/// Takes one legal form off the end, or the `and` of `GmbH & Co. KG`.
fn shorten(words: &[String], shortened: bool) -> Option<&[String]> {
    let phrase = PHRASES.iter().find(|phrase| ends_with(words, phrase));
    if let Some(phrase) = phrase {
        return Some(&words[..words.len() - phrase.len()]);
    }
    let (last, rest) = words.split_last()?;
    (FORMS_LAST.contains(&last.as_str()) || (shortened && last == "and")).then_some(rest)
}

fn ends_with(words: &[String], phrase: &[&str]) -> bool {
    words.len() >= phrase.len() && words[words.len() - phrase.len()..].iter().zip(phrase).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_normalised() {
        let check = |name: &str, expect: &str| assert_eq!(normalize(name), expect, "{name:?}");
        check("ACME Ltd.", "acme");
        check("  Acme   LIMITED ", "acme");
        check("CIMEX, S.A.", "cimex");
        check("Cimex S. A.", "cimex");
        check("ANGLO-CARIBBEAN CO., LTD.", "anglo caribbean");
        check("Müller GmbH & Co. KG", "muller");
        check("Smith & Sons", "smith and sons");
        check("Smith and Sons", "smith and sons");
        check("Grupo Norte, S.A. de C.V.", "grupo norte");
        check("Przykład Sp. z o.o.", "przyklad");
        check("OOO Romashka", "romashka");
        check("ООО «Ромашка»", "romashka");
        check("O'Brien", "obrien");
        check("O’Brien", "obrien");
        check("Łukasz Øre Straße", "lukasz ore strasse");
        check("ＡＣＭＥ　Ｉｎｃ", "acme");
        check("Ltd", "ltd");
        check("Co. Ltd.", "co ltd");
        check("SA, Jose", "sa jose");
        check("3M Company", "3m");
        check("", "");
        check("—", "");
        check("J. P. Morgan", "jp morgan");
    }

    #[test]
    fn word_order_has_its_own_key() {
        let same = |a: &str, b: &str| {
            let (a, b) = (Keys::of(a).unwrap(), Keys::of(b).unwrap());
            assert_ne!(a.full, b.full);
            assert_eq!(a.sorted, b.sorted);
        };
        same("CRUZ, Juan M. de la", "Juan M. de la Cruz");
        same("Abdul Haq, MOHAMMED", "Mohammed Abdul-Haq");
        assert_eq!(Keys::of("Cimex").unwrap().sorted, None);
        assert_eq!(Keys::of("!?"), None);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(name in "[\\s\\S]{0,60}") {
            let words = tokens(&name);
            prop_assert!(words.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())));
            prop_assert_eq!(tokens(&words.join(" ")), words);
        }

        #[test]
        fn case_and_punctuation_do_not_matter(a in "[a-z]{2,8}", b in "[a-z]{2,8}") {
            let left = Keys::of(&format!("{a} {b} Ltd"));
            let right = Keys::of(&format!("  {}-{}, LTD.", a.to_uppercase(), b.to_uppercase()));
            prop_assert_eq!(left, right);
        }
    }
}
