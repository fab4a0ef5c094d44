//! Undoes what hides words from a filter and not from a reader: compatibility
//! forms, accents, invisible characters, letters borrowed from other scripts.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::decompose_canonical;

/// What was found while folding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noted {
    /// Invisible characters stood inside words.
    pub invisible: bool,
    /// A word mixed Latin letters with look-alikes of another script.
    pub mixed_script: bool,
}

/// Appends the folded text and a line break.
pub fn into(text: &str, out: &mut String) -> Noted {
    let mut noted = Noted::default();
    if text.is_ascii() {
        out.extend(text.chars().filter(|c| *c != '\0'));
    } else {
        // Words are folded one by one: whether a letter is a look-alike depends
        // on its neighbours alone.
        for piece in text.split_inclusive(char::is_whitespace) {
            if piece.is_ascii() { out.push_str(piece) } else { fold_word(piece, out, &mut noted) }
        }
    }
    if !text.is_empty() {
        out.push('\n');
    }
    noted
}

fn fold_word(piece: &str, out: &mut String, noted: &mut Noted) {
    let mut plain = String::with_capacity(piece.len());
    for c in piece.nfkc().filter(|c| !is_invisible(*c)) {
        let floating_accent =
            matches!(c, '\u{300}'..='\u{36F}') && plain.ends_with(|l: char| l.is_ascii_alphabetic());
        if !floating_accent {
            plain.push(base_letter(c));
        }
    }
    let latin = plain.chars().any(|c| c.is_ascii_alphabetic());
    let other = plain.chars().any(|c| look_alike(c).is_some());
    noted.mixed_script |= latin && other;
    noted.invisible |= hides_letters(piece);
    out.extend(plain.chars().map(|c| if latin { look_alike(c).unwrap_or(c) } else { c }));
}

/// True when something invisible stands between two letters. Emoji and some
/// scripts join characters that way in earnest, hence Latin letters only.
fn hides_letters(piece: &str) -> bool {
    let mut last = ' ';
    let mut hidden = false;
    for c in piece.chars() {
        if is_invisible(c) {
            hidden |= last.is_ascii_alphabetic();
        } else {
            if hidden && c.is_ascii_alphabetic() {
                return true;
            }
            hidden = false;
            last = c;
        }
    }
    false
}

/// Characters without width, directional marks, soft hyphens, variation
/// selectors and tags. NUL counts as well.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\0' | '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// The letter without its accent when that leaves an ASCII letter.
fn base_letter(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let mut first = None;
    decompose_canonical(c, |part| first = first.or(Some(part)));
    first.filter(char::is_ascii_alphabetic).unwrap_or(c)
}

/// The Latin letter that a Cyrillic or Greek one looks like.
const fn look_alike(c: char) -> Option<char> {
    Some(match c {
        'а' | 'α' => 'a',
        'А' | 'Α' => 'A',
        'В' | 'Β' => 'B',
        'с' | 'ϲ' => 'c',
        'С' | 'Ϲ' => 'C',
        'ԁ' => 'd',
        'е' | 'є' | 'ε' => 'e',
        'Е' | 'Ε' => 'E',
        'һ' => 'h',
        'Н' | 'Η' => 'H',
        'і' | 'ї' | 'ι' => 'i',
        'І' | 'Ι' | 'Ї' => 'I',
        'ј' => 'j',
        'Ј' => 'J',
        'к' | 'κ' => 'k',
        'К' | 'Κ' => 'K',
        'М' | 'Μ' => 'M',
        'Ν' => 'N',
        'о' | 'ο' | 'σ' => 'o',
        'О' | 'Ο' => 'O',
        'р' | 'ρ' => 'p',
        'Р' | 'Ρ' => 'P',
        'ѕ' => 's',
        'Ѕ' => 'S',
        'т' | 'τ' => 't',
        'Т' | 'Τ' => 'T',
        'υ' => 'u',
        'ѵ' | 'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'Х' | 'Χ' => 'X',
        'у' | 'γ' => 'y',
        'У' | 'Υ' => 'Y',
        'Ζ' => 'Z',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folded(text: &str) -> (String, Noted) {
        let mut out = String::new();
        let noted = into(text, &mut out);
        (out.trim_end_matches('\n').to_owned(), noted)
    }

    #[test]
    fn disguises_are_undone() {
        let check = |text: &str, expect: &str, invisible: bool, mixed_script: bool| {
            assert_eq!(folded(text), (expect.to_owned(), Noted { invisible, mixed_script }), "{text}");
        };
        check("plain text", "plain text", false, false);
        check("ｆｒｅｅ ①", "free 1", false, false);
        check("vi\u{200B}ag\u{AD}ra", "viagra", true, false);
        check("p\u{0430}yp\u{0430}l", "paypal", false, true);
        check("привет мир", "привет мир", false, false);
        check("vìàgrä", "viagra", false, false);
        check("ﬁnance", "finance", false, false);
        check("nul\0byte", "nulbyte", false, false);
        check("한국어 日本語", "한국어 日本語", false, false);
        check("👩\u{200D}💻 ok", "👩💻 ok", false, false);
        check("soft\u{AD} break", "soft break", false, false);
    }

    proptest! {
        #[test]
        fn folding_never_panics_and_is_stable(text in "\\PC{0,200}") {
            let once = folded(&text).0;
            prop_assert_eq!(folded(&once).0, once);
        }
    }
}
