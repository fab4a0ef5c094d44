//! An error without what differs from one failure to the next.
//!
//! Two errors with one template are the same trouble. What is in double quotes
//! becomes `"…"`; UUIDs, long identifiers and numbers become `#`. Words stay, so
//! people can still read it.

/// Longest template, in characters.
const MAX: usize = 300;
/// A word of this many characters with a digit in it is an identifier.
const LONG: usize = 16;

/// The template of an error.
pub(crate) fn of(error: &str) -> String {
    let mut out = String::with_capacity(error.len());
    let mut rest = error;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = quoted(rest, &mut out);
        } else if is_word(first) {
            rest = word(rest, &mut out);
        } else {
            out.push(if first.is_control() { ' ' } else { first });
            rest = &rest[first.len_utf8()..];
        }
    }
    out.chars().take(MAX).collect()
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A quoted text; the quote alone when it is never closed.
fn quoted<'t>(text: &'t str, out: &mut String) -> &'t str {
    let inside = &text[1..];
    let Some(end) = inside.find('"') else {
        out.push('"');
        return inside;
    };
    out.push_str("\"…\"");
    &inside[end + 1..]
}

fn word<'t>(text: &'t str, out: &mut String) -> &'t str {
    if let Some(rest) = after_uuid(text) {
        out.push('#');
        return rest;
    }
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let digits = word.bytes().any(|b| b.is_ascii_digit());
    let identifier = digits && (word.len() >= LONG || word.bytes().all(|b| b.is_ascii_hexdigit()));
    if identifier {
        out.push('#');
    } else {
        numbers(word, out);
    }
    rest
}

/// What follows a UUID with hyphens, when the text begins with one.
fn after_uuid(text: &str) -> Option<&str> {
    let (head, rest) = text.split_at_checked(36)?;
    let open = rest.chars().next().is_none_or(|c| !is_word(c));
    (open && uuid::Uuid::try_parse(head).is_ok()).then_some(rest)
}

/// The word with each number in it as one `#`.
fn numbers(word: &str, out: &mut String) {
    let mut in_number = false;
    for c in word.chars() {
        let digit = c.is_ascii_digit();
        if !digit {
            out.push(c);
        } else if !in_number {
            out.push('#');
        }
        in_number = digit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_differs_is_left_out() {
        let check = |error: &str, expect: &str| assert_eq!(of(error), expect, "{error}");
        check("intake did not answer within 5000 ms", "intake did not answer within # ms");
        check("10.0.0.7:8081 refused", "#.#.#.#:# refused");
        check("no supplier \"Acme 4\" in \"EU\"", "no supplier \"…\" in \"…\"");
        check("row 0190a3b2-7c1d-7e2f-8a3b-4c5d6e7f8091 is locked", "row # is locked");
        check("exec_0190a3b27c1d7e2f8a3b4c5d6e7f8091 is gone", "# is gone");
        check("deadbeef1 and cafe", "# and cafe");
        check("step3 of v2", "step# of v#");
        check("an open \" quote", "an open \" quote");
        check("größer als 3", "größer als #");
        check("a\nb", "a b");
        check("", "");
        assert_eq!(of(&"x ".repeat(1_000)).chars().count(), MAX);
    }

    proptest! {
        #[test]
        fn numbers_never_make_a_difference(a: u64, b: u64, words in "[a-z ]{0,40}") {
            prop_assert_eq!(of(&format!("{words} {a} {words}")), of(&format!("{words} {b} {words}")));
        }

        #[test]
        fn nothing_panics_and_twice_is_once(error in "\\PC{0,200}") {
            let once = of(&error);
            prop_assert_eq!(of(&once), once);
        }
    }
}
