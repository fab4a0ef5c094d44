//! Says whether the bytes of an item are one JSON object, and if not, where.

use super::scan::{Captured, End};
use super::{Limits, Refusal};
use serde::de::IgnoredAny;

/// Checks one item as it was taken from the file.
pub(crate) fn item(captured: &Captured, limits: Limits) -> Result<(), Refusal> {
    let refuse = |line, reason| Err(Refusal { line, reason });
    let line = captured.line;
    if captured.deepest() > limits.depth {
        let reason = format!("nests {} levels deep; at most {} are taken", captured.deepest(), limits.depth);
        return refuse(line, reason);
    }
    match captured.end {
        End::TooLong => return refuse(line, too_long(captured.size, limits)),
        End::CutOff => return refuse(line, "the file ends in the middle of this item".to_owned()),
        End::Complete => {}
    }
    text(&captured.bytes).or_else(|(at, reason)| refuse(line + at, reason))?;
    if captured.bytes.first() != Some(&b'{') {
        let reason = format!("this is {} where an object should be", kind(&captured.bytes));
        return refuse(line, reason);
    }
    Ok(())
}

/// The reason for refusing an item of that many bytes.
pub(crate) fn too_long(size: u64, limits: Limits) -> String {
    format!("has {size} bytes; an item may have {} at most", limits.item_bytes)
}

/// UTF-8 and JSON grammar; the error carries the line inside the item from 0.
fn text(bytes: &[u8]) -> Result<(), (u64, String)> {
    if let Err(error) = std::str::from_utf8(bytes) {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        let reason = format!("is not UTF-8 (byte 0x{byte:02x}); save the file in UTF-8");
        return Err((newlines(before), reason));
    }
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(((error.line() as u64).saturating_sub(1), grammar(&error))),
    }
}

fn grammar(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("is not valid JSON: {what} (column {})", error.column())
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

fn kind(bytes: &[u8]) -> &'static str {
    match bytes.first() {
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}
