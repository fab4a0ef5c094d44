//! Tables for the HTML reader.

use super::*;
use proptest::prelude::*;

fn check(html: &str, expect: &str, facts: &[Fact]) {
    let page = visible(html);
    let words: Vec<_> = page.text.split_whitespace().collect();
    assert_eq!(words.join(" "), expect, "{html}");
    assert_eq!(page.facts.iter().collect::<Vec<_>>(), facts, "{html}");
}

#[test]
fn visible_text_is_kept() {
    check("<p>Hello <b>there</b></p><p>you", "Hello there you", &[]);
    check("vi<b></b>ag<!-- x -->ra", "viagra", &[]);
    check("one<br>two<td>three", "one two three", &[]);
    check("a &lt; b &amp;&#38; c&nbsp;d &#x41;&bogus; &", "a < b && c d A&bogus; &", &[]);
    check("5 < 6 and 7 > 3", "5 < 6 and 7 > 3", &[]);
    check("<title>T</title><style>p{}</style>x<SCRIPT>if (a<b) {}</SCRIPT >y", "xy", &[Fact::HtmlScript]);
    check("<a title='>'>q</a>", "q", &[]);
    check("<a title=\"never closed>text", "text", &[]);
    check("<script>never closed", "never closed", &[Fact::HtmlScript]);
    check("<!-- never closed", "", &[]);
    check("<!DOCTYPE html><?xml?>x", "x", &[]);
    check("<form action=x>y", "y", &[Fact::HtmlForm]);
    check("&#0;&#1114112;", "\u{FFFD}\u{FFFD}", &[]);
    check("", "", &[]);
    check("<", "<", &[]);
    check("</", "</", &[]);
}

#[test]
fn hidden_text_is_left_out_and_noted() {
    let salad = "many innocent words";
    check(&format!("a<span style='display: none'>{salad}</span>b"), "ab", &[Fact::HiddenText]);
    check(&format!("<font color=white>{salad}</font>b"), "b", &[Fact::HiddenText]);
    check(&format!("<body bgcolor=#000000><font color='#FFFFFF'>{salad}</font>b"), &format!("{salad}b"), &[]);
    check(&format!("<div style='font-size:0'><div>{salad}</div>x</div>b"), "b", &[Fact::HiddenText]);
    check(&format!("a<div style='display:none'>{salad}"), &format!("a {salad}"), &[Fact::HiddenText]);
    check("a<span style='display:none'>x</span>b", "ab", &[]);
}

#[test]
fn links_are_compared_with_what_they_show() {
    let check = |html: &str, links: usize, facts: &[Fact]| {
        let page = visible(html);
        assert_eq!(page.links, links, "{html}");
        assert_eq!(page.facts.iter().collect::<Vec<_>>(), facts, "{html}");
    };
    check("<a href=http://bank.example/x>http://www.bank.example</a>", 1, &[]);
    check("<a href=http://evil.test/>http://www.bank.example/login</a>", 1, &[Fact::LinkMismatch]);
    check("<a href=https://evil.test/>www.bank.example</a>", 1, &[Fact::LinkMismatch]);
    check("<a href='http://10.1.2.3:80/'>click</a>", 1, &[Fact::LinkToAddress]);
    check("<a href='http://bank.example@evil.test/'>http://bank.example</a>", 1, &[Fact::LinkMismatch]);
    check("<a href=mailto:x@y.example>x@y.example</a><a name=q>z</a>", 0, &[]);
    check("<a href=http://a.example>one<a href=http://b.example>two</a></a>", 2, &[]);
}

#[test]
fn hostile_pages_take_linear_time() {
    for piece in
        ["<", "<a ", "<a href='", "<!--", "</", "&#", "<script>", "<div style=display:none>", "<b x=\""]
    {
        let page = visible(&piece.repeat(200_000 / piece.len()));
        assert!(page.text.len() <= 400_000, "{piece}");
    }
}

proptest! {
    #[test]
    fn never_panics(html in "(\\PC|<|>|&|#|\"|'|=|/|a|script|style|display:none|é){0,120}") {
        let _ = visible(&html);
    }
}
