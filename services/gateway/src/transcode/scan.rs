//! A look at a JSON text before anything is built from it: nesting is counted
//! with a loop, so that no depth of brackets costs stack.

/// What the look found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// Brackets are nested deeper than allowed; at this byte.
    TooDeep(usize),
    /// The text is not UTF-8 from this byte on.
    NotUtf8(usize),
}

/// The body as text, when it is UTF-8 and nested at most `max_depth` deep.
///
/// # Errors
/// See [`Bad`].
pub(super) fn text(body: &[u8], max_depth: usize) -> Result<&str, Bad> {
    let text = std::str::from_utf8(body).map_err(|e| Bad::NotUtf8(e.valid_up_to()))?;
    depth(body, max_depth)?;
    Ok(text)
}

fn depth(body: &[u8], max_depth: usize) -> Result<(), Bad> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in body.iter().enumerate() {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > max_depth {
            return Err(Bad::TooDeep(at));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_brackets_outside_of_strings() {
        let check = |body: &str, expect: Result<(), Bad>| {
            assert_eq!(text(body.as_bytes(), 3).map(|_| ()), expect, "{body}");
        };
        check("", Ok(()));
        check("[[[]]]", Ok(()));
        check("[[[[]]]]", Err(Bad::TooDeep(3)));
        check(r#"{"a":{"b":[1]}}"#, Ok(()));
        check(r#"{"a":{"b":[[1]]}}"#, Err(Bad::TooDeep(11)));
        check(r#"{"a":"[[[[[["}"#, Ok(()));
        check(r#"{"a":"\"[[[[[["}"#, Ok(()));
        check(r#"{"a":"\\"}[[[["#, Err(Bad::TooDeep(13)));
        check("]]]][[[", Ok(()));
    }

    #[test]
    fn a_million_brackets_and_bad_bytes_are_refused() {
        assert_eq!(text("[".repeat(1_000_000).as_bytes(), 64), Err(Bad::TooDeep(64)));
        assert_eq!(text(b"{\"a\":\"\xff\"}", 64), Err(Bad::NotUtf8(6)));
    }
}
