//! File names as they are shown to people. They are never used as a path.

/// Longest file name in bytes.
pub const MAX_BYTES: usize = 255;

/// The name without characters that control a terminal or turn text around.
///
/// # Errors
/// When it is too long.
pub fn clean(name: &str) -> Result<String, String> {
    if name.len() > MAX_BYTES {
        return Err(format!("has {} bytes; at most {MAX_BYTES} are kept", name.len()));
    }
    let shown: String = name.chars().filter(|c| !misleads(*c)).collect();
    Ok(shown.trim().to_owned())
}

/// Control characters, line and paragraph separators, and what changes the
/// direction of text, so that `gpj.exe` cannot look like `exe.jpg`.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// The extension in lower case, without the dot.
pub(crate) fn extension(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    let plain =
        !stem.is_empty() && extension.len() <= 16 && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then(|| extension.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_what_people_read() {
        let check = |name: &str, expect: &str| assert_eq!(clean(name).as_deref(), Ok(expect));
        check("tender.json", "tender.json");
        check("Ausschreibung Nr. 5 – Köln.csv", "Ausschreibung Nr. 5 – Köln.csv");
        check("a\0b\r\n\tc.txt", "abc.txt");
        check("\u{1b}[31mred\u{1b}[0m", "[31mred[0m");
        check("invoice\u{202E}gpj.exe", "invoicegpj.exe");
        check("../../etc/passwd", "../../etc/passwd");
        check("  \u{FEFF}x \u{85}", "x");
        check("\u{2067}", "");
        assert!(clean(&"x".repeat(255)).is_ok());
        assert!(clean(&"é".repeat(128)).unwrap_err().contains("256 bytes"));
    }

    #[test]
    fn finds_extensions() {
        let check =
            |name: &str, expect: Option<&str>| assert_eq!(extension(name).as_deref(), expect, "{name}");
        check("a.JSON", Some("json"));
        check("a.tar.gz", Some("gz"));
        check(".profile", None);
        check("a", None);
        check("a.", Some(""));
        check("a.b c", None);
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(name in "\\PC{0,60}|[\\x00-\\x20a.\u{202A}-\u{202E}]{0,60}") {
            let once = clean(&name).unwrap();
            prop_assert!(!once.chars().any(misleads));
            prop_assert_eq!(clean(&once), Ok(once));
        }
    }
}
