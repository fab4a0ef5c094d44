//! A file of 100,000 payments and hostile sizes: time, memory and that counts
//! add up. In a process of its own, because memory is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, clippy::print_stderr)]

use probity_anti_corruption::domain::{Document, Index, Kind, Outcome, Settings, investigate};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Resident memory of this process in bytes, or 0 where it is not told.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or_default() * 1024
}

fn run(kind: Kind, text: Vec<u8>) -> (Outcome, Duration) {
    let documents = [Document { name: "documents/d".into(), bytes: text.into() }];
    let started = Instant::now();
    let outcome = investigate(kind, &documents, &Index::default(), &Settings::default());
    (outcome, started.elapsed())
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Honest payments over a year, with every hundredth row broken.
fn payments(rows: u64) -> Vec<u8> {
    let mut dice = Dice(7);
    let mut text =
        "payment id,date,supplier id,supplier,invoice,amount,currency,approved by,text\n".to_owned();
    for row in 0..rows {
        let (supplier, cents) =
            (dice.below(2_000), dice.below(150_000) + dice.below(30) / 29 * dice.below(5_000_000));
        let (day, amount) = (1 + row * 364 / rows, format!("{}.{:02}", cents / 100 + 1, cents % 100));
        let amount = if row % 100 == 99 { "n/a".to_owned() } else { amount };
        let date = jiff::civil::date(2025, 1, 1)
            .checked_add(jiff::Span::new().days(i64::try_from(day).unwrap()))
            .unwrap();
        writeln!(
            text,
            "P{row},{date},S{supplier},\"Supplier, number {supplier}\",R-{supplier}-{row},{amount},EUR,clerk {},goods",
            row % 9
        )
        .unwrap();
    }
    text.into_bytes()
}

#[test]
fn a_hundred_thousand_payments_and_hostile_sizes() {
    let text = payments(100_000);
    let (bytes, before) = (text.len(), resident());
    let (outcome, took) = run(Kind::Payment, text);
    let used = resident().saturating_sub(before);
    eprintln!(
        "100,000 rows, {} KiB: {took:?}, {} MiB more than before, {} findings",
        bytes >> 10,
        used >> 20,
        outcome.finding_count
    );
    assert_eq!((outcome.items_read, outcome.items_refused), (99_000, 1_000));
    assert_eq!(outcome.rejections[0].line, 101);
    assert!(took < Duration::from_secs(30) && used < 100 << 20, "{took:?}, {used} bytes");

    // One row of 100 MB between two good ones.
    let mut text = b"supplier,amount\nA,1\n\"".to_vec();
    text.resize(text.len() + 100_000_000, b'x');
    text.extend_from_slice(b"\nB,2\n");
    let (outcome, _) = run(Kind::Payment, text);
    assert_eq!((outcome.items_read, outcome.items_refused), (2, 1));

    // A line of 100 MB between two good ones, in JSON Lines.
    let good = "{\"ocid\":\"o\",\"tender\":{}}\n";
    let mut text = good.as_bytes().to_vec();
    text.extend_from_slice(b"{\"ocid\":\"");
    text.resize(text.len() + 100_000_000, b'x');
    text.extend_from_slice(b"\"}\n");
    text.extend_from_slice(good.as_bytes());
    let (outcome, took) = run(Kind::Tender, text);
    eprintln!("a line of 100 MB: {took:?}");
    assert_eq!((outcome.items_read, outcome.items_refused), (2, 1));
    assert!(outcome.rejections[0].reason.contains("MiB") && outcome.rejections[0].line == 2);

    // Many small releases in one package.
    let releases = vec![good.trim(); 20_000].join(",").replace("\"o\"", "\"p\"");
    let (outcome, took) = run(Kind::Tender, format!("{{\"releases\":[{releases}]}}").into_bytes());
    eprintln!("20,000 releases of one procedure: {took:?}");
    assert_eq!((outcome.items_read, outcome.items_refused), (1_000, 19_000));

    // As many procedures, and two releases with very many members.
    let lines: String = (0..20_000).map(|n| format!("{{\"ocid\":\"o{n}\",\"tender\":{{}}}}\n")).collect();
    let (outcome, took) = run(Kind::Tender, lines.into_bytes());
    eprintln!("20,000 procedures: {took:?}");
    assert_eq!((outcome.items_read, outcome.facts["procedures"].as_str()), (20_000, "20000"));
    let members: String = (0..100_000).map(|n| format!(",\"m{n}\":1")).collect();
    let wide = format!("{{\"ocid\":\"w\"{members}}}\n");
    let (outcome, took) = run(Kind::Tender, wide.repeat(2).into_bytes());
    eprintln!("two releases of 100,000 members: {took:?}");
    assert!(outcome.items_read == 2 && took < Duration::from_secs(30));

    // Every line opens a quote; every row has the same supplier, day and amount.
    let quotes = format!("supplier,amount\n{}", "\"A,1\n".repeat(100_000));
    let (outcome, took) = run(Kind::Payment, quotes.into_bytes());
    eprintln!("100,000 open quotes: {took:?}");
    assert!(outcome.items_read + outcome.items_refused > 0 && took < Duration::from_secs(30));
    let same = format!("supplier,amount,date,invoice\n{}", "A,5000,2025-01-01,INV-7\n".repeat(100_000));
    let (outcome, took) = run(Kind::Payment, same.into_bytes());
    eprintln!("100,000 equal rows: {took:?}, {} findings", outcome.finding_count);
    assert!(outcome.items_read == 100_000 && took < Duration::from_secs(30));
}
