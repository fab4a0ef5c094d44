//! The samples: the same seed gives the same bytes, and the manifest is true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_cli::kind::Kind;
use probity_cli::samples::{Item, Mix, Set, Sizes, write};
use probity_cli::split::{Form, Limits, Outcome, split};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;

const WIDE: Sizes = Sizes { tenders: 60, jsonl: false, payments: 25, rows: 60, messages: 30, reports: 30 };

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bytes =
        |seed: u64| Set::new(seed, Sizes::default()).items().map(Item::into_bytes).collect::<Vec<_>>();
    assert_eq!(bytes(7), bytes(7));
    assert_ne!(bytes(7), bytes(8));
    let mix = |seed: u64| Mix::new(seed).take(40).map(Item::into_bytes).collect::<Vec<_>>();
    assert_eq!(mix(7), mix(7));
    assert_ne!(mix(7), mix(8));
    assert_eq!(Mix::new(7).at(33), Mix::new(7).nth(33).unwrap());
}

/// Bytes that change only when somebody means to change them: the keys of the
/// demonstration and benchmarks of other days depend on them.
#[test]
fn the_bytes_of_a_seed_do_not_change_by_accident() {
    let digest = |items: &mut dyn Iterator<Item = Item>| {
        let mut hasher = Sha256::new();
        items.for_each(|item| hasher.update(item.bytes()));
        hex::encode(hasher.finalize())
    };
    let set = digest(&mut Set::new(24, Sizes::default()).items());
    assert_eq!(set, "219bc47fe273620e75a430219a68ac23cc81ccddf3f9af569fb3edd45cb11740");
    let mix = digest(&mut Mix::new(1).take(100));
    assert_eq!(mix, "bb260dd68eb363fa903391235085f2de97320c7e41a1c996353fc44748eba3a0");
}

#[test]
fn a_mix_has_the_proportions_of_the_benchmark() {
    let items: Vec<_> = Mix::new(3).take(1_000).collect();
    let count = |kind: Kind| items.iter().filter(|item| item.kind() == kind).count();
    assert_eq!(Kind::ALL.map(count), [400, 100, 300, 200]);
    let with_findings = items.iter().filter(|item| !item.expected().rules.is_empty()).count();
    assert!(with_findings * 5 >= items.len(), "{with_findings} of {}", items.len());
    let distinct: HashSet<_> = items.iter().map(Item::bytes).collect();
    assert_eq!(distinct.len(), items.len());
    for item in &items {
        match item.kind() {
            Kind::Tender => {
                let release: serde_json::Value = serde_json::from_slice(item.bytes()).unwrap();
                assert_eq!(release["bids"]["details"].as_array().unwrap().len(), 3, "{}", item.filename());
            }
            Kind::Payment => assert_eq!(item.bytes().iter().filter(|b| **b == b'\n').count(), 21),
            Kind::Message | Kind::Report => assert!(std::str::from_utf8(item.bytes()).is_ok()),
        }
    }
}

#[test]
fn every_rule_that_can_be_planted_is() {
    let mut seen = BTreeMap::new();
    for item in Set::new(5, WIDE).items() {
        for rule in &item.expected().rules {
            *seen.entry(*rule).or_insert(0) += 1;
        }
        if item.expected().is_clean() {
            *seen.entry("clean").or_insert(0) += 1;
        }
    }
    for rule in [
        "R003",
        "R018",
        "R028",
        "PAY-SPLIT",
        "PAY-BELOW-LIMIT",
        "PAY-DUP-INVOICE",
        "RPT-BRIBERY",
        "RPT-KICKBACK",
        "RPT-FALSE-RECORDS",
        "RPT-CONFLICT",
        "RPT-RETALIATION",
        "clean",
    ] {
        assert!(seen.contains_key(rule), "{rule} is never planted: {seen:?}");
    }
}

fn count_items(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let mut items = 0;
    split(&mut bytes.as_slice(), Form::Auto, Limits::default(), &mut |outcome| {
        assert!(matches!(outcome, Outcome::Item(_)), "{outcome:?} in {}", path.display());
        items += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    items
}

#[test]
fn a_set_on_disk_is_what_its_manifest_says() {
    let dir = tempfile::tempdir().unwrap();
    for jsonl in [false, true] {
        let sizes = Sizes { jsonl, ..Sizes::default() };
        let folder = dir.path().join(jsonl.to_string());
        write(&Set::new(2, sizes), &folder).unwrap();
        let manifest: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        let items = manifest["items"].as_array().unwrap();
        assert_eq!(items.len(), 16);
        for item in items {
            let file = folder.join(item["file"].as_str().unwrap());
            assert!(file.exists(), "{}", file.display());
            assert_eq!(
                item["clean"].as_bool(),
                Some(item["rules"] == serde_json::json!([]) && item["spam"] != true)
            );
            if item["kind"] == "tender" {
                assert_eq!(count_items(&file), if jsonl { 6 } else { 1 });
            }
        }
    }
}

#[test]
fn large_files_have_the_rows_they_should() {
    let sizes = Sizes { payments: 1, rows: 100_000, tenders: 0, messages: 0, reports: 0, jsonl: false };
    let item = Set::new(1, sizes).payments().next().unwrap();
    assert_eq!(item.bytes().iter().filter(|b| **b == b'\n').count(), 100_001);
    let mut reader = csv::Reader::from_reader(item.bytes());
    assert_eq!(reader.headers().unwrap().len(), 9);
    assert_eq!(reader.records().filter(Result::is_ok).count(), 100_000);
}
