//! A folder of samples with a manifest that says what is hidden where.

use super::dice::Dice;
use super::{Expected, Item, message, payment, report, tender};
use crate::kind::Kind;
use serde::Serialize;
use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// How many of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Tenders.
    pub tenders: u32,
    /// All tenders in one JSON Lines file.
    pub jsonl: bool,
    /// Payment files.
    pub payments: u32,
    /// Rows of a payment file.
    pub rows: u32,
    /// Messages.
    pub messages: u32,
    /// Reports.
    pub reports: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { tenders: 6, jsonl: false, payments: 3, rows: 40, messages: 4, reports: 3 }
    }
}

/// Samples of all kinds.
#[derive(Debug, Clone)]
pub struct Set {
    seed: u64,
    sizes: Sizes,
}

/// A file of a set in its manifest.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    /// Path inside the folder.
    file: String,
    /// Line of the item when the file holds several.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    kind: Kind,
    subject: &'a str,
    clean: bool,
    #[serde(flatten)]
    expected: &'a Expected,
}

impl Set {
    /// The set of that seed.
    #[must_use]
    pub const fn new(seed: u64, sizes: Sizes) -> Self {
        Self { seed, sizes }
    }

    /// The tenders, each a single release.
    pub fn tenders(&self) -> impl Iterator<Item = Item> + '_ {
        (1..=u64::from(self.sizes.tenders)).map(|number| {
            let mut dice = self.dice(Kind::Tender, number);
            let bids = usize::try_from(dice.between(3, 5)).unwrap_or(3);
            tender::item(dice, number, nth(&tender::Plant::ROTATION, number, tender::Plant::Nothing), bids)
        })
    }

    /// The payment files.
    pub fn payments(&self) -> impl Iterator<Item = Item> + '_ {
        (1..=u64::from(self.sizes.payments)).map(|number| {
            let plant = nth(&payment::Plant::ROTATION, number, payment::Plant::Nothing);
            payment::item(&mut self.dice(Kind::Payment, number), number, self.sizes.rows, plant)
        })
    }

    /// The messages: every second is spam.
    pub fn messages(&self) -> impl Iterator<Item = Item> + '_ {
        (1..=u64::from(self.sizes.messages))
            .map(|number| message::item(self.dice(Kind::Message, number), number, number % 2 == 0))
    }

    /// The reports.
    pub fn reports(&self) -> impl Iterator<Item = Item> + '_ {
        (1..=u64::from(self.sizes.reports)).map(|number| {
            report::item(self.dice(Kind::Report, number), number, report::Plant::of_number(number))
        })
    }

    /// Everything, kind by kind.
    pub fn items(&self) -> impl Iterator<Item = Item> + '_ {
        self.tenders().chain(self.payments()).chain(self.messages()).chain(self.reports())
    }

    fn dice(&self, kind: Kind, number: u64) -> Dice {
        Dice::branch(self.seed, kind as u64 + 1, number)
    }
}

fn nth<T: Copy>(rotation: &[T], number: u64, other: T) -> T {
    let at = usize::try_from(number.saturating_sub(1)).unwrap_or_default() % rotation.len().max(1);
    rotation.get(at).copied().unwrap_or(other)
}

/// Writes a set to a folder: `tenders/`, `payments/`, `messages/`, `reports/` and
/// `manifest.json`. Files of the same name are replaced, others left alone.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(set: &Set, dir: &Path) -> io::Result<()> {
    let mut listed = Vec::new();
    if set.sizes.jsonl {
        listed.extend(write_lines(set, dir)?);
    }
    let tenders = set.tenders().filter(|_| !set.sizes.jsonl);
    for item in tenders.chain(set.payments()).chain(set.messages()).chain(set.reports()) {
        let file = format!("{}s/{}", item.kind(), item.filename());
        let bytes = if item.kind() == Kind::Tender { &tender::package(item.bytes()) } else { item.bytes() };
        write_file(&dir.join(&file), bytes)?;
        listed.push(entry(&item, file, None)?);
    }
    let manifest = serde_json::json!({ "seed": set.seed, "items": listed });
    write_file(&dir.join("manifest.json"), format!("{manifest:#}\n").as_bytes())
}

/// All tenders in one file, an item a line; only one is in memory at a time.
fn write_lines(set: &Set, dir: &Path) -> io::Result<Vec<serde_json::Value>> {
    let file = "tenders/tenders.jsonl";
    fs::create_dir_all(dir.join("tenders"))?;
    let mut out = BufWriter::new(fs::File::create(dir.join(file))?);
    let mut listed = Vec::new();
    for (line, item) in (1..).zip(set.tenders()) {
        out.write_all(item.bytes())?;
        out.write_all(b"\n")?;
        listed.push(entry(&item, file.to_owned(), Some(line))?);
    }
    out.flush()?;
    Ok(listed)
}

fn entry(item: &Item, file: String, line: Option<u64>) -> io::Result<serde_json::Value> {
    let listed = Listed {
        file,
        line,
        kind: item.kind(),
        subject: item.subject(),
        clean: item.expected().is_clean(),
        expected: item.expected(),
    };
    Ok(serde_json::to_value(listed)?)
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}
