//! Messages become templates, and failures of one template one pattern.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_engine::pattern::{Failure, MAX_EXAMPLES, MAX_TEMPLATE, Patterns, template};
use probity_types::Micros;
use proptest::prelude::*;

fn check(message: &str, expect: &str) {
    assert_eq!(template(message), expect, "{message}");
}

#[test]
fn what_differs_from_failure_to_failure_is_replaced() {
    check("timed out after 2500 ms", "timed out after <n> ms");
    check("timed out after 2.5s (attempt 3 of 10)", "timed out after <n>s (attempt <n> of <n>)");
    check("case_018f3c2ab7 is gone", "case_<id> is gone");
    check("cases/case_01hx3k9 not found", "cases/case_<id> not found");
    check("no document documents/9f86d081884c7d65", "no document documents/<id>");
    check("id 018f3c2a-b7d1-7cc0-8000-0123456789ab twice", "id <id> twice");
    check("tcp connect to 10.0.0.7:8082: refused", "tcp connect to <address>: refused");
    check("tcp connect to spam-detection:8083 refused", "tcp connect to <address> refused");
    check("mail to ana@example.org bounced", "mail to <address> bounced");
    check("GET https://example.org/a?b=1: 503", "GET <url>: <n>");
    check("at 2026-11-20T09:30:00.123Z or 2026-11-20", "at <time> or <time>");
    check("field 'name' has \"x y\" in `z`", "field <text> has <text> in <text>");
    check("can't read Ana's file", "can't read Ana's file");
    check("key='abc', n=17", "key=<text>, n=<n>");
    check("STO-0004: the database is away", "STO-0004: the database is away");
    check("0xdeadbeef01 at line 12:7", "<id> at line <n>:<n>");
}

#[test]
fn what_does_not_differ_stays() {
    check("", "");
    check("the peer does not answer", "the peer does not answer");
    check("  two\n\tlines\u{7}  ", "two lines");
    check("deadline_exceeded in list_price_check", "deadline_exceeded in list_price_check");
    check("ein Fehler in der Prüfung: größer", "ein Fehler in der Prüfung: größer");
    check("an open \" quote", "an open \" quote");
    check("took <n> ms", "took <n> ms");
}

#[test]
fn long_messages_are_cut() {
    let text = template(&"word 17 ".repeat(1_000));
    assert!(text.chars().count() <= MAX_TEMPLATE && text.ends_with('…'), "{text}");
    assert!(template(&"9".repeat(1_000_000)).len() <= 3);
    assert!(template(&"'".repeat(100_000)).chars().count() <= MAX_TEMPLATE);
}

fn failure<'a>(message: &'a str, name: &'a str, at: i64) -> Failure<'a> {
    Failure { code: "SPM-0001", peer: "spam-detection", operation: "Classify", message, at: Micros(at), name }
}

#[test]
fn failures_that_are_alike_are_one_pattern() {
    let mut patterns = Patterns::new(10);
    for n in 0..5_i64 {
        let (message, name) = (format!("no answer within {n} ms"), format!("tasks/{n}"));
        patterns.add(&failure(&message, &name, 100 - n));
    }
    patterns.add(&failure("no such model", "tasks/9", 7));
    patterns.add(&Failure { peer: "intake", ..failure("no such model", "tasks/10", 8) });
    let summary = patterns.summary(2);
    let first = &summary.patterns[0];
    assert_eq!((first.template.as_str(), first.count), ("no answer within <n> ms", 5));
    assert_eq!((first.first_seen, first.last_seen), (Micros(96), Micros(100)));
    assert_eq!(first.examples, ["tasks/4", "tasks/3", "tasks/2"]);
    assert_eq!(summary.patterns[1].peer, "intake");
    assert_eq!((summary.patterns.len(), summary.other, summary.total), (2, 1, 7));
}

#[test]
fn what_comes_often_stays_among_a_flood_of_single_ones() {
    let mut patterns = Patterns::new(20);
    let mut random = fastrand::Rng::with_seed(3);
    let letters = |n: usize| {
        (0..6).map(|i| char::from(b'a' + u8::try_from(n / 26_usize.pow(i) % 26).unwrap())).collect::<String>()
    };
    let mut often = 0_u64;
    for n in 0..20_000 {
        let frequent = random.u8(..10) == 0;
        often += u64::from(frequent);
        let message = if frequent { "no answer".to_owned() } else { format!("unheard of: {}", letters(n)) };
        patterns.add(&failure(&message, "tasks/1", 1));
    }
    let summary = patterns.summary(20);
    assert_eq!((summary.patterns[0].template.as_str(), summary.patterns[0].count), ("no answer", often));
    assert_eq!(summary.patterns[1].count, 1);
    assert_eq!(summary.total, 20_000);
}

proptest! {
    #[test]
    fn the_template_of_a_template_is_itself(message in prop_oneof![
        ".{0,300}",
        "([a-z]{1,6}|[0-9]{1,4}|'[a-z ]{0,8}'|<n>|<te|[ .:/_-]|case_0[a-z0-9]{8}|https://[a-z]{1,5}|…){0,60}",
    ]) {
        let once = template(&message);
        prop_assert!(once.chars().count() <= MAX_TEMPLATE);
        prop_assert!(!once.chars().any(char::is_control));
        prop_assert_eq!(template(&once), once);
    }

    #[test]
    fn messages_that_differ_in_values_alone_have_one_template(
        n in any::<u32>(), ms in 0.0_f64..1e6, id in "[0-9a-f]{12}", text in "[a-z ]{0,20}", port in 1_024_u16..65_535,
    ) {
        let message = format!("attempt {n} of cases/case_0{id} at 10.0.0.1:{port} took {ms:.3} ms: '{text}'");
        prop_assert_eq!(template(&message), "attempt <n> of cases/case_<id> at <address> took <n> ms: <text>");
    }

    #[test]
    fn counts_add_up(
        messages in prop::collection::vec(("[a-c]{1,3}", 0_u8..3, any::<i64>()), 0..300), capacity in 1_usize..30, most in 0_usize..40,
    ) {
        let mut patterns = Patterns::new(capacity);
        for (message, peer, at) in &messages {
            let peer = peer.to_string();
            patterns.add(&Failure { peer: &peer, ..failure(message, "tasks/1", *at) });
        }
        let summary = patterns.summary(most);
        let counted: u64 = summary.patterns.iter().map(|pattern| pattern.count).sum();
        prop_assert_eq!(counted + summary.other, summary.total);
        prop_assert_eq!(summary.total, messages.len() as u64);
        prop_assert!(summary.patterns.len() <= most.min(capacity * 2));
        prop_assert!(summary.patterns.windows(2).all(|pair| pair[0].count >= pair[1].count));
        for pattern in &summary.patterns {
            prop_assert!(pattern.count > 0 && pattern.first_seen <= pattern.last_seen);
            prop_assert!((1..=MAX_EXAMPLES).contains(&pattern.examples.len()));
        }
    }

    #[test]
    fn few_patterns_are_counted_exactly(messages in prop::collection::vec("[a-d]", 0..200)) {
        let mut patterns = Patterns::new(4);
        messages.iter().for_each(|message| patterns.add(&failure(message, "tasks/1", 0)));
        let summary = patterns.summary(4);
        prop_assert_eq!(summary.other, 0);
        for pattern in summary.patterns {
            let count = messages.iter().filter(|message| **message == pattern.template).count();
            prop_assert_eq!(pattern.count, count as u64);
        }
    }
}
