//! What the generator says is hidden in a sample is what the rules find, and
//! nothing else: planted rules speak, clean samples raise no finding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_anti_corruption::domain::{Document, Index, Kind as Domain, Settings, investigate};
use probity_cli::kind::Kind;
use probity_cli::samples::{Item, Mix, Set, Sizes};
use std::collections::BTreeSet;

fn found(item: &Item) -> BTreeSet<&'static str> {
    let kind = match item.kind() {
        Kind::Tender => Domain::Tender,
        Kind::Payment => Domain::Payment,
        Kind::Message => Domain::Message,
        Kind::Report => Domain::Report,
    };
    let documents = [Document { name: "documents/d".into(), bytes: item.bytes().to_vec().into() }];
    let outcome = investigate(kind, &documents, &Index::default(), &Settings::default());
    assert_eq!(outcome.items_refused, 0, "{}: {:?}", item.filename(), outcome.rejections);
    assert!(outcome.items_read > 0, "{}: nothing was read", item.filename());
    outcome.findings.iter().map(|finding| finding.rule).collect()
}

/// Spam may talk of money as it likes: what it says counts only once a person
/// says that it is no spam.
fn check(items: impl Iterator<Item = Item>) {
    let mut wrong = Vec::new();
    for item in items.filter(|item| item.expected().spam != Some(true)) {
        let planted: BTreeSet<_> = item.expected().rules.iter().copied().collect();
        let found = found(&item);
        if planted != found {
            let what = &item.expected().planted;
            wrong.push(format!(
                "{} {}: planted {planted:?} {what:?}, found {found:?}",
                item.kind(),
                item.filename()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn sets_are_as_planted() {
    let sizes = Sizes { tenders: 60, jsonl: false, payments: 20, rows: 60, messages: 30, reports: 30 };
    for seed in 1..=5 {
        check(Set::new(seed, sizes).items());
    }
}

#[test]
fn small_and_large_payment_files_are_as_planted() {
    for rows in [20, 21, 500, 20_000] {
        let sizes = Sizes { payments: 5, rows, tenders: 0, messages: 0, reports: 0, jsonl: false };
        check(Set::new(9, sizes).items());
    }
}

#[test]
fn mixes_are_as_planted() {
    check(Mix::new(1).take(1_500));
}
