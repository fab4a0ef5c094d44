//! What the language accepts, what it refuses and with which words, and that nothing harms it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use probity_filter::{Field, Filter, MAX_DEPTH, MAX_LENGTH, MAX_TERMS, Order, Schema};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same(text in support::filter()) {
        let filter = Filter::parse(&text).map_err(|error| TestCaseError::fail(error.caret()))?;
        let printed = filter.to_string();
        let again = Filter::parse(&printed).map_err(|error| TestCaseError::fail(error.caret()))?;
        prop_assert_eq!(&again.root, &filter.root, "{} became {}", text, printed);
        prop_assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn a_filter_and_its_negation_divide_the_rows(text in support::filter(), row in support::row()) {
        let schema = support::schema();
        let matches = |text: &str| Filter::parse(text).unwrap().check(&schema).unwrap().matches(&support::cell(&row));
        prop_assert_ne!(matches(&text), matches(&format!("NOT ({text})")), "{}", text);
    }

    #[test]
    fn words_of_the_language_in_any_order_are_read_or_refused(
        words in prop::collection::vec(prop::sample::select(vec![
            "state", "=", "!=", ":", "<", "(", ")", "AND", "OR", "NOT", "-", "\"", "'", "*", "\\", "RUNNING", " ", ".", "é", "😀",
        ]), 0..40),
    ) {
        survives(&words.concat());
        survives(&words.join(" "));
    }
}

/// Reads any text, and checks that an error points into it.
fn survives(text: &str) {
    let schema = support::schema();
    let outcome = Filter::parse(text).and_then(|filter| {
        assert_eq!(Filter::parse(&filter.to_string()).map(|f| f.root), Ok(filter.root.clone()), "{text:?}");
        filter.check(&schema).map(|predicate| predicate.sql(1))
    });
    let errors = [outcome.err(), Order::parse(text, &schema).err()];
    for error in errors.into_iter().flatten() {
        assert!(error.span.start <= error.span.end && error.span.end <= text.len(), "{text:?} {error:?}");
        assert!(text.len() > MAX_LENGTH || text.is_char_boundary(error.span.start), "{text:?} {error:?}");
        assert!(!error.caret().is_empty() && error.column() >= 1);
    }
}

#[test]
fn ten_thousand_random_bytes_do_no_harm() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..10_000 {
        let bytes: Vec<u8> = (0..random.usize(..120)).map(|_| random.u8(..)).collect();
        survives(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn deep_and_long_filters_are_refused() {
    let check = |text: String, expect: &str| {
        let error = Filter::parse(&text).expect_err(&text[..40.min(text.len())]).to_string();
        assert!(error.contains(expect), "{error}");
        survives(&text);
    };
    let nested = |n: usize, open: &str, close: &str| format!("{}a = 1{}", open.repeat(n), close.repeat(n));
    for (open, close) in [("(", ")"), ("NOT ", ""), ("-", ""), ("NOT (", ")")] {
        check(nested(1_000.min(4_000 / (open.len() + close.len())), open, close), "nested deeper than 32");
    }
    assert!(Filter::parse(&nested(MAX_DEPTH, "(", ")")).is_ok());
    assert!(Filter::parse(&nested(MAX_DEPTH, "-", "")).is_ok());
    let alternating = format!("{}c = 1{}", "(a = 1 AND (b = 1 OR ".repeat(17), "))".repeat(17));
    check(alternating, "nested deeper than 32");
    let many = |n| vec!["a = 1"; n].join(" OR ");
    assert!(Filter::parse(&many(MAX_TERMS)).is_ok());
    check(many(MAX_TERMS + 1), "at most 64 comparisons");
    check(format!("a = ({})", vec!["1"; 65].join(" OR ")), "at most 64 comparisons");
    check("(".repeat(1_000_000), "at most 4096 bytes; this one has 1000000");
}

/// Checks how a filter is printed.
fn printed(text: &str, expect: &str) {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{}", error.caret()));
    assert_eq!(filter.to_string(), expect, "{text}");
}

#[test]
fn filters_mean_what_the_standard_says() {
    printed("", "");
    printed("  \t\n ", "");
    printed("a=1", "a = 1");
    printed("a = 1 AND b = 2 OR c = 3", "a = 1 AND (b = 2 OR c = 3)");
    printed("a = 1 b = 2", "a = 1 AND b = 2");
    printed("(a = 1 AND b = 2) OR c = 3", "(a = 1 AND b = 2) OR c = 3");
    printed("-a = 1", "NOT a = 1");
    printed("NOT NOT a = 1", "NOT NOT a = 1");
    printed("a = -1 AND -b = 'x y'", "a = -1 AND NOT b = \"x y\"");
    printed("a:b AND a : *", "a:b AND a:*");
    printed("a = (x OR y)", "a = x OR a = y");
    printed("a:(x AND \"y z\")", "a:x AND a:\"y z\"");
    printed("t > 2026-11-20T09:30:00+01:00", "t > 2026-11-20T09:30:00+01:00");
    printed("a = ab* OR a = *b OR a = '*b*' OR a = **", "a = ab* OR a = *b OR a = *b* OR a = *");
    printed(r#"a = "\*" OR a = "a\*b\"\\\n""#, r#"a = "\*" OR a = "a\*b\"\\\n""#);
    printed("a = \"AND\" AND ANDY = 1", "a = \"AND\" AND ANDY = 1");
    printed("error.code = \"\"", "error.code = \"\"");
    printed("tender 'two words'", "\"tender\" AND \"two words\"");
    printed("a = \"\u{e9}\"", "a = \"\u{e9}\"");
}

/// Checks the words and the place of a refusal: the mark stands below `^` in `place`.
fn refused(text: &str, marked: &str, expect: &str) {
    let schema = support::schema();
    let error = Filter::parse(text).and_then(|filter| filter.check(&schema)).expect_err(text);
    let at = text.get(error.span.start..error.span.end).unwrap();
    assert_eq!((at, error.message.contains(expect)), (marked, true), "{}", error.caret());
}

#[test]
fn what_is_no_filter_is_refused_with_its_place() {
    refused("state =", "", "the filter ends where a value after state = should be");
    refused("state = )", ")", "there is \")\" where a value after state = should be");
    refused("= 1", "=", "where a comparison such as state = RUNNING should be");
    refused("(state = RUNNING", "(", "this parenthesis is never closed");
    refused("state = RUNNING)", ")", "where AND, OR or the end should be");
    refused("()", ")", "where a comparison such as");
    refused("name = \"abc", "\"", "this quote is never closed");
    refused("name = \"a\\", "\"", "this quote is never closed");
    refused("name = \"a\\x\"", "\\x", "after a backslash stands one of");
    refused("name = a*b", "*", "a * stands at the start or the end");
    refused("state == RUNNING", "==", "write = once");
    refused("state <> RUNNING", "<>", "write != for");
    refused("name =~ a", "=~", "no patterns");
    refused("state = RUNNING and case = true", "and", "write AND in capitals");
    refused("state = RUNNING && case = true", "&", "write AND");
    refused("AND state = RUNNING", "AND", "AND needs a comparison on its left and right side");
    refused("state = RUNNING OR", "", "the filter ends where a comparison");
    refused("NOT", "", "the filter ends");
    refused("state = (RUNNING OR WAITING AND ENDED)", "A", "joined by OR or by AND, not by both");
    refused("matches(name)", "matches", "called as a function");
    refused("na-me = 1", "na-me", "is not the name of a field");
    refused("\"name\" = a", "\"name\"", "a field stands without quotes: write name");
    refused("name = \"\0\"", "\0", "U+0000");
    refused("a..b = 1", "a..b", "is not the name of a field");
}

#[test]
fn what_the_list_does_not_know_is_refused_with_what_it_knows() {
    refused(
        "stat = RUNNING",
        "stat",
        "executions have no field \"stat\"; did you mean state? There are: name, owner",
    );
    refused("colour = red", "colour", "executions have no field \"colour\". There are: name, owner, state");
    refused(
        "state = RUNING",
        "RUNING",
        "state is one of RUNNING, WAITING, ENDED, not \"RUNING\"; did you mean RUNNING?",
    );
    refused("state = running", "running", "did you mean RUNNING?");
    refused("state = RUN*", "RUN*", "state is not a text, so it has no * but alone: state:*");
    refused("state > RUNNING", "state > RUNNING", "state cannot be compared with >; it can with = != :");
    refused("name > a", "name > a", "a text has no order, but name = \"abc*\" asks for its beginning");
    refused("attempts = many", "many", "attempts is compared with a whole number such as 42, not \"many\"");
    refused("attempts = 99999999999999999999", "99999999999999999999", "a number from -9223372036854775808");
    refused("case = yes", "yes", "case is compared with true or false");
    refused("create_time > yesterday", "yesterday", "a time such as 2026-11-20T09:30:00Z");
    refused("lag > 5", "5", "a duration such as 90s");
    refused("lag > *", "*", "lag is not a text, so it has no * but alone: lag:*");
    refused("name:\"\"", "\"\"", "nothing is in every text; name:*");
    refused("tend*", "tend*", "a word to look for has no *");
}

#[test]
fn words_are_refused_where_nothing_is_searched() {
    let schema = Schema::new("tasks").with(Field::int("attempts", "a")).with(Field::bool("paused", "p"));
    let check = |text: &str, expect: &str| {
        let error = Filter::parse(text).unwrap().check(&schema).unwrap_err();
        assert_eq!(error.to_string(), format!("column 1: {expect}"));
        assert_eq!(error.violation("filter").field, "filter");
    };
    let advice = "tasks cannot be searched by words; compare a field, such as attempts = …";
    check("urgent", &format!("\"urgent\" stands alone, and {advice}"));
    check("attempts", "attempts is a field; compare it, such as attempts:* for any value");
    check("paused", "write paused = true");
}

#[test]
fn orders_are_read_or_refused() {
    let schema = support::schema();
    let check = |text: &str, expect: &str| {
        let order = Order::parse(text, &schema).unwrap_or_else(|error| panic!("{}", error.caret()));
        assert_eq!(order.sql("t.id"), expect, "{text}");
    };
    check("", "t.id");
    check("create_time desc, attempts", "t.created DESC, t.attempts, t.id");
    check(" end_time   asc ", "t.ended NULLS LAST, t.id");
    let refused = |text: &str, marked: &str, expect: &str| {
        let error = Order::parse(text, &schema).expect_err(text);
        assert_eq!(&text[error.span.start..error.span.end], marked, "{error}");
        assert!(error.message.contains(expect), "{error}");
    };
    refused("attempts, creat_time", "creat_time", "did you mean create_time? There are: priority, attempts");
    refused(
        "attempts, name desc",
        "name desc",
        "executions cannot be ordered by name; they can by priority, attempts",
    );
    refused("attempts,,lag", "", "a field is missing here");
    refused("attempts DESC", "attempts DESC", "nothing, asc or desc");
    refused("lag, lag desc", "lag desc", "lag is there already");
    refused(&"x".repeat(5_000), "", "at most 4096 bytes");
}
