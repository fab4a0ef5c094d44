//! The ids by which a request is found again in logs, traces and answers.

/// Longest id a caller may choose.
pub const MAX_LEN: usize = 128;

/// Whether a text may serve as a request or correlation id: `[A-Za-z0-9._-]`,
/// 1 to 128 of them, so that it can stand in any header, log line or query.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(allowed)
}

/// A new id; later ones sort after earlier ones.
#[must_use]
pub fn new_id() -> String {
    uuid::Uuid::now_v7().as_simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain() {
        let check = |text: &str, expect: bool| assert_eq!(is_id(text), expect, "{text:?}");
        check("a", true);
        check("req-1_2.3", true);
        check(&new_id(), true);
        check(&"x".repeat(128), true);
        check("", false);
        check(&"x".repeat(129), false);
        check("a b", false);
        check("a\r\nx: y", false);
        check("é", false);
        check("a/b", false);
        check("\u{1b}[31m", false);
    }
}
