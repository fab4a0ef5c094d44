//! Real material: every OCDS example and the full watchlists of the development
//! data. They are not part of the repository: `PROBITY_DATA` says where they lie.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, clippy::print_stderr)]

use probity_anti_corruption::domain::{Document, Index, Kind, Outcome, Settings, investigate, watchlist};
use std::path::{Path, PathBuf};

fn data(folder: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PROBITY_DATA").map(|data| PathBuf::from(data).join(folder));
    let path = path.filter(|path| path.is_dir());
    if path.is_none() {
        eprintln!("SKIPPED: PROBITY_DATA/{folder} is not there, nothing was tested");
    }
    path
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
}

fn run(kind: Kind, bytes: Vec<u8>) -> Outcome {
    let documents = [Document { name: "documents/d".into(), bytes: bytes.into() }];
    let outcome = investigate(kind, &documents, &Index::default(), &Settings::default());
    assert!(outcome.finding_count >= outcome.findings.len() as u64);
    assert!(outcome.findings.windows(2).all(|pair| pair[0].severity >= pair[1].severity));
    for finding in &outcome.findings {
        assert!(!finding.evidence.is_empty() && !finding.explanation.is_empty(), "{finding:?}");
    }
    outcome
}

/// Items of a document by a reading that shares nothing with ours.
fn items(bytes: &[u8]) -> u64 {
    let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let list = json.get("records").or_else(|| json.get("releases").filter(|_| json.get("ocid").is_none()));
    list.and_then(|list| list.as_array()).map_or(1, |list| list.len() as u64)
}

#[test]
fn every_ocds_example_is_accounted_for() {
    let Some(folder) = data("ocds") else { return };
    let mut paths = Vec::new();
    files(&folder, "json", &mut paths);
    let (mut read, mut refused, mut findings) = (0, 0, 0);
    for path in &paths {
        let bytes = std::fs::read(path).unwrap();
        let outcome = run(Kind::Tender, bytes.clone());
        assert_eq!(outcome.items_read + outcome.items_refused, items(&bytes), "{}", path.display());
        read += outcome.items_read;
        refused += outcome.items_refused;
        findings += outcome.finding_count;
        let rules: Vec<_> = outcome.findings.iter().map(|f| format!("{} {}", f.rule, f.value)).collect();
        if !rules.is_empty() || outcome.items_refused > 0 {
            eprintln!("{}: {rules:?} {:?}", path.display(), outcome.rejections.first().map(|r| &r.reason));
        }
    }
    eprintln!("{} files: {read} items read, {refused} refused, {findings} findings", paths.len());
    assert!(read > 50, "only {read} items of {} files were read", paths.len());
}

#[test]
fn every_example_cut_short_is_refused_or_read_in_part() {
    let Some(folder) = data("ocds") else { return };
    let mut paths = Vec::new();
    files(&folder, "json", &mut paths);
    for path in paths.iter().step_by(5) {
        let bytes = std::fs::read(path).unwrap();
        for cut in [bytes.len() / 3, bytes.len() / 2, bytes.len().saturating_sub(3)] {
            let outcome = run(Kind::Tender, bytes[..cut].to_vec());
            assert!(outcome.items_refused > 0, "{} cut at {cut}", path.display());
        }
    }
}

#[test]
fn every_file_is_decided_as_every_kind() {
    let Some(folder) = data("ocds") else { return };
    let mut paths = Vec::new();
    files(&folder, "csv", &mut paths);
    files(&folder, "md", &mut paths);
    files(&folder, "xlsx", &mut paths);
    for path in &paths {
        for kind in Kind::ALL {
            run(kind, std::fs::read(path).unwrap());
        }
    }
}

#[test]
fn the_published_lists_are_read_whole() {
    let Some(folder) = data("watchlists") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    for (primary, aliases, least) in [
        ("sdn.csv", "alt.csv", 7_000),
        ("cons_prim.csv", "cons_alt.csv", 400),
        ("large/sdn.csv", "large/alt.csv", 8_900),
    ] {
        let list = watchlist::parse(&read(primary), &read(aliases)).unwrap();
        let (entries, aliases, refused) = (list.entries.len(), list.aliases(), list.rows_refused);
        eprintln!("{primary}: {entries} entries, {aliases} aliases, {refused} rows refused");
        assert!(entries >= least && refused < 50, "{primary}");
        let entries = list.entries.clone();
        let index = Index::new([("list".to_owned(), list)]);
        for entry in &entries {
            let found = index.search(&entry.name);
            assert!(found.iter().any(|hit| hit.entry.id == entry.id), "{entry:?}");
        }
    }
    for wrong in ["dpl.txt", "UN_consolidated.xml", "add.csv"] {
        assert!(watchlist::parse(&read(wrong), b"").is_err(), "{wrong} is not in the layout");
    }
}

#[test]
fn listed_people_are_found_in_the_order_people_write() {
    let Some(folder) = data("watchlists") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let list = watchlist::parse(&read("sdn.csv"), &read("alt.csv")).unwrap();
    let people: Vec<_> = list.entries.iter().filter(|e| e.kind == "individual").cloned().collect();
    let index = Index::new([("list".to_owned(), list)]);
    let mut tried = 0;
    for person in people {
        let Some((last, first)) = person.name.split_once(", ").filter(|(_, first)| !first.contains(','))
        else {
            continue;
        };
        let hits = index.search(&format!("{first} {last}"));
        assert!(hits.iter().any(|hit| hit.entry.id == person.id), "{}", person.name);
        tried += 1;
    }
    assert!(tried > 1_000);
}
