//! Tables for the MIME walk, hostile input included.

use super::*;
use base64_text as b64;
use proptest::prelude::*;

/// Base64 without any crate: tests alone write it.
fn base64_text(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            out.push(char::from(DIGITS[(word >> (18 - 6 * at)) as usize & 63]));
        }
        out.push_str(&"=".repeat(3 - chunk.len()));
    }
    out
}

const HEAD: &str = "From: a@a.example\nTo: b@b.example\nSubject: s\nDate: Thu, 1 Jan 2026 10:00:00 +0000\nMessage-ID: <1@a.example>\n";

fn check(rest: &str, expect: &str, facts: &[Fact]) {
    let walked = walk(format!("{HEAD}{rest}").as_bytes()).unwrap();
    let words: Vec<_> = walked.text.split_whitespace().collect();
    assert_eq!(words.join(" "), expect, "{rest}");
    assert_eq!(walked.facts.iter().collect::<Vec<_>>(), facts, "{rest}");
}

#[test]
fn single_parts() {
    check("\nhello", "hello", &[]);
    check("Content-Type: text/plain; charset=utf-8\n\ngrün", "grün", &[]);
    check("Content-Type: text/html\n\n<b>hi</b>", "hi", &[Fact::HtmlOnly]);
    check("Content-Transfer-Encoding: quoted-printable\n\nsoft=\nbreak =41=4 =", "softbreak A=4 =", &[]);
    let body = b64(b"wrapped");
    check(&format!("Content-Transfer-Encoding: base64\n\n{body}"), "wrapped", &[Fact::WrappedText]);
    let utf8 = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n";
    check(&format!("{utf8}{}", b64("für".as_bytes())), "für", &[]);
    check(&format!("{utf8}!!{}-- \n", &b64(b"torn off")[..7]), "torn", &[]);
    check("Content-Type: image/png\n\nxx", "", &[Fact::MostlyImages]);
    check("Content-Type: application/pdf; name=a.pdf\n\nxx", "", &[Fact::Attachment]);
    check("Content-Type: application/x; name=INVOICE.PDF.EXE\n\nxx", "", &[Fact::Attachment, Fact::Program]);
    check(
        "Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\nx",
        "",
        &[Fact::Attachment],
    );
}

#[test]
fn many_parts() {
    let multi = |kind: &str, parts: &[&str]| {
        let parts: Vec<_> = parts.iter().map(|p| format!("--B\n{p}\n")).collect();
        format!(
            "Content-Type: multipart/{kind}; boundary=\"B\"\n\npreamble\n{}--B--\nepilogue",
            parts.concat()
        )
    };
    check(&multi("mixed", &["\none", "Content-Type: text/plain\n\ntwo"]), "one two", &[]);
    check(&multi("alternative", &["\nplain", "Content-Type: text/html\n\n<i>rich</i>"]), "rich", &[]);
    check(
        &multi("alternative", &["\nplain", "Content-Type: text/html\n\n<img src=x>"]),
        "plain",
        &[Fact::MostlyImages],
    );
    check(&multi("mixed", &["Content-Type: message/rfc822\n\nSubject: in\n\nner"]), "in ner", &[]);
    check(&multi("mixed", &[]), "preamble --B-- epilogue", &[Fact::Malformed]);
    check("Content-Type: multipart/mixed; boundary=B\n\n--B\n\nnever closed", "never closed", &[]);
    check("Content-Type: multipart/mixed\n\nno boundary", "no boundary", &[]);
    check("Content-Type: multipart/mixed; boundary=B\n\n--BB\n\nother", "--BB other", &[Fact::Malformed]);
}

#[test]
fn charsets() {
    let check = |bytes: &[u8], charset: Option<&str>, expect: &str| {
        assert_eq!(decode(bytes, charset), expect, "{bytes:?} {charset:?}");
    };
    check(b"caf\xC3\xA9", None, "café");
    check(b"caf\xE9", None, "café");
    check(b"caf\xE9", Some("utf-8"), "café");
    check(b"caf\xE9", Some("iso-8859-1"), "café");
    check(b"\xC3\xA9 \xE9", None, "é \u{FFFD}");
    check(b"\xBF\xEF", Some("koi8-r"), "©О");
    check(b"x", Some("no-such-charset"), "x");
    check(b"\xFE\xFF\0h\0i", Some("utf-8"), "hi");
}

#[test]
fn no_header_is_no_mail() {
    assert!(walk(b"").is_none());
    assert!(walk(b"\n\nbody").is_none());
    assert!(walk(b"From a@b.example\n\nbody").is_none());
}

/// Reads hostile bytes; the point is that it ends, soon.
fn survive(raw: &[u8]) -> Walked {
    walk(raw).unwrap_or_default()
}

#[test]
fn nesting_is_cut() {
    let mut raw = HEAD.to_owned();
    for level in 0..10_000 {
        raw.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"));
    }
    raw.push_str("\nbottom");
    let walked = survive(raw.as_bytes());
    assert!(walked.facts.has(Fact::Malformed));
    let letters = format!("{HEAD}{}", "Content-Type: message/rfc822\n\n".repeat(30_000));
    assert!(survive(letters.as_bytes()).facts.has(Fact::Malformed));
    let inner = format!(
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{}",
        b64(letters.as_bytes())
    );
    assert!(survive(format!("{HEAD}{inner}").as_bytes()).text.len() < MAX_TEXT_BYTES);
    let wide = format!("{HEAD}Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\n\na\n".repeat(50_000));
    assert!(survive(wide.as_bytes()).text.len() < 1000);
}

#[test]
fn header_bombs_are_cut() {
    for bomb in [
        format!("Subject: {}", "x".repeat(2 << 20)),
        format!("Subject: {}", "=?utf-8?q?a?= ".repeat(50_000)),
        format!("Subject: {}", "=?aa?q?".repeat(50_000)),
        format!("Subject: {}", "=?aa?q?\n ".repeat(50_000)),
        format!("To: {}", "a@b.example, ".repeat(100_000)),
        format!("To: {}", "(".repeat(100_000)),
        format!("To: {}", "\"".repeat(100_001)),
        format!("To: {}", "g:".repeat(100_000)),
        format!("Content-Type: text/plain{}", "; a*0*=b".repeat(50_000)),
        format!("Content-Type: text/plain{}", ";\n a=b".repeat(50_000)),
        format!("Content-Type: multipart/mixed; boundary=\"{}\"", "b".repeat(100_000)),
        "X: y\n".repeat(300_000),
        "\n ".repeat(100_000),
        format!("Date: {}", "(".repeat(100_000)),
        format!("Received: {}", "from (a) by [b] ; ".repeat(50_000)),
    ] {
        let walked = survive(format!("From: a@a.example\n{bomb}\n\nbody").as_bytes());
        assert!(walked.subject.len() <= MAX_HEADER_BYTES, "{}", &bomb[..20]);
    }
}

#[test]
fn huge_bodies_are_cut() {
    let base64 = format!("{HEAD}Content-Transfer-Encoding: base64\n\n{}", "QUJD\n".repeat(1 << 20));
    assert!(survive(base64.as_bytes()).text.len() <= MAX_TEXT_BYTES);
    let plain = format!("{HEAD}\n{}", "é ".repeat(1 << 20));
    assert!(survive(plain.as_bytes()).text.len() <= MAX_TEXT_BYTES + 4);
    let equals = format!("{HEAD}Content-Transfer-Encoding: quoted-printable\n\n{}", "=".repeat(3 << 20));
    assert!(survive(equals.as_bytes()).text.len() <= MAX_TEXT_BYTES);
}

proptest! {
    #[test]
    fn never_panics_on_bytes(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        survive(&raw);
    }

    #[test]
    fn never_panics_on_mail_like_text(
        head in "(From|To|Cc|Reply-To|Subject|Date|Content-Type|Content-Transfer-Encoding|Message-ID): (\\PC|=\\?utf-8\\?[qb]\\?|<|>|,|;|\"|\\(|:|multipart/mixed; boundary=b|base64|\n ){0,12}",
        body in "(--b|--|\n|\\PC|=|<a href=|Content-Type: text/html\n\n){0,20}",
    ) {
        survive(format!("{head}\nContent-Type: multipart/mixed; boundary=b\n\n{body}").as_bytes());
    }
}
