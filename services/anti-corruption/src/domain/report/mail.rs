//! The text of a mail: sender, subject and every readable part.

use mail_parser::MessageParser;

/// Most parts of a mail that are read.
const MAX_PARTS: u32 = 50;

/// The readable text of a mail; nothing when the bytes are no mail.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    if !begins_like_mail(bytes) {
        return None;
    }
    let message = MessageParser::default().parse(bytes)?;
    let sender = message.from().and_then(|from| from.first());
    let sender =
        sender.map(|from| [from.name(), from.address()].into_iter().flatten().collect::<Vec<_>>().join(" "));
    let mut text = String::new();
    for (name, value) in [("From", sender), ("Subject", message.subject().map(ToOwned::to_owned))] {
        if let Some(value) = value {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    for part in (0..MAX_PARTS).map_while(|part| message.body_text(part as usize)) {
        text.push('\n');
        text.push_str(&part);
    }
    Some(text)
}

/// True when the first line is a header field and a usual one is near.
fn begins_like_mail(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(8_192)]).to_ascii_lowercase();
    let first = head.lines().next().unwrap_or_default();
    let name = first.split_once(':').map_or("", |(name, _)| name);
    let is_field = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let usual = ["from:", "subject:", "received:", "return-path:", "message-id:", "mime-version:"];
    (is_field || first.starts_with("from "))
        && head.lines().any(|line| usual.iter().any(|field| line.starts_with(field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_are_told_from_texts() {
        let check = |bytes: &[u8], expect: Option<&str>| {
            assert_eq!(text(bytes).as_deref(), expect, "{}", String::from_utf8_lossy(bytes));
        };
        check(b"Subject: Hi\n\nBody", Some("Subject: Hi\n\nBody"));
        check(b"From: Kim <k@x.org>\nSubject: Hi\n\nBody", Some("From: Kim k@x.org\nSubject: Hi\n\nBody"));
        check(b"Note: call me\nlater", None);
        check(b"plain", None);
        check(b"", None);
        check(b"\xFF\xFE", None);
    }
}
