//! What can be wrong with a REST request.

/// Longest piece of a request that is repeated in an error.
const MAX_QUOTED: usize = 80;
/// Longest description of a mistake.
const MAX_DESCRIPTION: usize = 300;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The path or the query is not properly percent-encoded UTF-8.
    Encoding(String),
    /// The body is not JSON that is read here.
    Json(String),
    /// A field of the body cannot be used.
    Field {
        /// Its path, such as `documents[2]`.
        field: String,
        /// What is wrong with it.
        description: String,
    },
    /// A query parameter cannot be used.
    Parameter {
        /// Its name.
        field: String,
        /// What is wrong with it.
        description: String,
    },
    /// The method takes no body and there is one.
    UnexpectedBody,
}

impl Fault {
    pub(super) fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Field { field: field.into(), description: cut(description.into()) }
    }

    pub(super) fn parameter(field: &str, description: impl Into<String>) -> Self {
        Self::Parameter { field: name(field), description: cut(description.into()) }
    }

    pub(super) fn json(description: impl Into<String>) -> Self {
        Self::Json(cut(description.into()))
    }
}

/// A name out of a request as it may stand in an error: short, without control
/// characters and without those that change the direction of text.
pub(super) fn name(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        short.push('…');
    }
    short
}

/// The same in quotes, for the middle of a sentence.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", name(text))
}

/// At most [`MAX_DESCRIPTION`] characters, all of them printable.
#[allow(clippy::needless_pass_by_value)] // every caller has just made it
fn cut(text: String) -> String {
    let mut out: String = text.chars().take(MAX_DESCRIPTION).flat_map(printable).collect();
    if text.chars().nth(MAX_DESCRIPTION).is_some() {
        out.push('…');
    }
    out
}

fn printable(c: char) -> impl Iterator<Item = char> {
    let kept = matches!(c, '"' | '\'' | '\\').then_some(c);
    let escaped = kept.is_none().then(|| c.escape_debug()).into_iter().flatten();
    kept.into_iter().chain(escaped)
}
