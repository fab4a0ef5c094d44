//! What the headers of a message give away by their structure.
//!
//! Deliberately absent: the values. Which host, list or mail program a message
//! came through would tell one corpus from another, not spam from ham.

use super::facts::{Fact, Facts};
use mail_parser::{Address, HeaderName, Message};

/// From how many named recipients on there are many.
const MANY_RECIPIENTS: usize = 10;

/// Notes what the headers of the outermost entity show.
pub fn inspect(headers: &Message<'_>, facts: &mut Facts) {
    let has = |name: HeaderName<'static>| headers.header(name).is_some();
    facts.note_if(!has(HeaderName::Date), Fact::MissingDate);
    facts.note_if(!has(HeaderName::MessageId), Fact::MissingMessageId);
    facts.note_if(!has(HeaderName::From), Fact::MissingFrom);
    facts.note_if(has(HeaderName::InReplyTo) || has(HeaderName::References), Fact::InThread);
    subject(headers.subject().unwrap_or_default(), facts);
    sender(headers, facts);
    recipients(headers, facts);
}

fn subject(subject: &str, facts: &mut Facts) {
    facts.note_if(subject.trim().is_empty(), Fact::MissingSubject);
    facts.note_if(subject.trim().contains("    "), Fact::SubjectPadded);
    let upper = subject.chars().filter(|c| c.is_uppercase()).count();
    let lower = subject.chars().any(char::is_lowercase);
    facts.note_if(upper >= 8 && !lower, Fact::SubjectAllCaps);
}

fn sender(headers: &Message<'_>, facts: &mut Facts) {
    let Some(from) = headers.from().and_then(Address::first) else { return };
    let address = from.address.as_deref().unwrap_or_default();
    let reply = headers.reply_to().and_then(Address::first).and_then(|a| a.address.as_deref());
    let elsewhere = reply.is_some_and(|reply| !same_domain(reply, address));
    facts.note_if(elsewhere && !is_list(headers), Fact::ReplyToDiffers);
    let shown = from.name.as_deref().unwrap_or_default();
    let shows_other = shown.contains('@') && !shown.to_lowercase().contains(&address.to_lowercase());
    facts.note_if(shows_other, Fact::NameShowsOtherAddress);
}

/// A mailing list sends answers to itself, and that is as it should be.
fn is_list(headers: &Message<'_>) -> bool {
    const MARKS: [&str; 5] = ["list-id", "list-post", "mailing-list", "precedence", "x-beenthere"];
    let marked = |name: &HeaderName<'_>| MARKS.iter().any(|mark| name.as_str().eq_ignore_ascii_case(mark));
    headers.headers().iter().any(|h| marked(&h.name))
}

fn recipients(headers: &Message<'_>, facts: &mut Facts) {
    let lists = [headers.to(), headers.cc()];
    let named = lists.iter().flatten().flat_map(|a| a.iter()).filter(|a| a.address.is_some()).count();
    facts.note_if(named > MANY_RECIPIENTS, Fact::ManyRecipients);
    let present = lists.iter().any(Option::is_some) || headers.bcc().is_some();
    facts.note_if(!present, Fact::MissingRecipient);
    facts.note_if(present && named == 0, Fact::HiddenRecipients);
}

/// True when both addresses end in the same registrable-looking domain.
fn same_domain(one: &str, other: &str) -> bool {
    let domain = |address: &str| address.rsplit('@').next().map(site).unwrap_or_default();
    domain(one) == domain(other)
}

/// The last two labels of a host, three when the last two are short as in
/// `co.uk`: near enough to what one owner registers.
#[must_use]
pub fn site(host: &str) -> String {
    let host = host.trim_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = host.rsplit('.').take(3).collect();
    let keep = match labels.as_slice() {
        [top, second, _] if top.len() == 2 && second.len() <= 3 => 3,
        _ => 2.min(labels.len()),
    };
    labels.iter().take(keep).rev().copied().collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    fn check(headers: &str, expect: &[Fact]) {
        let raw = format!("{headers}\n\n");
        let parsed = MessageParser::default().parse_headers(raw.as_bytes()).unwrap();
        let mut facts = Facts::default();
        inspect(&parsed, &mut facts);
        assert_eq!(facts.iter().collect::<Vec<_>>(), expect, "{headers}");
    }

    const PLAIN: &str = "From: Ana <ana@a.example>\nTo: b@b.example\nSubject: Lunch\nDate: Thu, 1 Jan 2026 10:00:00 +0000\nMessage-ID: <1@a.example>";

    #[test]
    fn structure_is_noted() {
        check(PLAIN, &[]);
        check(&format!("{PLAIN}\nReply-To: x@mail.a.example"), &[]);
        check(&format!("{PLAIN}\nReply-To: x@evil.test"), &[Fact::ReplyToDiffers]);
        check(&format!("{PLAIN}\nReply-To: x@evil.test\nList-Id: <l.a.example>"), &[]);
        check(&format!("{PLAIN}\nIn-Reply-To: <0@b.example>"), &[Fact::InThread]);
        check(&PLAIN.replace("Lunch", "LAST CHANCE TODAY"), &[Fact::SubjectAllCaps]);
        check(&PLAIN.replace("Lunch", "Hi      x81"), &[Fact::SubjectPadded]);
        check(&PLAIN.replace("Ana <", "\"help@bank.example\" <"), &[Fact::NameShowsOtherAddress]);
        check(&PLAIN.replace("To: b@b.example", "To: undisclosed-recipients:;"), &[Fact::HiddenRecipients]);
        let many: Vec<_> = (0..11).map(|i| format!("u{i}@b.example")).collect();
        check(&PLAIN.replace("b@b.example", &many.join(", ")), &[Fact::ManyRecipients]);
        check(
            "Subject: Lunch",
            &[Fact::MissingDate, Fact::MissingMessageId, Fact::MissingFrom, Fact::MissingRecipient],
        );
    }

    #[test]
    fn a_site_is_what_one_owner_registers() {
        let check = |host: &str, expect: &str| assert_eq!(site(host), expect, "{host}");
        check("mail.example.com", "example.com");
        check("WWW.Example.CO.UK", "example.co.uk");
        check("example.com", "example.com");
        check("localhost", "localhost");
        check("", "");
    }
}
